//! `endpointslicemirroring-controller`: slices of Endpoints that somebody wrote for a service without selector.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pack::{Group, Mould, identity, pack};
use super::service_of;
use super::slices::{ENDPOINTS_MAX, MANAGED_BY, SERVICE, of_service};
use crate::known::{endpoint_slices, endpoints, services};
use crate::object::{
    annotation, at, controller_reference, items, label, labels, name, namespace, set, text, text_map,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "endpointslicemirroring-controller",
    concurrency: 5,
    watches: Watches::These(&[endpoints, services, endpoint_slices]),
    keys,
    reconcile,
};

/// Keys are the services' names, which are those of their Endpoints.
fn keys(change: &Change<'_>, _view: &dyn View) -> Vec<Key> {
    let object = change.object();
    if change.is(endpoint_slices()) {
        let ours = Some(object).filter(|slice| label(slice, MANAGED_BY) == Some(MANAGER));
        return ours.and_then(|slice| service_of(slice, SERVICE)).into_iter().collect();
    }
    vec![Key::new(services(), namespace(object), name(object))]
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let existing = of_service(observed, MANAGER);
    let key = observed.key;
    let drop_all = |why: &str| {
        let actions = existing.iter().map(|slice| Action::delete(endpoint_slices(), slice));
        Plan::of(why, actions.collect())
    };
    let Some(found) = observed.view.get(endpoints(), &key.namespace, &key.name) else {
        return drop_all("there are no endpoints");
    };
    let Some(service) = observed.object() else { return drop_all("there is no service") };
    if !text_map(&service, &["spec", "selector"]).is_empty() {
        return drop_all("the service selects pods");
    }
    if label(&found, SKIP) == Some("true") || annotation(&found, LEADER).is_some() {
        return drop_all("the endpoints are not to be mirrored");
    }
    let groups = groups(&found);
    let mould = Mould { slice: empty(&found), most: ENDPOINTS_MAX, time: observed.time() };
    Plan::of("the endpoints are mirrored", pack(&mould, &existing, groups))
}

fn groups(found: &Value) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for subset in items(found, &["subsets"]) {
        let ports: Vec<Value> = items(subset, &["ports"]).iter().map(port).collect();
        for (member, ready) in [("addresses", true), ("notReadyAddresses", false)] {
            for address in items(subset, &[member]).iter().take(ADDRESSES_MAX) {
                let ip = text(address, &["ip"]);
                let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
                let endpoint = endpoint(address, ip, ready);
                let group = groups.entry(format!("{family}{}", json!(ports))).or_insert_with(|| Group {
                    address_type: family,
                    ports: ports.clone(),
                    endpoints: BTreeMap::new(),
                });
                group.endpoints.insert(identity(&endpoint), endpoint);
            }
        }
    }
    groups.into_values().collect()
}

fn port(port: &Value) -> Value {
    let mut port = port.clone();
    if at(&port, &["name"]).is_none() {
        set(&mut port, &["name"], json!(""));
    }
    port
}

fn endpoint(address: &Value, ip: &str, ready: bool) -> Value {
    let mut endpoint = json!({"addresses": [ip], "conditions": {"ready": ready}});
    for member in ["hostname", "nodeName", "targetRef"] {
        if let Some(value) = at(address, &[member]) {
            set(&mut endpoint, &[member], value.clone());
        }
    }
    endpoint
}

fn empty(found: &Value) -> Value {
    let mut all = labels(found);
    all.insert(SERVICE.to_owned(), name(found).to_owned());
    all.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", name(found)), "namespace": namespace(found), "labels": all,
            "ownerReferences": [controller_reference(found, "v1", "Endpoints")],
        },
    })
}

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Addresses of a subset that are mirrored, as upstream's default.
const ADDRESSES_MAX: usize = 1000;
