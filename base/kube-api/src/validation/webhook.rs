//! Rules of webhooks: where they are, and what they are asked about.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::common::{label_selector, no_subresource, one_of, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, items, text};

pub(super) const CONFIGURATION: Rules = Rules {
    name: subdomain_name,
    create: configuration,
    update: |gvk, new, _, errors| configuration(gvk, new, errors),
    subresource: no_subresource,
};

pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];

fn configuration(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let hooks = PathRef::Root("webhooks");
    let mut seen = BTreeSet::new();
    for (at, hook) in items(&object["webhooks"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = hooks.index(at);
        webhook(hook, gvk.kind == "MutatingWebhookConfiguration", &path, errors);
        review_versions(&hook["admissionReviewVersions"], &path.child("admissionReviewVersions"), errors);
        let name = text(&hook["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    }
}

fn webhook(hook: &Value, mutating: bool, path: &PathRef<'_>, errors: &mut Errors) {
    qualified(text(&hook["name"]), &path.child("name"), errors);
    let rules = path.child("rules");
    for (at, rule) in items(&hook["rules"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        rule_with_operations(rule, &rules.index(at), errors);
    }
    one_of(&hook["failurePolicy"], &FAILURE_POLICIES, &path.child("failurePolicy"), errors);
    one_of(&hook["matchPolicy"], &MATCH_POLICIES, &path.child("matchPolicy"), errors);
    let effects = path.child("sideEffects");
    if hook["sideEffects"].is_null() {
        errors.push(FieldError::required(effects, "must specify one of None, NoneOnDryRun"));
    }
    one_of(&hook["sideEffects"], &SIDE_EFFECTS, &effects, errors);
    let seconds = &hook["timeoutSeconds"];
    if seconds.as_i64().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(path.child("timeoutSeconds"), seconds.clone(), why));
    }
    for name in ["namespaceSelector", "objectSelector"] {
        label_selector(&hook[name], &path.child(name), errors);
    }
    if mutating {
        let known = ["IfNeeded", "Never"];
        one_of(&hook["reinvocationPolicy"], &known, &path.child("reinvocationPolicy"), errors);
    }
    client_config(&hook["clientConfig"], &path.child("clientConfig"), errors);
    match_conditions(&hook["matchConditions"], &path.child("matchConditions"), errors);
}

/// A name of three labels at least.
fn qualified(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let faults = names::dns1123_subdomain(name);
    let good = faults.is_empty();
    wrong(name, faults, path, errors);
    if good && name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn review_versions(versions: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    const ACCEPTED: [&str; 2] = ["v1", "v1beta1"];
    let list = items(versions);
    if list.is_empty() {
        errors.push(FieldError::required(path, "must specify one of v1, v1beta1"));
        return;
    }
    let mut seen = BTreeSet::new();
    for (at, version) in list.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let version = text(version);
        if !seen.insert(version) {
            errors.push(FieldError::invalid(path.index(at), version, "duplicate version"));
            continue;
        }
        wrong(version, names::dns1035_label(version), &path.index(at), errors);
    }
    if !ACCEPTED.iter().any(|version| seen.contains(version)) {
        let why = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, versions.clone(), why));
    }
}

/// Where a webhook is: one of a URL and a service.
pub(super) fn client_config(config: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match (config["url"].as_str(), &config["service"]) {
        (Some(address), Value::Null) => url(address, &path.child("url"), errors),
        (None, service) if service.is_object() => webhook_service(service, &path.child("service"), errors),
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

const URL_FORM: &str = "; desired format: https://host[/path]";

fn url(address: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    if scheme != "https" {
        let why = format!("'https' is the only allowed URL scheme{URL_FORM}");
        errors.push(FieldError::invalid(path, scheme, why));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        errors.push(FieldError::invalid(path, host, format!("host must be specified{URL_FORM}")));
    }
    for (value, why) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !value.is_empty() {
            errors.push(FieldError::invalid(path, value, why));
        }
    }
}

fn webhook_service(service: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    required(&service["name"], "service name is required", &path.child("name"), errors);
    required(&service["namespace"], "service namespace is required", &path.child("namespace"), errors);
    let port = service["port"].as_i64().unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.child("port"), port, why));
    }
    let Some(value) = service["path"].as_str().filter(|value| !value.is_empty() && *value != "/") else {
        return;
    };
    let at = path.child("path");
    let Some(rest) = value.strip_prefix('/') else {
        errors.push(FieldError::invalid(at, value, "must start with a '/'"));
        return;
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    for (number, segment) in rest.split('/').enumerate() {
        if segment.is_empty() {
            errors.push(FieldError::invalid(at, value, format!("segment[{number}] may not be empty")));
            continue;
        }
        for fault in names::dns1123_subdomain(segment) {
            errors.push(FieldError::invalid(at, value, format!("segment[{number}]: {fault}")));
        }
    }
}

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// Operations and resources.
pub(super) fn rule_with_operations(rule: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (operations, at) = (&rule["operations"], path.child("operations"));
    required(operations, "", &at, errors);
    let list = items(operations);
    if list.len() > 1 && list.contains(&json!("*")) {
        let why = "if '*' is present, must not specify other operations";
        errors.push(FieldError::invalid(at, operations.clone(), why));
    }
    for (number, operation) in list.iter().enumerate() {
        if enough(errors) {
            break;
        }
        one_of(operation, &OPERATIONS, &at.index(number), errors);
    }
    for (name, word) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (at, list) = (path.child(name), &rule[name]);
        required(list, "", &at, errors);
        if items(list).len() > 1 && items(list).contains(&json!("*")) {
            let why = format!("if '*' is present, must not specify other {word}");
            errors.push(FieldError::invalid(at, list.clone(), why));
        }
    }
    for (number, version) in items(&rule["apiVersions"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        required(version, "", &path.child("apiVersions").index(number), errors);
    }
    resources(&rule["resources"], &path.child("resources"), errors);
    one_of(&rule["scope"], &["*", "Cluster", "Namespaced"], &path.child("scope"), errors);
}

