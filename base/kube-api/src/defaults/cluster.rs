//! Kinds of the cluster itself: namespaces, nodes, secrets, roles, priorities, flows.

use serde_json::{Map, Value, json};

use super::fill::{at, below, blank, each, made, text, unset, zero};

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// The kind Secret.
pub(super) fn secret(object: &mut Value) {
    blank(object, "type", "Opaque");
}

/// The kind Namespace: its name is also a label, for selectors.
pub(super) fn namespace(object: &mut Value) {
    if let Some(status) = made(object, "status") {
        blank(status, "phase", "Active");
    }
    let Some(metadata) = below(object, "metadata") else { return };
    let name = text(metadata, "name").to_owned();
    if !name.is_empty()
        && let Some(labels) = made(metadata, "labels").and_then(Value::as_object_mut)
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), Value::from(name));
    }
}

/// The kind Node: all that it has can be given away unless it says less.
pub(super) fn node(object: &mut Value) {
    let Some(status) = below(object, "status") else { return };
    if let Some(capacity) = status.get("capacity").filter(|capacity| capacity.is_object()).cloned() {
        unset(status, "allocatable", capacity);
    }
}

/// The kind LimitRange.
pub(super) fn limit_range(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    for item in each(spec, "limits") {
        if text(item, "type") == "Container" {
            take_missing(item, "default", "max");
            take_missing(item, "defaultRequest", "default");
            take_missing(item, "defaultRequest", "min");
        }
    }
}

/// Adds to one map what another has and it has not.
fn take_missing(item: &mut Value, to: &str, from: &str) {
    let Some(source) = item.get(from).and_then(Value::as_object).cloned() else { return };
    if source.is_empty() {
        return;
    }
    unset(item, to, Value::Object(Map::new()));
    if let Some(target) = below(item, to).and_then(Value::as_object_mut) {
        for (name, value) in source {
            target.entry(name).or_insert(value);
        }
    }
}

/// The kinds RoleBinding and ClusterRoleBinding.
pub(super) fn role_binding(object: &mut Value) {
    if let Some(role) = below(object, "roleRef") {
        blank(role, "apiGroup", RBAC_GROUP);
    }
    for subject in each(object, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            blank(subject, "apiGroup", RBAC_GROUP);
        }
    }
}

/// The kind PriorityClass.
pub(super) fn priority_class(object: &mut Value) {
    unset(object, "preemptionPolicy", "PreemptLowerPriority");
}

/// The kind FlowSchema.
pub(super) fn flow_schema(object: &mut Value) {
    if let Some(spec) = below(object, "spec") {
        zero(spec, "matchingPrecedence", 1000);
    }
}

/// The kind PriorityLevelConfiguration.
pub(super) fn priority_level(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    if text(spec, "type") == "Exempt" {
        unset(spec, "exempt", json!({}));
    }
    if let Some(exempt) = below(spec, "exempt") {
        unset(exempt, "nominalConcurrencyShares", 0);
        unset(exempt, "lendablePercent", 0);
    }
    if let Some(limited) = below(spec, "limited") {
        unset(limited, "nominalConcurrencyShares", 30);
        unset(limited, "lendablePercent", 0);
        if let Some(queuing) = at(limited, &["limitResponse", "queuing"]) {
            zero(queuing, "handSize", 8);
            zero(queuing, "queues", 64);
            zero(queuing, "queueLengthLimit", 50);
        }
    }
}

/// The kind APIService.
pub(super) fn api_service(object: &mut Value) {
    if let Some(service) = at(object, &["spec", "service"]) {
        unset(service, "port", 443);
    }
}

/// The kind TokenRequest.
pub(super) fn token_request(object: &mut Value) {
    if let Some(spec) = below(object, "spec") {
        unset(spec, "expirationSeconds", 60 * 60);
    }
}
