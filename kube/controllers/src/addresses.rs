//! `service-ip-repair-controller`: addresses of services that are gone are free again. The API server's own work.

use serde_json::Value;

use crate::known::{ip_addresses, services};
use crate::object::{created, label, name, text};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan, Target};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "service-ip-repair-controller",
    concurrency: 1,
    watches: Watches::These(&[ip_addresses, services]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(ip_addresses()) {
        return change.new.filter(|address| is_service(address)).map(|_| change.key()).into_iter().collect();
    }
    if change.new.is_some() {
        return Vec::new();
    }
    let all = view.list(ip_addresses(), None);
    let of = |address: &Value| is_service(address) && parent(address) == (key_of(change.object()));
    all.iter().filter(|address| of(address)).map(|address| Key::of(ip_addresses(), address)).collect()
}

fn key_of(service: &Value) -> (&str, &str) {
    (crate::object::namespace(service), name(service))
}

fn parent(address: &Value) -> (&str, &str) {
    let of = |member: &str| text(address, &["spec", "parentRef", member]);
    (of("namespace"), of("name"))
}

fn is_service(address: &Value) -> bool {
    text(address, &["spec", "parentRef", "resource"]) == "services" && is_allocated(address)
}

/// Whether the API server took the address for a service.
pub(crate) fn is_allocated(address: &Value) -> bool {
    label(address, "ipaddress.kubernetes.io/managed-by") == Some("ipallocator.k8s.io")
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(address) = observed.object() else { return Plan::nothing("the address is free") };
    let (namespace, service) = parent(&address);
    if let Some(found) = observed.view.get(services(), namespace, service) {
        let used = crate::object::texts(&found, &["spec", "clusterIPs"]);
        if used.contains(&name(&address)) || text(&found, &["spec", "clusterIP"]) == name(&address) {
            return Plan::nothing("its service has it");
        }
    }
    // An address is taken before its service is stored.
    if let Some(left) = observed.until(created(&address).saturating_add(GRACE_SECONDS)) {
        return Plan::nothing("its service may be on its way").again_after(Some(left));
    }
    let gone = Target {
        resource: services().clone(),
        namespace: namespace.to_owned(),
        name: service.to_owned(),
        uid: String::new(),
    };
    let mut actions = Vec::new();
    if observed.view.get(services(), namespace, service).is_none() {
        actions.push(Action::Absent(gone));
    }
    actions.push(Action::Delete {
        target: Target::of(ip_addresses(), &address),
        revision: Some(crate::object::revision(&address).to_owned()),
        propagation: Some("Background"),
        grace_seconds: None,
    });
    Plan::of("no service has it", actions)
}

/// As upstream.
const GRACE_SECONDS: i64 = 60;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::World;

    #[test]
    fn leaks_are_mended() {
        let mut world = World::default();
        world.put(
            "services",
            json!({"metadata": {"name": "s", "namespace": "a"}, "spec": {"clusterIPs": ["10.0.0.1"]}}),
        );
        for (address, service) in [("10.0.0.1", "s"), ("10.0.0.2", "gone"), ("10.0.0.3", "s")] {
            world.put("ipaddresses", json!({
                "metadata": {"name": address, "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}},
                "spec": {"parentRef": {"resource": "services", "namespace": "a", "name": service}}}));
        }
        world.settle(&[LOOP]);
        assert_eq!(world.all("ipaddresses").len(), 3);
        world.pass(61, &[LOOP]);
        let left: Vec<_> = world.all("ipaddresses").iter().map(|address| name(address).to_owned()).collect();
        assert_eq!(left, ["10.0.0.1"]);
        world.remove("services", "a", "s");
        world.settle(&[LOOP]);
        assert!(world.all("ipaddresses").is_empty());
    }
}
