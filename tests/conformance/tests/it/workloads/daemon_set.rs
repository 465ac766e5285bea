//! Daemon sets, and the revisions that they keep.

use serde_json::{Value, json};

use super::{container, living, name, until, wait_long};
use crate::api::Api;
use crate::faked::{NODES, Shared, cluster};
use crate::life::{change, contains};

struct Made {
    api: Shared,
    namespace: String,
    path: String,
}

fn make(spec: Value) -> Made {
    let api = cluster();
    let namespace = api.namespace();
    let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets");
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "daemon", "labels": { "daemon": namespace } },
        "spec": {
            "selector": { "matchLabels": { "app": "daemon" } },
            "template": {
                "metadata": { "labels": { "app": "daemon" } },
                "spec": { "terminationGracePeriodSeconds": 1, "containers": [container()] },
            },
        },
    });
    for (member, value) in spec.as_object().into_iter().flatten() {
        object["spec"][member] = value.clone();
    }
    api.post(&path, &object);
    Made { api, path: format!("{path}/daemon"), namespace }
}

impl Made {
    /// Waits until each node has its pod, and all that was written was seen.
    fn runs(&self) -> Value {
        until(&self.api, &self.path, |set| {
            let status = &set["status"];
            status["observedGeneration"] == set["metadata"]["generation"]
                && status["numberAvailable"] == NODES.len()
                && status["updatedNumberScheduled"] == NODES.len()
        })
    }

    fn pods(&self) -> Vec<Value> {
        living(&self.api, &self.namespace)
    }

    fn revisions(&self) -> Vec<Value> {
        let list = self.api.get(&format!("/apis/apps/v1/namespaces/{}/controllerrevisions", self.namespace));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    fn image(&self, image: &str) {
        let of = json!({ "name": "c", "image": image });
        let patch = json!({ "spec": { "template": { "spec": { "containers": [of] } } } });
        self.api.strategic(&self.path, &patch);
    }
}

fn images(pods: &[Value]) -> Vec<&str> {
    pods.iter().filter_map(|pod| pod["spec"]["containers"][0]["image"].as_str()).collect()
}

/// `[sig-apps] Daemon set [Serial] should run and stop simple daemon [Conformance]`
#[test]
fn daemon_set_should_run_and_stop_simple_daemon() {
    let made = make(json!({}));
    made.runs();
    let mut nodes: Vec<_> = made.pods().iter().map(|pod| pod["spec"]["nodeName"].clone()).collect();
    nodes.sort_by_key(ToString::to_string);
    assert_eq!(nodes, NODES);
    let first = name(&made.pods()[0]);
    made.api.delete(&format!("/api/v1/namespaces/{}/pods/{first}", made.namespace));
    wait_long("another pod in its place", || {
        made.pods().len() == NODES.len() && made.pods().iter().all(|pod| name(pod) != first)
    });
    made.runs();
}

/// `[sig-apps] Daemon set [Serial] should run and stop complex daemon [Conformance]`
#[test]
fn daemon_set_should_run_and_stop_complex_daemon() {
    let made = make(json!({}));
    let color = |color: &str| {
        let label = format!("color-{}", made.namespace);
        let patch = json!({ "metadata": { "labels": { label.as_str(): color } } });
        made.api.merge(&format!("/api/v1/nodes/{}", NODES[0]), &patch);
        label
    };
    let select = |label: &str, color: &str| {
        change(&made.api, &made.path, |set| {
            set["spec"]["template"]["spec"]["nodeSelector"] = json!({ label: color });
            set["spec"]["updateStrategy"] = json!({ "type": "RollingUpdate" });
        });
    };
    let label = color("blue");
    select(&label, "green");
    wait_long("no pod", || made.pods().is_empty());
    color("green");
    wait_long("one pod", || {
        let all = made.pods();
        all.len() == 1 && all[0]["spec"]["nodeName"] == NODES[0] && all[0]["status"]["phase"] == "Running"
    });
    color("blue");
    wait_long("no pod again", || made.pods().is_empty());
    select(&label, "blue");
    until(&made.api, &made.path, |set| set["status"]["numberAvailable"] == 1);
}

/// `[sig-apps] Daemon set [Serial] should retry creating failed daemon pods [Conformance]`
#[test]
fn daemon_set_should_retry_creating_failed_daemon_pods() {
    let made = make(json!({}));
    made.runs();
    let first = name(&made.pods()[0]);
    let path = format!("/api/v1/namespaces/{}/pods/{first}", made.namespace);
    made.api.strategic(&format!("{path}/status"), &json!({ "status": { "phase": "Failed" } }));
    made.api.gone(&path);
    made.runs();
}

/// `[sig-apps] Daemon set [Serial] should update pod when spec was updated and update strategy is RollingUpdate
/// [Conformance]`
#[test]
fn daemon_set_should_update_pod_when_spec_was_updated_and_update_strategy_is_rolling_update() {
    let made = make(json!({ "updateStrategy": { "type": "RollingUpdate" } }));
    made.runs();
    assert_eq!(made.revisions().len(), 1);
    let hash = made.revisions()[0]["metadata"]["labels"]["controller-revision-hash"].clone();
    assert!(made.pods().iter().all(|pod| pod["metadata"]["labels"]["controller-revision-hash"] == hash));
    made.image("registry.example/other:2");
    made.runs();
    assert_eq!(images(&made.pods()), ["registry.example/other:2"; NODES.len()]);
    let mut numbers: Vec<_> = made.revisions().iter().map(|found| found["revision"].as_i64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [Some(1), Some(2)]);
}

/// `[sig-apps] Daemon set [Serial] should rollback without unnecessary restarts [Conformance]`
#[test]
fn daemon_set_should_rollback_without_unnecessary_restarts() {
    let made = make(json!({ "updateStrategy": { "type": "RollingUpdate" } }));
    made.runs();
    let before: Vec<String> = made.pods().iter().map(name).collect();
    // Pods of this image are never ready: the rollout stands still.
    change(&made.api, &made.path, |set| {
        set["spec"]["template"]["metadata"]["annotations"] = json!({ crate::faked::UNREADY: "yes" });
    });
    let is_new = |pod: &Value| pod["metadata"]["annotations"][crate::faked::UNREADY] == "yes";
    wait_long("a new pod", || made.pods().iter().any(is_new));
    let kept: Vec<String> = made.pods().iter().filter(|pod| !is_new(pod)).map(name).collect();
    assert!(!kept.is_empty() && kept.iter().all(|pod| before.contains(pod)));
    let undone = made.api.get(&format!("/apis/apps/v1/namespaces/{}/controllerrevisions", made.namespace));
    let first =
        undone["items"].as_array().unwrap().iter().find(|found| found["revision"] == 1).cloned().unwrap();
    // As `kubectl rollout undo` does it.
    made.api.strategic(&made.path, &first["data"]);
    made.runs();
    let after: Vec<String> = made.pods().iter().map(name).collect();
    assert!(kept.iter().all(|pod| after.contains(pod)), "{kept:?} of {after:?}");
    assert!(!made.pods().iter().any(is_new));
}

/// `[sig-apps] Daemon set [Serial] should list and delete a collection of DaemonSets [Conformance]`
#[test]
fn daemon_set_should_list_and_delete_a_collection_of_daemon_sets() {
    let made = make(json!({}));
    made.runs();
    let mine = format!("labelSelector=daemon%3D{}", made.namespace);
    let list = made.api.get(&format!("/apis/apps/v1/daemonsets?{mine}"));
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    made.api.delete(&format!("/apis/apps/v1/namespaces/{}/daemonsets?{mine}", made.namespace));
    made.api.gone(&made.path);
    wait_long("the end of its pods", || made.pods().is_empty());
}

/// `[sig-apps] Daemon set [Serial] should verify changes to a daemon set status [Conformance]`
#[test]
fn daemon_set_should_verify_changes_to_a_daemon_set_status() {
    let made = make(json!({}));
    made.runs();
    let status = format!("{}/status", made.path);
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "E2E", "message": "Set from e2e test" });
    change(&made.api, &status, |set| set["status"]["conditions"] = json!([condition("StatusUpdate")]));
    let is_there = |set: &Value, kind: &str| {
        set["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|found| found["type"] == kind))
    };
    until(&made.api, &made.path, |set| is_there(set, "StatusUpdate"));
    made.api.merge(&status, &json!({ "status": { "conditions": [condition("StatusPatched")] } }));
    until(&made.api, &made.path, |set| is_there(set, "StatusPatched"));
}

