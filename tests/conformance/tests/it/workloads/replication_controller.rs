//! `[sig-apps] ReplicationController`.

use serde_json::{Value, json};

use super::kept::{CONTROLLER, adopts_and_releases, make, make_in, owned_by, scales};
use super::until;
use crate::faked::cluster;
use crate::life::change;
use crate::rig::wait_for;

/// [sig-apps] ReplicationController should adopt matching pods on creation [Conformance]
#[test]
fn replication_controller_should_adopt_matching_pods_on_creation() {
    adopts_and_releases(CONTROLLER);
}

/// [sig-apps] ReplicationController should release no longer matching pods [Conformance]
#[test]
fn replication_controller_should_release_no_longer_matching_pods() {
    let made = make(CONTROLLER, "pod-release", 1, json!({}));
    let uid = made.runs(1)["metadata"]["uid"].clone();
    let pod = made.pods().remove(0);
    let path = made.pod_path(&pod);
    assert!(owned_by(&pod, &uid));
    made.api.strategic(&path, &json!({ "metadata": { "labels": { "name": "not-matching-name" } } }));
    until(&made.api, &path, |pod| pod["metadata"]["ownerReferences"].is_null());
}

/// [sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]
#[test]
fn replication_controller_should_get_and_update_a_scale() {
    scales(&make(CONTROLLER, "e2e-rc", 1, json!({})));
}

/// [sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota [Conformance]
#[test]
fn replication_controller_should_surface_a_failure_condition_on_exceeded_quota() {
    let api = cluster();
    let namespace = api.namespace();
    let quotas = format!("/api/v1/namespaces/{namespace}/resourcequotas");
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "condition-test" },
        "spec": { "hard": { "pods": "2" } },
    });
    api.post(&quotas, &quota);
    until(&api, &format!("{quotas}/condition-test"), |quota| quota["status"]["hard"]["pods"] == "2");
    let made = make_in(api, namespace, CONTROLLER, "condition-test", 3, json!({}));
    made.until(|found| super::holds(found, "ReplicaFailure"));
    change(&made.api, &made.path, |object| object["spec"]["replicas"] = json!(2));
    made.until(|found| !super::holds(found, "ReplicaFailure"));
}

/// [sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]
#[test]
fn replication_controller_should_test_the_lifecycle() {
    let api = cluster();
    let namespace = api.namespace();
    let mut events = api.watch(&CONTROLLER.path(&namespace));
    let made = make_in(api, namespace, CONTROLLER, "rc-test", 1, json!({}));
    let mine = |object: &Value| object["metadata"]["name"] == "rc-test";
    events.until("ADDED", mine);
    events.until("MODIFIED", |object| mine(object) && object["status"]["readyReplicas"] == 1);
    let patch = json!({ "metadata": { "labels": { "test-rc": "patched" } } });
    made.api.strategic(&made.path, &patch);
    events.until("MODIFIED", |object| mine(object) && object["metadata"]["labels"]["test-rc"] == "patched");
    let status = format!("{}/status", made.path);
    made.api.strategic(&status, &json!({ "status": { "readyReplicas": 0, "availableReplicas": 0 } }));
    // The controller says itself again how it is.
    events.until("MODIFIED", |object| mine(object) && object["status"]["readyReplicas"] == 1);
    made.api.get(&status);
    made.api.merge(&format!("{}/scale", made.path), &json!({ "spec": { "replicas": 2 } }));
    events.until("MODIFIED", |object| mine(object) && object["status"]["readyReplicas"] == 2);
    change(&made.api, &made.path, |object| {
        object["metadata"]["annotations"] = json!({ "updated": "true" });
    });
    let all = made.api.get("/api/v1/replicationcontrollers?labelSelector=test-rc%3Dpatched");
    assert!(all["items"].as_array().unwrap().iter().any(mine));
    made.api.delete(&format!("{}?labelSelector=test-rc%3Dpatched", made.all));
    events.until("DELETED", mine);
    wait_for("its end", || made.api.get(&made.all)["items"].as_array().is_some_and(Vec::is_empty));
}
