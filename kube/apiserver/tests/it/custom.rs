//! Custom resources, from their definition to their end.

use std::time::{Duration, Instant};

use apiserver::registry::{Body, Patch};
use serde_json::{Value, json};

use crate::rig::{Rig, event};

fn definition(versions: &[Value]) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "singular": "widget", "shortNames": ["wd"]},
            "versions": versions}})
}

fn version(name: &str, storage: bool) -> Value {
    json!({"name": name, "served": true, "storage": storage, "subresources": {"status": {},
        "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer", "minimum": 1}, "color": {"type": "string"}}},
            "status": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}})
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "ten seconds are enough");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn established(rig: &Rig) {
    until(|| async {
        let found = rig.get("apiextensions.k8s.io/customresourcedefinitions - widgets.example.com").await;
        let found = found.expect("the definition");
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True")
    })
    .await;
}

fn widget(name: &str, size: u32) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": size}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_makes_a_resource() {
    let rig = Rig::new().await;
    let definitions = "apiextensions.k8s.io/customresourcedefinitions";
    rig.create(definitions, definition(&[version("v1", true)])).await.unwrap();
    established(&rig).await;

    let mut odd = widget("a", 3);
    odd["spec"]["shape"] = json!("round");
    let made = rig.create("example.com/v1/widgets default", odd).await.unwrap().to_value();
    assert_eq!(made["spec"], json!({"size": 3}));
    assert_eq!(rig.context.warnings.take(), ["unknown field \"spec.shape\""]);
    let refused = rig.create("example.com/v1/widgets default", widget("b", 0)).await.unwrap_err();
    assert_eq!(
        refused.message,
        "Widget.example.com \"b\" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than \
         or equal to 1"
    );
    let mut watch = rig.watch("example.com/v1/widgets default", &[]).await.unwrap();
    assert_eq!(event(&mut watch).await, "ADDED default/a");
    let patch = Patch::Merge(Body::from(json!({"spec": {"color": "red"}})));
    let patched = rig.patch("example.com/v1/widgets default a", patch).await.unwrap().to_value();
    assert_eq!(patched["metadata"]["generation"], 2);
    assert_eq!(event(&mut watch).await, "MODIFIED default/a");
    let scale = rig.get("example.com/v1/widgets default a scale").await.unwrap();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    let patch = Patch::Merge(Body::from(json!({"spec": {"replicas": 5}})));
    rig.patch("example.com/v1/widgets default a scale", patch).await.unwrap();
    assert_eq!(rig.get("example.com/v1/widgets default a").await.unwrap()["spec"]["size"], 5);
    assert_eq!(event(&mut watch).await, "MODIFIED default/a");
    let applied = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"},
        "spec": {"color": "blue"}});
    let conflict = rig.apply("example.com/v1/widgets default a", "me", applied, false).await.unwrap_err();
    assert_eq!(conflict.code, 409);

    rig.delete(&format!("{definitions} - widgets.example.com")).await.unwrap();
    until(|| async { rig.get(&format!("{definitions} - widgets.example.com")).await.is_err() }).await;
    assert_eq!(event(&mut watch).await, "DELETED default/a");
    until(|| async { rig.registry().kinds().resolve("example.com", "v1", "widgets").is_none() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_defaults_of_later_reach_stored_objects() {
    let rig = Rig::new().await;
    let definitions = "apiextensions.k8s.io/customresourcedefinitions";
    let made = rig.create(definitions, definition(&[version("v1", true)])).await.unwrap();
    established(&rig).await;
    rig.create("example.com/v1/widgets default", widget("a", 3)).await.unwrap();
    drop(made);
    let mut v2 = version("v2", true);
    v2["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["color"]["default"] = json!("green");
    let patch = json!({"spec": {"versions": [version("v1", false), v2]}});
    let name = format!("{definitions} - widgets.example.com");
    rig.patch(&name, Patch::Merge(Body::from(patch))).await.unwrap();
    until(|| async { rig.registry().kinds().resolve("example.com", "v2", "widgets").is_some() }).await;
    let found = rig.get("example.com/v2/widgets default a").await.unwrap();
    assert_eq!((&found["apiVersion"], &found["spec"]["color"]), (&json!("example.com/v2"), &json!("green")));
    let found = rig.get("example.com/v1/widgets default a").await.unwrap();
    assert_eq!((&found["apiVersion"], &found["spec"]), (&json!("example.com/v1"), &json!({"size": 3})));
    let list = rig.list("example.com/v2/widgets default", &[]).await.unwrap();
    assert_eq!(list.items[0].value()["spec"]["color"], "green");
    rig.create("example.com/v1/widgets default", widget("b", 1)).await.unwrap();
    let mut watch = rig.watch("example.com/v2/widgets default", &[]).await.unwrap();
    assert_eq!(event(&mut watch).await, "ADDED default/a");
    assert_eq!(event(&mut watch).await, "ADDED default/b");
    rig.delete("example.com/v1/widgets default a").await.unwrap();
    assert_eq!(event(&mut watch).await, "DELETED default/a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_asked() {
    let rig = Rig::new().await;
    let definitions = "apiextensions.k8s.io/customresourcedefinitions";
    let mut ruled = version("v1", true);
    ruled["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.size < 10", "message": "too large"}, {"rule": "self.size >= oldSelf.size"}]);
    let mut wrong = ruled.clone();
    wrong["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.width > 1"}]);
    let refused = rig.create(definitions, definition(&[wrong])).await.unwrap_err();
    assert!(refused.message.contains("undefined field 'width'"), "{}", refused.message);
    rig.create(definitions, definition(&[ruled])).await.unwrap();
    established(&rig).await;
    rig.create("example.com/v1/widgets default", widget("a", 3)).await.unwrap();
    let large = rig.create("example.com/v1/widgets default", widget("b", 10)).await.unwrap_err();
    assert!(large.message.contains("too large"), "{}", large.message);
    let shrink = Patch::Merge(Body::from(json!({"spec": {"size": 2}})));
    let refused = rig.patch("example.com/v1/widgets default a", shrink).await.unwrap_err();
    assert!(refused.message.contains("failed rule: self.size >= oldSelf.size"), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_become_selectable_select_what_was_there() {
    let rig = Rig::new().await;
    let definitions = "apiextensions.k8s.io/customresourcedefinitions";
    let selectable = |paths: &[&str]| {
        let mut v1 = version("v1", true);
        v1["selectableFields"] = paths.iter().map(|path| json!({"jsonPath": path})).collect();
        v1
    };
    rig.create(definitions, definition(&[selectable(&[".spec.color"])])).await.unwrap();
    established(&rig).await;
    for (name, size) in [("a", 3), ("b", 4)] {
        rig.create("example.com/v1/widgets default", widget(name, size)).await.unwrap();
    }
    let list = |selector: &'static str| {
        let rig = &rig;
        async move { rig.list("example.com/v1/widgets default", &[("fieldSelector", selector)]).await }
    };
    assert_eq!(list("spec.color=").await.unwrap().items.len(), 2);
    assert_eq!(list("spec.size=3").await.unwrap_err().code, 400);
    let patch = json!({"spec": {"versions": [selectable(&[".spec.color", ".spec.size"])]}});
    let name = format!("{definitions} - widgets.example.com");
    rig.patch(&name, Patch::Merge(Body::from(patch))).await.unwrap();
    until(|| async { list("spec.size=3").await.is_ok() }).await;
    let found = list("spec.size=3").await.unwrap();
    assert_eq!(crate::rig::names(&found), ["a"]);
}
