//! Pods get nodes, or are told why not, and get one when that changes.

use client::{Api as _, Call};
use controllers::known;
use serde_json::json;

use crate::cluster::{Cluster, asks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cp_04_pods_get_nodes_by_what_they_ask() {
    let cluster = Cluster::new().await;
    cluster.pod("early", json!({"containers": asks("2")})).await;
    let none = cluster.refusal_of("early").await;
    assert_eq!(none, ("Unschedulable".to_owned(), "no nodes available to schedule pods".to_owned()));
    cluster.node("small", "1", "10").await;
    cluster.node("big", "4", "10").await;
    assert_eq!(cluster.node_of("early").await, "big");
    let told = cluster.event("early", "Scheduled").await;
    assert_eq!(told["message"], "Successfully assigned a/early to big");
    assert_eq!(told["reportingComponent"], "default-scheduler");
    // What fits nowhere says why in upstream's words, and goes when it fits.
    cluster.pod("late", json!({"containers": asks("3")})).await;
    let (reason, message) = cluster.refusal_of("late").await;
    assert_eq!(reason, "Unschedulable");
    assert_eq!(
        message,
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: \
         1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
    );
    assert_eq!(cluster.event("late", "FailedScheduling").await["type"], "Warning");
    cluster.delete("early").await;
    assert_eq!(cluster.node_of("late").await, "big");
    // Another scheduler's pods are not ours, but they take room.
    cluster
        .pod("foreign", json!({"schedulerName": "other", "nodeName": "small", "containers": asks("1")}))
        .await;
    cluster.pod("unplaced", json!({"schedulerName": "other"})).await;
    cluster.pod("beside", json!({"containers": asks("1")})).await;
    assert_eq!(cluster.node_of("beside").await, "big");
    assert!(cluster.get("unplaced").await.unwrap()["spec"].get("nodeName").is_none());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_keep_pods_back() {
    let cluster = Cluster::new().await;
    cluster.node("n", "4", "10").await;
    cluster.pod("gated", json!({"schedulingGates": [{"name": "example.com/wait"}]})).await;
    assert_eq!(cluster.refusal_of("gated").await.0, "SchedulingGated");
    cluster.pod("free", json!({})).await;
    cluster.node_of("free").await;
    assert!(cluster.get("gated").await.unwrap()["spec"].get("nodeName").is_none());
    cluster.patch("a", known::pods(), "gated", "", json!({"spec": {"schedulingGates": null}})).await;
    assert_eq!(cluster.node_of("gated").await, "n");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_fills_nodes_and_no_more_also_over_a_restart() {
    let mut cluster = Cluster::new().await;
    for node in ["n1", "n2", "n3"] {
        cluster.node(node, "64", "40").await;
    }
    for number in 0..60 {
        cluster.pod(&format!("p{number}"), json!({"containers": asks("10m")})).await;
    }
    cluster.restart_binder().await;
    for number in 60..130 {
        cluster.pod(&format!("p{number}"), json!({"containers": asks("10m")})).await;
    }
    let placed = cluster
        .until("all that fit", async |cluster| {
            let list = cluster.api.call(Call::list(known::pods(), "a")).await.ok()?;
            let nodes: Vec<String> = list["items"]
                .as_array()?
                .iter()
                .filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned))
                .collect();
            (nodes.len() == 120).then_some(nodes)
        })
        .await;
    for node in ["n1", "n2", "n3"] {
        assert_eq!(placed.iter().filter(|name| *name == node).count(), 40, "{node}");
    }
    cluster.stop().await;
}
