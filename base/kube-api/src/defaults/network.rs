//! Network policies, ingress classes and endpoint slices.

use serde_json::{Value, json};

use super::fill::{below, each, no_items, unset};

/// The kind NetworkPolicy: it is about egress only if it says something about it.
pub(super) fn policy(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    no_items(spec, "policyTypes", types);
    for direction in ["ingress", "egress"] {
        for rule in each(spec, direction) {
            each(rule, "ports").for_each(|port| unset(port, "protocol", "TCP"));
        }
    }
}

/// The kind IngressClass.
pub(super) fn ingress_class(object: &mut Value) {
    if let Some(parameters) = below(object, "spec").and_then(|spec| below(spec, "parameters")) {
        unset(parameters, "scope", "Cluster");
    }
}

/// The kind EndpointSlice.
pub(super) fn endpoint_slice(object: &mut Value) {
    for port in each(object, "ports") {
        unset(port, "name", "");
        unset(port, "protocol", "TCP");
    }
}
