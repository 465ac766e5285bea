//! `local-path-provisioner`: a folder on a node as a volume, for claims of a class whose provisioner this is.
//!
//! The control plane makes and deletes objects; folders are the node's. Between the two stands this agreement:
//!
//! ```text
//! here   claim with a selected node ─▶ PersistentVolume: hostPath `<folder>/<pv>_<namespace>_<claim>`
//!                                       (type DirectoryOrCreate), bound to the node by its host name, with
//!                                       the annotation PROVISIONED_BY, the label NODE and the finalizer FINALIZER
//! node   volume is mounted           ─▶ makes the folder, as for every hostPath of that type
//! node   volume of mine is to go     ─▶ `is_to_be_cleared`: removes the folder, then the finalizer
//! here   claim gone, policy Delete   ─▶ deletes the PersistentVolume, which the finalizer holds until then
//! here   node gone for good          ─▶ takes the finalizer away itself: the folder went with the node
//! ```

use std::sync::Arc;

use serde_json::{Value, json};

use crate::known::{nodes, persistent_volume_claims, persistent_volumes, storage_classes};
use crate::object::{
    annotation, at, has_finalizer, is_deleting, items, label, name, namespace, text, uid, without_finalizer,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "local-path-provisioner",
    concurrency: 2,
    watches: Watches::These(&[persistent_volume_claims, persistent_volumes, storage_classes, nodes]),
    keys,
    reconcile,
};

/// The class `local-path`, which is the default one: whoever starts a cluster creates it.
pub fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {
            "name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER, "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete",
    })
}

/// The folder that a node has to remove, and then the finalizer [`FINALIZER`], for a volume that is to go; none if
/// the volume is another node's, or is to stay, or if the folder is not named as those that are made here.
pub fn is_to_be_cleared<'a>(volume: &'a Value, hostname: &str) -> Option<&'a str> {
    let ours = is_ours(volume) && is_deleting(volume) && has_finalizer(volume, FINALIZER);
    let path = text(volume, &["spec", "hostPath", "path"]);
    let of = |field: &str| text(volume, &["spec", "claimRef", field]);
    let folder = folder_name(name(volume), of("namespace"), of("name"));
    let named = path.rsplit_once('/').is_some_and(|(above, last)| !above.is_empty() && last == folder);
    (ours && named && hostname_of(volume) == hostname).then_some(path)
}

/// The label selector of a node's volumes.
pub fn of_node(hostname: &str) -> String {
    format!("{NODE}={hostname}")
}

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(nodes()) {
        let all = view.list(persistent_volumes(), None);
        let gone = all.iter().filter(|volume| change.new.is_none() && is_ours(volume));
        return gone.map(|volume| Key::of(persistent_volumes(), volume)).collect();
    }
    if change.is(storage_classes()) {
        let all = view.list(persistent_volume_claims(), None);
        return all.iter().map(|claim| Key::of(persistent_volume_claims(), claim)).collect();
    }
    let counts = change.new.is_some_and(|object| change.is(persistent_volume_claims()) || is_ours(object));
    if counts { vec![change.key()] } else { Vec::new() }
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(object) = observed.object() else { return Plan::nothing("it is gone") };
    if observed.key.resource == *persistent_volumes() {
        reclaim(observed, &object)
    } else {
        provision(observed, &object)
    }
}

