//! Deployments.

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::selection::{self, Kind};
use super::{int_or_percent, replicas};
use crate::validation::common::subdomain_name;
use crate::validation::pod::words;
use crate::validation::{Errors, PathRef, Rules};

/// Rules of Deployment.
pub(super) const RULES: Rules = Rules { name: subdomain_name, create, update, subresource };

fn create(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    words::nonnegative(&spec["replicas"], &path.child("replicas"), errors);
    let kind =
        Kind { empty: "empty selector is invalid for deployment", unreadable: "invalid label selector" };
    selection::required(spec, &kind, &path, errors);
    selection::endless_template(&spec["template"], "ReplicaSet", &path.child("template"), errors);
    strategy(&spec["strategy"], &path.child("strategy"), errors);
    words::nonnegative(&spec["minReadySeconds"], &path.child("minReadySeconds"), errors);
    words::nonnegative(&spec["revisionHistoryLimit"], &path.child("revisionHistoryLimit"), errors);
    let at = path.child("progressDeadlineSeconds");
    words::nonnegative(&spec["progressDeadlineSeconds"], &at, errors);
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64()
        && deadline <= spec["minReadySeconds"].as_i64().unwrap_or(0)
    {
        errors.push(FieldError::invalid(at, deadline, "must be greater than minReadySeconds"));
    }
}

fn update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    create(gvk, new, errors);
    replicas::immutable_selector(new, old, errors);
}

fn subresource(_: &GroupVersionKind, name: &str, new: &Value, old: &Value, errors: &mut Errors) {
    if name == "status" {
        let path = PathRef::Root("status");
        let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        replicas::counts(&new["status"], &path, &parts, "readyReplicas", errors);
        replicas::collisions(new, old, errors);
    }
}

fn strategy(strategy: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (rolling, at) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match strategy["type"].as_str() {
        Some("Recreate") => {
            if !rolling.is_null() {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(at, why));
            }
        }
        Some("RollingUpdate") if rolling.is_null() => {
            errors.push(FieldError::required(at, "this should be defaulted and never be nil"));
        }
        Some("RollingUpdate") => rolling_update(rolling, &at, errors),
        _ => errors.push(FieldError::not_supported(path, strategy.clone(), &["Recreate", "RollingUpdate"])),
    }
}

fn rolling_update(rolling: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    let at = path.child("maxUnavailable");
    int_or_percent::check(unavailable, &at, errors);
    int_or_percent::check(surge, &path.child("maxSurge"), errors);
    if int_or_percent::number(unavailable) == 0 && int_or_percent::number(surge) == 0 {
        errors.push(FieldError::invalid(at, unavailable.clone(), "may not be 0 when `maxSurge` is 0"));
    }
    int_or_percent::not_over_all(unavailable, &at, errors);
}
