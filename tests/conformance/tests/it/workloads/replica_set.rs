//! `[sig-apps] ReplicaSet`.

use serde_json::json;

use super::kept::{REPLICA_SET, adopts_and_releases, has_status, list, make, scales};
use super::until;
use crate::life::contains;

/// [sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]
#[test]
fn replica_set_should_have_a_working_scale_subresource() {
    scales(&make(REPLICA_SET, "test-rs", 1, json!({})));
}

/// [sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]
#[test]
fn replica_set_should_validate_replicaset_status_endpoints() {
    has_status(&make(REPLICA_SET, "test-rs", 1, json!({})));
}

/// [sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]
#[test]
fn replica_set_should_adopt_matching_pods_and_release_no_longer_matching_pods() {
    adopts_and_releases(REPLICA_SET);
}

/// [sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]
#[test]
fn replica_set_should_list_and_delete_a_collection_of_replica_sets() {
    let made = make(REPLICA_SET, "test-rs", 3, json!({}));
    made.runs(3);
    assert_eq!(list(&made.api, &format!("{}?labelSelector=name%3Dtest-rs", made.all)).len(), 1);
    made.api.delete(&format!("{}?labelSelector=name%3Dtest-rs", made.all));
    made.api.gone(&made.path);
}

/// [sig-apps] ReplicaSet Replace and Patch tests [Conformance]
#[test]
fn replica_set_replace_and_patch_tests() {
    let made = make(REPLICA_SET, "test-rs", 1, json!({}));
    made.runs(1);
    made.api.merge(&format!("{}/scale", made.path), &json!({ "spec": { "replicas": 3 } }));
    made.runs(3);
    let image = json!({ "name": "c", "image": "registry.example/other:1" });
    let patch = json!({
        "metadata": { "labels": { "test-rs": "patched" } },
        "spec": { "replicas": 3, "template": { "spec": { "terminationGracePeriodSeconds": 0, "containers": [image] } } },
    });
    let patched = made.api.strategic(&made.path, &patch);
    contains(&patched["metadata"], &json!({ "labels": { "test-rs": "patched" } }));
    assert_eq!(patched["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 0);
    until(&made.api, &made.path, |found| {
        found["status"]["observedGeneration"] == found["metadata"]["generation"]
    });
    made.runs(3);
}
