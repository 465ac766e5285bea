//! Services and endpoints.

use serde_json::{Value, json};

use super::fill::{at, below, blank, each, text, unset};

/// How long a client stays with its backend, in seconds.
const AFFINITY_SECONDS: i64 = 3 * 60 * 60;

/// The kind Service.
pub(super) fn service(object: &mut Value) {
    let mut balanced = false;
    if let Some(spec) = below(object, "spec") {
        blank(spec, "sessionAffinity", "None");
        affinity(spec);
        blank(spec, "type", "ClusterIP");
        each(spec, "ports").for_each(port);
        let kind = text(spec, "type").to_owned();
        balanced = kind == "LoadBalancer";
        let external = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
        if balanced || kind == "NodePort" || (kind == "ClusterIP" && external) {
            blank(spec, "externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
            unset(spec, "internalTrafficPolicy", "Cluster");
        }
        if balanced {
            unset(spec, "allocateLoadBalancerNodePorts", true);
        }
    }
    if balanced && let Some(status) = at(object, &["status", "loadBalancer"]) {
        for ingress in each(status, "ingress") {
            if !text(ingress, "ip").is_empty() {
                unset(ingress, "ipMode", "VIP");
            }
        }
    }
}

fn affinity(spec: &mut Value) {
    match text(spec, "sessionAffinity") {
        "None" => {
            if let Some(members) = spec.as_object_mut() {
                members.remove("sessionAffinityConfig");
            }
        }
        "ClientIP" => {
            unset(spec, "sessionAffinityConfig", json!({}));
            if let Some(config) = below(spec, "sessionAffinityConfig") {
                unset(config, "clientIP", json!({}));
                if let Some(client) = below(config, "clientIP") {
                    unset(client, "timeoutSeconds", AFFINITY_SECONDS);
                }
            }
        }
        _ => {}
    }
}

fn port(port: &mut Value) {
    blank(port, "protocol", "TCP");
    let unsaid = match port.get("targetPort") {
        None | Some(Value::Null) => true,
        Some(Value::String(name)) => name.is_empty(),
        Some(number) => number.as_i64() == Some(0),
    };
    if unsaid {
        let number = port.get("port").cloned().unwrap_or(json!(0));
        if let Some(members) = port.as_object_mut() {
            members.insert("targetPort".to_owned(), number);
        }
    }
}

/// The kind Endpoints.
pub(super) fn endpoints(object: &mut Value) {
    for subset in each(object, "subsets") {
        each(subset, "ports").for_each(|port| blank(port, "protocol", "TCP"));
    }
}
