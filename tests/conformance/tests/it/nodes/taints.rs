//! Nodes that want to be rid of their pods.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Shared, cluster, cluster_alone, idle_pod, name};

const KEY: &str = "kubernetes.io/e2e-evict-taint-key";

/// `[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]`
#[test]
fn conformance_tests_should_have_at_least_two_untainted_nodes() {
    let nodes = cluster().get("/api/v1/nodes");
    let untainted = |node: &&Value| node["spec"]["taints"].as_array().is_none_or(Vec::is_empty);
    assert!(nodes["items"].as_array().unwrap().iter().filter(untainted).count() >= 2, "{nodes}");
}

/// A pod that endures the taint for so many seconds, running on the node.
fn tolerant(cluster: &Shared, namespace: &str, node: &str, seconds: u64) -> String {
    let mut pod = idle_pod();
    pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    pod["spec"]["tolerations"] = json!([{
        "key": KEY, "value": "evictTaintVal", "effect": "NoExecute", "tolerationSeconds": seconds,
    }]);
    let made = cluster.running(namespace, &pod);
    assert_eq!(made["spec"]["nodeName"], node);
    name(&made).to_owned()
}

fn taint(cluster: &Shared, node: &str, taints: &Value) {
    cluster.strategic(&format!("/api/v1/nodes/{node}"), &json!({ "spec": { "taints": taints } }));
}

fn evicting() -> Value {
    json!([{ "key": KEY, "value": "evictTaintVal", "effect": "NoExecute" }])
}

/// Whether the pod stays for all that time.
fn stays(cluster: &Shared, namespace: &str, pod: &str, time: Duration) -> bool {
    let path = format!("/api/v1/namespaces/{namespace}/pods?fieldSelector=metadata.name={pod}");
    let mut events = cluster.watch(&path);
    let until = Instant::now() + time;
    while let Some(event) = events.next_within(until.saturating_duration_since(Instant::now())) {
        let event = event.expect("the watch goes on");
        if event["type"] == "DELETED" || !event["object"]["metadata"]["deletionTimestamp"].is_null() {
            return false;
        }
    }
    true
}

/// `[sig-node] NoExecuteTaintManager Single Pod [Serial] removing taint cancels eviction [Disruptive] [Conformance]`
#[test]
fn no_execute_taint_manager_single_pod_removing_taint_cancels_eviction() {
    let cluster = cluster_alone();
    let (namespace, node) = (cluster.namespace(), Shared::NODES[1]);
    let pod = tolerant(&cluster, &namespace, node, 8);
    taint(&cluster, node, &evicting());
    let at_first = stays(&cluster, &namespace, &pod, Duration::from_secs(3));
    taint(&cluster, node, &json!([]));
    assert!(at_first, "the pod went before its time");
    assert!(stays(&cluster, &namespace, &pod, Duration::from_secs(8)), "the pod was evicted");
}

/// `[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds [Disruptive]
/// [Conformance]`
#[test]
fn no_execute_taint_manager_multiple_pods_evicts_pods_with_min_toleration_seconds() {
    let cluster = cluster_alone();
    let (namespace, node) = (cluster.namespace(), Shared::NODES[1]);
    let brief = tolerant(&cluster, &namespace, node, 2);
    let patient = tolerant(&cluster, &namespace, node, 600);
    taint(&cluster, node, &evicting());
    let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cluster.gone(&format!("/api/v1/namespaces/{namespace}/pods/{brief}"));
    }));
    let stayed = stays(&cluster, &namespace, &patient, Duration::from_secs(2));
    taint(&cluster, node, &json!([]));
    assert!(gone.is_ok(), "the pod was not evicted");
    assert!(stayed, "the other pod was evicted");
}
