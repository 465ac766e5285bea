//! Horizontal pod autoscalers, and scales.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use crate::quantity::{self, Quantity};
use crate::validation::common::subdomain_name;
use crate::validation::pod::words;
use crate::validation::{Errors, PathRef, Rules};
use crate::value::{items, text};

/// Rules of HorizontalPodAutoscaler, in all its versions.
pub(super) const RULES: Rules = Rules {
    name: subdomain_name,
    create,
    update: |gvk, new, _, errors| create(gvk, new, errors),
    subresource: |_, name, new, _, errors| {
        let path = PathRef::Root("status");
        for count in ["currentReplicas", "desiredReplicas"] {
            if name == "status" {
                words::nonnegative(&new["status"][count], &path.child(count), errors);
            }
        }
    },
};

/// Rules of Scale.
pub(super) const SCALE: Rules = Rules {
    name: subdomain_name,
    create: |_, object, errors| scale(object, errors),
    update: |_, new, _, errors| scale(new, errors),
    subresource: |_, _, _, _, _| {},
};

fn scale(object: &Value, errors: &mut Errors) {
    let path = PathRef::Root("spec");
    words::nonnegative(&object["spec"]["replicas"], &path.child("replicas"), errors);
}

fn create(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    let least = spec["minReplicas"].as_i64();
    let most = spec["maxReplicas"].as_i64().unwrap_or(0);
    if let Some(least) = least
        && least < 1
    {
        let why = "must be greater than or equal to 1";
        errors.push(FieldError::invalid(path.child("minReplicas"), least, why));
    }
    let at = path.child("maxReplicas");
    if most < 1 {
        errors.push(FieldError::invalid(at, most, "must be greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        errors.push(FieldError::invalid(at, most, "must be greater than or equal to `minReplicas`"));
    }
    reference(&spec["scaleTargetRef"], &path.child("scaleTargetRef"), errors);
    let metrics = path.child("metrics");
    if spec["targetCPUUtilizationPercentage"].as_i64().is_some_and(|share| share < 1) {
        let at = metrics.index(0);
        let at = at.child("resource");
        let at = at.child("target");
        let why = "must be greater than 0";
        let share = spec["targetCPUUtilizationPercentage"].clone();
        errors.push(FieldError::invalid(at.child("averageUtilization"), share, why));
    }
    for (at, found) in items(&spec["metrics"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        metric(found, &metrics.index(at), errors);
    }
    let behavior = path.child("behavior");
    for name in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][name];
        if !rules.is_null() {
            scaling_rules(rules, &behavior.child(name), errors);
        }
    }
}

fn reference(target: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for name in ["kind", "name"] {
        path_segment(text(&target[name]), "", &path.child(name), errors);
    }
}

fn path_segment(name: &str, required: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.push(FieldError::required(path, required));
    } else {
        words::faults(names::path_segment(name), name, path, errors);
    }
}

const WINDOW_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;

fn scaling_rules(rules: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if let Some(window) = rules["stabilizationWindowSeconds"].as_i64() {
        let at = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.push(FieldError::invalid(at, window, "must be greater than or equal to zero"));
        }
        if window > WINDOW_SECONDS_MAX {
            let why = format!("must be less than or equal to {WINDOW_SECONDS_MAX}");
            errors.push(FieldError::invalid(at, window, why));
        }
    }
    let choices = ["Disabled", "Max", "Min"];
    words::if_set_one_of(&rules["selectPolicy"], &choices, &path.child("selectPolicy"), errors);
    let list = path.child("policies");
    if items(&rules["policies"]).is_empty() {
        errors.push(FieldError::required(list, "must specify at least one Policy"));
    }
    for (at, policy) in items(&rules["policies"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = list.index(at);
        words::known_text(text(&policy["type"]), &["Percent", "Pods"], &at.child("type"), errors);
        for name in ["value", "periodSeconds"] {
            let number = policy[name].as_i64().unwrap_or(0);
            if number <= 0 {
                errors.push(FieldError::invalid(at.child(name), number, words::NOT_POSITIVE));
            }
        }
        if let Some(period) = policy["periodSeconds"].as_i64().filter(|period| *period > PERIOD_SECONDS_MAX) {
            let why = format!("must be less than or equal to {PERIOD_SECONDS_MAX}");
            errors.push(FieldError::invalid(at.child("periodSeconds"), period, why));
        }
    }
    if quantity::read(&rules["tolerance"]).is_some_and(Quantity::is_negative) {
        let why = "must be greater or equal to zero";
        errors.push(FieldError::invalid(path.child("tolerance"), rules["tolerance"].clone(), why));
    }
}

