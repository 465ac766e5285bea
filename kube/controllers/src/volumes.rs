//! `persistentvolume-binder`: claims and volumes find each other. Nothing here touches a disk.
//!
//! A bond is written in four steps, each seen before the next: the volume names the claim, says that it is bound, the
//! claim names the volume, says that it is bound. Either side alone can be told what is missing.

use std::sync::Arc;

use base::Quantity;
use serde_json::{Value, json};

use crate::known::{persistent_volume_claims, persistent_volumes, storage_classes};
use crate::object::{
    annotation, at, is_deleting, labels, name, namespace, remove, revision, same, set, text, texts, uid,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "persistent-volume-binder",
    concurrency: 1,
    watches: Watches::These(&[persistent_volumes, persistent_volume_claims, storage_classes]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    let unbound = || {
        let all = view.list(persistent_volume_claims(), None);
        let waiting = all.iter().filter(|claim| text(claim, &["status", "phase"]) != "Bound");
        waiting.map(|claim| Key::of(persistent_volume_claims(), claim)).collect::<Vec<_>>()
    };
    if change.is(storage_classes()) {
        return unbound();
    }
    let mut keys = vec![change.key()];
    if change.is(persistent_volumes()) {
        for side in change.sides() {
            let claim = |member: &str| text(side, &["spec", "claimRef", member]);
            if !claim("name").is_empty() {
                keys.push(Key::new(persistent_volume_claims(), claim("namespace"), claim("name")));
            }
        }
        let is_free = change.new.is_some_and(|volume| at(volume, &["spec", "claimRef"]).is_none());
        keys.extend(if is_free { unbound() } else { Vec::new() });
    } else {
        let named = change.sides().map(|claim| text(claim, &["spec", "volumeName"]));
        keys.extend(
            named.filter(|name| !name.is_empty()).map(|name| Key::new(persistent_volumes(), "", name)),
        );
        let all = view.list(persistent_volumes(), None);
        let object = change.object();
        let naming = all.iter().filter(|volume| names(volume, object));
        keys.extend(naming.map(|volume| Key::of(persistent_volumes(), volume)));
    }
    keys
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(object) = observed.object() else { return Plan::nothing("it is gone") };
    if observed.key.resource == *persistent_volumes() {
        return volume(observed, &object);
    }
    if is_deleting(&object) && text(&object, &["status", "phase"]) != "Bound" {
        return Plan::nothing("the claim is going");
    }
    claim(observed, &object)
}

fn volume(observed: &Observed<'_>, volume: &Arc<Value>) -> Plan {
    if at(volume, &["spec", "claimRef"]).is_none() {
        return phase(volume, "Available", "", "no claim is bound to it");
    }
    let wanted = text(volume, &["spec", "claimRef", "uid"]);
    if wanted.is_empty() {
        return phase(volume, "Available", "", "it is kept for a claim");
    }
    let at_claim = |member: &str| text(volume, &["spec", "claimRef", member]);
    let claim = observed.view.get(persistent_volume_claims(), at_claim("namespace"), at_claim("name"));
    let claim = claim.filter(|claim| uid(claim) == wanted);
    let Some(claim) = claim else { return released(volume) };
    match text(&claim, &["spec", "volumeName"]) {
        // The claim's own turn: it completes the bond.
        "" => phase(volume, "Bound", "", "its claim is about to be bound"),
        bound if bound == name(volume) => phase(volume, "Bound", "", "its claim is bound"),
        _ if annotation(volume, BY_CONTROLLER).is_some() => {
            let mut free = Value::clone(volume);
            remove(&mut free, &["spec", "claimRef"]);
            remove(&mut free, &["metadata", "annotations", BY_CONTROLLER]);
            Plan::of("its claim took another", vec![Action::update(persistent_volumes(), free)])
        }
        _ => phase(volume, "Available", "", "its claim took another"),
    }
}

fn released(volume: &Arc<Value>) -> Plan {
    let before = text(volume, &["status", "phase"]);
    if !matches!(before, "Released" | "Failed") {
        return phase(volume, "Released", "", "its claim is gone");
    }
    if text(volume, &["spec", "persistentVolumeReclaimPolicy"]) != "Delete"
        || annotation(volume, "pv.kubernetes.io/provisioned-by").is_some()
        || before == "Failed"
    {
        return Plan::nothing("its claim is gone; it is another's to reclaim");
    }
    let trouble = format!(
        "error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched",
        name(volume)
    );
    let mut plan = phase(volume, "Failed", &trouble, "nobody can delete it");
    plan.actions.push(Action::warning(volume, "VolumeFailedDelete", trouble));
    plan
}

/// The phase, with what there is to say of it. A volume that has the phase already is left alone:
/// its message is whose it is.
fn phase(volume: &Arc<Value>, phase: &str, message: &str, why: &str) -> Plan {
    if text(volume, &["status", "phase"]) == phase {
        return Plan::nothing(why);
    }
    let mut said = Value::clone(volume);
    set(&mut said, &["status", "phase"], json!(phase));
    if message.is_empty() {
        remove(&mut said, &["status", "message"]);
    } else {
        set(&mut said, &["status", "message"], json!(message));
    }
    Plan::of(why, vec![Action::update_status(persistent_volumes(), said)])
}

fn claim(observed: &Observed<'_>, claim: &Arc<Value>) -> Plan {
    let wanted = text(claim, &["spec", "volumeName"]);
    let is_done = annotation(claim, COMPLETED).is_some();
    if wanted.is_empty() {
        if is_done {
            return claim_phase(claim, None, "Lost", "it names no volume any more");
        }
        return find(observed, claim);
    }
    let Some(volume) = observed.view.get(persistent_volumes(), "", wanted) else {
        let phase = if is_done { "Lost" } else { "Pending" };
        return claim_phase(claim, None, phase, "there is no volume of that name");
    };
    if at(&volume, &["spec", "claimRef"]).is_none() || names(&volume, claim) {
        return bind(claim, &volume);
    }
    let phase = if is_done { "Lost" } else { "Pending" };
    claim_phase(claim, None, phase, "the volume is another's")
}

/// Takes the next step of the bond between a claim and a volume.
fn bind(claim: &Arc<Value>, volume: &Arc<Value>) -> Plan {
    if text(volume, &["spec", "claimRef", "uid"]) != uid(claim) {
        let mut bound = Value::clone(volume);
        if at(volume, &["spec", "claimRef"]).is_none() {
            set(&mut bound, &["metadata", "annotations", BY_CONTROLLER], json!("yes"));
        }
        let reference = json!({
            "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace(claim), "name": name(claim),
            "uid": uid(claim), "resourceVersion": revision(claim),
        });
        set(&mut bound, &["spec", "claimRef"], reference);
        return Plan::of(
            "the volume is to name the claim",
            vec![Action::update(persistent_volumes(), bound)],
        );
    }
    let by_controller = text(claim, &["spec", "volumeName"]).is_empty();
    if by_controller || annotation(claim, COMPLETED).is_none() {
        let mut bound = Value::clone(claim);
        set(&mut bound, &["spec", "volumeName"], json!(name(volume)));
        if by_controller {
            set(&mut bound, &["metadata", "annotations", BY_CONTROLLER], json!("yes"));
        }
        set(&mut bound, &["metadata", "annotations", COMPLETED], json!("yes"));
        return Plan::of(
            "the claim is to name the volume",
            vec![Action::update(persistent_volume_claims(), bound)],
        );
    }
    claim_phase(claim, Some(volume), "Bound", "both name each other")
}

fn claim_phase(claim: &Arc<Value>, volume: Option<&Value>, phase: &str, why: &str) -> Plan {
    let mut said = Value::clone(claim);
    set(&mut said, &["status", "phase"], json!(phase));
    if let Some(volume) = volume {
        for (member, from) in [("accessModes", "accessModes"), ("capacity", "capacity")] {
            let value = at(volume, &["spec", from]).cloned().unwrap_or_default();
            let is_first =
                at(claim, &["status", member]).is_none() || text(claim, &["status", "phase"]) != "Bound";
            if is_first {
                set(&mut said, &["status", member], value);
            }
        }
    } else if phase != "Lost" {
        remove(&mut said, &["status", "accessModes"]);
        remove(&mut said, &["status", "capacity"]);
    }
    if same(&said, claim) {
        return Plan::nothing(why);
    }
    let mut plan = Plan::of(why, vec![Action::update_status(persistent_volume_claims(), said)]);
    if phase == "Lost" {
        plan.actions.push(Action::warning(
            claim,
            "ClaimLost",
            "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
        ));
    }
    plan
}

/// Looks for the smallest volume that will do; if there is none, somebody may make one.
fn find(observed: &Observed<'_>, claim: &Arc<Value>) -> Plan {
    let mut fitting: Vec<_> = observed.view.list(persistent_volumes(), None);
    fitting.retain(|volume| !is_deleting(volume) && fits(volume, claim));
    let class = text(claim, &["spec", "storageClassName"]);
    let class = observed.view.get(storage_classes(), "", class).filter(|_| !class.is_empty());
    let reserved = fitting.iter().find(|volume| names(volume, claim)).cloned();
    let waits =
        class.as_ref().is_some_and(|class| text(class, &["volumeBindingMode"]) == "WaitForFirstConsumer")
            && annotation(claim, SELECTED_NODE).is_none();
    fitting.retain(|volume| at(volume, &["spec", "claimRef"]).is_none());
    fitting.sort_by(|a, b| size(a).cmp(&size(b)).then_with(|| name(a).cmp(name(b))));
    let found = reserved.or_else(|| fitting.first().filter(|_| !waits).cloned());
    if let Some(volume) = found {
        return bind(claim, &volume);
    }
    let pending = claim_phase(claim, None, "Pending", "no volume fits it");
    if !pending.actions.is_empty() {
        return pending;
    }
    match class.filter(|_| !waits) {
        Some(class) => ask_for_volume(claim, text(&class, &["provisioner"])),
        None if waits => {
            let text = "waiting for first consumer to be created before binding";
            Plan::of("it waits for a pod", vec![Action::event(claim, "WaitForFirstConsumer", text)])
        }
        None => {
            let text = "no persistent volumes available for this claim and no storage class is set";
            Plan::of("no volume fits it", vec![Action::event(claim, "FailedBinding", text)])
        }
    }
}

/// Tells an external provisioner that the claim is for it.
fn ask_for_volume(claim: &Arc<Value>, provisioner: &str) -> Plan {
    if provisioner.is_empty() || provisioner == "kubernetes.io/no-provisioner" {
        return Plan::nothing("no volume fits it, and its class makes none");
    }
    if annotation(claim, PROVISIONER) == Some(provisioner) {
        return Plan::nothing("its provisioner makes a volume");
    }
    let mut asked = Value::clone(claim);
    set(&mut asked, &["metadata", "annotations", PROVISIONER], json!(provisioner));
    set(
        &mut asked,
        &["metadata", "annotations", "volume.beta.kubernetes.io/storage-provisioner"],
        json!(provisioner),
    );
    Plan::of("its class may make a volume", vec![Action::update(persistent_volume_claims(), asked)])
}

/// Whether a volume is kept for a claim, by name or by identity.
fn names(volume: &Value, claim: &Value) -> bool {
    let of = |member: &str| text(volume, &["spec", "claimRef", member]);
    let same_name =
        of("name") == name(claim) && of("namespace") == namespace(claim) && !of("name").is_empty();
    same_name && (of("uid").is_empty() || of("uid") == uid(claim))
}

fn fits(volume: &Value, claim: &Value) -> bool {
    let mode = |object: &Value| match text(object, &["spec", "volumeMode"]) {
        "" => "Filesystem".to_owned(),
        mode => mode.to_owned(),
    };
    let has = texts(volume, &["spec", "accessModes"]);
    let enough = match (size(volume), requested(claim)) {
        (Some(has), Some(wanted)) => has >= wanted,
        (_, None) => true,
        (None, Some(_)) => false,
    };
    let selected = at(claim, &["spec", "selector"])
        .is_none_or(|_| crate::object::selector(claim, &["spec", "selector"]).matches(&labels(volume)));
    let is_free = at(volume, &["spec", "claimRef"]).is_none()
        && matches!(text(volume, &["status", "phase"]), "" | "Available" | "Pending");
    (is_free || names(volume, claim))
        && text(volume, &["spec", "storageClassName"]) == text(claim, &["spec", "storageClassName"])
        && mode(volume) == mode(claim)
        && texts(claim, &["spec", "accessModes"]).iter().all(|mode| has.contains(mode))
        && enough
        && selected
}

fn size(volume: &Value) -> Option<Quantity> {
    Quantity::parse(text(volume, &["spec", "capacity", "storage"])).ok()
}

fn requested(claim: &Value) -> Option<Quantity> {
    Quantity::parse(text(claim, &["spec", "resources", "requests", "storage"])).ok()
}

const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    fn volume(name: &str, size: &str, policy: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": policy, "storageClassName": "s"}})
    }

    fn claim(size: &str) -> Value {
        json!({"metadata": {"name": "c", "namespace": "a"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}}, "storageClassName": "s"}})
    }

    fn phases(world: &World) -> (String, String) {
        let of = |object: Arc<Value>| text(&object, &["status", "phase"]).to_owned();
        let volume = world.get("persistentvolumes", "", "v").map(of).unwrap_or_default();
        let claim = world.get("persistentvolumeclaims", "a", "c").map(of).unwrap_or_default();
        (volume, claim)
    }

    #[test]
    fn the_smallest_that_fits() {
        let mut world = World::default();
        world.put("persistentvolumes", volume("big", "10Gi", "Retain"));
        world.put("persistentvolumes", volume("v", "2Gi", "Retain"));
        world.put("persistentvolumes", volume("small", "1Gi", "Retain"));
        world.put("persistentvolumeclaims", claim("1.5Gi"));
        world.settle(LOOPS);
        assert_eq!(phases(&world), ("Bound".to_owned(), "Bound".to_owned()));
        let claim = world.get("persistentvolumeclaims", "a", "c").unwrap();
        assert_eq!(
            (&claim["spec"]["volumeName"], &claim["status"]["capacity"]["storage"]),
            (&json!("v"), &json!("2Gi"))
        );
        assert_eq!(annotation(&claim, COMPLETED), Some("yes"));
        world.remove("persistentvolumeclaims", "a", "c");
        world.settle(LOOPS);
        assert_eq!(phases(&world).0, "Released");
    }

    #[test]
    fn anothers_message_stays() {
        let mut world = World::default();
        world.put("persistentvolumes", volume("v", "2Gi", "Retain"));
        world.settle(LOOPS);
        let say = |volume: &mut Value| volume["status"]["message"] = json!("said");
        world.change("persistentvolumes", "", "v", say);
        world.settle(LOOPS);
        let found = world.get("persistentvolumes", "", "v").unwrap();
        assert_eq!(
            (&found["status"]["phase"], &found["status"]["message"]),
            (&json!("Available"), &json!("said"))
        );
    }

    #[test]
    fn losses() {
        let mut world = World::default();
        world.put("persistentvolumes", volume("v", "2Gi", "Delete"));
        world.put("persistentvolumeclaims", claim("1Gi"));
        world.settle(LOOPS);
        world.remove("persistentvolumes", "", "v");
        world.settle(LOOPS);
        assert_eq!(phases(&world).1, "Lost");
        let mut world = World::default();
        world.put("persistentvolumes", volume("v", "2Gi", "Delete"));
        world.put("persistentvolumeclaims", claim("1Gi"));
        world.settle(LOOPS);
        world.remove("persistentvolumeclaims", "a", "c");
        world.settle(LOOPS);
        assert_eq!(phases(&world).0, "Failed");
    }

    #[test]
    fn reserved_and_pending() {
        let mut world = World::default();
        world.put("persistentvolumeclaims", claim("1Gi"));
        world.settle(LOOPS);
        assert_eq!(phases(&world).1, "Pending");
        let mut kept = volume("v", "5Gi", "Retain");
        kept["spec"]["claimRef"] = json!({"namespace": "a", "name": "c"});
        world.put("persistentvolumes", kept);
        world.settle(LOOPS);
        assert_eq!(phases(&world), ("Bound".to_owned(), "Bound".to_owned()));
    }

    #[test]
    fn provisioners_are_asked() {
        let mut world = World::default();
        world.put("storageclasses", json!({"metadata": {"name": "s"}, "provisioner": "example.com/p"}));
        world.put("persistentvolumeclaims", claim("1Gi"));
        world.settle(LOOPS);
        let found = world.get("persistentvolumeclaims", "a", "c").unwrap();
        assert_eq!(annotation(&found, PROVISIONER), Some("example.com/p"));
    }
}
