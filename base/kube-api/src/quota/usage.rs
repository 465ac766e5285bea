//! What one object of a resource is charged for, and what a whole namespace uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::Quantity;
use kube_object::resource::GroupResource;
use kube_object::time::Time;
use serde_json::Value;

use super::list::ResourceList;
use super::pod::{compute, is_native, pod_limits, pod_requests};
use super::scope::{InvalidScope, matches_scope, scopes};
use crate::quantity;

const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";

/// Containers leave out what a quota limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must specify {0}")]
pub struct Unstated(String);

/// Whether a resource is never counted: it is not stored, or (events) by tradition.
pub fn is_ignored(resource: &GroupResource) -> bool {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "bindings" | "componentstatuses" | "events") | ("events.k8s.io", "events") => true,
        ("authentication.k8s.io" | "authorization.k8s.io", name) => name.ends_with("reviews"),
        _ => false,
    }
}

/// Whether a write can change what is used.
pub fn counts(resource: &GroupResource, subresource: &str, creates: bool) -> bool {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") => (subresource.is_empty() && creates) || (subresource == "resize" && !creates),
        ("", "persistentvolumeclaims") => matches!(subresource, "" | "status"),
        ("", "services") | ("resource.k8s.io", "resourceclaims") => subresource.is_empty(),
        _ => creates && subresource.is_empty(),
    }
}

/// Whether objects of a resource are charged under a name of a quota.
pub fn tracked(resource: &GroupResource, name: &str) -> bool {
    if name.strip_prefix("count/").is_some_and(|counted| counted == resource.to_string()) {
        return true;
    }
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") => pod_tracks(name),
        ("", "services") => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        ("", "persistentvolumeclaims") => {
            let plain = name.split_once(STORAGE_CLASS).map_or(name, |(_, plain)| plain);
            matches!(plain, "persistentvolumeclaims" | "requests.storage")
        }
        ("resource.k8s.io", "resourceclaims") => name.ends_with(DEVICE_CLASS),
        ("", plain @ ("configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets")) => {
            name == plain
        }
        _ => false,
    }
}

fn pod_tracks(name: &str) -> bool {
    let plain = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    name == "pods"
        || matches!(plain, "cpu" | "memory" | "ephemeral-storage")
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || (!is_native(name) && name.starts_with("requests."))
}

/// What an object is charged for. With a time, pods that should be gone by then are free.
pub fn usage(resource: &GroupResource, object: &Value, now: Option<Time>) -> ResourceList {
    let counted = ResourceList::from([(format!("count/{resource}").as_str(), one())]);
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") if is_over(object, now) => counted,
        ("", "pods") => counted.plus(&compute(&pod_requests(object), &pod_limits(object))),
        ("", "services") => counted.plus(&service(object)),
        ("", "persistentvolumeclaims") => counted.plus(&claim(object)),
        ("resource.k8s.io", "resourceclaims") => counted.plus(&devices(object)),
        ("", plain @ ("configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets")) => {
            counted.plus(&ResourceList::from([(plain, one())]))
        }
        _ => counted,
    }
}

