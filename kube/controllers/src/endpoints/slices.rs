//! `endpointslice-controller`: the slices of services that select pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pack::{Group, Mould, identity, pack};
use super::{
    HEADLESS, address_of, hostname, is_candidate, is_headless, ports, publishes_unready, service_of,
};
use crate::known::{endpoint_slices, nodes, pods, services};
use crate::object::{
    controller_reference, is_deleting, items, label, labels, map_selector, name, namespace, set, text,
    text_map,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::is_ready;

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "endpointslice-controller",
    concurrency: 5,
    watches: Watches::These(&[services, pods, endpoint_slices]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(endpoint_slices()) {
        let ours = Some(change.object()).filter(|slice| label(slice, MANAGED_BY) == Some(MANAGER));
        return ours.and_then(|slice| service_of(slice, SERVICE)).into_iter().collect();
    }
    super::service_keys(change, view)
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let existing = of_service(observed, MANAGER);
    let Some(service) = observed.object() else {
        let actions = existing.iter().map(|slice| Action::delete(endpoint_slices(), slice));
        return Plan::of("the service is gone", actions.collect());
    };
    if text(&service, &["spec", "type"]) == "ExternalName"
        || text_map(&service, &["spec", "selector"]).is_empty()
    {
        return Plan::nothing("the service selects no pods");
    }
    let selector = map_selector(&service, &["spec", "selector"]);
    let behind = observed.view.select(pods(), &observed.key.namespace, &selector);
    let mut groups = Vec::new();
    for family in families(&service) {
        groups.extend(of_family(observed, &service, &behind, family));
    }
    let mould = Mould { slice: empty(&service), most: ENDPOINTS_MAX, time: observed.time() };
    let actions = pack(&mould, &existing, groups);
    Plan::of(format!("{} pods are selected", behind.len()), actions)
}

/// The slices of the key's service that a manager wrote.
pub(super) fn of_service(observed: &Observed<'_>, manager: &str) -> Vec<Arc<Value>> {
    let labels = [(SERVICE, observed.key.name.as_str()), (MANAGED_BY, manager)];
    let selector = kube_object::label_selector::LabelSelector::from_labels(labels);
    let mut found = observed.view.select(endpoint_slices(), &observed.key.namespace, &selector);
    found.retain(|slice| !is_deleting(slice));
    found
}

fn families(service: &Value) -> Vec<&'static str> {
    let named = items(service, &["spec", "ipFamilies"]).iter();
    let named: Vec<_> = named.map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" }).collect();
    if named.is_empty() { vec!["IPv4"] } else { named }
}

fn of_family(
    observed: &Observed<'_>,
    service: &Value,
    behind: &[Arc<Value>],
    family: &'static str,
) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for pod in behind.iter().filter(|pod| is_candidate(pod)) {
        let Some(ip) = address_of(pod, family == "IPv6") else { continue };
        let ports = ports(service, pod);
        let endpoint = endpoint(observed, service, pod, ip);
        let group = groups.entry(json!(ports).to_string()).or_insert_with(|| Group {
            address_type: family,
            ports,
            endpoints: BTreeMap::new(),
        });
        group.endpoints.insert(identity(&endpoint), endpoint);
    }
    if groups.is_empty() {
        return vec![Group { address_type: family, ports: Vec::new(), endpoints: BTreeMap::new() }];
    }
    groups.into_values().collect()
}

fn endpoint(observed: &Observed<'_>, service: &Value, pod: &Value, ip: &str) -> Value {
    let (serving, terminating) = (is_ready(pod), is_deleting(pod));
    let ready = publishes_unready(service) || (serving && !terminating);
    let mut endpoint = json!({
        "addresses": [ip],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": super::pod_reference(pod),
    });
    let node = text(pod, &["spec", "nodeName"]);
    if !node.is_empty() {
        set(&mut endpoint, &["nodeName"], json!(node));
        let found = observed.view.get(nodes(), "", node);
        if let Some(zone) = found.as_ref().and_then(|found| label(found, "topology.kubernetes.io/zone")) {
            set(&mut endpoint, &["zone"], json!(zone));
        }
    }
    if let Some(hostname) = hostname(pod, service) {
        set(&mut endpoint, &["hostname"], json!(hostname));
    }
    endpoint
}

fn empty(service: &Value) -> Value {
    let mut all = labels(service);
    all.insert(SERVICE.to_owned(), name(service).to_owned());
    all.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        all.insert(HEADLESS.to_owned(), String::new());
    } else {
        all.remove(HEADLESS);
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", name(service)), "namespace": namespace(service), "labels": all,
            "ownerReferences": [controller_reference(service, "v1", "Service")],
        },
    })
}

/// The label that names a slice's service.
pub(super) const SERVICE: &str = "kubernetes.io/service-name";
/// The label that names who writes a slice.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Endpoints of one slice, as upstream's default.
pub(super) const ENDPOINTS_MAX: usize = 100;
