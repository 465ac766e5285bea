//! Namespaces and what ends with them.

use serde_json::json;

use crate::rig::{MERGE_PATCH, STRATEGIC_PATCH, rig, wait_for};

/// [sig-api-machinery] Namespaces [Serial] should patch a Namespace [Conformance]
#[test]
fn namespaces_should_patch_a_namespace() {
    let rig = rig();
    let path = format!("/api/v1/namespaces/{}", rig.namespace());
    rig.patch(&path, STRATEGIC_PATCH, &json!({"metadata": {"labels": {"testLabel": "testValue"}}})).ok();
    assert_eq!(rig.get(&path).ok()["metadata"]["labels"]["testLabel"], "testValue");
}

/// [sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace [Conformance]
#[test]
fn namespaces_should_apply_an_update_to_a_namespace() {
    let rig = rig();
    let name = rig.namespace();
    let path = format!("/api/v1/namespaces/{name}");
    let mut object = rig.get(&path).ok();
    object["metadata"]["labels"][&name] = json!("updated");
    assert_eq!(rig.update(&path, &object).ok()["metadata"]["labels"][&name], "updated");
}

/// [sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status [Conformance]
#[test]
fn namespaces_should_apply_changes_to_a_namespace_status() {
    let rig = rig();
    let path = format!("/api/v1/namespaces/{}/status", rig.namespace());
    assert_eq!(rig.get(&path).ok()["status"]["phase"], "Active");
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "reason": "E2E", "message": "Set by a test"});
    let patch = json!({"metadata": {"annotations": {"e2e-patched-ns-status": "yes"}},
        "status": {"conditions": [condition("StatusPatch")]}});
    let patched = rig.patch(&path, MERGE_PATCH, &patch).ok();
    assert_eq!(patched["metadata"]["annotations"]["e2e-patched-ns-status"], "yes");
    assert_eq!(patched["status"]["conditions"][0]["type"], "StatusPatch");
    let mut object = rig.get(&path).ok();
    object["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusUpdate"));
    let updated = rig.update(&path, &object).ok();
    assert_eq!(updated["status"]["conditions"].as_array().unwrap().len(), 2);
    assert_eq!(updated["status"]["phase"], "Active");
}

/// [sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace [Conformance]
#[test]
fn namespaces_should_apply_a_finalizer_to_a_namespace() {
    let rig = rig();
    let path = format!("/api/v1/namespaces/{}", rig.namespace());
    let mut object = rig.get(&path).ok();
    let finalizers = json!(["kubernetes", "e2e.example.com/fakeFinalizer"]);
    object["spec"]["finalizers"] = finalizers.clone();
    let updated = rig.update(&format!("{path}/finalize"), &object).ok();
    assert_eq!(updated["spec"]["finalizers"], finalizers);
    let mut object = rig.get(&path).ok();
    assert_eq!(object["spec"]["finalizers"], finalizers);
    object["spec"]["finalizers"] = json!(["kubernetes"]);
    let updated = rig.update(&format!("{path}/finalize"), &object).ok();
    assert_eq!(updated["spec"]["finalizers"], json!(["kubernetes"]));
    rig.delete(&path).ok();
    wait_for("the namespace's end", || rig.get(&path).code == 404);
}

/// [sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted [Conformance]
#[test]
fn namespaces_should_ensure_that_all_services_are_removed_when_a_namespace_is_deleted() {
    let rig = rig();
    let name = rig.namespace();
    let path = format!("/api/v1/namespaces/{name}");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "test-service"},
        "spec": {"selector": {"foo": "bar"}, "ports": [{"port": 80, "targetPort": 80}]}});
    rig.create(&format!("{path}/services"), &service).ok();
    rig.delete(&path).ok();
    wait_for("the namespace's end", || rig.get(&path).code == 404);
    let again = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    rig.create("/api/v1/namespaces", &again).ok();
    rig.get(&format!("{path}/services/test-service")).refused(404);
}
