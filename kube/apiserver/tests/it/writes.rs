//! Create, update and patch.

use apiserver::registry::{Body, FieldValidation, Patch, WriteOptions};
use serde_json::{Value, json};

use crate::rig::{Rig, version};

fn config_map(name: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "nginx"}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_completes_the_object() {
    let rig = Rig::new().await;
    let made = rig.create("pods default", pod("web")).await.unwrap();
    assert_eq!(made.code, 201);
    let made = made.to_value();
    let meta = &made["metadata"];
    assert_eq!((&made["kind"], &made["apiVersion"]), (&json!("Pod"), &json!("v1")));
    assert_eq!((&meta["namespace"], &meta["name"]), (&json!("default"), &json!("web")));
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert!(meta["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["spec"]["restartPolicy"], "Always");
    let manager = &meta["managedFields"][0];
    assert_eq!((&manager["manager"], &manager["operation"]), (&json!("test"), &json!("Update")));
    assert!(manager["fieldsV1"]["f:spec"]["f:containers"]["k:{\"name\":\"main\"}"]["f:image"].is_object());
    assert_eq!(*made, rig.get("pods default web").await.unwrap());

    let again = rig.create("pods default", pod("web")).await.unwrap_err();
    assert_eq!((again.code, again.message.as_str()), (409, "pods \"web\" already exists"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_generates_names() {
    let rig = Rig::new().await;
    let mut object = config_map("");
    object["metadata"] = json!({"generateName": "conf-"});
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let made = rig.create("configmaps default", object.clone()).await.unwrap().to_value();
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("conf-") && name.len() == 10, "{name}");
        assert!(seen.insert(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_refuses_what_is_wrong() {
    let rig = Rig::new().await;
    let mut elsewhere = config_map("a");
    elsewhere["metadata"]["namespace"] = json!("other");
    let mut versioned = config_map("a");
    versioned["metadata"]["resourceVersion"] = json!("7");
    let mut old = config_map("a");
    old["apiVersion"] = json!("v2");
    let mut other = config_map("a");
    other["kind"] = json!("Service");
    let mut typed = config_map("a");
    typed["data"] = json!({"a": 1});
    for (object, code, message) in [
        (
            elsewhere,
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (versioned, 400, "resourceVersion should not be set on objects to be created"),
        (old, 400, "the API version in the data (v2) does not match the expected API version (v1)"),
        (
            other,
            400,
            "Service in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Service) to (core.ConfigMap): \
             unknown conversion",
        ),
        (
            typed,
            400,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go \
             struct field ConfigMap.data of type string",
        ),
        (
            config_map(""),
            422,
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
    ] {
        let status = rig.create("configmaps default", object).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_warned_of_or_refused() {
    let rig = Rig::new().await;
    let mut object = config_map("a");
    object["dta"] = json!({});
    let notes = || vec!["duplicate field \"data.a\"".to_owned()];
    let body = || Body { value: object.clone(), notes: notes(), ..Body::default() };
    let target = rig.target("configmaps default");
    let with = |field_validation| WriteOptions { field_validation, dry_run: true, ..WriteOptions::default() };
    let create = |options: WriteOptions| {
        let (context, target, body, registry) = (&rig.context, &target, body(), rig.registry());
        async move { registry.create(context, target, body, &options).await }
    };
    let strict = create(with(FieldValidation::Strict)).await.unwrap_err();
    assert_eq!(
        strict.message,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"dta\", \
         duplicate field \"data.a\""
    );
    assert_eq!(strict.code, 400);
    let made = create(with(FieldValidation::Warn)).await.unwrap().to_value();
    assert!(made.get("dta").is_none());
    assert_eq!(rig.context.warnings.take(), ["unknown field \"dta\"", "duplicate field \"data.a\""]);
    create(with(FieldValidation::Ignore)).await.unwrap();
    assert!(rig.context.warnings.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_run_stores_nothing() {
    let rig = Rig::new().await;
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let made = rig.create_with("configmaps default", config_map("a"), &options).await.unwrap();
    assert_eq!(made.code, 201);
    assert!(made.to_value()["metadata"]["uid"].is_string());
    assert_eq!(rig.get("configmaps default a").await.unwrap_err().code, 404);
    rig.create("configmaps default", config_map("a")).await.unwrap();
    assert_eq!(rig.create_with("configmaps default", config_map("a"), &options).await.unwrap_err().code, 409);
    let patch = Patch::Merge(Body::from(json!({"data": {"a": "2"}})));
    let target = rig.target("configmaps default a");
    let patched = rig.registry().patch(&rig.context, &target, patch, &options).await.unwrap();
    assert_eq!(patched.to_value()["data"]["a"], "2");
    assert_eq!(rig.get("configmaps default a").await.unwrap()["data"]["a"], "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_compares_revisions() {
    let rig = Rig::new().await;
    let first = rig.create("configmaps default", config_map("a")).await.unwrap().to_value();
    let mut second = (*first).clone();
    second["data"]["a"] = json!("2");
    let second = rig.update("configmaps default a", second).await.unwrap().to_value();
    assert!(version(&second) > version(&first));

    let mut stale = (*first).clone();
    stale["data"]["a"] = json!("3");
    let status = rig.update("configmaps default a", stale).await.unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            409,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your \
             changes to the latest version and try again"
        )
    );
    let mut unconditional = config_map("a");
    unconditional["data"]["a"] = json!("4");
    let third = rig.update("configmaps default a", unconditional).await.unwrap().to_value();
    assert_eq!(third["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(third["data"]["a"], "4");

    let same = rig.update("configmaps default a", (*third).clone()).await.unwrap().to_value();
    assert_eq!(version(&same), version(&third), "a write that changes nothing is none");

    let mut other = (*third).clone();
    other["metadata"]["uid"] = json!("somebody else");
    assert_eq!(rig.update("configmaps default a", other).await.unwrap_err().code, 409);
    let mut named = (*third).clone();
    named["metadata"]["name"] = json!("b");
    assert_eq!(
        rig.update("configmaps default a", named).await.unwrap_err().message,
        "the name of the object (b) does not match the name on the URL (a)"
    );
    assert_eq!(rig.update("configmaps default b", config_map("b")).await.unwrap_err().code, 404);
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}});
    let made = rig.update("coordination.k8s.io/leases default l", lease).await.unwrap();
    assert_eq!(made.code, 201, "leases are created by updates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_has_its_own_door() {
    let rig = Rig::new().await;
    let made = rig.create("pods default", pod("web")).await.unwrap().to_value();
    let mut object = (*made).clone();
    object["status"]["phase"] = json!("Running");
    object["metadata"]["labels"]["x"] = json!("y");
    let updated = rig.update("pods default web", object.clone()).await.unwrap().to_value();
    assert_eq!(
        (&updated["status"]["phase"], &updated["metadata"]["labels"]["x"]),
        (&json!("Pending"), &json!("y"))
    );
    object["metadata"]["resourceVersion"] = updated["metadata"]["resourceVersion"].clone();
    object["spec"]["containers"][0]["image"] = json!("other");
    let updated = rig.update("pods default web status", object).await.unwrap().to_value();
    assert_eq!(updated["status"]["phase"], "Running");
    assert_eq!(updated["spec"]["containers"][0]["image"], "nginx");
    let managers = updated["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|entry| entry["subresource"] == "status"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_of_all_kinds() {
    let rig = Rig::new().await;
    rig.create("pods default", pod("web")).await.unwrap();
    let strategic = json!({"spec": {"containers": [{"name": "main", "image": "nginx:2"}]}});
    let patched =
        rig.patch("pods default web", Patch::Strategic(Body::from(strategic))).await.unwrap().to_value();
    assert_eq!(patched["spec"]["containers"][0]["image"], "nginx:2");
    let merge = json!({"metadata": {"labels": {"app": null, "b": "c"}}});
    let patched = rig.patch("pods default web", Patch::Merge(Body::from(merge))).await.unwrap().to_value();
    assert_eq!(patched["metadata"]["labels"], json!({"b": "c"}));
    let operations = json!([{"op": "test", "path": "/metadata/labels/b", "value": "c"},
        {"op": "add", "path": "/metadata/labels/d", "value": "e"}]);
    let patched =
        rig.patch("pods default web", Patch::Json(Body::from(operations))).await.unwrap().to_value();
    assert_eq!(patched["metadata"]["labels"], json!({"b": "c", "d": "e"}));
    let failing = json!([{"op": "test", "path": "/metadata/labels/b", "value": "x"}]);
    let status = rig.patch("pods default web", Patch::Json(Body::from(failing))).await.unwrap_err();
    assert_eq!((status.code, status.reason), (422, "Invalid"));
    let wrong = json!({"metadata": {"labels": 3}});
    assert_eq!(rig.patch("pods default web", Patch::Merge(Body::from(wrong))).await.unwrap_err().code, 422);
    let absent = Patch::Merge(Body::from(json!({})));
    assert_eq!(rig.patch("pods default nobody", absent).await.unwrap_err().code, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_at_once_all_count() {
    let rig = std::sync::Arc::new(Rig::new().await);
    rig.create("configmaps default", config_map("a")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..8 {
        let rig = std::sync::Arc::clone(&rig);
        tasks.spawn(async move {
            let patch = json!({"data": {format!("k{at}"): "v"}});
            rig.patch("configmaps default a", Patch::Merge(Body::from(patch))).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let data = rig.get("configmaps default a").await.unwrap()["data"].clone();
    assert_eq!(data.as_object().unwrap().len(), 9);
}
