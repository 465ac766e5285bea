//! `[sig-api-machinery] Aggregator`: an API server in a pod.

use serde_json::{Value, json};
use testkit::wait_until;

use super::served::{self, NAME, PORT};
use super::{PATIENCE, Shared, cluster, holds};
use crate::rig::MERGE_PATCH;

const GROUP: &str = "wardle.example.com";

/// The authority of those whom such a server has to believe: it reads there, as everybody of the role may.
fn front_proxy(cluster: &Shared) -> String {
    let system = "namespaces/kube-system";
    let known = cluster.get(&format!("/api/v1/{system}/configmaps/extension-apiserver-authentication"));
    let data = |name: &str| known["data"][name].as_str().unwrap_or_else(|| panic!("{name} of {known}"));
    assert_eq!(data("requestheader-username-headers"), r#"["X-Remote-User"]"#);
    assert!(data("client-ca-file").contains("BEGIN CERTIFICATE"));
    let role = "roles/extension-apiserver-authentication-reader";
    cluster.get(&format!("/apis/rbac.authorization.k8s.io/v1/{system}/{role}"));
    cluster.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:auth-delegator");
    data("requestheader-client-ca-file").to_owned()
}

/// [sig-api-machinery] Aggregator Should be able to support the 1.17 Sample API Server using the current Aggregator [LinuxOnly] [Conformance]
#[test]
fn aggregator_should_be_able_to_support_the_sample_api_server() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let authority = served::start(&cluster, &namespace, &["flunders"], Some(&front_proxy(&cluster)));
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let one = format!("{services}/v1alpha1.{GROUP}");
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": format!("v1alpha1.{GROUP}"), "labels": { "apiservice": "e2e" } },
        "spec": {
            "service": { "namespace": namespace, "name": NAME, "port": PORT },
            "group": GROUP, "version": "v1alpha1", "caBundle": authority,
            "groupPriorityMinimum": 2000, "versionPriority": 200,
        },
    });
    cluster.post(services, &object);
    cluster.until(&one, |found| holds(found, "Available"));
    let flunders = format!("/apis/{GROUP}/v1alpha1/namespaces/{namespace}/flunders");
    let answers = wait_until(PATIENCE, || cluster.rig().get(&flunders).code == 200);
    assert!(answers, "{:?}", cluster.rig().get(&flunders));

    let flunder = |name: &str| {
        json!({ "apiVersion": format!("{GROUP}/v1alpha1"), "kind": "Flunder",
            "metadata": { "name": name, "namespace": namespace } })
    };
    let made = cluster.post(&flunders, &flunder("test-flunder"));
    assert!(made["metadata"]["uid"].is_string(), "{made}");
    let listed = |count: usize| {
        let list = cluster.get(&flunders);
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{list}");
    };
    listed(1);
    let patch = json!({ "metadata": { "labels": { "patched": "true" } } });
    let patched = cluster.rig().patch(&format!("{flunders}/test-flunder"), MERGE_PATCH, &patch).ok();
    assert_eq!(patched["metadata"]["labels"]["patched"], "true");
    cluster.delete(&format!("{flunders}/test-flunder"));
    listed(0);
    cluster.post(&flunders, &flunder("dynamic-flunder"));
    cluster.delete(&flunders);
    listed(0);
    // kubectl finds it by what discovery says.
    let said = cluster.kubectl(&["-n", &namespace, "get", "flunders.wardle.example.com", "-o", "name"]);
    said.exits(0);
    let groups = cluster.get("/apis")["groups"].clone();
    assert!(groups.as_array().unwrap().iter().any(|found| found["name"] == GROUP));

    let status = format!("{one}/status");
    let condition = json!({
        "type": "StatusPatched", "status": "True", "reason": "E2E", "message": "Set by e2e test",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    });
    let mut conditions = cluster.get(&status)["status"]["conditions"].as_array().unwrap().clone();
    conditions.push(condition);
    let patched = cluster.merge(&status, &json!({ "status": { "conditions": conditions } }));
    assert!(holds(&patched, "StatusPatched"), "{patched}");
    cluster.merge(&one, &json!({ "metadata": { "labels": { "apiservice": "patched" } } }));
    let changed =
        crate::life::change(&cluster, &one, |object| object["spec"]["versionPriority"] = json!(400));
    assert_eq!(changed["spec"]["versionPriority"], 400);
    let selected = format!("{services}?labelSelector=apiservice%3Dpatched");
    let list = cluster.get(&selected);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    cluster.delete(&selected);
    cluster.gone(&one);
    let gone = wait_until(PATIENCE, || cluster.rig().get(&flunders).code == 404);
    assert!(gone, "{:?}", Value::String(cluster.rig().get(&flunders).text().to_owned()));
}