fn resources(resources: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let list = items(resources);
    required(resources, "", path, errors);
    if list.len() > 1 && list.contains(&json!("*/*")) {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, resources.clone(), why));
    }
    let names: BTreeSet<_> = list.iter().map(text).collect();
    for (at, name) in list.iter().map(text).enumerate() {
        if enough(errors) {
            break;
        }
        if name.is_empty() {
            errors.push(FieldError::required(path.index(at), ""));
        }
        let Some((resource, part)) = name.split_once('/') else { continue };
        let all_parts = format!("{resource}/*");
        if part != "*" && names.contains(all_parts.as_str()) {
            let why = format!("if '{all_parts}' is present, must not specify {name}");
            errors.push(FieldError::invalid(path.index(at), name, why));
        }
        let of_all = format!("*/{part}");
        if resource != "*" && names.contains(of_all.as_str()) {
            let why = format!("if '{of_all}' is present, must not specify {name}");
            errors.push(FieldError::invalid(path.index(at), name, why));
        }
    }
}

const CONDITIONS_MAX: usize = 64;

/// Conditions with a name and an expression each.
pub(super) fn match_conditions(conditions: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let list = items(conditions);
    if list.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path, list.len(), CONDITIONS_MAX));
    }
    let mut seen = BTreeSet::new();
    for (at, condition) in list.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        if text(&condition["expression"]).trim().is_empty() {
            errors.push(FieldError::required(path.child("expression"), ""));
        }
        let name = text(&condition["name"]);
        if is_empty(&condition["name"]) {
            errors.push(FieldError::required(path.child("name"), ""));
            continue;
        }
        wrong(name, names::qualified_name(name), &path.child("name"), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    }
}
