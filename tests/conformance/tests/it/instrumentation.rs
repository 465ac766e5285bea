//! [sig-instrumentation]

use serde_json::{Value, json};

use crate::api::{Api, server};

fn core_event(name: &str, namespace: &str, label: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name, "labels": { label: "true" } },
        "message": format!("This is {name}"),
        "reason": "Test",
        "type": "Normal",
        "count": 1,
        "involvedObject": { "namespace": namespace },
    })
}

fn new_event(name: &str, namespace: &str, label: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": name, "labels": { label: "true" } },
        "regarding": { "namespace": namespace },
        "eventTime": "2017-09-19T13:49:16.000000Z",
        "note": format!("This is {name}"),
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
    })
}

/// The names in a list.
fn names(api: &Api, path: &str) -> Vec<String> {
    let list = api.get(path);
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or("").to_owned()).collect()
}

/// The object without what every write changes.
fn settled(mut object: Value) -> Value {
    let meta = object["metadata"].as_object_mut().expect("metadata");
    meta.remove("resourceVersion");
    meta.remove("managedFields");
    object
}

/// The life of one event at `base` (the group's version), which is patched on its way.
fn life_of_an_event(api: &Api, namespace: &str, base: &str, patch: &Value, label: &str, event: &Value) {
    let path = format!("{base}/namespaces/{namespace}/events");
    let one = format!("{path}/{}", event["metadata"]["name"].as_str().unwrap_or(""));
    let name = event["metadata"]["name"].as_str().unwrap_or("");
    api.post(&path, event);
    let selector = format!("labelSelector={label}%3Dtrue");
    assert_eq!(names(api, &format!("{base}/events?{selector}")), [name]);
    assert_eq!(names(api, &format!("{path}?{selector}")), [name]);
    let mut before = settled(api.get(&one));
    api.strategic(&one, patch);
    let after = settled(api.get(&one));
    for (name, value) in patch.as_object().into_iter().flatten() {
        before[name] = value.clone();
    }
    assert_eq!(after, before);
    before["series"] = json!({ "count": 100, "lastObservedTime": "2017-09-19T13:49:16.000000Z" });
    api.put(&one, &before);
    assert_eq!(settled(api.get(&one)), before);
    api.delete(&one);
    api.gone(&one);
    assert!(names(api, &format!("{base}/events?{selector}")).is_empty());
    assert!(names(api, &format!("{path}?{selector}")).is_empty());
}

/// Three events are made, listed by their label and deleted by it.
fn collection_of_events(api: &Api, path: &str, make: impl Fn(&str) -> Value) {
    let wanted = ["test-event-1", "test-event-2", "test-event-3"];
    for name in wanted {
        api.post(path, &make(name));
    }
    let mine = format!("{path}?labelSelector=testevent-set%3Dtrue");
    assert_eq!(names(api, &mine), wanted);
    api.delete(&mine);
    assert!(names(api, &mine).is_empty());
}

/// `[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]`
#[test]
fn events_should_manage_the_lifecycle_of_an_event() {
    let api = &server();
    let namespace = api.namespace();
    let event = core_event("event-test", &namespace, "core-lifecycle");
    let patch = json!({ "message": "patched" });
    life_of_an_event(api, &namespace, "/api/v1", &patch, "core-lifecycle", &event);
}

/// `[sig-instrumentation] Events should delete a collection of events [Conformance]`
#[test]
fn events_should_delete_a_collection_of_events() {
    let api = &server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/events");
    collection_of_events(api, &path, |name| core_event(name, &namespace, "testevent-set"));
}

/// `[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed [Conformance]`
#[test]
fn events_api_should_ensure_that_an_event_can_be_fetched_patched_deleted_and_listed() {
    let api = &server();
    let namespace = api.namespace();
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let chosen = |base: &str, selector: &str| {
        let (field, value) = selector.split_once('=').unwrap_or_default();
        names(api, &format!("{base}/namespaces/{namespace}/events?fieldSelector={field}%3D{value}"))
    };
    let (core, new) = ("/api/v1", "/apis/events.k8s.io/v1");
    api.post(&path, &new_event("chosen", &namespace, "events-chosen"));
    // First under core's names of the fields, then under the group's own, and again.
    for _ in 0..2 {
        assert_eq!(chosen(core, "source=test-controller"), ["chosen"]);
        assert_eq!(chosen(core, "reportingComponent=test-controller"), ["chosen"]);
        assert_eq!(chosen(new, "reportingController=test-controller"), ["chosen"]);
        assert_eq!(chosen(new, &format!("regarding.namespace={namespace}")), ["chosen"]);
        assert!(chosen(new, "reportingController=another").is_empty());
    }
    let event = new_event("event-test", &namespace, "events-lifecycle");
    let patch = json!({ "series": { "count": 2, "lastObservedTime": "2017-09-19T13:49:11.000000Z" } });
    life_of_an_event(api, &namespace, new, &patch, "events-lifecycle", &event);
    // In this group an event says what it said.
    api.post(&path, &new_event("fixed", &namespace, "events-fixed"));
    let mut other = api.get(&format!("{path}/fixed"));
    other["note"] = json!("other");
    let refused = api.try_put(&format!("{path}/fixed"), &other).refused(422);
    let message = refused["message"].as_str().unwrap_or("");
    assert!(
        message.contains("message: Invalid value: ") && message.contains("field is immutable"),
        "{message}"
    );
    let mut untyped = new_event("untyped", &namespace, "events-fixed");
    untyped["type"] = json!("Odd");
    assert_eq!(api.try_post(&path, &untyped).refused(422)["reason"], "Invalid");
}

/// `[sig-instrumentation] Events API should delete a collection of events [Conformance]`
#[test]
fn events_api_should_delete_a_collection_of_events() {
    let api = &server();
    let namespace = api.namespace();
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    collection_of_events(api, &path, |name| new_event(name, &namespace, "testevent-set"));
}
