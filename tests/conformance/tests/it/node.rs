//! [sig-node]

use serde_json::{Value, json};

use crate::api::{Api, server};
use crate::life::{Life, change, contains};

fn count(list: &Value) -> usize {
    list["items"].as_array().map_or(0, Vec::len)
}

/// `[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]`
#[test]
fn config_map_should_fail_to_create_config_map_with_empty_key() {
    let data = json!({ "": "value-1" });
    empty_key("ConfigMap", "configmaps", &data);
}

/// `[sig-node] Secrets should fail to create secret due to empty secret key [Conformance]`
#[test]
fn secrets_should_fail_to_create_secret_due_to_empty_secret_key() {
    let data = json!({ "": "dmFsdWUtMQ==" });
    empty_key("Secret", "secrets", &data);
}

fn empty_key(kind: &str, resource: &str, data: &Value) {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/{resource}");
    let object = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "empty" }, "data": data });
    let refused = api.try_post(&path, &object).refused(422);
    assert_eq!(refused["reason"], "Invalid");
    assert!(
        refused["message"].as_str().is_some_and(|text| text.contains("data[]: Invalid value")),
        "{refused}"
    );
    api.gone(&format!("{path}/empty"));
}

fn config_map(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "labels": labels },
        "data": { "valueName": "value" },
    })
}

/// `[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]`
#[test]
fn config_map_should_run_through_a_config_map_lifecycle() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let one = format!("{path}/test-configmap");
    let static_label = "labelSelector=test-configmap-static%3Dtrue";
    let mut events = api.watch(&format!("{path}?{static_label}"));
    api.post(&path, &config_map("test-configmap", &json!({ "test-configmap-static": "true" })));
    events.until("ADDED", |object| object["data"]["valueName"] == "value");
    let patch = json!({
        "metadata": { "labels": { "test-configmap": "patched" } },
        "data": { "valueName": "value1" },
    });
    api.strategic(&one, &patch);
    events.until("MODIFIED", |object| object["metadata"]["labels"]["test-configmap"] == "patched");
    contains(&api.get(&one), &patch);
    let list = api.get(&format!("/api/v1/configmaps?{static_label}"));
    assert_eq!(count(&list), 1);
    assert_eq!(list["items"][0]["data"]["valueName"], "value1");
    api.delete(&format!("{path}?{static_label}"));
    events.until("DELETED", |object| object["metadata"]["name"] == "test-configmap");
    assert_eq!(count(&api.get(&format!("{path}?{static_label}"))), 0);
}

/// `[sig-node] ConfigMap should update ConfigMap successfully [NodeConformance] [Conformance]`
#[test]
fn config_map_should_update_config_map_successfully() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let mut object = api.post(&path, &config_map("test", &json!({})));
    object["data"] = json!({ "data": "value" });
    api.put(&format!("{path}/test"), &object);
    assert_eq!(api.get(&format!("{path}/test"))["data"], json!({ "data": "value" }));
}

/// `[sig-node] Secrets should patch a secret [Conformance]`
#[test]
fn secrets_should_patch_a_secret() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/secrets");
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": "test", "labels": { "testsecret-constant": "true" } },
        "data": { "key": "dmFsdWU=" },
    });
    api.post(&path, &object);
    let constant = "/api/v1/secrets?labelSelector=testsecret-constant%3Dtrue";
    assert_eq!(count(&api.get(constant)), 1);
    let patch = json!({
        "metadata": { "labels": { "testsecret": "true" } },
        "data": { "key": "dmFsdWUx" },
    });
    api.strategic(&format!("{path}/test"), &patch);
    contains(&api.get(&format!("{path}/test")), &patch);
    api.delete(&format!("{path}?labelSelector=testsecret%3Dtrue"));
    assert_eq!(count(&api.get(constant)), 0);
}

/// `[sig-node] Lease lease API should be available [Conformance]`
#[test]
fn lease_lease_api_should_be_available() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    let one = format!("{path}/lease");
    let lease = |name: &str, seconds: u32, holder: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "labels": { "deletecollection": "true" } },
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": seconds,
                "acquireTime": "2026-01-02T03:04:05.000000Z",
                "renewTime": "2026-01-02T03:04:10.000000Z",
                "leaseTransitions": 0,
            },
        })
    };
    api.post(&path, &lease("lease", 30, "holder"));
    let first = api.get(&one);
    assert_eq!(first["spec"], lease("lease", 30, "holder")["spec"]);
    let mut object = first;
    object["spec"] = lease("lease", 42, "holder2")["spec"].clone();
    api.put(&one, &object);
    assert_eq!(api.get(&one)["spec"], object["spec"]);
    let spec = json!({ "holderIdentity": "holder3", "leaseDurationSeconds": 50, "leaseTransitions": 1 });
    api.strategic(&one, &json!({ "spec": spec }));
    let patched = api.get(&one);
    contains(&patched["spec"], &spec);
    assert_eq!(patched["spec"]["renewTime"], "2026-01-02T03:04:10.000000Z");
    api.post(&path, &lease("lease2", 30, "holder"));
    let mine = format!("{path}?labelSelector=deletecollection%3Dtrue");
    assert_eq!(count(&api.get(&mine)), 2);
    api.delete(&mine);
    assert_eq!(count(&api.get(&mine)), 0);
    api.post(&path, &lease("lease", 30, "holder"));
    api.delete(&one);
    api.gone(&one);
}

