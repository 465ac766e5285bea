//! Rules of priority classes, runtime classes and leases.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{immutable, no_subresource, one_of, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules, metadata};
use crate::value::{same, text};

pub(super) const PRIORITY: Rules =
    Rules { name: subdomain_name, create: priority, update: priority_update, subresource: no_subresource };
pub(super) const RUNTIME: Rules =
    Rules { name: subdomain_name, create: runtime, update: runtime_update, subresource: no_subresource };
pub(super) const LEASE: Rules = Rules {
    name: subdomain_name,
    create: lease,
    update: |gvk, new, _, errors| lease(gvk, new, errors),
    subresource: no_subresource,
};
pub(super) const CANDIDATE: Rules =
    Rules { name: subdomain_name, create: candidate, update: candidate_update, subresource: no_subresource };

/// The largest priority that users may give.
const PRIORITY_MAX: i64 = 1_000_000_000;
/// The classes that the system itself has, and their values.
const SYSTEM: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn priority(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let name = text(&object["metadata"]["name"]);
    let value = object["value"].as_i64().unwrap_or(0);
    if name.starts_with("system-") {
        let fault = match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, known)) if *known != value => {
                Some(format!("value of {name} PriorityClass must be {known}"))
            }
            Some(_) if object["globalDefault"] == true => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(fault) = fault {
            let why = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {fault}"
            );
            errors.push(FieldError::forbidden("metadata.name", why));
        }
    } else if value > PRIORITY_MAX {
        let why = format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}");
        errors.push(FieldError::forbidden("value", why));
    }
    let known = ["Never", "PreemptLowerPriority"];
    one_of(&object["preemptionPolicy"], &known, &PathRef::Root("preemptionPolicy"), errors);
}

fn priority_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    if new["value"].as_i64().unwrap_or(0) != old["value"].as_i64().unwrap_or(0) {
        errors.push(FieldError::forbidden("value", "may not be changed in an update."));
    }
    let path = PathRef::Root("preemptionPolicy");
    immutable(&new["preemptionPolicy"], &old["preemptionPolicy"], &path, errors);
}

fn runtime(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let handler = text(&object["handler"]);
    wrong(handler, names::dns1123_label(handler), &PathRef::Root("handler"), errors);
    let overhead = PathRef::Root("overhead.podFixed");
    for (name, amount) in crate::value::members(&object["overhead"]["podFixed"]) {
        if enough(errors) {
            break;
        }
        super::cluster::resource_name(name, &overhead.key(name), errors);
        super::cluster::resource_quantity(name, amount, &overhead.key(name), errors);
    }
    let path = PathRef::Root("scheduling.nodeSelector");
    metadata::labels(&object["scheduling"]["nodeSelector"], &path, errors);
}

fn runtime_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    immutable(&new["handler"], &old["handler"], &PathRef::Root("handler"), errors);
}

fn lease(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    let seconds = &spec["leaseDurationSeconds"];
    if seconds.as_i64().is_some_and(|seconds| seconds <= 0) {
        let why = "must be greater than 0";
        errors.push(FieldError::invalid(path.child("leaseDurationSeconds"), seconds.clone(), why));
    }
    let transitions = &spec["leaseTransitions"];
    if transitions.as_i64().is_some_and(|count| count < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child("leaseTransitions"), transitions.clone(), why));
    }
    if let Some(strategy) = spec["strategy"].as_str() {
        strategy_name(strategy, &path.child("strategy"), errors);
    }
    if !text(&spec["preferredHolder"]).is_empty() && text(&spec["strategy"]).is_empty() {
        let why = "may only be specified if `strategy` is defined";
        errors.push(FieldError::forbidden(path.child("preferredHolder"), why));
    }
}

/// A strategy of Kubernetes itself, or a qualified name.
fn strategy_name(strategy: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if strategy.contains('/') {
        wrong(strategy, names::qualified_name(strategy), path, errors);
    } else if strategy != "OldestEmulationVersion" {
        errors.push(FieldError::not_supported(path, strategy, &["OldestEmulationVersion"]));
    }
}

fn candidate(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    required(&spec["leaseName"], "", &path.child("leaseName"), errors);
    required(&spec["binaryVersion"], "", &path.child("binaryVersion"), errors);
    if required(&spec["strategy"], "", &path.child("strategy"), errors) {
        strategy_name(text(&spec["strategy"]), &path.child("strategy"), errors);
        if text(&spec["strategy"]) == "OldestEmulationVersion" {
            let why = "must be specified when `strategy` is 'OldestEmulationVersion'";
            required(&spec["emulationVersion"], why, &path.child("emulationVersion"), errors);
        }
    }
}

fn candidate_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    candidate(gvk, new, errors);
    if !same(&new["spec"]["leaseName"], &old["spec"]["leaseName"]) {
        let name = new["spec"]["leaseName"].clone();
        errors.push(FieldError::invalid("spec.leaseName", name, "field is immutable"));
    }
}
