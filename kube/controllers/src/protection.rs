//! `pvc-protection-controller` and `pv-protection-controller`: what is in use does not go.

use serde_json::Value;

use crate::known::{persistent_volume_claims, persistent_volumes, pods};
use crate::object::{
    at, has_finalizer, is_deleting, items, name, namespace, text, with_finalizer, without_finalizer,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop of claims.
pub(crate) const CLAIMS: Loop = Loop {
    name: "pvc-protection-controller",
    concurrency: 1,
    watches: Watches::These(&[persistent_volume_claims, pods]),
    keys: claim_keys,
    reconcile: reconcile_claim,
};

/// The loop of volumes.
pub(crate) const VOLUMES: Loop = Loop {
    name: "pv-protection-controller",
    concurrency: 1,
    watches: Watches::These(&[persistent_volumes]),
    keys: |change, _| vec![change.key()],
    reconcile: reconcile_volume,
};

fn claim_keys(change: &Change<'_>, _view: &dyn View) -> Vec<Key> {
    if change.is(persistent_volume_claims()) {
        return vec![change.key()];
    }
    // A claim is let go by the end of a pod, or when it is known not to use it.
    if change.new.is_some_and(|pod| !crate::pods::is_finished(pod)) {
        return Vec::new();
    }
    let pod = change.object();
    claims_of(pod).map(|claim| Key::new(persistent_volume_claims(), namespace(pod), &claim)).collect()
}

/// The names of the claims that a pod uses, its own (ephemeral) ones too.
fn claims_of(pod: &Value) -> impl Iterator<Item = String> + '_ {
    items(pod, &["spec", "volumes"]).iter().filter_map(|volume| {
        let claim = text(volume, &["persistentVolumeClaim", "claimName"]);
        if !claim.is_empty() {
            return Some(claim.to_owned());
        }
        at(volume, &["ephemeral"]).map(|_| format!("{}-{}", name(pod), text(volume, &["name"])))
    })
}

fn reconcile_claim(observed: &Observed<'_>) -> Plan {
    let Some(claim) = observed.object() else { return Plan::nothing("the claim is gone") };
    let resource = persistent_volume_claims();
    match (is_deleting(&claim), has_finalizer(&claim, CLAIM_FINALIZER)) {
        (false, false) => protect(resource, &claim, CLAIM_FINALIZER),
        (true, true) => {
            let around = observed.view.list(pods(), Some(&observed.key.namespace));
            // A pod that is on no node yet will not be started with a claim that is going.
            let uses = |pod: &Value| {
                !text(pod, &["spec", "nodeName"]).is_empty()
                    && claims_of(pod).any(|used| used == name(&claim))
            };
            match around.iter().find(|pod| uses(pod)) {
                Some(pod) => Plan::nothing(format!("pod {} uses it", name(pod))),
                None => release(resource, &claim, CLAIM_FINALIZER),
            }
        }
        _ => Plan::nothing("it is as it should be"),
    }
}

fn reconcile_volume(observed: &Observed<'_>) -> Plan {
    let Some(volume) = observed.object() else { return Plan::nothing("the volume is gone") };
    let resource = persistent_volumes();
    match (is_deleting(&volume), has_finalizer(&volume, VOLUME_FINALIZER)) {
        (false, false) => protect(resource, &volume, VOLUME_FINALIZER),
        (true, true) if text(&volume, &["status", "phase"]) == "Bound" => {
            Plan::nothing("a claim is bound to it")
        }
        (true, true) => release(resource, &volume, VOLUME_FINALIZER),
        _ => Plan::nothing("it is as it should be"),
    }
}

type Resource = kube_object::resource::GroupVersionResource;

fn protect(resource: &Resource, object: &Value, finalizer: &str) -> Plan {
    Plan::of("it is not protected", vec![Action::update(resource, with_finalizer(object, finalizer))])
}

fn release(resource: &Resource, object: &Value, finalizer: &str) -> Plan {
    Plan::of("nobody uses it", vec![Action::update(resource, without_finalizer(object, finalizer))])
}

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::World;

    #[test]
    fn a_used_claim_stays() {
        let mut world = World::default();
        let loops = &[CLAIMS, VOLUMES];
        world.put("persistentvolumeclaims", json!({"metadata": {"name": "c", "namespace": "a"}}));
        world.put(
            "pods",
            json!({"metadata": {"name": "p", "namespace": "a"}, "spec": {"nodeName": "n",
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}),
        );
        world.settle(loops);
        world.user_deletes("persistentvolumeclaims", "a", "c", "Background");
        world.settle(loops);
        assert_eq!(world.all("persistentvolumeclaims").len(), 1);
        world.remove("pods", "a", "p");
        world.settle(loops);
        assert_eq!(world.all("persistentvolumeclaims").len(), 0);
    }

    #[test]
    fn a_bound_volume_stays() {
        let mut world = World::default();
        world.put("persistentvolumes", json!({"metadata": {"name": "v"}, "status": {"phase": "Bound"}}));
        world.settle(&[VOLUMES]);
        world.user_deletes("persistentvolumes", "", "v", "Background");
        world.settle(&[VOLUMES]);
        assert_eq!(world.all("persistentvolumes").len(), 1);
        world.change("persistentvolumes", "", "v", |volume| volume["status"]["phase"] = json!("Released"));
        world.settle(&[VOLUMES]);
        assert_eq!(world.all("persistentvolumes").len(), 0);
    }
}
