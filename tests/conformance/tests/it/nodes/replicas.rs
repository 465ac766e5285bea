//! `[sig-apps]`: replicas that answer with their names.

use serde_json::json;
use testkit::wait_until;

use super::{PATIENCE, cluster, name, peer};

/// Each of the pods that a controller of this kind keeps says its own name.
fn each_answers(version: &str, kind: &str, plural: &str) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "name": "my-hostname-basic" });
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let path = format!("{root}/{version}/namespaces/{namespace}/{plural}");
    let selector = if version == "v1" { labels.clone() } else { json!({ "matchLabels": labels }) };
    let object = json!({
        "apiVersion": version, "kind": kind, "metadata": { "name": "my-hostname-basic" },
        "spec": { "replicas": 2, "selector": selector, "template": {
            "metadata": { "labels": labels }, "spec": peer::server("x", json!({}))["spec"],
        } },
    });
    cluster.post(&path, &object);
    cluster.until(&format!("{path}/my-hostname-basic"), |found| found["status"]["readyReplicas"] == 2);
    let pods = cluster.get(&format!("/api/v1/namespaces/{namespace}/pods"));
    for pod in pods["items"].as_array().unwrap() {
        let way = format!("/api/v1/namespaces/{namespace}/pods/{}:8080/proxy/hostname", name(pod));
        let met = wait_until(PATIENCE, || cluster.rig().get(&way).text() == name(pod));
        assert!(met, "{way}: {:?}", cluster.rig().get(&way));
    }
}

/// [sig-apps] ReplicaSet should serve a basic image on each replica with a public image [Conformance]
#[test]
fn replica_set_should_serve_a_basic_image_on_each_replica() {
    each_answers("apps/v1", "ReplicaSet", "replicasets");
}

/// [sig-apps] ReplicationController should serve a basic image on each replica with a public image [Conformance]
#[test]
fn replication_controller_should_serve_a_basic_image_on_each_replica() {
    each_answers("v1", "ReplicationController", "replicationcontrollers");
}