/// `[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]`
#[test]
fn node_lifecycle_should_run_through_the_lifecycle_of_a_node() {
    let api = server();
    let (path, one) = ("/api/v1/nodes", "/api/v1/nodes/e2e-fake-node");
    let created = api
        .post(path, &json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "e2e-fake-node" } }));
    assert_eq!(api.get(one)["metadata"]["uid"], created["metadata"]["uid"]);
    let patch = json!({ "metadata": { "labels": { "e2e-fake-node": "patched" } } });
    assert_eq!(api.strategic(one, &patch)["metadata"]["labels"]["e2e-fake-node"], "patched");
    let updated = change(&api, one, |node| node["metadata"]["labels"]["e2e-fake-node"] = json!("updated"));
    assert_eq!(updated["metadata"]["labels"]["e2e-fake-node"], "updated");
    let mine = "/api/v1/nodes?labelSelector=e2e-fake-node%3Dupdated";
    assert_eq!(count(&api.get(mine)), 1);
    api.delete(one);
    api.gone(one);
    assert_eq!(count(&api.get(mine)), 0);
}

fn pod_template(name: &str, label: &str) -> Value {
    let container = json!({ "name": "nginx", "image": "registry.example/nginx:1" });
    json!({
        "apiVersion": "v1", "kind": "PodTemplate",
        "metadata": { "name": name, "labels": { "podtemplates": label } },
        "template": { "spec": { "containers": [container] } },
    })
}

/// `[sig-node] PodTemplates should delete a collection of pod templates [Conformance]`
#[test]
fn pod_templates_should_delete_a_collection_of_pod_templates() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/podtemplates");
    for name in ["test-podtemplate-1", "test-podtemplate-2", "test-podtemplate-3"] {
        api.post(&path, &pod_template(name, "set"));
    }
    let mine = format!("{path}?labelSelector=podtemplates%3Dset");
    assert_eq!(count(&api.get(&mine)), 3);
    api.delete(&mine);
    assert_eq!(count(&api.get(&mine)), 0);
}

/// `[sig-node] PodTemplates should replace a pod template [Conformance]`
#[test]
fn pod_templates_should_replace_a_pod_template() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/podtemplates");
    api.post(&path, &pod_template("one", "replace"));
    let one = format!("{path}/one");
    let updated = change(&api, &one, |template| {
        template["metadata"]["annotations"] = json!({ "updated": "true" });
    });
    assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
    assert_eq!(api.get(&one)["metadata"]["annotations"]["updated"], "true");
}

/// `[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]`
#[test]
fn pod_templates_should_run_the_lifecycle_of_pod_templates() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/podtemplates");
    let one = format!("{path}/nginx-pod-template");
    api.post(&path, &pod_template("nginx-pod-template", "life"));
    let mine = "/api/v1/podtemplates?labelSelector=podtemplates%3Dlife";
    assert_eq!(count(&api.get(mine)), 1);
    let container = json!({ "name": "nginx", "image": "registry.example/nginx:2" });
    let patch = json!({
        "metadata": { "labels": { "podtemplate": "patched" } },
        "template": { "spec": { "containers": [container] } },
    });
    api.strategic(&one, &patch);
    contains(&api.get(&one), &patch);
    api.delete(&one);
    api.gone(&one);
    assert_eq!(count(&api.get(mine)), 0);
}

fn runtime_pod(class: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "generateName": "test-runtimeclass-" },
        "spec": {
            "runtimeClassName": class,
            "containers": [{ "name": "test", "image": "registry.example/busybox:1" }],
        },
    })
}

/// The pod is forbidden, since there is no such class.
fn no_such_class(api: &Api, namespace: &str, class: &str) {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let refused = api.try_post(&pods, &runtime_pod(class)).refused(403);
    assert_eq!(refused["reason"], "Forbidden");
    let wanted = format!("RuntimeClass \"{class}\" not found");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains(&wanted)), "{refused}");
}

