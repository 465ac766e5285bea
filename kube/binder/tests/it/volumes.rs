//! Claims whose volumes wait for the node.

use client::{Api as _, Call};
use controllers::known;
use serde_json::{Value, json};

use crate::cluster::Cluster;

fn claim(name: &str, class: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}})
}

fn mounts(claim: &str) -> Value {
    json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]})
}

fn class(name: &str, provisioner: &str) -> Value {
    json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"})
}

/// The volume controller's part.
async fn bind(cluster: &Cluster, name: &str, volume: &str) {
    cluster
        .patch("a", known::persistent_volume_claims(), name, "", json!({"spec": {"volumeName": volume}}))
        .await;
    let status = json!({"status": {"phase": "Bound"}});
    cluster.patch("a", known::persistent_volume_claims(), name, "status", status).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_is_chosen_first_and_the_volume_is_waited_for() {
    let cluster = Cluster::new().await;
    cluster.node("n1", "4", "10").await;
    cluster.create("", known::storage_classes(), class("made", "example.com/maker")).await.unwrap();
    cluster
        .create("", known::storage_classes(), class("local", "kubernetes.io/no-provisioner"))
        .await
        .unwrap();
    let claims = known::persistent_volume_claims();
    // A volume is made where the pod will be.
    cluster.create("a", claims, claim("fresh", "made")).await.unwrap();
    cluster.pod("writer", mounts("fresh")).await;
    let chosen = cluster
        .until("the choice", async |cluster| {
            let found = cluster.api.call(Call::get(claims, "a", "fresh")).await.ok()?;
            found["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].as_str().map(str::to_owned)
        })
        .await;
    assert_eq!(chosen, "n1");
    assert!(cluster.get("writer").await.unwrap()["spec"].get("nodeName").is_none());
    let volume = json!({"metadata": {"name": "pv-fresh"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "storageClassName": "made", "hostPath": {"path": "/x"}}});
    cluster.create("", known::persistent_volumes(), volume).await.unwrap();
    bind(&cluster, "fresh", "pv-fresh").await;
    assert_eq!(cluster.node_of("writer").await, "n1");
    // A volume that is there draws the pod to its node.
    cluster.node("n2", "4", "10").await;
    let local = json!({"metadata": {"name": "disk"}, "spec": {"capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "local": {"path": "/disk"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}]}}}});
    cluster.create("", known::persistent_volumes(), local).await.unwrap();
    cluster.create("a", claims, claim("data", "local")).await.unwrap();
    cluster.pod("reader", mounts("data")).await;
    let owner = cluster
        .until("the volume's claim", async |cluster| {
            let found = cluster.api.call(Call::get(known::persistent_volumes(), "", "disk")).await.ok()?;
            found["spec"]["claimRef"]["name"].as_str().map(str::to_owned)
        })
        .await;
    assert_eq!(owner, "data");
    bind(&cluster, "data", "disk").await;
    assert_eq!(cluster.node_of("reader").await, "n2");
    cluster.stop().await;
}
