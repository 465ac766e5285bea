//! Webhooks that change what is made.

use serde_json::{Value, json};

use super::super::peer;
use super::{Hooked, Kind, config_map, maps, rule};
use crate::life::change;
use crate::rig::{Answer, JSON_PATCH};

/// What asks for the first stage.
fn starting() -> Value {
    json!({ "mutation-start": "yes" })
}

fn stages(answer: &Answer) -> [bool; 2] {
    let object = answer.ok();
    ["mutation-stage-1", "mutation-stage-2"].map(|stage| object["data"][stage] == "yes")
}

/// The two webhooks of config maps, of which the second acts on what the first did.
fn both(hooked: &Hooked) -> [Value; 2] {
    ["first", "second"].map(|name| {
        let more = json!({ "name": format!("{name}.k8s.io") });
        hooked.hook("/mutating-configmaps", &maps(), more)
    })
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate configmap [Conformance]
#[test]
fn admission_webhook_should_mutate_configmap() {
    let hooked = Hooked::start();
    hooked.configure(Kind::Mutating, &json!({}), &both(&hooked));
    hooked.until("both stages", || hooked.config_map(&starting()), |answer| stages(answer) == [true, true]);
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] listing mutating webhooks should work [Conformance]
#[test]
fn listing_mutating_webhooks_should_work() {
    let hooked = Hooked::start();
    let labels = json!({ "e2e-list-test-uuid": hooked.namespace });
    for _ in 0..10 {
        hooked.configure(
            Kind::Mutating,
            &labels,
            &[hooked.hook("/mutating-configmaps", &maps(), Value::Null)],
        );
    }
    let selected =
        format!("{}?labelSelector=e2e-list-test-uuid%3D{}", Kind::Mutating.path(), hooked.namespace);
    assert_eq!(hooked.cluster.get(&selected)["items"].as_array().unwrap().len(), 10);
    hooked.until("a mutation", || hooked.config_map(&starting()), |answer| stages(answer)[0]);
    hooked.cluster.delete(&selected);
    hooked.until("no mutation", || hooked.config_map(&starting()), |answer| stages(answer) == [false, false]);
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] patching/updating a mutating webhook should work [Conformance]
#[test]
fn patching_and_updating_a_mutating_webhook_should_work() {
    let hooked = Hooked::start();
    let hook = hooked.hook("/mutating-configmaps", &maps(), json!({ "failurePolicy": "Fail" }));
    let path = hooked.configure(Kind::Mutating, &json!({}), &[hook]);
    hooked.until("a mutation", || hooked.config_map(&starting()), |answer| stages(answer)[0]);
    change(&hooked.cluster, &path, |object| {
        object["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"]);
    });
    hooked.until("no mutation", || hooked.config_map(&starting()), |answer| !stages(answer)[0]);
    let patch = json!([{ "op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"] }]);
    hooked.cluster.rig().patch(&path, JSON_PATCH, &patch).ok();
    hooked.until("a mutation again", || hooked.config_map(&starting()), |answer| stages(answer)[0]);
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate pod and apply defaults after mutation [Conformance]
#[test]
fn admission_webhook_should_mutate_pod_and_apply_defaults_after_mutation() {
    let hooked = Hooked::start();
    let hook = hooked.hook("/mutating-pods", &rule(&["CREATE"], "", &["v1"], &["pods"]), Value::Null);
    hooked.configure(Kind::Mutating, &json!({}), &[hook]);
    let mut pod = peer::pod("webhook-to-be-mutated", json!({}), &["serve"]);
    pod["spec"]["schedulingGates"] = json!([{ "name": "example.com/never" }]);
    let made = hooked.until(
        "an init container",
        || hooked.cluster.try_post(&format!("{}?dryRun=All", hooked.at("pods")), &pod),
        |answer| answer.ok()["spec"]["initContainers"][0]["name"] == "webhook-added-init-container",
    );
    let container = made.json()["spec"]["initContainers"][0].clone();
    assert_eq!(container["image"], "webhook-added-image");
    assert_eq!(container["terminationMessagePolicy"], "File", "{container}");
    assert_eq!(container["imagePullPolicy"], "Always", "{container}");
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate everything except 'skip-me' configmaps [Conformance]
#[test]
fn admission_webhook_should_mutate_everything_except_skip_me_configmaps() {
    let hooked = Hooked::start();
    let more = json!({ "matchConditions": [{ "name": "skip-me", "expression": "object.metadata.name != 'skip-me'" }] });
    hooked.configure(Kind::Mutating, &json!({}), &[hooked.hook("/mutating-configmaps", &maps(), more)]);
    hooked.until("a mutation", || hooked.config_map(&starting()), |answer| stages(answer)[0]);
    let skipped = hooked.cluster.try_post(&hooked.at("configmaps"), &config_map("skip-me", &starting()));
    assert_eq!(stages(&skipped), [false, false]);
    let other = hooked.cluster.try_post(&hooked.at("configmaps"), &config_map("not-skipped", &starting()));
    assert!(stages(&other)[0]);
}
