//! Stateful sets.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::selection::{self, Kind};
use super::{int_or_percent, replicas};
use crate::validation::common::label_name;
use crate::validation::pod::{self, same, words};
use crate::validation::{Errors, PathRef, Rules};
use crate::value::{items, text};

/// Rules of StatefulSet.
pub(super) const RULES: Rules = Rules { name: label_name, create, update, subresource };

fn create(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    specification(spec, errors);
    let service = text(&spec["serviceName"]);
    if !service.is_empty() {
        words::label(service, &path.child("serviceName"), errors);
    }
    template(spec, errors);
}

/// What holds of every stateful set, also of those from before a rule came.
fn specification(spec: &Value, errors: &mut Errors) {
    let path = PathRef::Root("spec");
    management(text(&spec["podManagementPolicy"]), &path.child("podManagementPolicy"), errors);
    strategy(&spec["updateStrategy"], &path.child("updateStrategy"), errors);
    let (policy, at) = (&spec[RETENTION], path.child(RETENTION));
    if !policy.is_null() {
        for name in ["whenDeleted", "whenScaled"] {
            words::known_text(text(&policy[name]), &["Delete", "Retain"], &at.child(name), errors);
        }
    }
    for name in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        words::nonnegative(&spec[name], &path.child(name), errors);
    }
    words::nonnegative(&spec["ordinals"]["start"], &path.child("ordinals.start"), errors);
    let kind = Kind { empty: "empty selector is invalid for statefulset", unreadable: "" };
    selection::required(spec, &kind, &path, errors);
    let template = path.child("template");
    selection::endless(&spec["template"]["spec"], "StatefulSet", &template.child("spec"), errors);
}

/// The template of its pods, which can also mount the volumes of its claims.
fn template(spec: &Value, errors: &mut Errors) {
    let (template, path) = (&spec["template"], PathRef::Root("spec"));
    let claims = items(&spec["volumeClaimTemplates"]);
    let at = path.child("template");
    if claims.is_empty() {
        pod::template(template, &at, errors);
        return;
    }
    let mut whole = template.clone();
    let own: BTreeSet<&str> =
        items(&template["spec"]["volumes"]).iter().map(|volume| text(&volume["name"])).collect();
    let volumes = whole.get_mut("spec").and_then(Value::as_object_mut);
    if let Some(list) = volumes.map(|spec| spec.entry("volumes").or_insert(Value::Array(Vec::new())))
        && let Some(list) = list.as_array_mut()
    {
        let names: BTreeSet<&str> = claims.iter().map(|claim| text(&claim["metadata"]["name"])).collect();
        let volume = |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        list.extend(names.difference(&own).map(volume));
    }
    pod::template(&whole, &at, errors);
}

const RETENTION: &str = "persistentVolumeClaimRetentionPolicy";

fn management(policy: &str, path: &PathRef<'_>, errors: &mut Errors) {
    match policy {
        "" => errors.push(FieldError::required(path, "")),
        "OrderedReady" | "Parallel" => {}
        _ => errors.push(FieldError::invalid(path, policy, "must be 'OrderedReady' or 'Parallel'")),
    }
}

fn strategy(strategy: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (rolling, at) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match text(&strategy["type"]) {
        "" => errors.push(FieldError::required(path, "")),
        "OnDelete" => {
            if !rolling.is_null() {
                let why = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(FieldError::invalid(at, rolling.clone(), why));
            }
        }
        "RollingUpdate" => {
            words::nonnegative(&rolling["partition"], &at.child("partition"), errors);
            let (unavailable, at) = (&rolling["maxUnavailable"], at.child("maxUnavailable"));
            if !unavailable.is_null() {
                int_or_percent::check(unavailable, &at, errors);
                if int_or_percent::number(unavailable) == 0 {
                    errors.push(FieldError::invalid(at, unavailable.clone(), "cannot be 0"));
                }
                int_or_percent::not_over_all(unavailable, &at, errors);
            }
        }
        _ => {
            let why = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(path, strategy.clone(), why));
        }
    }
}

/// What of a stateful set may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    RETENTION,
    "minReadySeconds",
];

fn update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    specification(&new["spec"], errors);
    // Templates from before they were looked at may stay as they are.
    let mut before = Errors::new();
    template(&old["spec"], &mut before);
    if before.is_empty() {
        template(&new["spec"], errors);
    }
    if !same::same_but(&new["spec"], &old["spec"], &MUTABLE) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden("spec", why));
    }
}

fn subresource(_: &GroupVersionKind, name: &str, new: &Value, old: &Value, errors: &mut Errors) {
    if name == "status" {
        let path = PathRef::Root("status");
        let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        replicas::counts(&new["status"], &path, &parts, "status.readyReplicas", errors);
        replicas::collisions(new, old, errors);
    }
}