/// Kinds of metrics, and the member that each fills.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

fn metric(metric: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let kind = text(&metric["type"]);
    let at = path.child("type");
    if kind.is_empty() {
        errors.push(FieldError::required(at, "must specify a metric source type"));
    }
    let known = SOURCES.map(|(kind, _)| kind);
    words::known_text(kind, &known, &at, errors);
    let present: Vec<&str> =
        SOURCES.into_iter().map(|(_, member)| member).filter(|member| !metric[*member].is_null()).collect();
    if let Some(first) = present.first() {
        source(first, &metric[*first], &path.child(first), errors);
    }
    let expected = SOURCES.into_iter().find(|(known, _)| *known == kind).map(|(_, member)| member);
    match expected {
        Some(member) if metric[member].is_null() => {
            let why = "must populate information for the given metric source";
            errors.push(FieldError::required(path.child(member), why));
        }
        Some(_) => {}
        None => words::known_text(kind, &known, &at, errors),
    }
    if present.len() != 1 {
        for member in present.into_iter().filter(|member| Some(*member) != expected) {
            let why = "must populate the given metric source only";
            errors.push(FieldError::forbidden(path.child(member), why));
        }
    }
}

fn source(member: &str, source: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let of_resource = member == "resource" || member == "containerResource";
    if member == "object" {
        reference(&source["describedObject"], &path.child("describedObject"), errors);
    }
    if of_resource {
        if text(&source["name"]).is_empty() {
            errors.push(FieldError::required(path.child("name"), "must specify a resource name"));
        }
        if member == "containerResource" && text(&source["container"]).is_empty() {
            errors.push(FieldError::required(path.child("container"), "must specify a container"));
        }
    } else {
        let at = path.child("metric");
        path_segment(
            text(&source["metric"]["name"]),
            "must specify a metric name",
            &at.child("name"),
            errors,
        );
    }
    let at = path.child("target");
    target(&source["target"], &at, errors);
    let set = |name: &str| !source["target"][name].is_null();
    let (value, average, share) = (set("value"), set("averageValue"), set("averageUtilization"));
    let mut required = |name: &str, why: &str| errors.push(FieldError::required(at.child(name), why));
    match member {
        "object" if !value && !average => {
            required("averageValue", "must set either a target value or averageValue");
        }
        "external" if !value && !average => {
            required("averageValue", "must set either a target value for metric or a per-pod target");
        }
        "pods" if !average => required("averageValue", "must specify a positive target averageValue"),
        _ if of_resource && !average && !share => {
            required("averageUtilization", "must set either a target raw value or a target utilization");
        }
        _ => {}
    }
    if member == "external" && value && average {
        let why = "may not set both a target value for metric and a per-pod target";
        errors.push(FieldError::forbidden(at.child("value"), why));
    }
    if of_resource && average && share {
        let why = "may not set both a target raw value and a target utilization";
        errors.push(FieldError::forbidden(at.child("averageValue"), why));
    }
}

fn target(target: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let kind = text(&target["type"]);
    if kind.is_empty() {
        errors.push(FieldError::required(path.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(path.child("type"), kind, why));
    }
    for name in ["value", "averageValue"] {
        let positive = |amount: Quantity| !amount.is_negative() && !amount.is_zero();
        if !target[name].is_null() && !quantity::read(&target[name]).is_some_and(positive) {
            errors.push(FieldError::invalid(path.child(name), target[name].clone(), "must be positive"));
        }
    }
    if let Some(share) = target["averageUtilization"].as_i64()
        && share < 1
    {
        errors.push(FieldError::invalid(path.child("averageUtilization"), share, "must be greater than 0"));
    }
}
