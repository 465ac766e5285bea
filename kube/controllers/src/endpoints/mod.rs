//! Where a service leads: `Endpoints`, `EndpointSlice`s, and slices for endpoints that somebody wrote by hand.

mod legacy;
mod mirror;
mod pack;
mod slices;

use serde_json::{Value, json};

use crate::known::services;
use crate::object::{at, flag, is_deleting, items, labels, name, namespace, text, uid};
use crate::observed::{Change, Key, View};
use crate::pods::is_finished;

pub(crate) use legacy::LOOP as ENDPOINTS;
pub(crate) use mirror::LOOP as MIRRORING;
pub(crate) use slices::LOOP as SLICES;

/// The services that a pod is or was behind, or the service itself.
fn service_keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(services()) {
        return vec![change.key()];
    }
    // Most changes of a pod concern nobody behind a service.
    if let (Some(old), Some(new)) = (change.old, change.new)
        && !matters(old, new)
    {
        return Vec::new();
    }
    let sides: Vec<_> = change.sides().map(labels).collect();
    view.selecting(services(), namespace(change.object()), &["spec", "selector"], &sides)
}

fn matters(old: &Value, new: &Value) -> bool {
    let seen = |pod: &Value| {
        (
            at(pod, &["metadata", "labels"]).cloned(),
            at(pod, &["status", "podIPs"]).cloned(),
            text(pod, &["status", "podIP"]).to_owned(),
            text(pod, &["spec", "nodeName"]).to_owned(),
            (crate::pods::is_ready(pod), is_finished(pod), is_deleting(pod)),
        )
    };
    seen(old) != seen(new)
}

/// The service that an object of this name or label belongs to.
fn service_of(object: &Value, label: &str) -> Option<Key> {
    let name = crate::object::label(object, label)?;
    Some(Key::new(services(), namespace(object), name))
}

/// Whether a pod can be behind a service at all.
fn is_candidate(pod: &Value) -> bool {
    !is_finished(pod) && !addresses(pod).is_empty()
}

/// A pod's addresses, one a family.
fn addresses(pod: &Value) -> Vec<&str> {
    let all = items(pod, &["status", "podIPs"]).iter().map(|one| text(one, &["ip"]));
    let all: Vec<&str> = all.filter(|ip| !ip.is_empty()).collect();
    let single = text(pod, &["status", "podIP"]);
    if all.is_empty() && !single.is_empty() { vec![single] } else { all }
}

/// The pod's address of a family.
fn address_of(pod: &Value, ipv6: bool) -> Option<&str> {
    addresses(pod).into_iter().find(|ip| ip.contains(':') == ipv6)
}

fn is_headless(service: &Value) -> bool {
    text(service, &["spec", "clusterIP"]) == "None"
}

fn publishes_unready(service: &Value) -> bool {
    flag(service, &["spec", "publishNotReadyAddresses"])
}

/// The ports of a pod as a service names them; those that the pod does not have are left out.
fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let of = |port: &Value| {
        let protocol = match text(port, &["protocol"]) {
            "" => "TCP",
            protocol => protocol,
        };
        let number = match at(port, &["targetPort"]) {
            Some(Value::String(wanted)) => named_port(pod, wanted, protocol)?,
            Some(number) if number.as_i64().is_some_and(|number| number != 0) => number.as_i64()?,
            _ => at(port, &["port"])?.as_i64()?,
        };
        let mut found = json!({"name": text(port, &["name"]), "port": number, "protocol": protocol});
        if let Some(app) = at(port, &["appProtocol"]) {
            crate::object::set(&mut found, &["appProtocol"], app.clone());
        }
        Some(found)
    };
    items(service, &["spec", "ports"]).iter().filter_map(of).collect()
}

fn named_port(pod: &Value, wanted: &str, protocol: &str) -> Option<i64> {
    let side_cars = items(pod, &["spec", "initContainers"]).iter();
    let side_cars = side_cars.filter(|container| text(container, &["restartPolicy"]) == "Always");
    let containers = items(pod, &["spec", "containers"]).iter().chain(side_cars);
    let ports = containers.flat_map(|container| items(container, &["ports"]));
    let is_it = |port: &&Value| {
        let own = text(port, &["protocol"]);
        text(port, &["name"]) == wanted && (own == protocol || (own.is_empty() && protocol == "TCP"))
    };
    ports.filter(is_it).find_map(|port| at(port, &["containerPort"])?.as_i64())
}

/// `v1` ObjectReference of a pod.
fn pod_reference(pod: &Value) -> Value {
    json!({"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)})
}

/// The host name that DNS knows the pod by within a headless service.
fn hostname<'a>(pod: &'a Value, service: &Value) -> Option<&'a str> {
    let hostname = text(pod, &["spec", "hostname"]);
    (!hostname.is_empty() && text(pod, &["spec", "subdomain"]) == name(service)).then_some(hostname)
}

/// The label of a service without an address of its own.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// When the change that led to this one happened.
const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

#[cfg(test)]
mod tests;
