//! Scale, binding, eviction.

use apiserver::registry::{Body, Patch};
use serde_json::{Value, json};

use crate::rig::{Rig, version};
use crate::writes::pod;

fn replica_set() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scale_speaks_of_replicas() {
    let rig = Rig::new().await;
    rig.create("apps/replicasets default", replica_set()).await.unwrap();
    let target = "apps/replicasets default web scale";
    let mut scale = rig.get(target).await.unwrap();
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["selector"]), (&json!(2), &json!("app=web")));
    scale["spec"]["replicas"] = json!(5);
    let scale = rig.update(target, scale).await.unwrap().to_value();
    assert_eq!(scale["spec"]["replicas"], 5);
    let whole = rig.get("apps/replicasets default web").await.unwrap();
    assert_eq!((&whole["spec"]["replicas"], &whole["metadata"]["generation"]), (&json!(5), &json!(2)));
    let patch = Patch::Merge(Body::from(json!({"spec": {"replicas": 1}})));
    assert_eq!(rig.patch(target, patch).await.unwrap().to_value()["spec"]["replicas"], 1);
    let mut wrong = (*scale).clone();
    wrong["spec"]["replicas"] = json!(-1);
    assert_eq!(rig.update(target, wrong).await.unwrap_err().code, 422);
    assert_eq!(rig.update(target, (*scale).clone()).await.unwrap_err().code, 409, "an old scale");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_bound_once() {
    let rig = Rig::new().await;
    rig.create("pods default", pod("web")).await.unwrap();
    let binding = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}});
    let bound = rig.create("pods default web binding", binding.clone()).await.unwrap();
    assert_eq!((bound.code, &bound.to_value()["status"]), (201, &json!("Success")));
    let found = rig.get("pods default web").await.unwrap();
    assert_eq!(found["spec"]["nodeName"], "n1");
    assert_eq!(found["status"]["conditions"][0]["type"], "PodScheduled");
    let again = rig.create("pods default web binding", binding).await.unwrap_err();
    assert_eq!(
        again.message,
        "Operation cannot be fulfilled on pods \"web\": pod web is already assigned to node \"n1\""
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_refuse_evictions() {
    let rig = Rig::new().await;
    for name in ["a", "b"] {
        let mut object = pod(name);
        object["metadata"]["labels"] = json!({"app": "web"});
        object["spec"]["nodeName"] = json!("n1");
        let mut made = (*rig.create("pods default", object).await.unwrap().to_value()).clone();
        made["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        rig.update(&format!("pods default {name} status"), made).await.unwrap();
    }
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    let mut budget =
        (*rig.create("policy/poddisruptionbudgets default", budget).await.unwrap().to_value()).clone();
    let evict = |name: &'static str| {
        let eviction = json!({"metadata": {"name": name}, "deleteOptions": {"gracePeriodSeconds": 0}});
        let rig = &rig;
        async move { rig.create(&format!("pods default {name} eviction"), eviction).await }
    };
    let unobserved = evict("a").await.unwrap_err();
    assert_eq!((unobserved.code, unobserved.reason), (429, "TooManyRequests"));
    budget["status"] = json!({"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1,
        "expectedPods": 2});
    let before = rig.update("policy/poddisruptionbudgets default b status", budget).await.unwrap().to_value();
    evict("a").await.unwrap();
    assert_eq!(rig.get("pods default a").await.unwrap_err().code, 404);
    let after = rig.get("policy/poddisruptionbudgets default b").await.unwrap();
    assert_eq!(after["status"]["disruptionsAllowed"], 0);
    assert!(version(&after) > version(&before));
    let refused = evict("b").await.unwrap_err();
    assert_eq!(refused.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(
        refused.details.unwrap().causes[0]["message"],
        "The disruption budget b needs 1 healthy pods and has 2 currently"
    );
}
