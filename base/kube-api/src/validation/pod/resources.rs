//! What containers and pods ask for: names of resources, amounts, and requests against limits.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

use super::words;
use crate::quantity::{self, Quantity};
use crate::validation::{Errors, PathRef};
use crate::value::{items, members, text};

/// What a name of a resource must be.
type NameCheck = fn(&str, &PathRef<'_>, &mut Errors);

/// Resources of one container.
pub(super) fn of_container(
    requirements: &Value,
    claims: &BTreeSet<&str>,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    check(requirements, container_name, Some(claims), path, errors);
}

/// Resources of a pod as a whole.
pub(super) fn of_pod(spec: &Value, claims: &BTreeSet<&str>, path: &PathRef<'_>, errors: &mut Errors) {
    let requirements = &spec["resources"];
    if requirements.is_null() {
        return;
    }
    let at = path.child("resources");
    if text(&spec["os"]["name"]) == "windows" {
        errors.push(FieldError::forbidden(at, "may not be set for a windows pod"));
        return;
    }
    if !requirements["claims"].is_null() {
        let why = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(at.child("claims"), why));
    }
    check(requirements, pod_name, Some(claims), &at, errors);
    against_containers(spec, &at, errors);
}

/// What runs a pod beside its containers: judged as limits are.
pub(super) fn overhead(overhead: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let limits = path.child("limits");
    let mut kinds = Kinds::default();
    for (name, amount) in members(overhead) {
        if words::enough(errors) {
            break;
        }
        one(name, amount, container_name, &limits.key(name), &mut kinds, errors);
    }
    kinds.finish(path, errors);
}

/// Whether processor, memory or huge pages are among the names.
#[derive(Default)]
struct Kinds {
    compute: bool,
    huge: bool,
}

impl Kinds {
    fn finish(&self, path: &PathRef<'_>, errors: &mut Errors) {
        if self.huge && !self.compute {
            errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
        }
    }
}

fn check(
    requirements: &Value,
    name_check: NameCheck,
    claims: Option<&BTreeSet<&str>>,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    let (limits_at, requests_at) = (path.child("limits"), path.child("requests"));
    let limits = &requirements["limits"];
    let mut kinds = Kinds::default();
    for (name, amount) in members(limits) {
        if words::enough(errors) {
            break;
        }
        one(name, amount, name_check, &limits_at.key(name), &mut kinds, errors);
    }
    for (name, amount) in members(&requirements["requests"]) {
        if words::enough(errors) {
            break;
        }
        let at = requests_at.key(name);
        let huge_error = one_without_huge(name, amount, name_check, &at, errors);
        against_limit(name, amount, &limits[name.as_str()], (&limits_at, &requests_at), errors);
        note_kind(name, &mut kinds);
        if huge_error {
            huge_page_multiple(name, amount, &at, errors);
        }
    }
    kinds.finish(path, errors);
    if let Some(claims) = claims {
        claim_names(&requirements["claims"], claims, &path.child("claims"), errors);
    }
}

fn one(
    name: &str,
    amount: &Value,
    name_check: NameCheck,
    path: &PathRef<'_>,
    kinds: &mut Kinds,
    errors: &mut Errors,
) {
    if one_without_huge(name, amount, name_check, path, errors) {
        huge_page_multiple(name, amount, path, errors);
    }
    note_kind(name, kinds);
}

/// The name and the amount; tells whether it is about huge pages.
fn one_without_huge(
    name: &str,
    amount: &Value,
    name_check: NameCheck,
    path: &PathRef<'_>,
    errors: &mut Errors,
) -> bool {
    name_check(name, path, errors);
    quantity(name, amount, path, errors);
    name.starts_with(HUGE_PAGES)
}

fn note_kind(name: &str, kinds: &mut Kinds) {
    kinds.compute |= name == "cpu" || name == "memory";
    kinds.huge |= name.starts_with(HUGE_PAGES);
}

/// An amount of a resource: not negative, and whole for things that are not divided.
pub(in crate::validation) fn quantity(name: &str, amount: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let Some(read) = quantity::read(amount) else {
        let why = match amount {
            Value::String(raw) => Quantity::parse(raw).err().map(|why| why.to_string()).unwrap_or_default(),
            _ => "must be a valid resource quantity".to_owned(),
        };
        errors.push(FieldError::invalid(path, amount.clone(), why));
        return;
    };
    if read.is_negative() {
        errors.push(FieldError::invalid(path, read.to_string(), words::NEGATIVE));
    }
    if is_whole(name) && read.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path, read.to_string(), "must be an integer"));
    }
}

