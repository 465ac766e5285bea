//! Server-side apply.

use serde_json::{Value, json};

use crate::rig::{Rig, version};

fn deployment(replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_creates_and_conflicts() {
    let rig = Rig::new().await;
    let target = "apps/deployments default web";
    let made = rig.apply(target, "one", deployment(1), false).await.unwrap();
    assert_eq!(made.code, 201);
    let made = made.to_value();
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");

    let again = rig.apply(target, "one", deployment(1), false).await.unwrap();
    assert_eq!(again.code, 200);
    assert_eq!(version(&again.to_value()), version(&made), "nothing changed");

    let status = rig.apply(target, "two", deployment(2), false).await.unwrap_err();
    assert_eq!((status.code, status.reason), (409, "Conflict"));
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
    let causes = status.details.unwrap().causes;
    assert_eq!(causes[0]["field"], ".spec.replicas");
    assert_eq!(causes[0]["reason"], "FieldManagerConflict");

    let forced = rig.apply(target, "two", deployment(2), true).await.unwrap().to_value();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(forced["metadata"]["generation"], 2);

    let mut less = deployment(2);
    less["metadata"]["labels"] = json!({"x": "y"});
    rig.apply(target, "two", less.clone(), true).await.unwrap();
    less["metadata"].as_object_mut().unwrap().remove("labels");
    let gone = rig.apply(target, "two", less, true).await.unwrap().to_value();
    assert!(gone["metadata"].get("labels").is_none(), "what is applied no more goes");

    let mut other = deployment(2);
    other["metadata"]["name"] = json!("other");
    let other = rig.apply(target, "two", other, true).await.unwrap_err();
    assert_eq!(other.message, "the name of the object (other) does not match the name on the URL (web)");
    let nameless = rig.apply(target, "", deployment(1), false).await.unwrap_err();
    assert_eq!(
        nameless.message,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
}
