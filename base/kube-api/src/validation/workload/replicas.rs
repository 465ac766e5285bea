//! Replica sets and replication controllers.

use kube_object::field_error::FieldError;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::selection::{self, Kind};
use crate::validation::common::subdomain_name;
use crate::validation::pod::{same, words};
use crate::validation::{Errors, PathRef, Rules};
use crate::value::{is_empty, members, text};

/// Rules of ReplicaSet.
pub(super) const SET: Rules = Rules {
    name: subdomain_name,
    create: set,
    update: set_update,
    subresource: |_, name, new, _, errors| {
        if name == "status" {
            status(&new["status"], errors);
        }
    },
};

/// Rules of ReplicationController.
pub(super) const CONTROLLER: Rules = Rules {
    name: subdomain_name,
    create: controller,
    update: |gvk, new, _, errors| controller(gvk, new, errors),
    subresource: SET.subresource,
};

fn set(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    words::nonnegative(&spec["replicas"], &path.child("replicas"), errors);
    words::nonnegative(&spec["minReadySeconds"], &path.child("minReadySeconds"), errors);
    // Upstream takes the word from deployments.
    let kind =
        Kind { empty: "empty selector is invalid for deployment", unreadable: "invalid label selector" };
    selection::required(spec, &kind, &path, errors);
    selection::endless_template(&spec["template"], "ReplicaSet", &path.child("template"), errors);
}

fn set_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    set(gvk, new, errors);
    immutable_selector(new, old, errors);
}

/// The selector of a kind does not change in its life.
pub(super) fn immutable_selector(new: &Value, old: &Value, errors: &mut Errors) {
    let (new, old) = (&new["spec"]["selector"], &old["spec"]["selector"]);
    if !same::same(new, old) {
        errors.push(FieldError::invalid("spec.selector", new.clone(), "field is immutable"));
    }
}

fn controller(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    words::nonnegative(&spec["minReadySeconds"], &path.child("minReadySeconds"), errors);
    let selector = &spec["selector"];
    if is_empty(selector) {
        errors.push(FieldError::required(path.child("selector"), ""));
    }
    words::nonnegative(&spec["replicas"], &path.child("replicas"), errors);
    let (template, at) = (&spec["template"], path.child("template"));
    if template.is_null() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    let labels = members(selector).map(|(key, value)| (key.as_str(), text(value)));
    selection::fits(&LabelSelector::from_labels(labels), template, &at, errors);
    selection::endless_template(template, "ReplicationController", &at, errors);
}

/// How many replicas are how far: none can be further than there are.
fn status(status: &Value, errors: &mut Errors) {
    let path = PathRef::Root("status");
    counts(
        status,
        &path,
        &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        "readyReplicas",
        errors,
    );
}

/// Numbers of a status that are not negative, and not more than `replicas`.
pub(super) fn counts(status: &Value, path: &PathRef<'_>, parts: &[&str], ready: &str, errors: &mut Errors) {
    for name in
        ["replicas", "observedGeneration", "collisionCount", "unavailableReplicas"].iter().chain(parts)
    {
        words::nonnegative(&status[*name], &path.child(name), errors);
    }
    let count = |name: &str| status[name].as_i64().unwrap_or(0);
    for name in parts {
        if count(name) > count("replicas") {
            let why = "cannot be greater than status.replicas";
            errors.push(FieldError::invalid(path.child(name), count(name), why));
        }
    }
    if parts.contains(&"availableReplicas") && count("availableReplicas") > count("readyReplicas") {
        let why = format!("cannot be greater than {ready}");
        errors.push(FieldError::invalid(path.child("availableReplicas"), count("availableReplicas"), why));
    }
}

/// How often names collided is only counted up.
pub(super) fn collisions(new: &Value, old: &Value, errors: &mut Errors) {
    let count = |object: &Value| object["status"]["collisionCount"].as_i64();
    if let Some(before) = count(old)
        && count(new).is_none_or(|after| after < before)
    {
        let after = count(new).unwrap_or(0);
        errors.push(FieldError::invalid("status.collisionCount", after, "cannot be decremented"));
    }
}
