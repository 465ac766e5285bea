//! `service-controller`: services of type `LoadBalancer` are reached at the nodes' own addresses.
//!
//! As k3s's ServiceLB tells it: the external addresses of nodes, or the internal ones if none has an external one;
//! only of nodes with an endpoint where traffic must not leave the node. A service that names a class is another's.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::conditions;
use crate::known::{endpoint_slices, nodes, services};
use crate::object::{at, flag, is_deleting, items, label, name, namespace, remove, set, text, texts};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "service-controller",
    concurrency: 2,
    watches: Watches::These(&[services, nodes, endpoint_slices]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(services()) {
        let counts = change.sides().any(is_load_balancer);
        return if counts && change.new.is_some() { vec![change.key()] } else { Vec::new() };
    }
    if change.is(endpoint_slices()) {
        let service = label(change.object(), "kubernetes.io/service-name").unwrap_or_default();
        let found = view.get(services(), namespace(change.object()), service);
        let local = found.filter(|found| is_load_balancer(found) && is_local(found));
        return local.iter().map(|found| Key::of(services(), found)).collect();
    }
    if change.old.map(Place::of) == change.new.map(Place::of) {
        return Vec::new();
    }
    let all = view.list(services(), None);
    all.iter().filter(|found| is_load_balancer(found)).map(|found| Key::of(services(), found)).collect()
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(service) = observed.object().filter(|found| !is_deleting(found)) else {
        return Plan::nothing("the service is gone");
    };
    let class = at(&service, &["spec", "loadBalancerClass"]);
    if !observed.settings.node_load_balancer || class.is_some() {
        return Plan::nothing("it is another's to balance");
    }
    let ingress: Vec<Value> = if is_load_balancer(&service) {
        let of = |ip: String| json!({"ip": ip, "ipMode": "VIP"});
        addresses(observed, &service).into_iter().map(of).collect()
    } else {
        Vec::new()
    };
    let why = format!("{} addresses lead to it", ingress.len());
    let current = items(&service, &["status", "loadBalancer", "ingress"]).to_vec();
    let before = |name: &str| items(observed.memory, &[name]).to_vec();
    // What somebody else wrote since stays, until there is something new to say; so does all if we know nothing.
    let known = !observed.memory.is_null();
    let is_anothers = known && before("wanted") == ingress && current != before("before");
    let is_unknown = !known && ingress.is_empty();
    if current == ingress || is_anothers || is_unknown {
        let before = if is_anothers { before("before") } else { ingress.clone() };
        return Plan::nothing(why).remembering(json!({"wanted": ingress, "before": before}));
    }
    let memory = json!({"wanted": ingress, "before": current});
    let mut said = Value::clone(&service);
    if ingress.is_empty() {
        remove(&mut said, &["status", "loadBalancer", "ingress"]);
    } else {
        set(&mut said, &["status", "loadBalancer", "ingress"], Value::Array(ingress));
    }
    let mut actions = vec![Action::update_status(services(), said)];
    if is_load_balancer(&service) {
        actions.push(Action::event(&service, "EnsuredLoadBalancer", "Ensured load balancer"));
    }
    Plan::of(why, actions).remembering(memory)
}

/// The addresses at which a service is reached, in their order.
fn addresses(observed: &Observed<'_>, service: &Value) -> Vec<String> {
    let with_endpoints = is_local(service).then(|| nodes_behind(observed, service));
    let places: Vec<Place> = observed.view.list(nodes(), None).iter().map(|node| Place::of(node)).collect();
    // Once one node is chosen for this, others are not.
    let chosen = places.iter().any(|place| place.is_chosen);
    let counts = |place: &&Place| {
        place.is_ready
            && (!chosen || place.is_chosen)
            && with_endpoints.as_ref().is_none_or(|nodes| nodes.contains(&place.name))
    };
    let places: Vec<&Place> = places.iter().filter(counts).collect();
    let mut all: BTreeSet<&String> = places.iter().flat_map(|place| &place.external).collect();
    if all.is_empty() {
        all = places.iter().flat_map(|place| &place.internal).collect();
    }
    let families = texts(service, &["spec", "ipFamilies"]);
    let mut found = Vec::new();
    for family in if families.is_empty() { vec!["IPv4"] } else { families } {
        found.extend(all.iter().filter(|ip| ip.contains(':') == (family == "IPv6")).map(|ip| (*ip).clone()));
    }
    found
}

/// The nodes that have a ready endpoint of a service.
fn nodes_behind(observed: &Observed<'_>, service: &Value) -> BTreeSet<String> {
    let labels = [("kubernetes.io/service-name", name(service))];
    let selector = kube_object::label_selector::LabelSelector::from_labels(labels);
    let slices: Vec<Arc<Value>> = observed.view.select(endpoint_slices(), namespace(service), &selector);
    let endpoints = slices.iter().flat_map(|slice| items(slice, &["endpoints"]));
    let ready = endpoints.filter(|endpoint| {
        at(endpoint, &["conditions", "ready"]).is_none() || flag(endpoint, &["conditions", "ready"])
    });
    ready.map(|endpoint| text(endpoint, &["nodeName"]).to_owned()).collect()
}

