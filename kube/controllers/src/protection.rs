//! `pvc-protection-controller`, `pv-protection-controller` and
//! `volumeattributesclass-protection-controller`: what is in use does not go.

use serde_json::Value;

use crate::known::{persistent_volume_claims, persistent_volumes, pods, volume_attributes_classes};
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

/// The loop of the classes that claims and volumes take their attributes from.
pub(crate) const ATTRIBUTES: Loop = Loop {
    name: "volumeattributesclass-protection-controller",
    concurrency: 1,
    watches: Watches::These(&[volume_attributes_classes, persistent_volumes, persistent_volume_claims]),
    keys: attribute_keys,
    reconcile: reconcile_attributes,
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

fn attribute_keys(change: &Change<'_>, _view: &dyn View) -> Vec<Key> {
    if change.is(volume_attributes_classes()) {
        return vec![change.key()];
    }
    // A class is let go when somebody stops to name it.
    let now: Vec<&str> = change.new.into_iter().flat_map(classes_of).collect();
    let before = change.old.into_iter().flat_map(classes_of).filter(|class| !now.contains(class));
    before.map(|class| Key::new(volume_attributes_classes(), "", class)).collect()
}

/// The classes that a volume or a claim names: the one that it wants, has, and is on its way to.
fn classes_of(object: &Value) -> impl Iterator<Item = &str> {
    const PLACES: [&[&str]; 3] = [
        &["spec", "volumeAttributesClassName"],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    PLACES.into_iter().map(|place| text(object, place)).filter(|class| !class.is_empty())
}

fn reconcile_attributes(observed: &Observed<'_>) -> Plan {
    let Some(class) = observed.object() else { return Plan::nothing("the class is gone") };
    let resource = volume_attributes_classes();
    match (is_deleting(&class), has_finalizer(&class, ATTRIBUTES_FINALIZER)) {
        (false, false) => protect(resource, &class, ATTRIBUTES_FINALIZER),
        (true, true) => {
            let both = [persistent_volumes(), persistent_volume_claims()];
            let mut all = both.into_iter().flat_map(|resource| observed.view.list(resource, None));
            match all.find(|object| classes_of(object).any(|used| used == name(&class))) {
                Some(user) => Plan::nothing(format!("{} uses it", name(&user))),
                None => release(resource, &class, ATTRIBUTES_FINALIZER),
            }
        }
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
const ATTRIBUTES_FINALIZER: &str = "kubernetes.io/vac-protection";

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
    #[test]
    fn a_class_that_is_named_stays() {
        let mut world = World::default();
        let loops = &[ATTRIBUTES];
        let class = json!({"metadata": {"name": "gold"}, "driverName": "d"});
        world.put("volumeattributesclasses", class);
        let claim = json!({"metadata": {"name": "c", "namespace": "a"},
            "spec": {"volumeAttributesClassName": "gold"},
            "status": {"currentVolumeAttributesClassName": "gold"}});
        world.put("persistentvolumeclaims", claim);
        world.put(
            "persistentvolumes",
            json!({"metadata": {"name": "v"},
            "spec": {"volumeAttributesClassName": "gold"}}),
        );
        world.settle(loops);
        world.user_deletes("volumeattributesclasses", "", "gold", "Background");
        world.settle(loops);
        world.remove("persistentvolumes", "", "v");
        world.change("persistentvolumeclaims", "a", "c", |claim| {
            claim["spec"]["volumeAttributesClassName"] = json!("silver");
        });
        world.settle(loops);
        assert_eq!(world.all("volumeattributesclasses").len(), 1);
        world.change("persistentvolumeclaims", "a", "c", |claim| {
            claim["status"]["currentVolumeAttributesClassName"] = json!("silver");
        });
        world.settle(loops);
        assert_eq!(world.all("volumeattributesclasses").len(), 0);
    }
}
