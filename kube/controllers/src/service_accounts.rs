//! `service-account-controller`: every namespace has the account `default`.

use serde_json::json;

use crate::known::{namespaces, service_accounts};
use crate::object::{name, namespace, text};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "service-account-controller",
    concurrency: 1,
    watches: Watches::These(&[namespaces, service_accounts]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, _view: &dyn View) -> Vec<Key> {
    let object = change.object();
    if change.is(namespaces()) {
        return vec![change.key()];
    }
    let lost = change.new.is_none() && name(object) == ACCOUNT;
    if lost { vec![Key::new(namespaces(), "", namespace(object))] } else { Vec::new() }
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(found) = observed.object() else { return Plan::nothing("the namespace is gone") };
    if text(&found, &["status", "phase"]) == "Terminating" {
        return Plan::nothing("the namespace is to go");
    }
    if observed.view.get(service_accounts(), name(&found), ACCOUNT).is_some() {
        return Plan::nothing("the account is there");
    }
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": name(&found)},
    });
    Plan::of("the account is missing", vec![Action::create(service_accounts(), name(&found), account)])
}

const ACCOUNT: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    #[test]
    fn each_living_namespace_has_one() {
        let mut world = World::default();
        world.put("namespaces", json!({"metadata": {"name": "a"}, "status": {"phase": "Active"}}));
        world.put("namespaces", json!({"metadata": {"name": "b"}, "status": {"phase": "Terminating"}}));
        world.settle(&[LOOP]);
        assert!(world.get("serviceaccounts", "a", "default").is_some());
        assert!(world.get("serviceaccounts", "b", "default").is_none());
        world.remove("serviceaccounts", "a", "default");
        world.settle(&[LOOP]);
        assert!(world.get("serviceaccounts", "a", "default").is_some());
    }
}
