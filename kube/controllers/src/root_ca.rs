//! `root-ca-certificate-publisher`: every namespace has the certificates by which pods know the API.

use serde_json::{Value, json};

use crate::known::{config_maps, namespaces};
use crate::object::{at, name, namespace, set, text};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "root-ca-cert-publisher",
    concurrency: 1,
    watches: Watches::These(&[namespaces, config_maps]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, _view: &dyn View) -> Vec<Key> {
    let object = change.object();
    if change.is(namespaces()) {
        return vec![change.key()];
    }
    if name(object) == MAP { vec![Key::new(namespaces(), "", namespace(object))] } else { Vec::new() }
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    if observed.settings.root_ca.is_empty() {
        return Plan::nothing("there are no certificates to publish");
    }
    let Some(found) = observed.object() else { return Plan::nothing("the namespace is gone") };
    if text(&found, &["status", "phase"]) == "Terminating" {
        return Plan::nothing("the namespace is to go");
    }
    let data = json!({"ca.crt": observed.settings.root_ca});
    let Some(map) = observed.view.get(config_maps(), name(&found), MAP) else {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": MAP, "namespace": name(&found),
                "annotations": {DESCRIPTION.0: DESCRIPTION.1},
            },
            "data": data,
        });
        return Plan::of("the map is missing", vec![Action::create(config_maps(), name(&found), map)]);
    };
    let described = at(&map, &["metadata", "annotations", DESCRIPTION.0]).is_some();
    if at(&map, &["data"]) == Some(&data) && described {
        return Plan::nothing("the map is right");
    }
    let mut right = Value::clone(&map);
    set(&mut right, &["data"], data);
    set(&mut right, &["metadata", "annotations", DESCRIPTION.0], json!(DESCRIPTION.1));
    Plan::of("the map is wrong", vec![Action::update(config_maps(), right)])
}

const MAP: &str = "kube-root-ca.crt";
/// The annotation that tells people what the map is for, in the API's words.
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes \
     clusters.",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    #[test]
    fn writes_and_repairs() {
        let mut world = World::default();
        world.put("namespaces", json!({"metadata": {"name": "a"}, "status": {"phase": "Active"}}));
        world.settle(&[LOOP]);
        assert_eq!(world.get("configmaps", "a", MAP).unwrap()["data"], json!({"ca.crt": "CA"}));
        world.change("configmaps", "a", MAP, |map| set(map, &["data"], json!({"x": "y"})));
        world.settle(&[LOOP]);
        assert_eq!(world.get("configmaps", "a", MAP).unwrap()["data"], json!({"ca.crt": "CA"}));
        world.remove("configmaps", "a", MAP);
        world.settle(&[LOOP]);
        assert!(world.get("configmaps", "a", MAP).is_some());
    }
}
