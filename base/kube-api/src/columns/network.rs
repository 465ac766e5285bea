//! Rows of services and what stands around them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::format::{age, labels, listed, name, number, or, selector};
use crate::value::{items, text};

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        text(&spec["type"]).into(),
        or(&spec["clusterIP"], "<none>"),
        external_ip(object).into(),
        or(&ports(&spec["ports"]).into(), "<none>"),
        age(object, now),
        labels(&spec["selector"]),
    ]
}

fn texts(list: &Value) -> Vec<String> {
    items(list).iter().map(|item| text(item).to_owned()).collect()
}

fn external_ip(object: &Value) -> String {
    let spec = &object["spec"];
    let own = texts(&spec["externalIPs"]);
    let all = match text(&spec["type"]) {
        "ClusterIP" | "NodePort" if own.is_empty() => return "<none>".to_owned(),
        "ClusterIP" | "NodePort" => own,
        "LoadBalancer" => [balancer(&object["status"]), own].concat(),
        "ExternalName" => return text(&spec["externalName"]).to_owned(),
        _ => return "<unknown>".to_owned(),
    };
    if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
}

/// Addresses of a load balancer, sorted, each once.
fn balancer(status: &Value) -> Vec<String> {
    let address = |ingress: &Value| {
        let found =
            [text(&ingress["ip"]), text(&ingress["hostname"])].into_iter().find(|text| !text.is_empty());
        found.map(str::to_owned)
    };
    let all: BTreeSet<_> = items(&status["loadBalancer"]["ingress"]).iter().filter_map(address).collect();
    all.into_iter().collect()
}

fn ports(ports: &Value) -> String {
    let one = |port: &Value| {
        let (number_, protocol) = (number(&port["port"]), text(&port["protocol"]));
        match number(&port["nodePort"]) {
            node if node > 0 => format!("{number_}:{node}/{protocol}"),
            _ => format!("{number_}/{protocol}"),
        }
    };
    items(ports).iter().map(one).collect::<Vec<_>>().join(",")
}

pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let annotation = &object["metadata"]["annotations"]["kubernetes.io/ingress.class"];
    let class = [&spec["ingressClassName"], annotation].into_iter().find(|value| value.is_string());
    let ports = if items(&spec["tls"]).is_empty() { "80" } else { "80, 443" };
    vec![
        name(object),
        class.map_or("<none>", text).into(),
        hosts(items(&spec["rules"])).into(),
        balancer(&object["status"]).join(",").into(),
        ports.into(),
        age(object, now),
    ]
}

fn hosts(rules: &[Value]) -> String {
    let mut shown = Vec::new();
    let mut more = false;
    for rule in rules {
        let host = text(&rule["host"]);
        // Upstream counts rules, not hosts, once three are shown.
        more |= shown.len() == HOSTS_SHOWN;
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match shown.join(",") {
        all if all.is_empty() => "*".to_owned(),
        all if more => format!("{all} + {} more...", rules.len() - HOSTS_SHOWN),
        all => all,
    }
}

const HOSTS_SHOWN: usize = 3;

pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let parameters = &spec["parameters"];
    let shown = if parameters.is_object() {
        let group = text(&parameters["apiGroup"]);
        let dot = if group.is_empty() { "" } else { "." };
        format!("{}{dot}{group}/{}", text(&parameters["kind"]), text(&parameters["name"]))
    } else {
        "<none>".to_owned()
    };
    vec![name(object), text(&spec["controller"]).into(), shown.into(), age(object, now)]
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in items(&object["subsets"]) {
        let addresses = items(&subset["addresses"]).iter().map(|address| text(&address["ip"]));
        let ports = items(&subset["ports"]);
        if ports.is_empty() {
            all.extend(addresses.map(str::to_owned));
            continue;
        }
        for port in ports {
            all.extend(addresses.clone().map(|ip| host_port(ip, number(&port["port"]))));
        }
    }
    let none = if items(&object["subsets"]).is_empty() { "<none>" } else { "" };
    vec![name(object), listed(&all, 3, ",", none).into(), age(object, now)]
}

fn host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let port = |port: &Value| match (&port["port"], &port["name"]) {
        (Value::Number(number), _) => number.to_string(),
        (_, Value::String(name)) => name.clone(),
        _ => "*".to_owned(),
    };
    let ports: Vec<_> = items(&object["ports"]).iter().map(port).collect();
    let endpoints = items(&object["endpoints"]).iter();
    let addresses: Vec<_> = endpoints.flat_map(|endpoint| texts(&endpoint["addresses"])).collect();
    vec![
        name(object),
        text(&object["addressType"]).into(),
        listed(&ports, 3, ",", "<unset>").into(),
        listed(&addresses, 3, ",", "<unset>").into(),
        age(object, now),
    ]
}

pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), selector(&object["spec"]["podSelector"]), age(object, now)]
}

pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), texts(&object["spec"]["cidrs"]).join(",").into(), age(object, now)]
}

pub(super) fn ip_address(object: &Value, now: Timestamp) -> Vec<Value> {
    let parent = &object["spec"]["parentRef"];
    let shown = if parent.is_object() {
        let (resource, group) = (text(&parent["resource"]), text(&parent["group"]));
        let dotted = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let namespace = text(&parent["namespace"]);
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!("{}{slash}{namespace}/{}", dotted.to_lowercase(), text(&parent["name"]))
    } else {
        "<none>".to_owned()
    };
    vec![name(object), shown.into(), age(object, now)]
}
