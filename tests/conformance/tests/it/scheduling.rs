//! [sig-scheduling]

use serde_json::{Value, json};

use crate::api::server;
use crate::life::Life;

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

/// `[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection [Conformance]`
#[test]
fn limit_range_should_list_patch_and_delete_a_limit_range_by_collection() {
    let api = server();
    let spaces = [api.namespace(), api.namespace()];
    let path = |space: &str| format!("/api/v1/namespaces/{space}/limitranges");
    let selector = format!("labelSelector=ranges%3D{}", spaces[0]);
    for space in &spaces {
        let limit = json!({
            "type": "Container",
            "min": { "cpu": "50m", "memory": "100Mi" },
            "max": { "cpu": "500m", "memory": "500Mi" },
            "default": { "cpu": "500m", "memory": "500Mi" },
            "defaultRequest": { "cpu": "100m", "memory": "200Mi" },
        });
        let object = json!({
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": { "name": "ranges", "labels": { "ranges": spaces[0] } },
            "spec": { "limits": [limit] },
        });
        api.post(&path(space), &object);
    }
    let everywhere = format!("/api/v1/limitranges?{selector}");
    assert_eq!(names(&api.get(&everywhere)).len(), 2);
    let patch = json!({
        "metadata": { "labels": { "patched": "true" } },
        "spec": { "limits": [{ "type": "Container", "min": { "cpu": "40m", "memory": "100Mi" } }] },
    });
    let patched = api.strategic(&format!("{}/ranges", path(&spaces[0])), &patch);
    assert_eq!(patched["metadata"]["labels"]["patched"], "true");
    assert_eq!(patched["spec"]["limits"][0]["min"]["cpu"], "40m");
    api.delete(&format!("{}?labelSelector=patched%3Dtrue", path(&spaces[0])));
    api.gone(&format!("{}/ranges", path(&spaces[0])));
    let left = api.get(&everywhere);
    assert_eq!(names(&left), ["ranges"]);
    assert_eq!(left["items"][0]["metadata"]["namespace"], spaces[1]);
}

/// `[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if not matching
/// [Conformance]`
///
/// What the API has to do with it: the pod stays without a node, and what a scheduler writes about it reaches a watcher.
#[test]
fn scheduler_predicates_validates_that_node_selector_is_respected_if_not_matching() {
    let api = server();
    let namespace = api.namespace();
    let (pods, events) =
        (format!("/api/v1/namespaces/{namespace}/pods"), format!("/api/v1/namespaces/{namespace}/events"));
    let mut seen = api.watch(&events);
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "restricted-pod" },
        "spec": {
            "nodeSelector": { "label": "nonempty" },
            "containers": [{ "name": "pause", "image": "registry.example/pause:1" }],
        },
    });
    let pod = api.post(&pods, &pod);
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": "restricted-pod.1" },
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": namespace,
            "name": "restricted-pod", "uid": pod["metadata"]["uid"],
        },
        "type": "Warning",
        "reason": "FailedScheduling",
        "source": { "component": "default-scheduler" },
    });
    api.post(&events, &event);
    seen.until("ADDED", |event| {
        event["reason"] == "FailedScheduling" && event["involvedObject"]["name"] == "restricted-pod"
    });
    // What the spec looks at: the namespaces, the nodes (none has the label) and the pods in all of them.
    let spaces = api.get("/api/v1/namespaces");
    assert!(names(&spaces).contains(&namespace.as_str()), "{spaces}");
    assert!(names(&api.get("/api/v1/nodes?labelSelector=label%3Dnonempty")).is_empty());
    let mine = format!("/api/v1/pods?fieldSelector=metadata.namespace%3D{namespace}");
    let all = api.get(&mine);
    assert_eq!(names(&all), ["restricted-pod"]);
    assert_eq!(all["items"][0]["spec"]["nodeSelector"], json!({ "label": "nonempty" }));
    assert!(all["items"][0]["spec"].get("nodeName").is_none(), "{all}");
    assert_eq!(names(&api.get(&format!("{pods}?fieldSelector=spec.nodeName%3D"))), ["restricted-pod"]);
    assert_eq!(names(&api.get(&format!("{pods}?fieldSelector=status.phase%3DPending"))), ["restricted-pod"]);
}

/// `[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be operated
/// with different HTTP methods [Conformance]`
#[test]
fn scheduler_preemption_verify_priority_class_endpoints_can_be_operated_with_different_http_methods() {
    let api = server();
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
    for (name, value) in [("p1", 1), ("p2", 2)] {
        let object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": { "name": name }, "value": value,
        });
        api.post(path, &object);
        let one = format!("{path}/{name}");
        let refused = api.try_merge(&one, &json!({ "value": value * 10 })).refused(422);
        assert_eq!(refused["reason"], "Invalid");
        let message = refused["message"].as_str().unwrap_or("");
        assert!(message.contains("value: Forbidden: may not be changed in an update."), "{refused}");
        let mut object = api.get(&one);
        object["value"] = json!(value * 10);
        assert_eq!(api.try_put(&one, &object).refused(422)["reason"], "Invalid");
        api.merge(&one, &json!({ "description": "patched" }));
        let got = api.get(&one);
        assert_eq!((&got["value"], &got["description"]), (&json!(value), &json!("patched")));
        api.delete(&one);
        api.gone(&one);
    }
    Life {
        version: "scheduling.k8s.io/v1",
        resource: "priorityclasses",
        kind: "PriorityClass",
        namespace: None,
        names: ["pc-life-1", "pc-life-2", "pc-life-3"],
        body: json!({ "value": 1000, "description": "of a test" }),
        phase: None,
        status: None,
    }
    .run(&api);
}