/// Makes the volume of a claim whose node is known.
fn provision(observed: &Observed<'_>, claim: &Arc<Value>) -> Plan {
    let bound = !text(claim, &["spec", "volumeName"]).is_empty();
    if bound || is_deleting(claim) || annotation(claim, ASKED) != Some(PROVISIONER) {
        return Plan::nothing("it asks for no volume here");
    }
    let class = observed.view.get(storage_classes(), "", text(claim, &["spec", "storageClassName"]));
    let Some(class) = class else { return Plan::nothing("its class is gone") };
    let Some(selected) = annotation(claim, SELECTED_NODE) else {
        return Plan::nothing("it waits for a pod and its node");
    };
    let Some(node) = observed.view.get(nodes(), "", selected) else {
        return refuse(claim, &format!("node {selected:?} not found"));
    };
    let modes = crate::object::texts(claim, &["spec", "accessModes"]);
    if modes.iter().any(|mode| !matches!(*mode, "ReadWriteOnce" | "ReadWriteOncePod")) {
        return refuse(
            claim,
            "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes",
        );
    }
    if at(claim, &["spec", "selector"]).is_some() {
        return refuse(claim, "claim.Spec.Selector is not supported");
    }
    if text(claim, &["spec", "volumeMode"]) == "Block" {
        return refuse(claim, "block volumes are not supported: use volumeMode Filesystem");
    }
    let made = volume(observed, claim, &class, &node);
    let called = name(&made).to_owned();
    if observed.view.get(persistent_volumes(), "", &called).is_some() {
        return Plan::nothing("its volume is there");
    }
    let told =
        Action::event(claim, "ProvisioningSucceeded", format!("Successfully provisioned volume {called}"));
    Plan::of("its node is known", vec![Action::create(persistent_volumes(), "", made), told])
}

fn refuse(claim: &Value, why: &str) -> Plan {
    let class = text(claim, &["spec", "storageClassName"]);
    let text = format!("failed to provision volume with StorageClass {class:?}: {why}");
    Plan::of(why, vec![Action::warning(claim, "ProvisioningFailed", text)])
}

fn volume(observed: &Observed<'_>, claim: &Value, class: &Value, node: &Value) -> Value {
    let called = format!("pvc-{}", uid(claim));
    let folder = at(class, &["parameters", "nodePath"]).and_then(Value::as_str);
    let folder = folder.unwrap_or(&observed.settings.local_path).trim_end_matches('/');
    let host = label(node, HOSTNAME).unwrap_or_else(|| name(node));
    let policy = match text(class, &["reclaimPolicy"]) {
        "" => "Delete",
        policy => policy,
    };
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": called, "finalizers": [FINALIZER], "labels": {NODE: host},
            "annotations": {
                PROVISIONED_BY: PROVISIONER, "local.path.provisioner/selected-node": name(node),
            },
        },
        "spec": {
            "capacity": {"storage": at(claim, &["spec", "resources", "requests", "storage"])},
            "accessModes": claim["spec"]["accessModes"], "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": policy, "storageClassName": name(class),
            "hostPath": {
                "path": format!("{folder}/{}", folder_name(&called, namespace(claim), name(claim))),
                "type": "DirectoryOrCreate",
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": HOSTNAME, "operator": "In", "values": [host]}]}]}},
            "claimRef": {
                "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace(claim),
                "name": name(claim), "uid": uid(claim),
            },
        },
    })
}

/// Ends a volume that nobody claims any more.
fn reclaim(observed: &Observed<'_>, volume: &Arc<Value>) -> Plan {
    if !is_ours(volume) {
        return Plan::nothing("it is another's");
    }
    if !is_deleting(volume) {
        let is_done = text(volume, &["status", "phase"]) == "Released"
            && text(volume, &["spec", "persistentVolumeReclaimPolicy"]) == "Delete";
        return match is_done {
            true => Plan::of("its claim is gone", vec![Action::delete(persistent_volumes(), volume)]),
            false => Plan::nothing("it is kept"),
        };
    }
    let host = hostname_of(volume);
    let all = observed.view.list(nodes(), None);
    let lives = all.iter().any(|node| label(node, HOSTNAME).unwrap_or_else(|| name(node)) == host);
    if lives || !has_finalizer(volume, FINALIZER) {
        return Plan::nothing("its node removes the folder");
    }
    let free = without_finalizer(volume, FINALIZER);
    Plan::of("its node is gone, and the folder with it", vec![Action::update(persistent_volumes(), free)])
}

fn folder_name(volume: &str, namespace: &str, claim: &str) -> String {
    format!("{volume}_{namespace}_{claim}")
}

fn is_ours(volume: &Value) -> bool {
    annotation(volume, PROVISIONED_BY) == Some(PROVISIONER)
}

