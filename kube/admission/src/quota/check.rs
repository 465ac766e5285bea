//! Whether a request fits into the quotas of its namespace: pure.

use std::collections::BTreeSet;

use kube_api::quota::{
    ResourceList, ScopeSelector, constraints, matches, matches_scope, scopes, tracked, usage,
};
use kube_object::resource::GroupResource;
use serde_json::Value;

use crate::read::{at, text};
use crate::request::{Operation, Request};

/// A resource that nobody may use without a quota that covers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitedResource {
    /// Which objects.
    pub resource: GroupResource,
    /// Parts of the names of what they use, such as `requests.cpu`.
    pub match_contains: Vec<String>,
    /// Scopes that need a quota of the same scope.
    pub match_scopes: Vec<ScopeSelector>,
}

/// What a request would use of one quota.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Charge {
    /// The quota's place among those given.
    pub(crate) index: usize,
    /// What would be used of it then.
    pub(crate) used: ResourceList,
}

/// Why a request does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Containers leave out what is limited.
    #[error("failed quota: {quota}: {why}")]
    Unstated { quota: String, why: String },
    /// The quota controller has not counted yet.
    #[error("status unknown for quota: {quota}, resources: {names}")]
    Unknown { quota: String, names: String },
    /// The object asks for less than nothing.
    #[error("quota usage is negative for resource(s): {names}")]
    Negative { names: String },
    /// There is no old object to compare with.
    #[error("unable to get previous usage since prior version of object was not found")]
    NoPrevious,
    /// A limited resource has no quota.
    #[error("insufficient quota to consume: {names}")]
    Uncovered { names: String },
    /// A limited scope has no quota.
    #[error("insufficient quota to match these scopes: [{scopes}]")]
    UncoveredScopes { scopes: String },
    /// It is too much.
    #[error("exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {limited}")]
    Exceeded { quota: String, requested: ResourceList, used: ResourceList, limited: ResourceList },
    /// A quota's scope makes no sense.
    #[error("error matching scopes of quota {quota}, err: {why}")]
    Scope { quota: String, why: String },
}

impl Refusal {
    /// The quota that refused, if it was one.
    pub(crate) fn quota(&self) -> &str {
        match self {
            Self::Unstated { quota, .. }
            | Self::Unknown { quota, .. }
            | Self::Exceeded { quota, .. }
            | Self::Scope { quota, .. } => quota,
            _ => "",
        }
    }
}

/// What a request uses of the quotas of its namespace; only those that change are told.
pub(crate) fn charge<Q: AsRef<Value>>(
    quotas: &[Q],
    request: &Request,
    limited: &[LimitedResource],
) -> Result<Vec<Charge>, Refusal> {
    let Some(object) = &request.object else { return Ok(Vec::new()) };
    let resource = request.resource.group_resource();
    let limited: Vec<_> = limited.iter().filter(|limited| limited.resource == resource).collect();
    let concerned = concerned(quotas, &resource, object)?;
    if concerned.is_empty() && limited.is_empty() {
        return Ok(Vec::new());
    }
    let asked = usage(&resource, object, None);
    let negative = asked.negative();
    if !negative.is_empty() {
        return Err(Refusal::Negative { names: negative.join(",") });
    }
    let before = before(request, &resource)?;
    let more = |old_counts: bool| match &before {
        Some(before) if old_counts => asked.clone().minus_at_least_zero(before),
        _ => asked.clone(),
    };
    if !limited.is_empty() {
        let covering: Vec<_> = concerned.iter().filter_map(|index| quotas.get(*index)).collect();
        check_covered(&limited, &covering, quotas, &more(true), &resource, object)?;
    }
    let mut charges = Vec::new();
    for index in concerned {
        let Some(quota) = quotas.get(index).map(AsRef::as_ref) else { continue };
        let old = request.old.as_ref().filter(|_| before.is_some());
        let old_counts = old.is_some_and(|old| matches(quota, &resource, old).unwrap_or(false));
        let more = more(old_counts).without_zeros();
        if let Some(used) = fit(quota, &more, request)? {
            charges.push(Charge { index, used });
        }
    }
    Ok(charges)
}

