//! Stateful sets.

use serde_json::{Value, json};

use super::{container, living, name, until, wait_long};
use crate::faked::{Shared, cluster};
use crate::life::{change, contains};

struct Made {
    api: Shared,
    namespace: String,
    path: String,
}

fn make(replicas: i64, spec: Value) -> Made {
    let api = cluster();
    let namespace = api.namespace();
    let path = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets");
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "ss", "labels": { "stateful": namespace } },
        "spec": {
            "replicas": replicas, "serviceName": "test",
            "selector": { "matchLabels": { "app": "ss" } },
            "template": {
                "metadata": { "labels": { "app": "ss" } },
                "spec": { "terminationGracePeriodSeconds": 1, "containers": [container()] },
            },
        },
    });
    for (member, value) in spec.as_object().into_iter().flatten() {
        object["spec"][member] = value.clone();
    }
    api.post(&path, &object);
    Made { api, path: format!("{path}/ss"), namespace }
}

impl Made {
    fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        until(&self.api, &self.path, fits)
    }

    /// Waits until so many pods are ready, and nothing else is there.
    fn runs(&self, replicas: i64) -> Value {
        self.until(|set| {
            let status = &set["status"];
            let ready = status["readyReplicas"].as_i64().unwrap_or(0);
            let seen = status["observedGeneration"] == set["metadata"]["generation"];
            seen && ready == replicas && status["replicas"] == replicas
        })
    }

    fn scale(&self, replicas: i64) {
        self.api.merge(&self.path, &json!({ "spec": { "replicas": replicas } }));
    }

    fn pods(&self) -> Vec<String> {
        let mut all: Vec<String> = living(&self.api, &self.namespace).iter().map(name).collect();
        all.sort();
        all
    }

    fn images(&self) -> Vec<String> {
        let mut all = living(&self.api, &self.namespace);
        all.sort_by_key(name);
        all.iter()
            .filter_map(|pod| pod["spec"]["containers"][0]["image"].as_str().map(str::to_owned))
            .collect()
    }

    fn image(&self, image: &str) {
        let of = json!({ "name": "c", "image": image });
        let patch = json!({ "spec": { "template": { "spec": { "containers": [of] } } } });
        self.api.strategic(&self.path, &patch);
    }

    /// Makes a pod ready or not.
    fn set_ready(&self, pod: &str, ready: bool) {
        let status = if ready { "True" } else { "False" };
        let condition =
            json!({ "type": "Ready", "status": status, "lastTransitionTime": crate::faked::now() });
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/status", self.namespace);
        self.api.strategic(&path, &json!({ "status": { "conditions": [condition] } }));
    }
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Scaling should happen in predictable order
/// and halt if any stateful pod is unhealthy [Slow] [Conformance]`
#[test]
fn stateful_set_scaling_should_happen_in_predictable_order_and_halt_if_any_stateful_pod_is_unhealthy() {
    let made = make(1, json!({}));
    made.runs(1);
    let mut events =
        made.api.watch(&format!("/api/v1/namespaces/{}/pods?labelSelector=app%3Dss", made.namespace));
    made.set_ready("ss-0", false);
    made.until(|set| set["status"].get("readyReplicas").is_none_or(|ready| ready == 0));
    made.scale(3);
    made.until(|set| set["status"]["observedGeneration"] == 2);
    assert_eq!(made.pods(), ["ss-0"]);
    made.set_ready("ss-0", true);
    made.runs(3);
    for pod in ["ss-1", "ss-2"] {
        let next = events.until("ADDED", |found| found["metadata"]["name"] != "ss-0");
        assert_eq!(name(&next), pod);
    }
    let all = ["ss-0", "ss-1", "ss-2"];
    all.iter().for_each(|pod| made.set_ready(pod, false));
    made.until(|set| set["status"].get("readyReplicas").is_none_or(|ready| ready == 0));
    made.scale(0);
    made.until(|set| set["status"]["observedGeneration"] == 3);
    assert_eq!(made.pods(), all);
    all.iter().for_each(|pod| made.set_ready(pod, true));
    made.runs(0);
    for pod in ["ss-2", "ss-1", "ss-0"] {
        assert_eq!(name(&events.until("DELETED", |_| true)), pod);
    }
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Burst scaling should run to completion even
/// with unhealthy pods [Slow] [Conformance]`
#[test]
fn stateful_set_burst_scaling_should_run_to_completion_even_with_unhealthy_pods() {
    let made = make(1, json!({ "podManagementPolicy": "Parallel" }));
    made.runs(1);
    made.set_ready("ss-0", false);
    made.scale(3);
    wait_long("all pods", || made.pods() == ["ss-0", "ss-1", "ss-2"]);
    made.set_ready("ss-0", true);
    made.runs(3);
    made.set_ready("ss-0", false);
    made.scale(0);
    made.runs(0);
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Should recreate evicted statefulset
/// [Conformance]`
#[test]
fn stateful_set_should_recreate_evicted_statefulset() {
    let made = make(1, json!({}));
    made.runs(1);
    let path = format!("/api/v1/namespaces/{}/pods/ss-0", made.namespace);
    let first = made.api.get(&path)["metadata"]["uid"].clone();
    made.api.strategic(
        &format!("{path}/status"),
        &json!({ "status": { "phase": "Failed", "reason": "Evicted" } }),
    );
    wait_long("another pod of that name", || {
        let all = living(&made.api, &made.namespace);
        all.first().is_some_and(|pod| pod["metadata"]["uid"] != first && pod["status"]["phase"] == "Running")
    });
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should have a working scale subresource
/// [Conformance]`
#[test]
fn stateful_set_should_have_a_working_scale_subresource() {
    let made = make(1, json!({}));
    made.runs(1);
    let path = format!("{}/scale", made.path);
    let mut scale = made.api.get(&path);
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(1), &json!(1)));
    scale["metadata"]["resourceVersion"] = Value::Null;
    scale["spec"]["replicas"] = json!(2);
    made.api.put(&path, &scale);
    made.runs(2);
    made.api.merge(&path, &json!({ "spec": { "replicas": 4 } }));
    assert_eq!(made.runs(4)["spec"]["replicas"], 4);
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should list, patch and delete a collection
/// of StatefulSets [Conformance]`
#[test]
fn stateful_set_should_list_patch_and_delete_a_collection_of_stateful_sets() {
    let made = make(1, json!({}));
    made.runs(1);
    let mine = format!("labelSelector=stateful%3D{}", made.namespace);
    let list = made.api.get(&format!("/apis/apps/v1/statefulsets?{mine}"));
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let patch = json!({ "metadata": { "labels": { "test-ss": "patched" } }, "spec": { "replicas": 2 } });
    contains(&made.api.strategic(&made.path, &patch), &patch);
    made.runs(2);
    made.api.delete(&format!(
        "/apis/apps/v1/namespaces/{}/statefulsets?labelSelector=test-ss%3Dpatched",
        made.namespace
    ));
    made.api.gone(&made.path);
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should perform rolling updates and roll
/// backs of template modifications [Conformance]`
#[test]
fn stateful_set_should_perform_rolling_updates_and_roll_backs_of_template_modifications() {
    let made = make(3, json!({}));
    let first = made.runs(3)["status"]["updateRevision"].clone();
    let is_done = |revision: &Value| {
        made.until(|set| {
            let status = &set["status"];
            status["currentRevision"] == status["updateRevision"]
                && (status["updateRevision"] == *revision) == (*revision == first)
                && status["readyReplicas"] == 3
                && status["observedGeneration"] == set["metadata"]["generation"]
        })
    };
    made.image("registry.example/other:2");
    let second = is_done(&Value::Null)["status"]["updateRevision"].clone();
    assert_ne!(first, second);
    assert_eq!(made.images(), ["registry.example/other:2"; 3]);
    made.image("registry.example/busybox:1");
    is_done(&first);
    assert_eq!(made.images(), ["registry.example/busybox:1"; 3]);
    for pod in living(&made.api, &made.namespace) {
        assert_eq!(pod["metadata"]["labels"]["controller-revision-hash"], first);
    }
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should perform canary updates and phased
/// rolling updates of template modifications [Conformance]`
#[test]
fn stateful_set_should_perform_canary_updates_and_phased_rolling_updates_of_template_modifications() {
    let partition = |at: i64| json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": at } });
    let made = make(3, json!({ "updateStrategy": partition(3) }));
    made.runs(3);
    let (old, new) = ("registry.example/busybox:1", "registry.example/other:2");
    made.image(new);
    made.until(|set| set["status"]["currentRevision"] != set["status"]["updateRevision"]);
    assert_eq!(made.images(), [old; 3]);
    for (at, expected) in [(2, [old, old, new]), (1, [old, new, new]), (0, [new, new, new])] {
        change(&made.api, &made.path, |set| set["spec"]["updateStrategy"] = partition(at));
        wait_long("the next phase", || made.images() == expected);
        made.runs(3);
        if at == 2 {
            // Whatever its revision is, a pod comes back with it.
            for pod in ["ss-0", "ss-2"] {
                made.api.delete(&format!("/api/v1/namespaces/{}/pods/{pod}", made.namespace));
            }
            wait_long("both pods", || made.images() == expected);
            made.runs(3);
        }
    }
    made.until(|set| set["status"]["currentRevision"] == set["status"]["updateRevision"]);
}

/// `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should validate Statefulset Status endpoints
/// [Conformance]`
#[test]
fn stateful_set_should_validate_statefulset_status_endpoints() {
    let made = make(1, json!({}));
    made.runs(1);
    let status = format!("{}/status", made.path);
    let condition =
        |kind: &str| json!({ "type": kind, "status": "True", "reason": "E2E", "message": "Set by e2e test" });
    change(&made.api, &status, |set| set["status"]["conditions"] = json!([condition("StatusUpdate")]));
    let is_there = |set: &Value, kind: &str| {
        set["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|found| found["type"] == kind))
    };
    made.until(|set| is_there(set, "StatusUpdate"));
    made.api.merge(&status, &json!({ "status": { "conditions": [condition("StatusPatched")] } }));
    made.until(|set| is_there(set, "StatusPatched"));
}