/// What is wrong with an object that falls under a quota for `required`: each container
/// must state CPU and memory if they are limited.
pub fn constraints<'a>(
    resource: &GroupResource,
    required: impl Iterator<Item = &'a str>,
    object: &Value,
) -> Result<(), Unstated> {
    if !resource.group.is_empty() || resource.resource != "pods" {
        return Ok(());
    }
    let stated = |name: &str| {
        let plain = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
        matches!(plain, "cpu" | "memory")
    };
    let required: Vec<_> = required.filter(|name| stated(name)).collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for kind in ["containers", "initContainers"] {
        let containers = object.pointer(&format!("/spec/{kind}")).and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let side = |name: &str| {
                ResourceList::from_value(container.get("resources").and_then(|both| both.get(name)))
            };
            let charged = compute(&side("requests"), &side("limits"));
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            for absent in required.iter().filter(|name| !charged.contains_key(**name)) {
                missing.entry(absent).or_default().insert(name);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let texts = missing.iter().map(|(name, containers)| {
        format!("{name} for: {}", containers.iter().copied().collect::<Vec<_>>().join(","))
    });
    Err(Unstated(texts.collect::<Vec<_>>().join("; ")))
}

/// What a quota's namespace uses of the names that the quota limits. `objects` gives the
/// objects of the namespace; it is asked for the resources that count under such a name,
/// out of `resources`. Names that nothing counts are left out.
pub fn namespace_usage(
    quota: &Value,
    resources: &[GroupResource],
    objects: impl Fn(&GroupResource) -> Vec<Arc<Value>>,
    now: Time,
) -> Result<ResourceList, InvalidScope> {
    let hard = ResourceList::from_value(quota.pointer("/spec/hard"));
    let scopes = scopes(quota);
    let mut used = ResourceList::default();
    for resource in resources.iter().filter(|resource| !is_ignored(resource)) {
        let names: BTreeSet<_> = hard.keys().filter(|name| tracked(resource, name)).collect();
        if names.is_empty() {
            continue;
        }
        let zeros = names.iter().map(|name| ((*name).clone(), Quantity::ZERO)).collect();
        used = used.plus(&zeros);
        'objects: for object in objects(resource) {
            for scope in &scopes {
                if !matches_scope(scope, resource, &object)? {
                    continue 'objects;
                }
            }
            let own = usage(resource, &object, Some(now));
            used = used.plus(&own.only(|name| names.iter().any(|wanted| *wanted == name)));
        }
    }
    Ok(used)
}

fn is_over(pod: &Value, now: Option<Time>) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str);
    if matches!(phase, Some("Failed" | "Succeeded")) {
        return true;
    }
    let deleted = pod.pointer("/metadata/deletionTimestamp").and_then(Value::as_str);
    let grace = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    match (deleted.and_then(|text| Time::parse(text).ok()), grace, now) {
        (Some(deleted), Some(grace), Some(now)) => now.unix() > deleted.unix().saturating_add(grace),
        _ => false,
    }
}

fn service(service: &Value) -> ResourceList {
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let ports: &[Value] = spec.get("ports").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let has_node_port = |port: &&Value| port.get("nodePort").and_then(Value::as_i64).is_some_and(|p| p != 0);
    let (node_ports, balancers) = match spec.get("type").and_then(Value::as_str) {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") => match spec.get("allocateLoadBalancerNodePorts").and_then(Value::as_bool) {
            Some(false) => (ports.iter().filter(has_node_port).count(), 1),
            _ => (ports.len(), 1),
        },
        _ => (0, 0),
    };
    ResourceList::from([
        ("services", one()),
        ("services.nodeports", units(node_ports as i64)),
        ("services.loadbalancers", units(balancers)),
    ])
}

fn claim(claim: &Value) -> ResourceList {
    let annotation = claim
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get("volume.beta.kubernetes.io/storage-class"));
    let class = annotation.or_else(|| claim.pointer("/spec/storageClassName")).and_then(Value::as_str);
    let mut usage = ResourceList::from([("persistentvolumeclaims", one())]);
    let asked = claim.pointer("/spec/resources/requests/storage").and_then(quantity::read);
    let allocated = claim.pointer("/status/allocatedResources/storage").and_then(quantity::read);
    let storage =
        asked.map(|asked| allocated.filter(|allocated| *allocated > asked).unwrap_or(asked).rounded());
    if let Some(storage) = storage {
        usage.insert("requests.storage".to_owned(), storage);
    }
    let Some(class) = class.filter(|class| !class.is_empty()) else { return usage };
    let of_class = |(name, amount): (&String, &Quantity)| (format!("{class}{STORAGE_CLASS}{name}"), *amount);
    let by_class: ResourceList = usage.iter().map(of_class).collect();
    usage.plus(&by_class)
}

/// Devices by class: an exact request counts what it asks for, alternatives their largest.
fn devices(claim: &Value) -> ResourceList {
    let mut usage = ResourceList::default();
    let requests = claim.pointer("/spec/devices/requests").and_then(Value::as_array);
    for request in requests.into_iter().flatten() {
        let mut own = ResourceList::default();
        let alternatives = request.get("firstAvailable").and_then(Value::as_array).into_iter().flatten();
        for device in request.get("exactly").into_iter().chain(alternatives) {
            let Some(class) = device.get("deviceClassName").and_then(Value::as_str) else { continue };
            let count = match device.get("allocationMode").and_then(Value::as_str) {
                // As many as one claim can hold: what it will get is not known yet.
                Some("All") => 32,
                _ => device.get("count").and_then(Value::as_i64).unwrap_or(1),
            };
            own = own.max(&ResourceList::from([(format!("{class}{DEVICE_CLASS}").as_str(), units(count))]));
        }
        usage = usage.plus(&own);
    }
    usage
}

fn one() -> Quantity {
    units(1)
}

fn units(units: i64) -> Quantity {
    Quantity::from_int(units)
}
