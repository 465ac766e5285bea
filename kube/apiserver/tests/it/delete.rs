//! Deletion: at once, graceful, behind finalizers.

use apiserver::registry::{Body, DeleteOptions, Patch, Propagation};
use serde_json::json;

use crate::rig::{Rig, list_options, names};
use crate::writes::pod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_holds_goes_at_once() {
    let rig = Rig::new().await;
    let made = rig.create("configmaps default", json!({"metadata": {"name": "a"}})).await.unwrap().to_value();
    let gone = rig.delete("configmaps default a").await.unwrap();
    let status = gone.to_value();
    assert_eq!((gone.code, &status["kind"], &status["status"]), (200, &json!("Status"), &json!("Success")));
    assert_eq!(status["details"], json!({"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}));
    assert_eq!(rig.get("configmaps default a").await.unwrap_err().code, 404);
    let missing = rig.delete("configmaps default a").await.unwrap_err();
    assert_eq!(missing.message, "configmaps \"a\" not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preconditions_hold() {
    let rig = Rig::new().await;
    rig.create("configmaps default", json!({"metadata": {"name": "a"}})).await.unwrap();
    for options in [
        DeleteOptions { uid: Some("x".to_owned()), ..DeleteOptions::default() },
        DeleteOptions { resource_version: Some("1".to_owned()), ..DeleteOptions::default() },
    ] {
        assert_eq!(rig.delete_with("configmaps default a", &options).await.unwrap_err().code, 409);
    }
    let dry = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    rig.delete_with("configmaps default a", &dry).await.unwrap();
    rig.get("configmaps default a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finalizers_hold_back_the_end() {
    let rig = Rig::new().await;
    let object = json!({"metadata": {"name": "a", "finalizers": ["example.com/x"]}});
    rig.create("configmaps default", object).await.unwrap();
    let marked = rig.delete("configmaps default a").await.unwrap().to_value();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = rig.delete("configmaps default a").await.unwrap().to_value();
    assert_eq!(again["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"]);
    let patch = Patch::Merge(Body::from(json!({"metadata": {"finalizers": null}})));
    rig.patch("configmaps default a", patch).await.unwrap();
    assert_eq!(rig.get("configmaps default a").await.unwrap_err().code, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn propagation_is_left_to_the_collector() {
    let rig = Rig::new().await;
    for (propagation, finalizer, code) in
        [(Propagation::Orphan, "orphan", 200), (Propagation::Foreground, "foregroundDeletion", 202)]
    {
        rig.create("configmaps default", json!({"metadata": {"name": finalizer.to_lowercase()}}))
            .await
            .unwrap();
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        let target = format!("configmaps default {}", finalizer.to_lowercase());
        let marked = rig.delete_with(&target, &options).await.unwrap();
        assert_eq!(marked.code, code);
        assert_eq!(marked.to_value()["metadata"]["finalizers"], json!([finalizer]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_get_their_grace() {
    let rig = Rig::new().await;
    rig.create("pods default", pod("unbound")).await.unwrap();
    let gone = rig.delete("pods default unbound").await.unwrap().to_value();
    assert_eq!(gone["kind"], "Pod", "a pod without a node has nothing to end");
    assert_eq!(rig.get("pods default unbound").await.unwrap_err().code, 404);

    let mut bound = pod("bound");
    bound["spec"]["nodeName"] = json!("n1");
    rig.create("pods default", bound).await.unwrap();
    let marked = rig.delete("pods default bound").await.unwrap().to_value();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let longer = DeleteOptions { grace_period_seconds: Some(60), ..DeleteOptions::default() };
    let same = rig.delete_with("pods default bound", &longer).await.unwrap().to_value();
    assert_eq!(same["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = DeleteOptions { grace_period_seconds: Some(5), ..DeleteOptions::default() };
    let less = rig.delete_with("pods default bound", &shorter).await.unwrap().to_value();
    assert_eq!(less["metadata"]["deletionGracePeriodSeconds"], 5);
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    rig.delete_with("pods default bound", &now).await.unwrap();
    assert_eq!(rig.get("pods default bound").await.unwrap_err().code, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collections_go_by_selector() {
    let rig = Rig::new().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let object = json!({"metadata": {"name": name, "labels": {"l": label}}});
        rig.create("configmaps default", object).await.unwrap();
    }
    let target = rig.target("configmaps default");
    let list = list_options(&[("labelSelector", "l=x")]).unwrap();
    let options = DeleteOptions::default();
    let gone = rig.registry().delete_collection(&rig.context, &target, &list, &options).await.unwrap();
    assert_eq!(names(&gone), ["a", "c"]);
    assert_eq!(names(&rig.list("configmaps default", &[]).await.unwrap()), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_end_after_their_content() {
    let rig = Rig::new().await;
    let made = rig.create("namespaces", json!({"metadata": {"name": "shop"}})).await.unwrap().to_value();
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    let marked = rig.delete("namespaces - shop").await.unwrap().to_value();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let mut finalized = rig.get("namespaces - shop").await.unwrap();
    finalized["spec"]["finalizers"] = json!([]);
    rig.update("namespaces - shop finalize", finalized).await.unwrap();
    assert_eq!(rig.get("namespaces - shop").await.unwrap_err().code, 404);
}
