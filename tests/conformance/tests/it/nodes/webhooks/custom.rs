//! Webhooks of custom resources.

use serde_json::{Value, json};

use super::{Hooked, Kind, denied, rule};
use crate::nodes::defined::Defined;
use crate::rig::{JSON_PATCH, MERGE_PATCH, unique};

const WRONG: &str = "the custom resource contains unwanted data";

fn anything() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

fn object(defined: &Defined, version: &str, name: &str, data: &Value) -> Value {
    let mut object = defined.object(version, name);
    object["data"] = data.clone();
    object
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny custom resource creation, update and deletion [Conformance]
#[test]
fn admission_webhook_should_be_able_to_deny_custom_resources() {
    let hooked = Hooked::start();
    let defined = Defined::new(&hooked.cluster, &[("v1", anything())], json!({}));
    let rule = rule(&["CREATE", "UPDATE", "DELETE"], defined.group(), &["v1"], &[defined.plural()]);
    hooked.configure(Kind::Validating, &json!({}), &[hooked.hook("/custom-resource", &rule, Value::Null)]);
    let objects = defined.objects("v1", &hooked.namespace);
    let wrong = json!({ "webhook-e2e-test": "webhook-disallow" });
    let make = || hooked.cluster.try_post(&objects, &object(&defined, "v1", &unique("cr"), &wrong));
    hooked.until("it is refused", make, |answer| denied(answer, WRONG));
    hooked.cluster.post(&objects, &object(&defined, "v1", "cr-instance-2", &json!({ "a": "b" })));
    let one = format!("{objects}/cr-instance-2");
    let refused = hooked.cluster.rig().patch(&one, MERGE_PATCH, &json!({ "data": wrong }));
    assert!(denied(&refused, WRONG), "{refused:?}");
    // What is there with the unwanted data cannot be deleted before it is set right.
    let path = hooked.made.borrow()[0].clone();
    let operations = |list: Value| {
        let patch = json!([{ "op": "replace", "path": "/webhooks/0/rules/0/operations", "value": list }]);
        hooked.cluster.rig().patch(&path, JSON_PATCH, &patch).ok();
    };
    operations(json!(["DELETE"]));
    let update = || hooked.cluster.rig().patch(&one, MERGE_PATCH, &json!({ "data": wrong }));
    hooked.until("it may be wrong", update, |answer| answer.code == 200);
    let refused = hooked.cluster.rig().delete(&one);
    assert!(denied(&refused, WRONG), "{refused:?}");
    hooked.cluster.merge(&one, &json!({ "data": { "webhook-e2e-test": null } }));
    hooked.cluster.delete(&one);
}

/// Two webhooks that change the resource one after the other.
fn staged(hooked: &Hooked, defined: &Defined, version: &str) -> [Value; 2] {
    let rule = rule(&["CREATE", "UPDATE"], defined.group(), &[version], &[defined.plural()]);
    ["first", "second"].map(|name| {
        hooked.hook("/mutating-custom-resource", &rule, json!({ "name": format!("{name}.k8s.io") }))
    })
}

/// Makes an object that asks for a mutation until the first webhook acts; its data.
fn mutated(hooked: &Hooked, defined: &Defined) -> Value {
    let objects = defined.objects("v1", &hooked.namespace);
    let start = json!({ "mutation-start": "yes" });
    let make = || hooked.cluster.try_post(&objects, &object(defined, "v1", &unique("cr"), &start));
    let made = hooked.until("a mutation", make, |answer| answer.ok()["data"]["mutation-stage-1"] == "yes");
    made.json()["data"].clone()
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate custom resource [Conformance]
#[test]
fn admission_webhook_should_mutate_custom_resource() {
    let hooked = Hooked::start();
    let defined = Defined::new(&hooked.cluster, &[("v1", anything())], json!({}));
    hooked.configure(Kind::Mutating, &json!({}), &staged(&hooked, &defined, "v1"));
    assert_eq!(mutated(&hooked, &defined)["mutation-stage-2"], "yes");
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate custom resource with pruning [Conformance]
#[test]
fn admission_webhook_should_mutate_custom_resource_with_pruning() {
    let hooked = Hooked::start();
    let text = json!({ "type": "string" });
    let known = json!({ "mutation-start": text, "mutation-stage-1": text });
    let schema =
        json!({ "type": "object", "properties": { "data": { "type": "object", "properties": known } } });
    let defined = Defined::new(&hooked.cluster, &[("v1", schema)], json!({}));
    hooked.configure(Kind::Mutating, &json!({}), &staged(&hooked, &defined, "v1"));
    assert_eq!(mutated(&hooked, &defined), json!({ "mutation-start": "yes", "mutation-stage-1": "yes" }));
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate custom resource with different stored version [Conformance]
#[test]
fn admission_webhook_should_mutate_custom_resource_with_different_stored_version() {
    let hooked = Hooked::start();
    let defined = Defined::new(&hooked.cluster, &[("v1", anything()), ("v2", anything())], json!({}));
    hooked.configure(Kind::Mutating, &json!({}), &staged(&hooked, &defined, "v1"));
    mutated(&hooked, &defined);
    let objects = defined.objects("v1", &hooked.namespace);
    hooked.cluster.post(&objects, &object(&defined, "v1", "stored", &json!({})));
    let patch = json!([
        { "op": "replace", "path": "/spec/versions/0/storage", "value": false },
        { "op": "replace", "path": "/spec/versions/1/storage", "value": true },
    ]);
    hooked.cluster.rig().patch(&defined.path(), JSON_PATCH, &patch).ok();
    // What was written as version 1 is written as version 2 from now on.
    let start = json!({ "data": { "mutation-start": "yes" } });
    let patched = hooked.cluster.merge(&format!("{objects}/stored"), &start);
    assert_eq!(patched["data"]["mutation-stage-1"], "yes", "{patched}");
    assert_eq!(patched["data"]["mutation-stage-2"], "yes", "{patched}");
    let as_two = hooked.cluster.get(&format!("{}/stored", defined.objects("v2", &hooked.namespace)));
    assert_eq!(as_two["data"]["mutation-stage-2"], "yes", "{as_two}");
}
