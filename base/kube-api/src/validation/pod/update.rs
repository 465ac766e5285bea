//! What may change of a pod: next to nothing.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::same::{same, same_but};
use super::{scheduling, words};
use crate::validation::{Errors, PathRef};
use crate::value::{items, members, text};

/// Checks the change of a pod's specification.
pub(super) fn check(new: &Value, old: &Value, errors: &mut Errors) {
    let path = PathRef::Root("spec");
    for name in ["containers", "initContainers"] {
        let (after, before) = (items(&new[name]), items(&old[name]));
        if after.len() != before.len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(path.child(name), why));
            return;
        }
        let list = path.child(name);
        for (at, container) in after.iter().enumerate() {
            let at = list.index(at);
            words::needs(container, &["image"], &at, errors);
            super::containers::image_without_space(container, &at, errors);
        }
    }
    if !deadline(&new[DEADLINE], &old[DEADLINE], &path.child(DEADLINE), errors) {
        return;
    }
    tolerations(&new["tolerations"], &old["tolerations"], &path.child("tolerations"), errors);
    gates(&new["schedulingGates"], &old["schedulingGates"], &path.child("schedulingGates"), errors);
    let gated = !items(&old["schedulingGates"]).is_empty();
    if gated {
        node_selector(&new["nodeSelector"], &old["nodeSelector"], &path.child("nodeSelector"), errors);
        let at = path.child("affinity");
        let (new, old) = (&new["affinity"]["nodeAffinity"], &old["affinity"]["nodeAffinity"]);
        node_affinity(&new[REQUIRED], &old[REQUIRED], &at.child("nodeAffinity"), errors);
    }
    let differences = differences(new, old, gated);
    if !differences.is_empty() {
        let why = format!("pod updates may not change fields other than {UPDATABLE}\n{differences}");
        errors.push(FieldError::forbidden(path, why));
    }
}

const DEADLINE: &str = "activeDeadlineSeconds";
const GRACE: &str = "terminationGracePeriodSeconds";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be \
    set to 1 if it was previously negative)";

/// A deadline may be set, and only come nearer. Whether the rest is worth a look.
fn deadline(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) -> bool {
    match (new.as_i64(), old.as_i64()) {
        (Some(after), _) if !(0..=i64::from(i32::MAX)).contains(&after) => {
            words::within(new, (0, i64::from(i32::MAX)), path, errors);
            false
        }
        (Some(after), Some(before)) if before < after => {
            errors.push(FieldError::invalid(path, after, "must be less than or equal to previous value"));
            false
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path, Value::Null, why));
            true
        }
        _ => true,
    }
}

/// Tolerations may be added; of the present ones only the time may change.
fn tolerations(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let identity = |toleration: &Value| {
        ["key", "operator", "value", "effect"].map(|name| text(&toleration[name]).to_owned())
    };
    let present: BTreeSet<_> = items(new).iter().map(identity).collect();
    if items(old).iter().any(|toleration| !present.contains(&identity(toleration))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path, why));
        return;
    }
    scheduling::tolerations(new, path, errors);
}

/// Gates may only go.
fn gates(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let before: BTreeSet<&str> = items(old).iter().map(|gate| text(&gate["name"])).collect();
    for (at, gate) in items(new).iter().enumerate() {
        let name = text(&gate["name"]);
        if !before.contains(name) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(path.index(at).child("name"), why));
        }
    }
}

fn node_selector(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if members(old).any(|(key, value)| new.get(key.as_str()) != Some(value)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(path, new.clone(), why));
    }
}

/// Where a gated pod may run can be narrowed.
fn node_affinity(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (after, before) = (&new["nodeSelectorTerms"], items(&old["nodeSelectorTerms"]));
    let at = path.child(REQUIRED);
    let at = at.child("nodeSelectorTerms");
    if before.is_empty() {
        return;
    }
    if before.len() != items(after).len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(at, after.clone(), why));
        return;
    }
    for (index, (new, old)) in items(after).iter().zip(before).enumerate() {
        if !only_adds(new, old) {
            let why = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(at.index(index), new.clone(), why));
        }
    }
}

fn only_adds(new: &Value, old: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    if lists.iter().all(|name| items(&old[*name]).is_empty()) {
        return lists.iter().all(|name| items(&new[*name]).is_empty());
    }
    lists.iter().all(|name| {
        let (after, before) = (items(&new[*name]), items(&old[*name]));
        after.len() >= before.len() && after.iter().zip(before).all(|(after, before)| same(after, before))
    })
}

/// What changed that may not, one line for what was and one for what is.
fn differences(new: &Value, old: &Value, gated: bool) -> String {
    let mut lines = String::new();
    let mut names: BTreeSet<&str> = members(new).map(|(name, _)| name.as_str()).collect();
    names.extend(members(old).map(|(name, _)| name.as_str()));
    for name in names {
        let (after, before) = (&new[name], &old[name]);
        let fine = match name {
            "containers" | "initContainers" => {
                let mut pairs = items(after).iter().zip(items(before));
                pairs.all(|(after, before)| same_but(after, before, &["image"]))
            }
            "tolerations" | "schedulingGates" | DEADLINE => true,
            GRACE => same(after, before) || (before.as_i64() < Some(0) && after.as_i64() == Some(1)),
            "nodeSelector" if gated => true,
            "affinity" if gated => same_but(after, before, &["nodeAffinity"]),
            _ => same(after, before),
        };
        if !fine {
            lines.push_str(&format!("- \"{name}\": {before}\n+ \"{name}\": {after}\n"));
        }
    }
    lines
}
