//! Scopes of a quota: which objects it is for at all.

use std::collections::BTreeMap;

use kube_object::label_selector::{InvalidLabelSelector, Operator, Requirement};
use kube_object::resource::GroupResource;
use serde_json::Value;

use super::pod::is_best_effort;
use super::usage::tracked;

/// One condition of a quota: `v1.ScopedResourceSelectorRequirement`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSelector {
    /// `BestEffort`, `PriorityClass`, …
    pub scope: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// What `In` and `NotIn` compare with.
    pub values: Vec<String>,
}

/// A scope's selector makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// No such operator.
    #[error("failed to parse and convert selector: {operator:?} is not a valid scope selector operator")]
    Operator {
        /// What was given.
        operator: String,
    },
    /// Values are missing or wrong.
    #[error("failed to parse and convert selector: {0}")]
    Values(#[source] InvalidLabelSelector),
}

/// The conditions of a quota, from `scopes` and `scopeSelector`.
pub fn scopes(quota: &Value) -> Vec<ScopeSelector> {
    let list = |path: &str| quota.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let plain = list("/spec/scopes").map(|scope| ScopeSelector {
        scope: text(scope),
        operator: "Exists".to_owned(),
        values: Vec::new(),
    });
    let member = |value: &Value, name: &str| value.get(name).map(text).unwrap_or_default();
    let selected = list("/spec/scopeSelector/matchExpressions").map(|expression| ScopeSelector {
        scope: member(expression, "scopeName"),
        operator: member(expression, "operator"),
        values: expression
            .get("values")
            .and_then(Value::as_array)
            .map(|values| values.iter().map(text).collect())
            .unwrap_or_default(),
    });
    plain.chain(selected).collect()
}

/// Whether a quota is for an object: it limits something that such objects use (as its
/// status says), and all its scopes match.
pub fn matches(quota: &Value, resource: &GroupResource, object: &Value) -> Result<bool, InvalidScope> {
    let hard = quota.pointer("/status/hard").and_then(Value::as_object);
    if !hard.into_iter().flatten().any(|(name, _)| tracked(resource, name)) {
        return Ok(false);
    }
    for selector in scopes(quota) {
        if !matches_scope(&selector, resource, object)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether an object lies in a scope. Only pods and claims lie in any.
pub fn matches_scope(
    selector: &ScopeSelector,
    resource: &GroupResource,
    object: &Value,
) -> Result<bool, InvalidScope> {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") => pod_matches(selector, object),
        ("", "persistentvolumeclaims") if selector.scope == "VolumeAttributesClass" => {
            claim_matches(selector, object)
        }
        _ => Ok(false),
    }
}

fn pod_matches(selector: &ScopeSelector, pod: &Value) -> Result<bool, InvalidScope> {
    let terminating = || {
        pod.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds >= 0)
    };
    Ok(match selector.scope.as_str() {
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "CrossNamespacePodAffinity" => looks_across_namespaces(pod),
        "PriorityClass" => {
            let class = pod.pointer("/spec/priorityClassName").and_then(Value::as_str).unwrap_or_default();
            return selects(selector, class);
        }
        _ => false,
    })
}

fn claim_matches(selector: &ScopeSelector, claim: &Value) -> Result<bool, InvalidScope> {
    let paths = [
        "/spec/volumeAttributesClassName",
        "/status/currentVolumeAttributesClassName",
        "/status/modifyVolumeStatus/targetVolumeAttributesClassName",
    ];
    let mut classes = paths.iter().filter_map(|path| claim.pointer(path)?.as_str()).filter(|c| !c.is_empty());
    let Some(first) = classes.next() else { return selects(selector, "") };
    for class in [first].into_iter().chain(classes) {
        if selects(selector, class)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a class, empty for none, is selected.
fn selects(selector: &ScopeSelector, class: &str) -> Result<bool, InvalidScope> {
    let operator = match selector.operator.as_str() {
        "Exists" => return Ok(!class.is_empty()),
        "DoesNotExist" => return Ok(class.is_empty()),
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        operator => return Err(InvalidScope::Operator { operator: operator.to_owned() }),
    };
    let requirement = Requirement::new(&selector.scope, operator, selector.values.clone());
    let mut labels = BTreeMap::new();
    if !class.is_empty() {
        labels.insert(selector.scope.clone(), class.to_owned());
    }
    Ok(requirement.map_err(InvalidScope::Values)?.matches(&labels))
}

fn looks_across_namespaces(pod: &Value) -> bool {
    let foreign = |term: &Value| {
        let named = term.get("namespaces").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
        named || term.get("namespaceSelector").is_some_and(|selector| !selector.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let Some(affinity) = pod.pointer(&format!("/spec/affinity/{kind}")) else { return false };
        let terms = |name: &str| affinity.get(name).and_then(Value::as_array).into_iter().flatten();
        terms("requiredDuringSchedulingIgnoredDuringExecution").any(foreign)
            || terms("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|weighted| weighted.get("podAffinityTerm").is_some_and(foreign))
    })
}