/// The node that a volume's affinity names.
fn hostname_of(volume: &Value) -> &str {
    let terms = items(volume, &["spec", "nodeAffinity", "required", "nodeSelectorTerms"]).iter();
    let mut all = terms.flat_map(|term| items(term, &["matchExpressions"]));
    let found = all.find(|found| text(found, &["key"]) == HOSTNAME);
    found.and_then(|found| items(found, &["values"]).first()?.as_str()).unwrap_or_default()
}

/// The provisioner's name in classes, as k3s has it.
pub const PROVISIONER: &str = "rancher.io/local-path";
/// What holds a volume until its folder is gone.
pub const FINALIZER: &str = "strake.dev/local-path";
/// On volumes: the host name of the node that has the folder. Nodes may follow their own.
pub const NODE: &str = "strake.dev/local-path-node";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const ASKED: &str = "volume.kubernetes.io/storage-provisioner";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const HOSTNAME: &str = "kubernetes.io/hostname";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::set;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP, crate::volumes::LOOP];

    fn world(modes: &Value) -> World {
        let mut world = World::default();
        world.put("storageclasses", storage_class());
        world.put("nodes", json!({"metadata": {"name": "n", "labels": {HOSTNAME: "host"}}}));
        world.put(
            "persistentvolumeclaims",
            json!({"metadata": {"name": "c", "namespace": "a", "uid": "u"},
            "spec": {"storageClassName": "local-path", "accessModes": modes,
                "resources": {"requests": {"storage": "1Gi"}}}}),
        );
        world.settle(LOOPS);
        world
    }

    fn select(world: &mut World) {
        world.change("persistentvolumeclaims", "a", "c", |claim| {
            set(claim, &["metadata", "annotations", SELECTED_NODE], json!("n"));
        });
        world.settle(LOOPS);
    }

    #[test]
    fn a_folder_on_the_pods_node() {
        let mut world = world(&json!(["ReadWriteOnce"]));
        assert!(world.all("persistentvolumes").is_empty());
        select(&mut world);
        let volume = world.get("persistentvolumes", "", "pvc-u").unwrap();
        assert_eq!(text(&volume, &["spec", "hostPath", "path"]), "/var/lib/strake/storage/pvc-u_a_c");
        assert_eq!((hostname_of(&volume), text(&volume, &["status", "phase"])), ("host", "Bound"));
        let claim = world.get("persistentvolumeclaims", "a", "c").unwrap();
        assert_eq!(
            (text(&claim, &["status", "phase"]), text(&claim, &["spec", "volumeName"])),
            ("Bound", "pvc-u")
        );
        assert!(
            world.events.contains(&"ProvisioningSucceeded: Successfully provisioned volume pvc-u".to_owned())
        );
        world.remove("persistentvolumeclaims", "a", "c");
        world.settle(LOOPS);
        let volume = world.get("persistentvolumes", "", "pvc-u").unwrap();
        assert_eq!(is_to_be_cleared(&volume, "host"), Some("/var/lib/strake/storage/pvc-u_a_c"));
        assert_eq!(is_to_be_cleared(&volume, "other"), None);
        let mut elsewhere = (*volume).clone();
        set(&mut elsewhere, &["spec", "hostPath", "path"], json!("/etc"));
        assert_eq!(is_to_be_cleared(&elsewhere, "host"), None);
        assert_eq!(of_node("host"), format!("{NODE}={}", label(&volume, NODE).unwrap()));
        // A node that is gone took it along.
        world.remove("nodes", "", "n");
        world.settle(LOOPS);
        assert!(world.all("persistentvolumes").is_empty());
    }

    #[test]
    fn not_for_many_nodes() {
        let mut world = world(&json!(["ReadWriteMany"]));
        select(&mut world);
        assert!(world.all("persistentvolumes").is_empty());
        assert!(
            world.events.last().unwrap().starts_with(
                "ProvisioningFailed: failed to provision volume with StorageClass \"local-path\""
            )
        );
    }
}
