//! `ephemeral_volume`: a claim for each volume that lives and dies with its pod.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::known::{persistent_volume_claims, pods};
use crate::object::{
    at, controller_reference, is_controlled_by, is_deleting, items, name, namespace, owners, text, text_map,
    uid,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::is_finished;

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "ephemeral_volume",
    concurrency: 5,
    watches: Watches::These(&[pods, persistent_volume_claims]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, _: &dyn View) -> Vec<Key> {
    if change.is(persistent_volume_claims()) {
        // A claim that is gone may have to be made again.
        return if change.new.is_none() { change.controllers(pods(), "Pod") } else { Vec::new() };
    }
    let is_new = change.old.is_none() && change.new.is_some_and(|pod| volumes(pod).next().is_some());
    if is_new { vec![change.key()] } else { Vec::new() }
}

fn volumes(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, &["spec", "volumes"]).iter().filter(|volume| at(volume, &["ephemeral"]).is_some())
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(pod) = observed.object().filter(|pod| !is_deleting(pod) && !is_finished(pod)) else {
        return Plan::nothing("the pod needs no volumes any more");
    };
    let actions = volumes(&pod).filter_map(|volume| claim(observed, &pod, volume)).collect();
    Plan::of("its volumes need claims", actions)
}

fn claim(observed: &Observed<'_>, pod: &Arc<Value>, volume: &Value) -> Option<Action> {
    let called = format!("{}-{}", name(pod), text(volume, &["name"]));
    if let Some(found) = observed.view.get(persistent_volume_claims(), namespace(pod), &called) {
        let ours = is_controlled_by(&found, uid(pod))
            || owners(&found).iter().any(|owner| text(owner, &["uid"]) == uid(pod));
        let text = format!(
            "PVC {}/{called} was not created for pod {}/{} (pod is not owner)",
            namespace(pod),
            namespace(pod),
            name(pod)
        );
        return (!ours).then(|| Action::warning(pod, "EphemeralVolume", text));
    }
    let template = at(volume, &["ephemeral", "volumeClaimTemplate"])?;
    let made = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": called, "namespace": namespace(pod),
            "labels": text_map(template, &["metadata", "labels"]),
            "annotations": text_map(template, &["metadata", "annotations"]),
            "ownerReferences": [controller_reference(pod, "v1", "Pod")],
        },
        "spec": template["spec"],
    });
    Some(Action::create(persistent_volume_claims(), namespace(pod), made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    fn pod() -> Value {
        json!({"metadata": {"name": "p", "namespace": "a"}, "spec": {"volumes": [
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
                "metadata": {"labels": {"x": "y"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}}},
            {"name": "other", "emptyDir": {}}]}})
    }

    #[test]
    fn a_claim_with_its_pod() {
        let mut world = World::default();
        world.put("pods", pod());
        world.settle(LOOPS);
        let claim = world.get("persistentvolumeclaims", "a", "p-scratch").unwrap();
        assert_eq!(
            (&claim["metadata"]["labels"]["x"], &claim["spec"]["accessModes"][0]),
            (&json!("y"), &json!("ReadWriteOnce"))
        );
        assert_eq!(claim["metadata"]["ownerReferences"][0]["kind"], "Pod");
        world.remove("persistentvolumeclaims", "a", "p-scratch");
        world.settle(LOOPS);
        assert_eq!(world.all("persistentvolumeclaims").len(), 1);
    }

    #[test]
    fn a_strangers_claim_is_not_used() {
        let mut world = World::default();
        world.put("persistentvolumeclaims", json!({"metadata": {"name": "p-scratch", "namespace": "a"}}));
        world.put("pods", pod());
        world.settle(LOOPS);
        assert_eq!(
            world.events,
            ["EphemeralVolume: PVC a/p-scratch was not created for pod a/p (pod is not owner)"]
        );
    }
}
