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

fn pod(name: &str, finalizers: &serde_json::Value) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "finalizers": finalizers},
        "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}]},
    })
}

/// [sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted [Conformance]
#[test]
fn namespaces_should_ensure_that_all_pods_are_removed_when_a_namespace_is_deleted() {
    let cluster = crate::faked::cluster();
    let namespace = cluster.namespace();
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    cluster.post(&pods, &pod("test-pod", &json!([])));
    cluster.until(&format!("{pods}/test-pod"), |pod| pod["status"]["phase"] == "Running");
    let path = format!("/api/v1/namespaces/{namespace}");
    cluster.delete(&path);
    cluster.gone(&path);
    let again = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    cluster.post("/api/v1/namespaces", &again);
    assert_eq!(cluster.get(&pods)["items"].as_array().map(Vec::len), Some(0));
    cluster.delete(&path);
}

/// [sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]
#[test]
fn ordered_namespace_deletion_should_delete_pod_first() {
    let cluster = crate::faked::cluster();
    let namespace = cluster.namespace();
    let (pods, maps) = (
        format!("/api/v1/namespaces/{namespace}/pods"),
        format!("/api/v1/namespaces/{namespace}/configmaps"),
    );
    let held = pod("testpod", &json!(["e2e.example.com/finalizer"]));
    cluster.post(&pods, &held);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "testmap"}});
    cluster.post(&maps, &map);
    let path = format!("/api/v1/namespaces/{namespace}");
    cluster.delete(&path);
    cluster.until(&path, |found| {
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|found| found["type"] == "NamespaceFinalizersRemaining" && found["status"] == "True")
    });
    cluster.until(&format!("{pods}/testpod"), |pod| pod["metadata"]["deletionTimestamp"].is_string());
    assert!(cluster.get(&format!("{maps}/testmap"))["metadata"]["deletionTimestamp"].is_null());
    cluster.merge(&format!("{pods}/testpod"), &json!({"metadata": {"finalizers": null}}));
    cluster.gone(&path);
}