/// The quotas that the object falls under. They must be counted, and it must say what they
/// need to know.
fn concerned<Q: AsRef<Value>>(
    quotas: &[Q],
    resource: &GroupResource,
    object: &Value,
) -> Result<Vec<usize>, Refusal> {
    let mut concerned = Vec::new();
    for (index, quota) in quotas.iter().map(AsRef::as_ref).enumerate() {
        let name = || text(quota, &["metadata", "name"]).to_owned();
        match matches(quota, resource, object) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => return Err(Refusal::Scope { quota: name(), why: error.to_string() }),
        }
        let hard = list(quota, "hard");
        let names: Vec<_> = hard.keys().map(String::as_str).filter(|name| tracked(resource, name)).collect();
        if let Err(error) = constraints(resource, names.iter().copied(), object) {
            return Err(Refusal::Unstated { quota: name(), why: error.to_string() });
        }
        let used = list(quota, "used");
        if names.iter().any(|name| !used.contains_key(*name)) {
            return Err(Refusal::Unknown { quota: name(), names: names.join(",") });
        }
        concerned.push(index);
    }
    Ok(concerned)
}

/// What the stored object uses; none if there is none, as with a creation by update.
fn before(request: &Request, resource: &GroupResource) -> Result<Option<ResourceList>, Refusal> {
    if request.operation != Operation::Update {
        return Ok(None);
    }
    let old = request.old.as_ref().ok_or(Refusal::NoPrevious)?;
    if text(old, &["metadata", "resourceVersion"]).is_empty() && text(old, &["metadata", "uid"]).is_empty() {
        return Ok(None);
    }
    Ok(Some(usage(resource, old, None)))
}

/// What would be used of a quota, if that is something else than now.
fn fit(quota: &Value, more: &ResourceList, request: &Request) -> Result<Option<ResourceList>, Refusal> {
    let (hard, used) = (list(quota, "hard"), list(quota, "used"));
    let requested = more.only(|name| hard.contains_key(name));
    if requested.is_empty() {
        return Ok(None);
    }
    let then = used.clone().plus(&requested);
    let masked = then.only(|name| requested.contains_key(name));
    let above = masked.above(&hard);
    // The status follows what has happened, and cannot be refused for it.
    if above.is_empty() || request.subresource == "status" {
        return Ok(Some(then));
    }
    let only = |list: &ResourceList| list.only(|name| above.contains(&name));
    Err(Refusal::Exceeded {
        quota: text(quota, &["metadata", "name"]).to_owned(),
        requested: only(&requested),
        used: only(&used),
        limited: only(&hard),
    })
}

/// Whether what is limited by default is covered by some quota.
fn check_covered<Q: AsRef<Value>>(
    limited: &[&LimitedResource],
    covering: &[&Q],
    quotas: &[Q],
    more: &ResourceList,
    resource: &GroupResource,
    object: &Value,
) -> Result<(), Refusal> {
    let more = more.clone().without_zeros();
    if more.is_empty() {
        return Ok(());
    }
    let is_limited = |name: &str| {
        limited.iter().any(|limited| limited.match_contains.iter().any(|part| name.contains(part.as_str())))
    };
    let is_covered = |name: &str| {
        covering
            .iter()
            .any(|quota| tracked(resource, name) && list((*quota).as_ref(), "hard").contains_key(name))
    };
    let bare: Vec<_> =
        more.keys().map(String::as_str).filter(|name| is_limited(name) && !is_covered(name)).collect();
    if !bare.is_empty() {
        return Err(Refusal::Uncovered { names: bare.join(",") });
    }
    let applies = |scope: &ScopeSelector| matches_scope(scope, resource, object).unwrap_or(false);
    let covered: BTreeSet<_> = quotas
        .iter()
        .flat_map(|quota| scopes(quota.as_ref()))
        .filter(applies)
        .map(|scope| scope.scope)
        .collect();
    let bare: Vec<_> = limited
        .iter()
        .flat_map(|limited| &limited.match_scopes)
        .filter(|scope| applies(scope) && !covered.contains(&scope.scope))
        .map(|scope| format!("{{{} {} [{}]}}", scope.scope, scope.operator, scope.values.join(" ")))
        .collect();
    if bare.is_empty() { Ok(()) } else { Err(Refusal::UncoveredScopes { scopes: bare.join(" ") }) }
}

fn list(quota: &Value, half: &str) -> ResourceList {
    ResourceList::from_value(Some(at(quota, &["status", half])))
}
