//! What services fill in and keep, as far as it needs no allocation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::value::{is_empty, items, put, text};

pub(super) fn create(service: &mut Value) {
    put(service, "status", json!({"loadBalancer": {}}));
    single_address(service, None);
}

pub(super) fn update(new: &mut Value, old: &Value) {
    keep_allocated(new, old);
    single_address(new, Some(old));
    drop_of_other_type(new, old);
}

fn needs_cluster_ip(service: &Value) -> bool {
    matches!(text(&service["spec"]["type"]), "ClusterIP" | "NodePort" | "LoadBalancer" | "")
}

fn needs_node_port(service: &Value) -> bool {
    let spec = &service["spec"];
    match text(&spec["type"]) {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"] != json!(false),
        _ => false,
    }
}

fn needs_health_port(service: &Value) -> bool {
    let spec = &service["spec"];
    text(&spec["type"]) == "LoadBalancer" && text(&spec["externalTrafficPolicy"]) == "Local"
}

/// Whether it is reached from outside.
fn is_external(service: &Value) -> bool {
    let spec = &service["spec"];
    match text(&spec["type"]) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !is_empty(&spec["externalIPs"]),
        _ => false,
    }
}

/// What was allocated and is not mentioned stays: an update need not repeat it.
fn keep_allocated(new: &mut Value, old: &Value) {
    let (cluster, node) =
        (needs_cluster_ip(new) && needs_cluster_ip(old), needs_node_port(new) && needs_node_port(old));
    let health = needs_health_port(new) && needs_health_port(old);
    let Some(spec) = new.get_mut("spec") else { return };
    let before = &old["spec"];
    if cluster {
        for name in ["clusterIP", "clusterIPs"] {
            if is_empty(&spec[name]) && !is_empty(&before[name]) {
                // One of the two given means that the address is meant to change.
                let other = if name == "clusterIP" { "clusterIPs" } else { "clusterIP" };
                if is_empty(&spec[other]) || spec[other] == before[other] {
                    put(spec, name, before[name].clone());
                }
            }
        }
    }
    if health && spec["healthCheckNodePort"].as_i64().unwrap_or(0) == 0 {
        put(spec, "healthCheckNodePort", before["healthCheckNodePort"].clone());
    }
    if node {
        keep_node_ports(spec, items(&before["ports"]));
    }
}

/// A port as updates recognise it.
type Key<'a> = (&'a str, i64);

fn key(port: &Value) -> Key<'_> {
    (text(&port["protocol"]), number(&port["port"]))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn keep_node_ports(spec: &mut Value, before: &[Value]) {
    let known: BTreeMap<Key<'_>, i64> =
        before.iter().map(|port| (key(port), number(&port["nodePort"]))).collect();
    let mut used: BTreeSet<i64> =
        items(&spec["ports"]).iter().map(|port| number(&port["nodePort"])).collect();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if number(&port["nodePort"]) != 0 {
            continue;
        }
        let kept = known.get(&key(port)).copied().unwrap_or(0);
        if kept != 0 && used.insert(kept) {
            put(port, "nodePort", json!(kept));
        }
    }
}

/// The one address is the first of the list; who changes one of them changes both.
fn single_address(service: &mut Value, old: Option<&Value>) {
    let spec = &service["spec"];
    let (one, list) = (spec["clusterIP"].clone(), spec["clusterIPs"].clone());
    let (mut new_one, mut new_list) = (one.clone(), list.clone());
    match old {
        None => {
            if !is_empty(&one) && is_empty(&list) {
                new_list = json!([one]);
            } else if is_empty(&one) && !is_empty(&list) {
                new_one = list[0].clone();
            }
        }
        Some(old) => {
            let (old_one, old_list) = (&old["spec"]["clusterIP"], &old["spec"]["clusterIPs"]);
            let (one_changed, list_changed) = (one != *old_one, list != *old_list);
            if one_changed && (!list_changed || is_empty(&list)) {
                new_list = if is_empty(&one) { Value::Null } else { json!([one]) };
            } else if list_changed && !one_changed && !is_empty(&list) {
                new_one = list[0].clone();
            } else if list_changed && !one_changed && !is_empty(old_list) && needs_cluster_ip(service) {
                new_one = Value::Null;
            }
        }
    }
    if let Some(spec) = service.get_mut("spec") {
        put(spec, "clusterIP", new_one);
        put(spec, "clusterIPs", new_list);
    }
}

/// What the old type needed and the new one does not is dropped, if the update did not touch it.
fn drop_of_other_type(new: &mut Value, old: &Value) {
    let before = &old["spec"];
    let (cluster, node) = (needs_cluster_ip(new), needs_node_port(new));
    let (health, kind) = (needs_health_port(new), text(&new["spec"]["type"]).to_owned());
    let external = is_external(new);
    let Some(spec) = new.get_mut("spec") else { return };
    let mut drop_same = |name: &str| {
        if spec[name] == before[name] {
            put(spec, name, Value::Null);
        }
    };
    if needs_cluster_ip(old) && !cluster {
        for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            drop_same(name);
        }
    }
    if needs_health_port(old) && !health {
        drop_same("healthCheckNodePort");
    }
    if text(&before["type"]) == "LoadBalancer" && kind != "LoadBalancer" {
        drop_same("allocateLoadBalancerNodePorts");
        drop_same("loadBalancerClass");
    }
    if is_external(old) && !external {
        drop_same("externalTrafficPolicy");
    }
    if needs_node_port(old) && !node {
        drop_node_ports(spec, items(&before["ports"]));
    }
}

fn drop_node_ports(spec: &mut Value, before: &[Value]) {
    let known: BTreeSet<(Key<'_>, i64)> =
        before.iter().map(|port| (key(port), number(&port["nodePort"]))).collect();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if known.contains(&(key(port), number(&port["nodePort"]))) {
            put(port, "nodePort", Value::Null);
        }
    }
}