/// `[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [NodeConformance] [Conformance]`
#[test]
fn runtime_class_should_reject_a_pod_requesting_a_deleted_runtime_class() {
    let api = server();
    let namespace = api.namespace();
    let object = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
        "metadata": { "name": "deleted-class" }, "handler": "some-handler",
    });
    api.post("/apis/node.k8s.io/v1/runtimeclasses", &object);
    let one = "/apis/node.k8s.io/v1/runtimeclasses/deleted-class";
    assert_eq!(api.get(one)["handler"], "some-handler");
    api.delete(one);
    api.gone(one);
    no_such_class(&api, &namespace, "deleted-class");
}

/// `[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [NodeConformance] [Conformance]`
#[test]
fn runtime_class_should_reject_a_pod_requesting_a_non_existent_runtime_class() {
    let api = server();
    let namespace = api.namespace();
    no_such_class(&api, &namespace, "nonexistent");
}

/// `[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]`
#[test]
fn runtime_class_should_support_runtime_classes_api_operations() {
    Life {
        version: "node.k8s.io/v1",
        resource: "runtimeclasses",
        kind: "RuntimeClass",
        namespace: None,
        names: ["rc-life-1", "rc-life-2", "rc-life-3"],
        body: json!({ "handler": "some-handler" }),
        phase: None,
        status: None,
    }
    .run(&server());
}

/// `[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls [Conformance]`
#[test]
fn sysctls_should_reject_invalid_sysctls() {
    let api = server();
    let namespace = api.namespace();
    let names = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar.."];
    let sysctls: Vec<Value> =
        names.iter().map(|name| json!({ "name": name, "value": "100000000" })).collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "sysctl" },
        "spec": {
            "securityContext": { "sysctls": sysctls },
            "containers": [{ "name": "test", "image": "registry.example/busybox:1" }],
        },
    });
    let refused = api.try_post(&format!("/api/v1/namespaces/{namespace}/pods"), &pod).refused(422);
    let message = refused["message"].as_str().unwrap_or("");
    assert_eq!(refused["reason"], "Invalid");
    assert!(
        message.contains("Invalid value: \"foo-\"") && message.contains("Invalid value: \"bar..\""),
        "{message}"
    );
    assert!(!message.contains("kernel.shmmax") && !message.contains("safe-and-unsafe"), "{message}");
}

/// The life of a kind of `resource.k8s.io/v1`.
fn resource_life(
    prefix: &str,
    resource: &str,
    kind: &str,
    namespaced: bool,
    body: Value,
    status: Option<[Value; 2]>,
) {
    let api = server();
    let namespace = namespaced.then(|| api.namespace());
    let names = ["a", "b", "c"].map(|end| format!("{prefix}-{end}"));
    Life {
        version: "resource.k8s.io/v1",
        resource,
        kind,
        namespace: namespace.as_deref(),
        names: [&names[0], &names[1], &names[2]],
        body,
        phase: None,
        status,
    }
    .run(&api);
}

/// `[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]`
#[test]
fn dra_crud_tests_resource_k8s_io_v1_device_class() {
    resource_life("deviceclass", "deviceclasses", "DeviceClass", false, json!({ "spec": {} }), None);
}

/// `[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]`
#[test]
fn dra_crud_tests_resource_k8s_io_v1_resource_claim() {
    let allocated = |pool: &str| {
        let result = json!({ "request": "req", "driver": "dra.example", "pool": pool, "device": "one" });
        json!({ "allocation": { "devices": { "results": [result] } } })
    };
    let request = json!({ "name": "req", "exactly": { "deviceClassName": "any" } });
    let body = json!({ "spec": { "devices": { "requests": [request] } } });
    // Not a pod, whose reservation the server's own loop ends when it is not there.
    let reserved = json!([{ "apiGroup": "dra.example", "resource": "users", "name": "one", "uid": "12345" }]);
    let mut second = allocated("pool");
    second["reservedFor"] = reserved;
    let statuses = [allocated("pool"), second];
    resource_life("resourceclaim", "resourceclaims", "ResourceClaim", true, body, Some(statuses));
}

/// `[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]`
#[test]
fn dra_crud_tests_resource_k8s_io_v1_resource_claim_template() {
    let request = json!({ "name": "req", "exactly": { "deviceClassName": "any" } });
    let body = json!({ "spec": { "spec": { "devices": { "requests": [request] } } } });
    resource_life("claimtemplate", "resourceclaimtemplates", "ResourceClaimTemplate", true, body, None);
}

/// `[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]`
#[test]
fn dra_crud_tests_resource_k8s_io_v1_resource_slice() {
    let body = json!({ "spec": {
        "driver": "dra.example",
        "nodeName": "some-node",
        "pool": { "name": "pool", "generation": 0, "resourceSliceCount": 1 },
        "devices": [{ "name": "one" }],
    } });
    resource_life("resourceslice", "resourceslices", "ResourceSlice", false, body, None);
}
