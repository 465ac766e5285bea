//! What deployments, replica sets and replication controllers have in common: a count of pods that is kept.

use serde_json::{Value, json};

use super::{living, name, until};
use crate::api::Api;
use crate::faked::{Shared, cluster};
use crate::life::change;

/// One of these objects in a namespace of its own.
pub(super) struct Kept {
    pub(super) api: Shared,
    pub(super) namespace: String,
    /// Where its kind's objects of the namespace are.
    pub(super) all: String,
    /// Its own path.
    pub(super) path: String,
}

/// What the kinds are called.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
}

pub(super) const DEPLOYMENT: Kind = Kind { version: "apps/v1", kind: "Deployment", plural: "deployments" };
pub(super) const REPLICA_SET: Kind = Kind { version: "apps/v1", kind: "ReplicaSet", plural: "replicasets" };
pub(super) const CONTROLLER: Kind =
    Kind { version: "v1", kind: "ReplicationController", plural: "replicationcontrollers" };

impl Kind {
    pub(super) fn path(self, namespace: &str) -> String {
        let root = if self.version.contains('/') { "/apis" } else { "/api" };
        format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural)
    }

    /// An object of pods with these labels; `more` changes its specification.
    pub(super) fn object(self, name: &str, labels: &Value, replicas: usize, more: Value) -> Value {
        let selector =
            if self.kind == CONTROLLER.kind { labels.clone() } else { json!({ "matchLabels": labels }) };
        let mut object = json!({
            "apiVersion": self.version, "kind": self.kind, "metadata": { "name": name, "labels": labels },
            "spec": { "replicas": replicas, "selector": selector, "template": {
                "metadata": { "labels": labels }, "spec": { "containers": [super::container()] },
            } },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            object["spec"][name] = value.clone();
        }
        object
    }
}

/// Makes an object of pods with the label `name`.
pub(super) fn make(kind: Kind, name: &str, replicas: usize, more: Value) -> Kept {
    let api = cluster();
    let namespace = api.namespace();
    make_in(api, namespace, kind, name, replicas, more)
}

/// The same in a namespace that is there.
pub(super) fn make_in(
    api: Shared,
    namespace: String,
    kind: Kind,
    name: &str,
    replicas: usize,
    more: Value,
) -> Kept {
    let all = kind.path(&namespace);
    api.post(&all, &kind.object(name, &json!({ "name": name }), replicas, more));
    let path = format!("{all}/{name}");
    Kept { api, namespace, all, path }
}

impl Kept {
    #[track_caller]
    pub(super) fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        until(&self.api, &self.path, fits)
    }

    /// Waits until so many pods are ready.
    #[track_caller]
    pub(super) fn runs(&self, count: usize) -> Value {
        self.until(|found| {
            let ready = &found["status"]["readyReplicas"];
            ready.as_u64().unwrap_or(0) == count as u64 && found["status"]["replicas"] == count
        })
    }

    /// The pods that live.
    pub(super) fn pods(&self) -> Vec<Value> {
        living(&self.api, &self.namespace)
    }

    pub(super) fn pod_path(&self, pod: &Value) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, name(pod))
    }
}

/// Reads, updates and patches the count through the subresource.
pub(super) fn scales(made: &Kept) {
    made.runs(1);
    let path = format!("{}/scale", made.path);
    let mut scale = made.api.get(&path);
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(1), &json!(1)), "{scale}");
    scale["metadata"]["resourceVersion"] = Value::Null;
    scale["spec"]["replicas"] = json!(2);
    assert_eq!(made.api.put(&path, &scale)["spec"]["replicas"], 2);
    made.runs(2);
    made.api.merge(&path, &json!({ "spec": { "replicas": 4 } }));
    assert_eq!(made.runs(4)["spec"]["replicas"], 4);
}

/// Sets conditions through the subresource, by an update and by a patch, which others see.
pub(super) fn has_status(made: &Kept) {
    made.runs(1);
    let status = format!("{}/status", made.path);
    let condition =
        |kind: &str| json!({ "type": kind, "status": "True", "reason": "E2E", "message": "Set by e2e test" });
    let mut events = made.api.watch(&made.all);
    change(&made.api, &status, |object| {
        let mut list = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        list.push(condition("StatusUpdate"));
        object["status"]["conditions"] = json!(list);
    });
    events.until("MODIFIED", |object| super::holds(object, "StatusUpdate"));
    made.api.merge(&status, &json!({ "status": { "conditions": [condition("StatusPatched")] } }));
    events.until("MODIFIED", |object| super::holds(object, "StatusPatched"));
}

/// A pod on its own is taken over by what selects it; it is let go when its label changes.
pub(super) fn adopts_and_releases(kind: Kind) {
    let api = cluster();
    let namespace = api.namespace();
    let labels = json!({ "name": "pod-adoption" });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pod-adoption", "labels": labels },
        "spec": { "containers": [super::container()] },
    });
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    api.post(&pods, &pod);
    until(&api, &format!("{pods}/pod-adoption"), |pod| pod["status"]["phase"] == "Running");
    let made = make_in(api, namespace, kind, "pod-adoption", 1, json!({}));
    let uid = made.api.get(&made.path)["metadata"]["uid"].clone();
    let path = format!("{pods}/pod-adoption");
    until(&made.api, &path, |pod| owned_by(pod, &uid));
    made.runs(1);
    assert_eq!(made.pods().len(), 1);
    made.api.strategic(&path, &json!({ "metadata": { "labels": { "name": "not-matching" } } }));
    until(&made.api, &path, |pod| !owned_by(pod, &uid));
    // Another stands in for it.
    until(&made.api, &pods, |list| {
        list["items"].as_array().is_some_and(|all| all.iter().filter(|pod| owned_by(pod, &uid)).count() == 1)
    });
}

pub(super) fn owned_by(pod: &Value, uid: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| owner["uid"] == *uid && owner["controller"] == true)
}

/// The kinds' objects of a namespace.
pub(super) fn list(api: &Api, path: &str) -> Vec<Value> {
    api.get(path)["items"].as_array().cloned().unwrap_or_default()
}
