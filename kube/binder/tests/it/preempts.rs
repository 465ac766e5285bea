//! More important pods take the place of less important ones.

use client::{Api as _, Call};
use controllers::known;
use serde_json::json;

use crate::cluster::{Cluster, asks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_important_ends_and_the_place_is_kept() {
    let cluster = Cluster::new().await;
    cluster.node("n", "2", "10").await;
    // A finalizer keeps the victim there, so that the states between can be seen.
    cluster.pod("victim", json!({"priority": 1, "containers": asks("2")})).await;
    cluster.node_of("victim").await;
    cluster
        .patch("a", known::pods(), "victim", "", json!({"metadata": {"finalizers": ["example.com/hold"]}}))
        .await;
    cluster.pod("vip", json!({"priority": 100, "containers": asks("2")})).await;
    let nominated = cluster
        .until("the nomination", async |cluster| {
            let pod = cluster.get("vip").await?;
            pod["status"]["nominatedNodeName"].as_str().map(str::to_owned)
        })
        .await;
    assert_eq!(nominated, "n");
    let ending = cluster
        .until("the victim's end", async |cluster| {
            let pod = cluster.get("victim").await?;
            pod["metadata"]["deletionTimestamp"].is_string().then_some(pod)
        })
        .await;
    let conditions = ending["status"]["conditions"].as_array().unwrap();
    let disrupted = conditions.iter().find(|one| one["type"] == "DisruptionTarget").unwrap();
    assert_eq!(disrupted["reason"], "PreemptionByScheduler");
    assert_eq!(disrupted["message"], "default-scheduler: preempting to accommodate a higher priority pod");
    cluster.event("victim", "Preempted").await;
    // Nobody less important gets what the important one waits for.
    cluster.pod("sneaky", json!({"priority": 1, "containers": asks("1")})).await;
    cluster.refusal_of("sneaky").await;
    cluster.patch("a", known::pods(), "victim", "", json!({"metadata": {"finalizers": null}})).await;
    let call = Call::delete(known::pods(), "a", "victim");
    drop(cluster.api.call(call.with(|options| options.grace_period_seconds = Some(0))).await);
    assert_eq!(cluster.node_of("vip").await, "n");
    assert!(cluster.get("sneaky").await.unwrap()["spec"].get("nodeName").is_none());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_preempts_waits() {
    let cluster = Cluster::new().await;
    cluster.node("n", "2", "10").await;
    cluster.pod("first", json!({"containers": asks("2")})).await;
    cluster.node_of("first").await;
    cluster
        .pod("second", json!({"priority": 100, "preemptionPolicy": "Never", "containers": asks("2")}))
        .await;
    assert_eq!(
        cluster.refusal_of("second").await.1,
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
    );
    assert!(cluster.get("first").await.unwrap()["metadata"].get("deletionTimestamp").is_none());
    cluster.stop().await;
}