fn huge_page_multiple(name: &str, amount: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let size = name.strip_prefix(HUGE_PAGES).and_then(|size| Quantity::parse(size).ok());
    let Some(amount) = quantity::read(amount) else { return };
    let fits = size.is_some_and(|size| {
        size.value() > 0 && !amount.is_negative() && amount.is_integer() && amount.value() % size.value() == 0
    });
    if !fits {
        let why = format!("{amount} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, amount.to_string(), why));
    }
}

fn against_limit(
    name: &str,
    amount: &Value,
    limit: &Value,
    (limits, requests): (&PathRef<'_>, &PathRef<'_>),
    errors: &mut Errors,
) {
    let divisible = is_native(name) && !name.starts_with(HUGE_PAGES);
    if limit.is_null() {
        if !divisible {
            errors.push(FieldError::required(limits, "Limit must be set for non overcommitable resources"));
        }
        return;
    }
    let (Some(amount), Some(limit)) = (quantity::read(amount), quantity::read(limit)) else {
        return;
    };
    if amount != limit && !divisible {
        let why = format!("must be equal to {name} limit of {limit}");
        errors.push(FieldError::invalid(requests, amount.to_string(), why));
    } else if amount > limit {
        let why = format!("must be less than or equal to {name} limit of {limit}");
        errors.push(FieldError::invalid(requests, amount.to_string(), why));
    }
}

fn claim_names(claims: &Value, known: &BTreeSet<&str>, path: &PathRef<'_>, errors: &mut Errors) {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (at, claim) in items(claims).iter().enumerate() {
        if words::enough(errors) {
            break;
        }
        let at = path.index(at);
        let (name, request) = (text(&claim["name"]), text(&claim["request"]));
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        if seen.contains(&(name, "")) {
            errors.push(FieldError::duplicate(at, name));
        } else {
            if !request.is_empty() {
                words::label(request, &at.child("request"), errors);
            }
            if seen.contains(&(name, request)) {
                errors.push(FieldError::duplicate(at, format!("{name}/{request}")));
            } else if request.is_empty() {
                let parts = seen.range((name, "")..).take_while(|(claim, _)| *claim == name).count();
                errors.extend((0..parts).map(|_| FieldError::duplicate(at, name)));
            }
            seen.insert((name, request));
        }
        if !known.contains(name) {
            let mut error = FieldError::not_found(at, name);
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            error.detail += &match known.is_empty() {
                true => " which is empty".to_owned(),
                false => format!(": {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            let long = error.detail.len() > KNOWN_LEN_MAX;
            errors.push(error);
            // The list is shown once, or a long one would be shown as often as it is long.
            if long {
                break;
            }
        }
    }
}

/// Names of resources: a standard one, or a qualified one of someone else's.
fn known_name(name: &str, path: &PathRef<'_>, errors: &mut Errors) -> bool {
    let wrong = names::qualified_name(name);
    if !wrong.is_empty() {
        words::faults(wrong, name, path, errors);
        return false;
    }
    if !name.contains('/') && !is_standard(name) {
        let why = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, name, why));
        return false;
    }
    true
}

/// Names of resources that a container can ask for.
pub(in crate::validation) fn container_name(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    known_name(name, path, errors);
    if !name.contains('/') {
        if !is_of_containers(name) {
            errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

fn pod_name(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if known_name(name, path, errors) && !(name == "cpu" || name == "memory" || name.starts_with(HUGE_PAGES))
    {
        errors.push(FieldError::not_supported(path, name, &["cpu", "memory"]));
    }
}

fn against_containers(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let own = &spec["resources"];
    let requests = path.child("requests");
    for (name, sum) in crate::defaults::aggregate_pod_resources(spec, "requests") {
        let Some(request) = quantity::read(&own["requests"][name.as_str()]) else { continue };
        if sum > request {
            let why = format!("must be greater than or equal to aggregate container requests of {sum}");
            errors.push(FieldError::invalid(requests.key(&name), request.to_string(), why));
        }
    }
    let limits = path.child("limits");
    for (name, sum) in crate::defaults::aggregate_pod_resources(spec, "limits") {
        let Some(limit) = quantity::read(&own["limits"][name.as_str()]) else { continue };
        if name.starts_with(HUGE_PAGES) && sum > limit {
            let why = format!("must be greater than or equal to aggregate container limits of {sum}");
            errors.push(FieldError::invalid(limits.key(&name), limit.to_string(), why));
        }
    }
    let containers = path.child("containers");
    for (at, container) in items(&spec["containers"]).iter().enumerate() {
        for (name, limit) in members(&container["resources"]["limits"]) {
            if words::enough(errors) {
                break;
            }
            let of_pod = quantity::read(&own["limits"][name.as_str()]);
            let (Some(limit), Some(of_pod)) = (quantity::read(limit), of_pod) else { continue };
            if limit > of_pod {
                let at = containers.index(at);
                let at = at.key(name);
                let why = format!("must be less than or equal to pod limits of {of_pod}");
                errors.push(FieldError::invalid(at.child("limits"), limit.to_string(), why));
            }
        }
    }
}

/// Prefix of resources that are huge pages of a size.
pub(in crate::validation) const HUGE_PAGES: &str = "hugepages-";

fn is_of_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE_PAGES)
}

/// Resources that everybody knows.
fn is_standard(name: &str) -> bool {
    is_of_containers(name)
        || matches!(
            name,
            "requests.cpu"
                | "requests.memory"
                | "requests.ephemeral-storage"
                | "limits.cpu"
                | "limits.memory"
                | "limits.ephemeral-storage"
                | "storage"
                | "requests.storage"
        )
        || COUNTED.contains(&name)
        || name.starts_with("requests.hugepages-")
}

/// Resources that are counted, not divided.
const COUNTED: [&str; 9] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether amounts of the resource are whole numbers.
fn is_whole(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

/// Without a prefix, or with one of Kubernetes.
pub(in crate::validation) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Someone else's resource, as a device is.
pub(in crate::validation) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Names of claims that are shown with each that is not among them.
const KNOWN_LEN_MAX: usize = 16 * 1024;