/// `[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision [Conformance]`
#[test]
fn controller_revision_should_manage_the_lifecycle_of_a_controller_revision() {
    let made = make(json!({}));
    made.runs();
    let path = format!("/apis/apps/v1/namespaces/{}/controllerrevisions", made.namespace);
    let initial = made.revisions().remove(0);
    let one = format!("{path}/{}", name(&initial));
    let patched = made.api.strategic(&one, &json!({ "metadata": { "labels": { "patched": "true" } } }));
    assert_eq!(patched["metadata"]["labels"]["patched"], "true");
    let mut second = initial.clone();
    second["metadata"] = json!({
        "name": "second", "labels": initial["metadata"]["labels"], "ownerReferences": initial["metadata"]["ownerReferences"],
    });
    second["revision"] = json!(initial["revision"].as_i64().unwrap() + 1);
    made.api.post(&path, &second);
    listed(&made.api, &path, 2);
    made.api.delete(&one);
    made.api.gone(&one);
    let other = format!("{path}/second");
    let written = change(&made.api, &other, |found| found["metadata"]["labels"]["updated"] = json!("true"));
    contains(&written["metadata"]["labels"], &json!({ "updated": "true" }));
    let mine = format!("{path}?labelSelector=updated%3Dtrue");
    listed(&made.api, &mine, 1);
    made.api.delete(&mine);
    made.api.gone(&other);
    // The set makes the revision that it needs again.
    wait_long("a revision", || !made.revisions().is_empty());
    made.runs();
}

fn listed(api: &Api, path: &str, count: usize) {
    wait_long(path, || api.get(path)["items"].as_array().map(Vec::len) == Some(count));
}
