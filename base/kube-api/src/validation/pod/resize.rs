//! The subresources that change a running pod: its containers' resources, and containers that look in.

use std::collections::BTreeMap;

use kube_object::field_error::FieldError;
use serde_json::{Map, Value};

use super::annotations;
use super::same::{same, same_but};
use crate::qos;
use crate::validation::{Errors, PathRef};
use crate::value::{is_empty, items, members, text};

/// Containers that look in may come, but neither change nor go.
pub(super) fn ephemeral(new: &Value, old: &Value, errors: &mut Errors) {
    if old["metadata"]["annotations"].get(annotations::MIRROR).is_some() {
        *errors = vec![FieldError::forbidden("", "static pods do not support ephemeral containers")];
        return;
    }
    let path = PathRef::Root("spec");
    let path = path.child("ephemeralContainers");
    let after: BTreeMap<&str, &Value> = items(&new["spec"]["ephemeralContainers"])
        .iter()
        .map(|found| (text(&found["name"]), found))
        .collect();
    for before in items(&old["spec"]["ephemeralContainers"]) {
        let name = text(&before["name"]);
        let why = match after.get(name) {
            None => format!("existing ephemeral containers {name:?} may not be removed\n"),
            Some(found) if !same(found, before) => {
                format!("existing ephemeral containers {name:?} may not be changed\n- {before}\n+ {found}\n")
            }
            Some(_) => continue,
        };
        errors.push(FieldError::forbidden(path, why));
    }
}

/// Processor and memory of containers may change while they run.
pub(super) fn resize(new: &Value, old: &Value, errors: &mut Errors) {
    let refuse = |why: &str| vec![FieldError::forbidden("", why)];
    if old["metadata"]["annotations"].get(annotations::MIRROR).is_some() {
        *errors = refuse("static pods cannot be resized");
        return;
    }
    if old["spec"]["os"]["name"] == "windows" {
        *errors = refuse("windows pods cannot be resized");
        return;
    }
    let path = PathRef::Root("spec");
    let before = match text(&old["status"]["qosClass"]) {
        "" => qos::class(old),
        class => class,
    };
    if before != qos::class(new) {
        let why = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(path, text(&new["status"]["qosClass"]), why));
    }
    if !node_supports(old) {
        errors.push(FieldError::forbidden(path, "Pod running on node without support for resize"));
    }
    whole_pod(&new["spec"]["resources"], &old["spec"]["resources"], &path, errors);
    if !is_empty(&old["status"]["nodeAllocatableResourceClaimStatuses"]) {
        let why = "pods with node allocatable resource claims cannot be resized";
        errors.push(FieldError::forbidden(path, why));
    }
    let (new, old) = (&new["spec"], &old["spec"]);
    if !in_order(new, old, &path, errors) {
        return;
    }
    containers(new, old, &path, errors);
    let others = ["containers", "initContainers", "resources"];
    if errors.is_empty() && !same_but(new, old, &others) {
        errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable"));
    }
}

/// A node that reports resources of running containers can change them.
fn node_supports(pod: &Value) -> bool {
    let statuses = items(&pod["status"]["containerStatuses"]);
    let running = statuses.iter().find(|status| !status["state"]["running"].is_null());
    running.is_none_or(|status| !status["resources"].is_null())
}

fn whole_pod(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let set = |resources: &Value| !(is_empty(&resources["requests"]) && is_empty(&resources["limits"]));
    if !set(new) && !set(old) {
        return;
    }
    let at = path.child("resources");
    if !old.is_null() && new.is_null() {
        errors.push(FieldError::forbidden(at, "pod-level resources cannot be removed"));
        return;
    }
    for name in ["requests", "limits"] {
        if removed(&new[name], &old[name]) {
            let why = format!("pod-level resource {name} cannot be removed");
            errors.push(FieldError::forbidden(at.child(name), why));
        }
    }
    if !same_but_compute(new, old) {
        let why = "only cpu and memory resources are mutable at pod-level";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// Whether each container stands where it stood.
fn in_order(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) -> bool {
    let before = errors.len();
    for list in ["containers", "initContainers"] {
        let at = path.child(list);
        let (after, before) = (items(&new[list]), items(&old[list]));
        if after.len() != before.len() {
            errors.push(FieldError::forbidden(at, format!("{list} may not be added or removed on resize")));
            continue;
        }
        for (index, (after, before)) in after.iter().zip(before).enumerate() {
            if after["name"] != before["name"] {
                let why = format!("{list} may not be renamed or reordered on resize");
                errors.push(FieldError::forbidden(at.index(index).child("name"), why));
            }
        }
    }
    errors.len() == before
}

fn containers(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let pairs = |name: &str| items(&new[name]).iter().zip(items(&old[name])).enumerate().collect::<Vec<_>>();
    let list = path.child("initContainers");
    for (at, (after, before)) in pairs("initContainers") {
        let at = list.index(at);
        if before["restartPolicy"] == "Always" {
            not_removed(after, before, &at, errors);
            if !same_but_resources(after, before) {
                let why = "only cpu and memory resources for init or sidecar containers are mutable";
                errors.push(FieldError::forbidden(at, why));
            }
        } else if !same(after, before) {
            let why = "resources for non-sidecar init containers are immutable";
            errors.push(FieldError::forbidden(path, why));
        }
    }
    let list = path.child("containers");
    for (at, (after, before)) in pairs("containers") {
        not_removed(after, before, &list.index(at), errors);
        if !same_but_resources(after, before) {
            errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable"));
        }
    }
}

fn not_removed(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let at = path.child("resources");
    for (name, why) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        if removed(&new["resources"][name], &old["resources"][name]) {
            errors.push(FieldError::forbidden(at.child(name), why));
        }
    }
}

fn removed(new: &Value, old: &Value) -> bool {
    members(old).any(|(name, _)| new.get(name.as_str()).is_none())
}

fn same_but_resources(new: &Value, old: &Value) -> bool {
    same_but(new, old, &["resources"]) && same_but_compute(&new["resources"], &old["resources"])
}

/// Whether nothing differs but amounts of processor and memory.
fn same_but_compute(new: &Value, old: &Value) -> bool {
    let rest = |list: &Value| -> Value {
        let others = members(list).filter(|(name, _)| *name != "cpu" && *name != "memory");
        Value::Object(others.map(|(name, amount)| (name.clone(), amount.clone())).collect::<Map<_, _>>())
    };
    ["limits", "requests"].iter().all(|name| {
        let wrap = |list: &Value| Value::Object(Map::from_iter([((*name).to_owned(), rest(list))]));
        same(&wrap(&new[*name]), &wrap(&old[*name]))
    }) && same(&new["claims"], &old["claims"])
}
