//! Webhooks and policies of admission.

use serde_json::Value;

use super::fill::{at, below, blank, each, empty, unset};

/// The port of a service that is called.
const HTTPS_PORT: i64 = 443;
/// How long a webhook may take, in seconds.
const TIMEOUT_SECONDS: i64 = 10;

/// The kind ValidatingWebhookConfiguration.
pub(super) fn validating(object: &mut Value) {
    each(object, "webhooks").for_each(webhook);
}

/// The kind MutatingWebhookConfiguration.
pub(super) fn mutating(object: &mut Value) {
    for hook in each(object, "webhooks") {
        webhook(hook);
        unset(hook, "reinvocationPolicy", "Never");
    }
}

fn webhook(hook: &mut Value) {
    unset(hook, "failurePolicy", "Fail");
    unset(hook, "timeoutSeconds", TIMEOUT_SECONDS);
    matching(hook);
    each(hook, "rules").for_each(|rule| unset(rule, "scope", "*"));
    if let Some(service) = at(hook, &["clientConfig", "service"]) {
        unset(service, "port", HTTPS_PORT);
    }
}

fn matching(constraints: &mut Value) {
    unset(constraints, "matchPolicy", "Equivalent");
    empty(constraints, "namespaceSelector");
    empty(constraints, "objectSelector");
}

/// The kinds ValidatingAdmissionPolicy and MutatingAdmissionPolicy.
pub(super) fn policy(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    unset(spec, "failurePolicy", "Fail");
    if let Some(constraints) = below(spec, "matchConstraints") {
        resources(constraints);
    }
}

/// Their bindings.
pub(super) fn binding(object: &mut Value) {
    if let Some(constraints) = at(object, &["spec", "matchResources"]) {
        resources(constraints);
    }
}

fn resources(constraints: &mut Value) {
    matching(constraints);
    for name in ["resourceRules", "excludeResourceRules"] {
        each(constraints, name).for_each(|rule| blank(rule, "scope", "*"));
    }
}