/// What a service wants to know of a node.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    name: String,
    is_ready: bool,
    is_chosen: bool,
    external: Vec<String>,
    internal: Vec<String>,
}

impl Place {
    fn of(node: &Value) -> Self {
        let of = |kind: &str| {
            let all = items(node, &["status", "addresses"]).iter();
            all.filter(|found| text(found, &["type"]) == kind)
                .map(|found| text(found, &["address"]).to_owned())
                .collect()
        };
        let excluded = label(node, "node.kubernetes.io/exclude-from-external-load-balancers").is_some();
        Self {
            name: name(node).to_owned(),
            is_ready: conditions::holds(node, "Ready") && !is_deleting(node) && !excluded,
            is_chosen: label(node, "svccontroller.k3s.cattle.io/enablelb") == Some("true"),
            external: of("ExternalIP"),
            internal: of("InternalIP"),
        }
    }
}

fn is_load_balancer(service: &Value) -> bool {
    text(service, &["spec", "type"]) == "LoadBalancer"
}

fn is_local(service: &Value) -> bool {
    text(service, &["spec", "externalTrafficPolicy"]) == "Local"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    fn world(service: &Value) -> World {
        let mut world = World::default();
        for (name, internal, ready) in
            [("a", "192.168.0.1", "True"), ("b", "192.168.0.2", "True"), ("c", "192.168.0.3", "False")]
        {
            world.put(
                "nodes",
                json!({"metadata": {"name": name, "labels": {}}, "status": {
                "addresses": [{"type": "InternalIP", "address": internal}],
                "conditions": [{"type": "Ready", "status": ready}]}}),
            );
        }
        let mut spec = json!({"type": "LoadBalancer", "ipFamilies": ["IPv4"]});
        for (member, value) in service.as_object().unwrap() {
            spec[member] = value.clone();
        }
        world.put("services", json!({"metadata": {"name": "s", "namespace": "x"}, "spec": spec}));
        world.settle(LOOPS);
        world
    }

    fn show(world: &World) -> String {
        let service = world.get("services", "x", "s").unwrap();
        let all = items(&service, &["status", "loadBalancer", "ingress"]).iter();
        all.map(|found| text(found, &["ip"])).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ready_nodes() {
        let mut world = world(&json!({}));
        assert_eq!(show(&world), "192.168.0.1 192.168.0.2");
        assert_eq!(world.events, ["EnsuredLoadBalancer: Ensured load balancer"]);
        world.change("nodes", "", "c", |node| node["status"]["conditions"][0]["status"] = json!("True"));
        world.settle(LOOPS);
        assert_eq!(show(&world), "192.168.0.1 192.168.0.2 192.168.0.3");
        world.change("nodes", "", "a", |node| {
            node["status"]["addresses"] = json!([{"type": "ExternalIP", "address": "203.0.113.1"}]);
        });
        world.settle(LOOPS);
        assert_eq!(show(&world), "203.0.113.1");
        world.change("nodes", "", "b", |node| {
            node["metadata"]["labels"] = json!({"svccontroller.k3s.cattle.io/enablelb": "true"});
        });
        world.settle(LOOPS);
        assert_eq!(show(&world), "192.168.0.2");
        world.change("services", "x", "s", |service| service["spec"]["type"] = json!("ClusterIP"));
        world.settle(LOOPS);
        assert_eq!(show(&world), "");
    }

    #[test]
    fn what_another_wrote_stays() {
        let mut world = world(&json!({}));
        world.change("services", "x", "s", |service| {
            service["status"]["loadBalancer"]["ingress"] = json!([{"ip": "203.0.113.9"}]);
        });
        world.settle(LOOPS);
        assert_eq!(show(&world), "203.0.113.9");
        world.change("nodes", "", "c", |node| node["status"]["conditions"][0]["status"] = json!("True"));
        world.settle(LOOPS);
        assert_eq!(show(&world), "192.168.0.1 192.168.0.2 192.168.0.3");
    }

    #[test]
    fn local_traffic_and_other_classes() {
        let mut local = world(&json!({"externalTrafficPolicy": "Local"}));
        assert_eq!(show(&local), "");
        local.put("endpointslices", json!({"metadata": {"name": "s-1", "namespace": "x",
            "labels": {"kubernetes.io/service-name": "s"}},
            "endpoints": [{"nodeName": "b", "conditions": {"ready": true}}, {"nodeName": "a", "conditions": {"ready": false}}]}));
        local.settle(LOOPS);
        assert_eq!(show(&local), "192.168.0.2");
        assert_eq!(show(&world(&json!({"loadBalancerClass": "example.com/lb"}))), "");
    }
}
