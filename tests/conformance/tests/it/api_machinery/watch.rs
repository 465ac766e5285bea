//! Watches of config maps.

use serde_json::{Value, json};

use crate::rig::{MERGE_PATCH, Rig, rig, unique, wait_for};

fn config_map(name: &str, label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"watch-this-configmap": label}}})
}

fn set(rig: &Rig, path: &str, text: &str) -> Value {
    rig.patch(path, MERGE_PATCH, &json!({"data": {"mutation": text}})).ok()
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// [sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps [Conformance]
#[test]
fn watchers_should_observe_add_update_and_delete_watch_notifications_on_configmaps() {
    let rig = rig();
    let maps = format!("/api/v1/namespaces/{}/configmaps", rig.namespace());
    let mut a = rig.watch(&format!("{maps}?labelSelector=watch-this-configmap=a"));
    let mut b = rig.watch(&format!("{maps}?labelSelector=watch-this-configmap=b"));
    let mut both = rig.watch(&format!("{maps}?labelSelector=watch-this-configmap%20in%20(a,b)"));

    let mut expect = |watches: &str, kind: &str, object: &Value| {
        let see = |(found, seen): (String, Value)| {
            assert_eq!(found, kind);
            assert_eq!(seen["metadata"]["uid"], object["metadata"]["uid"]);
            assert_eq!(seen["data"], object["data"]);
        };
        see(both.event());
        see(if watches == "a" { a.event() } else { b.event() });
    };
    let made = rig.create(&maps, &config_map("a", "a")).ok();
    expect("a", "ADDED", &made);
    let one = set(&rig, &format!("{maps}/a"), "1");
    expect("a", "MODIFIED", &one);
    let two = set(&rig, &format!("{maps}/a"), "2");
    expect("a", "MODIFIED", &two);
    rig.delete(&format!("{maps}/a")).ok();
    expect("a", "DELETED", &two);
    let other = rig.create(&maps, &config_map("b", "b")).ok();
    expect("b", "ADDED", &other);
    rig.delete(&format!("{maps}/b")).ok();
    expect("b", "DELETED", &other);
}

/// [sig-api-machinery] Watchers should be able to start watching from a specific resource version [Conformance]
#[test]
fn watchers_should_be_able_to_start_watching_from_a_specific_resource_version() {
    let rig = rig();
    let maps = format!("/api/v1/namespaces/{}/configmaps", rig.namespace());
    let path = format!("{maps}/from");
    rig.create(&maps, &config_map("from", "from")).ok();
    let first = set(&rig, &path, "1");
    let second = set(&rig, &path, "2");
    rig.delete(&path).ok();
    let selector = "labelSelector=watch-this-configmap=from";
    let mut watch = rig.watch(&format!("{maps}?{selector}&resourceVersion={}", version(&first)));
    assert_eq!(watch.event(), ("MODIFIED".to_owned(), second));
    assert_eq!(watch.event().0, "DELETED");
}

/// [sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the previous watch [Conformance]
#[test]
fn watchers_should_be_able_to_restart_watching_from_the_last_resource_version_observed() {
    let rig = rig();
    let maps = format!("/api/v1/namespaces/{}/configmaps", rig.namespace());
    let path = format!("{maps}/again");
    let selector = "labelSelector=watch-this-configmap=again";
    let mut watch = rig.watch(&format!("{maps}?{selector}"));
    rig.create(&maps, &config_map("again", "again")).ok();
    set(&rig, &path, "1");
    assert_eq!(watch.event().0, "ADDED");
    let (kind, last) = watch.event();
    assert_eq!(kind, "MODIFIED");
    drop(watch);
    let second = set(&rig, &path, "2");
    rig.delete(&path).ok();
    let mut watch = rig.watch(&format!("{maps}?{selector}&resourceVersion={}", version(&last)));
    assert_eq!(watch.event(), ("MODIFIED".to_owned(), second));
    assert_eq!(watch.event().0, "DELETED");
}

/// [sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the selector [Conformance]
#[test]
fn watchers_should_observe_an_object_deletion_if_it_stops_meeting_the_requirements_of_the_selector() {
    let rig = rig();
    let maps = format!("/api/v1/namespaces/{}/configmaps", rig.namespace());
    let path = format!("{maps}/moving");
    let mut watch = rig.watch(&format!("{maps}?labelSelector=watch-this-configmap=here"));
    rig.create(&maps, &config_map("moving", "here")).ok();
    set(&rig, &path, "1");
    let label = |label: &str| json!({"metadata": {"labels": {"watch-this-configmap": label}}});
    rig.patch(&path, MERGE_PATCH, &label("gone")).ok();
    assert_eq!(watch.event().0, "ADDED");
    assert_eq!(watch.event().0, "MODIFIED");
    assert_eq!(watch.event().0, "DELETED");
    // Unseen, then back.
    set(&rig, &path, "2");
    rig.patch(&path, MERGE_PATCH, &label("here")).ok();
    let last = set(&rig, &path, "3");
    rig.delete(&path).ok();
    let (kind, back) = watch.event();
    assert_eq!((kind.as_str(), &back["data"]["mutation"]), ("ADDED", &json!("2")));
    assert_eq!(watch.event(), ("MODIFIED".to_owned(), last));
    assert_eq!(watch.event().0, "DELETED");
}

/// [sig-api-machinery] Watchers should receive events on concurrent watches in same order [Conformance]
#[test]
fn watchers_should_receive_events_on_concurrent_watches_in_same_order() {
    let rig = rig();
    let maps = format!("/api/v1/namespaces/{}/configmaps", rig.namespace());
    // Published once, by the way.
    wait_for("kube-root-ca.crt", || rig.get(&format!("{maps}/kube-root-ca.crt")).code == 200);
    let start = rig.get(&maps).ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let write = || {
        for round in 0..12 {
            let name = unique("many");
            rig.create(&maps, &config_map(&name, "many")).ok();
            set(&rig, &format!("{maps}/{name}"), &round.to_string());
            if round % 3 == 0 {
                rig.delete(&format!("{maps}/{name}")).ok();
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(write);
        scope.spawn(write);
    });
    let events = 2 * (12 + 12 + 4);
    let from = |revision: &str| {
        let mut watch = rig.watch(&format!("{maps}?resourceVersion={revision}"));
        move || version(&watch.event().1).to_owned()
    };
    let mut first = from(&start);
    let order: Vec<String> = (0..events).map(|_| first()).collect();
    for (at, revision) in order.iter().enumerate().take(20) {
        let mut next = from(revision);
        for expected in &order[at + 1..] {
            assert_eq!(&next(), expected);
        }
    }
}
