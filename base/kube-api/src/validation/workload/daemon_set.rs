//! Daemon sets.

use kube_object::field_error::FieldError;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::{int_or_percent, replicas, selection};
use crate::validation::common::subdomain_name;
use crate::validation::pod::words;
use crate::validation::{Errors, PathRef, Rules};
use crate::value::is_empty;

/// Rules of DaemonSet.
pub(super) const RULES: Rules = Rules { name: subdomain_name, create, update, subresource };

fn create(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    let (selector, at) = (&spec["selector"], path.child("selector"));
    words::selector(selector, &at, errors);
    let template = path.child("template");
    if let Ok(read) = LabelSelector::from_value(selector) {
        selection::fits(&read, &spec["template"], &template, errors);
    }
    if !selector.is_null() && is_empty(&selector["matchLabels"]) && is_empty(&selector["matchExpressions"]) {
        errors.push(FieldError::invalid(at, selector.clone(), "empty selector is invalid for daemonset"));
    }
    selection::endless_template(&spec["template"], "DaemonSet", &template, errors);
    words::nonnegative(&spec["minReadySeconds"], &path.child("minReadySeconds"), errors);
    strategy(&spec["updateStrategy"], &path.child("updateStrategy"), errors);
    words::nonnegative(&spec["revisionHistoryLimit"], &path.child("revisionHistoryLimit"), errors);
}

fn update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    create(gvk, new, errors);
    replicas::immutable_selector(new, old, errors);
}

fn strategy(strategy: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match strategy["type"].as_str() {
        Some("OnDelete") => {}
        Some("RollingUpdate") => {
            let (rolling, at) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
            if rolling.is_null() {
                errors.push(FieldError::required(at, ""));
            } else {
                rolling_update(rolling, &at, errors);
            }
        }
        _ => errors.push(FieldError::not_supported(path, strategy.clone(), &["OnDelete", "RollingUpdate"])),
    }
}

fn rolling_update(rolling: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let at = ["maxUnavailable", "maxSurge"].map(|name| (&rolling[name], path.child(name)));
    at.iter().for_each(|(value, at)| int_or_percent::check(value, at, errors));
    at.iter().for_each(|(value, at)| int_or_percent::not_over_all(value, at, errors));
    let [(unavailable, unavailable_at), (surge, surge_at)] = at;
    match (int_or_percent::number(unavailable) != 0, int_or_percent::number(surge) != 0) {
        (true, true) => {
            let why = "may not be set when maxUnavailable is non-zero";
            errors.push(FieldError::invalid(surge_at, surge.clone(), why));
        }
        (false, false) => errors.push(FieldError::required(unavailable_at, "cannot be 0 when maxSurge is 0")),
        _ => {}
    }
}

fn subresource(_: &GroupVersionKind, name: &str, new: &Value, old: &Value, errors: &mut Errors) {
    if name != "status" {
        return;
    }
    let path = PathRef::Root("status");
    for count in [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ] {
        words::nonnegative(&new["status"][count], &path.child(count), errors);
    }
    replicas::collisions(new, old, errors);
}
