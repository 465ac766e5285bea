//! `endpoint-controller`: the old `v1` Endpoints of services that select pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{HEADLESS, TRIGGERED, address_of, hostname, is_candidate, is_headless, ports, publishes_unready};
use crate::known::{endpoints, pods, services};
use crate::object::{
    at, is_deleting, items, labels, map_selector, name, namespace, remove, same, set, text, text_map,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "endpoint-controller",
    concurrency: 5,
    watches: Watches::These(&[services, pods, endpoints]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(endpoints()) {
        // What others made for a service that is not there is none of ours.
        let object = change.object();
        let managed = labels(object).get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1);
        let concerns_us = change.new.is_none() || managed;
        let key = || Key::new(services(), namespace(object), name(object));
        return concerns_us.then(key).into_iter().collect();
    }
    super::service_keys(change, view)
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let key = observed.key;
    let found = observed.view.get(endpoints(), &key.namespace, &key.name);
    let Some(service) = observed.object() else {
        let ours = found.filter(|found| is_ours(found));
        let delete = ours.map(|found| Action::delete(endpoints(), &found));
        return Plan::of("the service is gone", delete.into_iter().collect());
    };
    if text(&service, &["spec", "type"]) == "ExternalName"
        || text_map(&service, &["spec", "selector"]).is_empty()
    {
        return Plan::nothing("the service selects no pods");
    }
    let selector = map_selector(&service, &["spec", "selector"]);
    let behind = observed.view.select(pods(), &key.namespace, &selector);
    let (subsets, is_cut) = subsets(&service, behind.iter().map(|pod| &**pod));
    let mut wanted = match &found {
        Some(found) => Value::clone(found),
        None => json!({"apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": name(&service), "namespace": namespace(&service)}}),
    };
    if subsets.is_empty() {
        remove(&mut wanted, &["subsets"]);
    } else {
        set(&mut wanted, &["subsets"], Value::Array(subsets));
    }
    let mut all = labels(&service);
    all.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    if is_headless(&service) {
        all.insert(HEADLESS.to_owned(), String::new());
    } else {
        all.remove(HEADLESS);
    }
    set(&mut wanted, &["metadata", "labels"], json!(all));
    if is_cut {
        set(&mut wanted, &["metadata", "annotations", CAPACITY], json!("truncated"));
    } else {
        remove(&mut wanted, &["metadata", "annotations", CAPACITY]);
    }
    match found {
        Some(found) if same(&found, &wanted) => Plan::nothing("the endpoints are right"),
        Some(_) => {
            set(&mut wanted, &["metadata", "annotations", TRIGGERED], json!(observed.time()));
            Plan::of("the endpoints changed", vec![Action::update(endpoints(), wanted)])
        }
        None => {
            let create = Action::create(endpoints(), namespace(&service), wanted);
            Plan::of("the endpoints are missing", vec![create])
        }
    }
}

/// Endpoints written by hand outlive their service's selector, not their service: upstream deletes both.
fn is_ours(found: &Value) -> bool {
    crate::object::annotation(found, "control-plane.alpha.kubernetes.io/leader").is_none()
}

/// Ports, and the addresses that are ready and that are not.
type Subset = (Vec<Value>, Vec<Value>, Vec<Value>);

/// Addresses by the ports that they have, sorted; and whether some were left out.
fn subsets<'a>(service: &Value, behind: impl Iterator<Item = &'a Value>) -> (Vec<Value>, bool) {
    let ipv6 = items(service, &["spec", "ipFamilies"]).first().is_some_and(|family| family == "IPv6");
    let mut by_ports: BTreeMap<String, Subset> = BTreeMap::new();
    let mut candidates: Vec<(&str, &Value)> = behind
        .filter(|pod| is_candidate(pod) && !is_deleting(pod))
        .filter_map(|pod| Some((address_of(pod, ipv6)?, pod)))
        .collect();
    candidates.sort_by_key(|(ip, pod)| (*ip, name(pod)));
    let is_cut = candidates.len() > ADDRESSES_MAX;
    let ready = |pod: &Value| publishes_unready(service) || crate::pods::is_ready(pod);
    // What is not ready is left out first.
    candidates.sort_by_key(|(_, pod)| !ready(pod));
    candidates.truncate(ADDRESSES_MAX);
    candidates.sort_by_key(|(ip, pod)| (*ip, name(pod)));
    for (ip, pod) in candidates {
        let ports = ports(service, pod);
        if ports.is_empty() && !(is_headless(service) && items(service, &["spec", "ports"]).is_empty()) {
            continue;
        }
        let entry =
            by_ports.entry(json!(ports).to_string()).or_insert_with(|| (ports, Vec::new(), Vec::new()));
        let side = if ready(pod) { &mut entry.1 } else { &mut entry.2 };
        side.push(address(service, ip, pod));
    }
    let subset = |(ports, ready, unready): Subset| {
        let mut subset = json!({});
        for (member, list) in
            [("addresses", ready), ("notReadyAddresses", unready), ("ports", unnamed(ports))]
        {
            if !list.is_empty() {
                set(&mut subset, &[member], Value::Array(list));
            }
        }
        subset
    };
    (by_ports.into_values().map(subset).collect(), is_cut)
}

/// An empty name is no name here.
fn unnamed(mut ports: Vec<Value>) -> Vec<Value> {
    for port in &mut ports {
        if text(port, &["name"]).is_empty() {
            remove(port, &["name"]);
        }
    }
    ports
}

fn address(service: &Value, ip: &str, pod: &Value) -> Value {
    let mut address = json!({"ip": ip, "targetRef": super::pod_reference(pod)});
    if let Some(node) = at(pod, &["spec", "nodeName"]) {
        set(&mut address, &["nodeName"], node.clone());
    }
    if let Some(hostname) = hostname(pod, service) {
        set(&mut address, &["hostname"], json!(hostname));
    }
    address
}

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// More addresses than that are not in one object.
const ADDRESSES_MAX: usize = 1000;
