//! Watches: order, resumption, selectors, bookmarks.

use std::sync::Arc;

use apiserver::registry::{Body, Patch};
use apiserver::{ApiServer, Config};
use client::EventKind;
use serde_json::json;
use store::{KeyRange, RangeRequest, Store, Txn};

use crate::rig::{Rig, event, list_options, next, version};

fn labelled(name: &str, label: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "labels": {"l": label}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_tell_everything_in_order() {
    let rig = Rig::new().await;
    rig.create("configmaps default", labelled("a", "x")).await.unwrap();
    let mut all = rig.watch("configmaps default", &[]).await.unwrap();
    assert_eq!(event(&mut all).await, "ADDED default/a");
    rig.create("configmaps default", labelled("b", "x")).await.unwrap();
    rig.create("configmaps kube-system", labelled("c", "x")).await.unwrap();
    rig.patch("configmaps default a", Patch::Merge(Body::from(json!({"data": {"k": "v"}})))).await.unwrap();
    let gone = rig.get("configmaps default b").await.unwrap();
    rig.delete("configmaps default b").await.unwrap();
    assert_eq!(event(&mut all).await, "ADDED default/b");
    assert_eq!(event(&mut all).await, "MODIFIED default/a");
    let last = next(&mut all).await.unwrap().unwrap();
    assert_eq!((last.kind, last.object.name()), (EventKind::Deleted, "b"));
    assert!(last.object.revision() > version(&gone), "a deletion has its own revision");
    let line = last.json();
    assert!(
        line.starts_with(b"{\"type\":\"DELETED\",\"object\":{\"kind\":\"ConfigMap\"")
            && line.ends_with(b"}\n")
    );
    assert_eq!(last.json().as_ptr(), line.as_ptr(), "encoded once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_resume_from_a_revision() {
    let rig = Rig::new().await;
    let first = version(&rig.create("configmaps default", labelled("a", "x")).await.unwrap().to_value());
    for at in 0..1500 {
        // More than the ring remembers: the rest comes from the store's history.
        let patch = json!({"data": {"k": at.to_string()}});
        rig.patch("configmaps default a", Patch::Merge(Body::from(patch))).await.unwrap();
    }
    let from = first.to_string();
    let mut watch = rig.watch("configmaps default", &[("resourceVersion", &from)]).await.unwrap();
    let mut last = first;
    for at in 0..1500 {
        let frame = next(&mut watch).await.unwrap().unwrap();
        let value = frame.object.value();
        assert_eq!(
            (frame.kind, value["data"]["k"].as_str().unwrap()),
            (EventKind::Modified, at.to_string().as_str())
        );
        assert!(frame.object.revision() > last);
        last = frame.object.revision();
    }
    rig.delete("configmaps default a").await.unwrap();
    assert_eq!(event(&mut watch).await, "DELETED default/a");

    rig.store.compact(rig.store.revision()).unwrap();
    let gone = match rig.watch("configmaps default", &[("resourceVersion", &from)]).await {
        Err(status) => status,
        Ok(mut watch) => next(&mut watch).await.unwrap().unwrap_err(),
    };
    assert_eq!((gone.code, gone.reason), (410, "Expired"));
    assert!(gone.message.starts_with(&format!("too old resource version: {first} (")), "{}", gone.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_turn_changes_into_comings_and_goings() {
    let rig = Rig::new().await;
    rig.create("configmaps default", labelled("a", "x")).await.unwrap();
    let query = [("labelSelector", "l=y"), ("resourceVersion", "0")];
    let mut watch = rig.watch("configmaps default", &query).await.unwrap();
    let relabel = |label: &str| Patch::Merge(Body::from(json!({"metadata": {"labels": {"l": label}}})));
    rig.patch("configmaps default a", relabel("y")).await.unwrap();
    rig.patch("configmaps default a", Patch::Merge(Body::from(json!({"data": {"k": "v"}})))).await.unwrap();
    rig.patch("configmaps default a", relabel("z")).await.unwrap();
    assert_eq!(event(&mut watch).await, "ADDED default/a");
    assert_eq!(event(&mut watch).await, "MODIFIED default/a");
    let gone = next(&mut watch).await.unwrap().unwrap();
    assert_eq!(gone.kind, EventKind::Deleted);
    assert_eq!(gone.object.labels()["l"], "y", "it is told as it was when it fitted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_of_one_object() {
    let rig = Rig::new().await;
    let mut one = rig.watch("configmaps default a", &[]).await.unwrap();
    let mut by_field =
        rig.watch("configmaps default", &[("fieldSelector", "metadata.name=a")]).await.unwrap();
    rig.create("configmaps default", labelled("b", "x")).await.unwrap();
    rig.create("configmaps default", labelled("a", "x")).await.unwrap();
    assert_eq!(event(&mut one).await, "ADDED default/a");
    assert_eq!(event(&mut by_field).await, "ADDED default/a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn initial_events_end_with_a_bookmark() {
    let rig = Rig::new().await;
    rig.create("configmaps default", labelled("a", "x")).await.unwrap();
    let query = [
        ("sendInitialEvents", "true"),
        ("resourceVersionMatch", "NotOlderThan"),
        ("allowWatchBookmarks", "true"),
    ];
    let mut watch = rig.watch("configmaps default", &query).await.unwrap();
    assert_eq!(event(&mut watch).await, "ADDED default/a");
    let mark = next(&mut watch).await.unwrap().unwrap();
    assert_eq!(mark.kind, EventKind::Bookmark);
    let value = mark.object.value();
    assert_eq!(value["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!((&value["kind"], &value["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    assert!(version(&value) >= 1);
    rig.create("configmaps default", labelled("b", "x")).await.unwrap();
    assert_eq!(event(&mut watch).await, "ADDED default/b");
    let refused = rig.watch("configmaps default", &[("sendInitialEvents", "true")]).await;
    assert_eq!(refused.err().map(|status| status.code), Some(422));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_end_in_time_and_with_the_server() {
    let rig = Rig::new().await;
    let mut short = rig.watch("configmaps default", &[("timeoutSeconds", "1")]).await.unwrap();
    assert!(next(&mut short).await.is_none());
    let mut watch = rig.watch("configmaps default", &[]).await.unwrap();
    rig.server.close().await;
    assert!(next(&mut watch).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_idle_watches_see_only_what_concerns_them() {
    let rig = Rig::new().await;
    let mut idle = Vec::new();
    for at in 0..200 {
        let field = format!("metadata.name=idle-{at}");
        idle.push(rig.watch("configmaps default", &[("fieldSelector", &field)]).await.unwrap());
    }
    for at in 0..50 {
        rig.create("configmaps default", labelled(&format!("busy-{at}"), "x")).await.unwrap();
    }
    for (at, watch) in idle.iter_mut().enumerate() {
        rig.create("configmaps default", labelled(&format!("idle-{at}"), "x")).await.unwrap();
        assert_eq!(event(watch).await, format!("ADDED default/idle-{at}"));
    }
}

/// On one thread the cache stays behind the store until the test waits.
#[tokio::test]
async fn what_the_history_told_the_cache_does_not_tell_again() {
    let rig = Rig::new().await;
    let first = version(&rig.create("configmaps default", labelled("a", "x")).await.unwrap().to_value());
    rig.create("configmaps default", labelled("b", "x")).await.unwrap();
    // As after a restart: no event is in memory.
    let store = Arc::clone(&rig.store) as Arc<dyn Store>;
    let server = ApiServer::open(Config::new(Arc::clone(&store))).await.unwrap();
    let options = list_options(&[("resourceVersion", &first.to_string())]).unwrap();
    let target = rig.target("configmaps default");
    let mut watch = server.registry().watch(&rig.context, &target, &options).await.unwrap();
    let all = store.range(&RangeRequest::new(KeyRange::all())).unwrap().kvs;
    let own = all.into_iter().find(|kv| kv.key.ends_with(b"configmaps/default/a")).unwrap();
    store.txn(Txn::put(own.key, own.value)).unwrap();
    assert_eq!(event(&mut watch).await, "ADDED default/b");
    assert_eq!(event(&mut watch).await, "MODIFIED default/a");
    rig.create("configmaps default", labelled("c", "x")).await.unwrap();
    assert_eq!(event(&mut watch).await, "ADDED default/c");
    server.close().await;
}
