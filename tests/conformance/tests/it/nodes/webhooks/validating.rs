//! Webhooks that refuse.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::peer;
use super::{Hooked, Kind, PATIENCE, config_map, denied, maps, rule, unwanted};
use crate::nodes::cluster;
use crate::rig::{MERGE_PATCH, unique};

const WRONG_MAP: &str = "the configmap contains unwanted key and value";

/// A pod that no node has to run.
fn pod(name: &str, labels: Value, container: &str) -> Value {
    let mut pod = peer::pod(name, labels, &["serve"]);
    pod["spec"]["containers"][0]["name"] = json!(container);
    pod["spec"]["schedulingGates"] = json!([{ "name": "example.com/never" }]);
    pod
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny pod and configmap creation [Conformance]
#[test]
fn admission_webhook_should_be_able_to_deny_pod_and_configmap_creation() {
    let hooked = Hooked::start();
    let pods =
        hooked.hook("/pods", &rule(&["CREATE"], "", &["v1"], &["pods"]), json!({ "timeoutSeconds": 2 }));
    let all = rule(&["CREATE", "UPDATE", "DELETE"], "", &["v1"], &["configmaps"]);
    let maps = hooked.hook("/configmaps", &all, Value::Null);
    // Who is not let in is not let in either where nobody answers.
    let exempt = json!({ "matchExpressions": [
        { "key": "kubernetes.io/metadata.name", "operator": "In", "values": [hooked.namespace] },
    ] });
    let closed = hooked.hook(
        "/nobody",
        &rule(&["CREATE"], "", &["v1"], &["secrets"]),
        json!({
            "failurePolicy": "Fail", "namespaceSelector": exempt,
            "clientConfig": { "service": { "namespace": hooked.namespace, "name": "no-such-service" } },
        }),
    );
    hooked.configure(Kind::Validating, &json!({}), &[pods, maps, closed]);
    hooked.until("maps are refused", || hooked.config_map(&unwanted()), |answer| denied(answer, WRONG_MAP));
    let make = |pod: &Value| hooked.cluster.try_post(&hooked.at("pods"), pod);
    let label = |value: &str| json!({ "webhook-e2e-test": value });
    let refused = make(&pod("disallowed-pod", label("webhook-disallow"), "webhook-disallow"));
    assert!(denied(&refused, "the pod contains unwanted label;"), "{refused:?}");
    assert!(denied(&refused, "the pod contains unwanted container name;"), "{refused:?}");
    let hanging = make(&pod("hanging-pod", label("wait-forever"), "c"));
    assert!(hanging.code >= 500, "{hanging:?}");
    assert!(hanging.text().contains("deadline") || hanging.text().contains("timeout"), "{hanging:?}");
    hooked.cluster.get(&hooked.at("pods"));

    let fine = hooked.cluster.post(&hooked.at("configmaps"), &config_map("allowed", &json!({ "a": "b" })));
    let path = format!("{}/allowed", hooked.at("configmaps"));
    let mut wrong = fine;
    wrong["data"] = unwanted();
    let refused = hooked.cluster.try_put(&path, &wrong);
    assert!(denied(&refused, WRONG_MAP), "{refused:?}");
    let refused = hooked.cluster.rig().patch(&path, MERGE_PATCH, &json!({ "data": unwanted() }));
    assert!(denied(&refused, WRONG_MAP), "{refused:?}");
    // Another namespace is not theirs.
    let other = hooked.cluster.namespace();
    hooked
        .cluster
        .post(&format!("/api/v1/namespaces/{other}/configmaps"), &config_map("skipped", &unwanted()));
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny attaching pod [Conformance]
#[test]
fn admission_webhook_should_be_able_to_deny_attaching_pod() {
    let hooked = Hooked::start();
    let connect = rule(&["CONNECT"], "", &["v1"], &["pods/attach"]);
    hooked.configure(
        Kind::Validating,
        &json!({}),
        &[hooked.hook("/pods/attach", &connect, json!({ "failurePolicy": "Fail" }))],
    );
    hooked.cluster.running(&hooked.namespace, &peer::client("to-be-attached-pod"));
    let args = ["-n", &hooked.namespace, "attach", "to-be-attached-pod", "-i", "-c=main"];
    let said = hooked.cluster.kubectl(&args);
    assert_ne!(said.code, 0, "{said:?}");
    said.says("attaching to pod 'to-be-attached-pod' is not allowed");
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should deny crd creation [Conformance]
#[test]
fn admission_webhook_should_deny_crd_creation() {
    let hooked = Hooked::start();
    let group = format!("{}.example.com", hooked.namespace);
    let rule = rule(&["CREATE"], "apiextensions.k8s.io", &["*"], &["customresourcedefinitions"]);
    let mine = json!({ "matchLabels": { "e2e-of": hooked.namespace } });
    let more = json!({ "namespaceSelector": null, "objectSelector": mine });
    hooked.configure(Kind::Validating, &json!({}), &[hooked.hook("/crd", &rule, more)]);
    let make = || {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("denieds.{group}"),
                "labels": { "webhook-e2e-test": "webhook-disallow", "e2e-of": hooked.namespace } },
            "spec": { "group": group, "scope": "Namespaced",
                "names": { "plural": "denieds", "singular": "denied", "kind": "Denied", "listKind": "DeniedList" },
                "versions": [{ "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": { "type": "object" } } }] },
        });
        // Until it holds, what is made is made on trial only.
        hooked
            .cluster
            .try_post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", &definition)
    };
    hooked.until("definitions are refused", make, |answer| denied(answer, "the crd contains unwanted label"));
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should unconditionally reject operations on fail closed webhook [Conformance]
#[test]
fn admission_webhook_should_reject_operations_on_fail_closed_webhook() {
    let hooked = Hooked::start();
    let nobody = json!({
        "failurePolicy": "Fail",
        "clientConfig": {
            "service": { "namespace": hooked.namespace, "name": "no-such-service", "path": "/x" },
            "caBundle": hooked.authority,
        },
    });
    hooked.configure(Kind::Validating, &json!({}), &[hooked.hook("/fail-closed", &maps(), nobody)]);
    let refused =
        hooked.until("nobody answers", || hooked.config_map(&json!({})), |answer| answer.code == 500);
    assert_eq!(refused.json()["reason"], "InternalError");
    assert!(refused.text().contains("failed calling webhook"), "{refused:?}");
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should honor timeout [Conformance]
#[test]
fn admission_webhook_should_honor_timeout() {
    let hooked = Hooked::start();
    let ready = |path: &str| {
        // A second webhook of the same configuration tells whether it holds.
        hooked.until(path, || hooked.config_map(&unwanted()), |answer| denied(answer, WRONG_MAP));
    };
    for (timeout, policy, passes) in
        [(Some(1), "Fail", false), (Some(1), "Ignore", true), (Some(10), "Fail", true), (None, "Fail", true)]
    {
        let mut more =
            json!({ "failurePolicy": policy, "objectSelector": { "matchLabels": { "slow": "true" } } });
        if let Some(seconds) = timeout {
            more["timeoutSeconds"] = json!(seconds);
        }
        let slow = hooked.hook("/always-allow-delay-5s", &maps(), more);
        let marker = hooked.hook("/configmaps", &maps(), json!({}));
        let path = hooked.configure(Kind::Validating, &json!({}), &[slow, marker]);
        ready(&path);
        let started = Instant::now();
        let mut object = config_map(&unique("slow"), &json!({}));
        object["metadata"]["labels"] = json!({ "slow": "true" });
        let answer = hooked.cluster.try_post(&hooked.at("configmaps"), &object);
        assert_eq!(answer.code == 201, passes, "{timeout:?} {policy}: {answer:?}");
        assert!(started.elapsed() < PATIENCE);
        if !passes {
            let text = answer.text();
            assert!(text.contains("deadline") || text.contains("timeout"), "{text}");
        }
        hooked.cluster.delete(&path);
        hooked.until("the end of it", || hooked.config_map(&unwanted()), |answer| answer.code == 201);
    }
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] listing validating webhooks should work [Conformance]
#[test]
fn listing_validating_webhooks_should_work() {
    let hooked = Hooked::start();
    let labels = json!({ "e2e-list-test-uuid": hooked.namespace });
    for _ in 0..10 {
        hooked.configure(Kind::Validating, &labels, &[hooked.hook("/configmaps", &maps(), Value::Null)]);
    }
    let selected =
        format!("{}?labelSelector=e2e-list-test-uuid%3D{}", Kind::Validating.path(), hooked.namespace);
    assert_eq!(hooked.cluster.get(&selected)["items"].as_array().unwrap().len(), 10);
    hooked.until("a refusal", || hooked.config_map(&unwanted()), |answer| denied(answer, WRONG_MAP));
    hooked.cluster.delete(&selected);
    hooked.until("no refusal", || hooked.config_map(&unwanted()), |answer| answer.code == 201);
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] patching/updating a validating webhook should work [Conformance]
#[test]
fn patching_and_updating_a_validating_webhook_should_work() {
    let hooked = Hooked::start();
    let path = hooked.configure(
        Kind::Validating,
        &json!({}),
        &[hooked.hook("/configmaps", &maps(), json!({ "failurePolicy": "Fail" }))],
    );
    hooked.until("a refusal", || hooked.config_map(&unwanted()), |answer| denied(answer, WRONG_MAP));
    crate::life::change(&hooked.cluster, &path, |object| {
        object["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"]);
    });
    hooked.until("no refusal", || hooked.config_map(&unwanted()), |answer| answer.code == 201);
    let patch = json!([{ "op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"] }]);
    hooked.cluster.rig().patch(&path, crate::rig::JSON_PATCH, &patch).ok();
    hooked.until("a refusal again", || hooked.config_map(&unwanted()), |answer| denied(answer, WRONG_MAP));
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should not be able to mutate or prevent deletion of webhook configuration objects [Conformance]
#[test]
fn admission_webhook_should_not_touch_webhook_configuration_objects() {
    let hooked = Hooked::start();
    let both = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];
    let of = |operation: &str| rule(&[operation], "admissionregistration.k8s.io", &["*"], &both);
    let more = json!({ "namespaceSelector": null, "failurePolicy": "Fail",
        "objectSelector": { "matchLabels": { "e2e-of": hooked.namespace } } });
    hooked.configure(
        Kind::Validating,
        &json!({}),
        &[
            hooked.hook("/always-deny", &of("DELETE"), more.clone()),
            hooked.hook("/configmaps", &maps(), Value::Null),
        ],
    );
    hooked.configure(Kind::Mutating, &json!({}), &[hooked.hook("/add-label", &of("CREATE"), more)]);
    hooked.until("it holds", || hooked.config_map(&unwanted()), |answer| denied(answer, WRONG_MAP));
    let labels = json!({ "e2e-of": hooked.namespace });
    for kind in [Kind::Validating, Kind::Mutating] {
        let nowhere = hooked.hook("/always-deny", &rule(&["CREATE"], "", &["v1"], &["invalid"]), Value::Null);
        let path = hooked.configure(kind, &labels, &[nowhere]);
        let found = hooked.cluster.get(&path);
        assert!(found["metadata"]["labels"]["added-label"].is_null(), "{found}");
        hooked.cluster.delete(&path);
        hooked.cluster.gone(&path);
    }
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in discovery documents [Conformance]
#[test]
fn admission_webhook_should_include_webhook_resources_in_discovery_documents() {
    let cluster = cluster();
    let has = |list: &Value, key: &str, wanted: &str| {
        list.as_array().unwrap().iter().any(|found| found[key] == wanted)
    };
    let group = "admissionregistration.k8s.io";
    assert!(has(&cluster.get("/apis")["groups"], "name", group));
    let versions = cluster.get(&format!("/apis/{group}"))["versions"].clone();
    assert!(has(&versions, "groupVersion", &format!("{group}/v1")), "{versions}");
    let resources = cluster.get(&format!("/apis/{group}/v1"))["resources"].clone();
    for name in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        assert!(has(&resources, "name", name), "{resources}");
    }
}
