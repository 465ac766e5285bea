//! `[sig-network]`: services, names and pods' addresses.

mod dns;
mod pods;
mod proxy;
mod services;
mod slices;
mod types;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::wait_until;

use super::Shared;
use super::peer::dial;

/// What rules, names and endpoints may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service of the pods with these labels.
fn service(name: &str, selector: &Value, more: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": selector },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        service["spec"][name] = value.clone();
    }
    service
}

fn services(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/services")
}

/// Makes a service.
#[track_caller]
fn serve(cluster: &Shared, namespace: &str, service: &Value) -> Value {
    cluster.post(&services(namespace), service)
}

/// A text member of an object.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} of {object:#}"))
}

/// Waits until what a pod hears from `to` comes from all of `names` and nobody else.
#[track_caller]
fn hears(cluster: &Shared, from: (&str, &str), how: &str, to: &str, names: &[&str]) {
    let wanted: BTreeSet<&str> = names.iter().copied().collect();
    let tries = 10 * u32::try_from(wanted.len().max(1)).unwrap();
    let mut last = Default::default();
    let met = wait_until(PATIENCE, || {
        last = dial(cluster, from, how, to, "hostname", tries);
        last.keys().map(String::as_str).collect::<BTreeSet<_>>() == wanted
    });
    assert!(met, "{from:?} heard {last:?} over {how} from {to}, not {wanted:?}");
}

/// Waits until a pod hears nothing but refusals.
#[track_caller]
fn hears_nobody(cluster: &Shared, from: (&str, &str), how: &str, to: &str) {
    let mut last = Default::default();
    let met = wait_until(PATIENCE, || {
        last = dial(cluster, from, how, to, "hostname", 1);
        last.keys().all(|answer| answer.starts_with('!'))
    });
    assert!(met, "{from:?} still hears {last:?} over {how} from {to}");
}

/// Waits until a service's slices have exactly these endpoints: address and port.
#[track_caller]
fn has_endpoints(cluster: &Shared, namespace: &str, service: &str, wanted: &[(&str, u64)]) {
    let wanted: BTreeSet<(String, u64)> =
        wanted.iter().map(|(address, port)| ((*address).to_owned(), *port)).collect();
    cluster.until(&slices(namespace, service), |list| endpoints(list) == wanted);
}

/// Where the slices of a service are.
fn slices(namespace: &str, service: &str) -> String {
    format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{service}"
    )
}

/// The ready addresses and their ports in a list of slices.
fn endpoints(list: &Value) -> BTreeSet<(String, u64)> {
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = BTreeSet::new();
    for slice in all(&list["items"]) {
        for endpoint in all(&slice["endpoints"]) {
            if endpoint["conditions"]["ready"] == false {
                continue;
            }
            for (address, port) in all(&endpoint["addresses"])
                .iter()
                .flat_map(|a| all(&slice["ports"]).into_iter().map(move |p| (a.clone(), p)))
            {
                let address = address.as_str().unwrap_or_default().to_owned();
                found.insert((address, port["port"].as_u64().unwrap_or(0)));
            }
        }
    }
    found
}

/// A deployment's pods are servers that answer with their names.
fn deployment(name: &str, replicas: u32) -> Value {
    let pod = super::peer::server(name, json!({ "name": name }));
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "name": name } },
            "template": { "metadata": { "labels": { "name": name } }, "spec": pod["spec"] },
        },
    })
}

/// Makes a deployment and waits until it is there; the names of its pods.
#[track_caller]
fn deployed(cluster: &Shared, namespace: &str, name: &str, replicas: u32) -> Vec<String> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    cluster.post(&path, &deployment(name, replicas));
    cluster.until(&format!("{path}/{name}"), |found| found["status"]["readyReplicas"] == replicas);
    let pods = cluster.get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector=name%3D{name}"));
    pods["items"].as_array().unwrap().iter().map(|pod| super::name(pod).to_owned()).collect()
}
