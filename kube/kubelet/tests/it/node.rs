//! The node in the API.

use client::Call;
use kube_object::resource::GroupVersionResource;
use serde_json::json;

use crate::rig::{Rig, condition};

#[tokio::test]
async fn registers_renews_and_becomes_ready() {
    let rig = Rig::new().await;
    let nodes = GroupVersionResource::new("", "v1", "nodes");
    let node = rig
        .until("the node is ready", async |rig| {
            let node = rig.call(Call::get(&nodes, "", "node")).await.ok()?;
            (condition(&node, "Ready") == "True").then_some(node)
        })
        .await;
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node");
    assert_eq!(node["status"]["nodeInfo"]["containerRuntimeVersion"], "fake://1");
    assert_eq!(node["status"]["addresses"][0], json!({"type": "InternalIP", "address": "192.0.2.1"}));
    assert_eq!(condition(&node, "MemoryPressure"), "False");
    assert_eq!(rig.runtime.range(), "10.42.0.0/24");
    let leases = GroupVersionResource::new("coordination.k8s.io", "v1", "leases");
    let lease = rig
        .until("there is a lease", async |rig| {
            rig.call(Call::get(&leases, "kube-node-lease", "node")).await.ok()
        })
        .await;
    assert_eq!(
        (&lease["spec"]["holderIdentity"], &lease["spec"]["leaseDurationSeconds"]),
        (&json!("node"), &json!(40))
    );
}

#[tokio::test]
async fn a_pod_that_does_not_fit_is_refused() {
    let rig = Rig::new().await;
    let nodes = GroupVersionResource::new("", "v1", "nodes");
    rig.until("the node is there", async |rig| rig.call(Call::get(&nodes, "", "node")).await.ok()).await;
    let huge =
        json!({"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "9999"}}}]});
    rig.pod("huge", huge).await;
    let pod = rig.until_status("huge", &[("/phase", json!("Failed"))]).await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    let why = pod["status"]["message"].as_str().unwrap();
    assert!(
        why.starts_with("Pod was rejected: Node didn't have enough resource: cpu, requested: 9999000"),
        "{why}"
    );
}
