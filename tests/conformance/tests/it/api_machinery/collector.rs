//! The garbage collector, with pods that nodes which are not there run.

use serde_json::{Value, json};

use crate::api::Api;
use crate::faked::{Shared, cluster};
use crate::rig::wait_for;

const MANY: usize = 10;
/// How long something that must not happen is looked for, one look after the other.
const LOOKS: usize = 30;

fn pods_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}

fn pods(api: &Api, namespace: &str) -> Vec<Value> {
    items(&api.get(&pods_path(namespace)))
}

fn template(labels: &Value) -> Value {
    json!({
        "metadata": { "labels": labels },
        "spec": { "containers": [{ "name": "nginx", "image": "registry.example/nginx:1" }] },
    })
}

/// A replication controller with its pods; its path.
fn controller(cluster: &Shared, namespace: &str, name: &str, count: usize) -> String {
    let labels = json!({ "gc": name });
    let object = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": name },
        "spec": { "replicas": count, "selector": labels, "template": template(&labels) },
    });
    let path = format!("/api/v1/namespaces/{namespace}/replicationcontrollers");
    cluster.post(&path, &object);
    wait_for("its pods", || {
        let own = |pod: &&Value| pod["metadata"]["labels"]["gc"] == name;
        pods(cluster, namespace).iter().filter(own).count() == count
    });
    format!("{path}/{name}")
}

fn delete(cluster: &Shared, path: &str, policy: &str) {
    cluster.delete_with(path, &json!({ "propagationPolicy": policy }));
}

/// [sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning [Conformance]
#[test]
fn garbage_collector_should_delete_pods_created_by_rc() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let path = controller(&cluster, &namespace, "simpletest.rc", 2);
    delete(&cluster, &path, "Background");
    cluster.gone(&path);
    wait_for("the end of its pods", || pods(&cluster, &namespace).is_empty());
}

/// [sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so [Serial] [Conformance]
#[test]
fn garbage_collector_should_orphan_pods_created_by_rc() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let path = controller(&cluster, &namespace, "simpletest.rc", MANY);
    delete(&cluster, &path, "Orphan");
    cluster.gone(&path);
    for _ in 0..LOOKS {
        assert_eq!(pods(&cluster, &namespace).len(), MANY);
    }
    let orphans = pods(&cluster, &namespace);
    assert!(orphans.iter().all(|pod| pod["metadata"]["ownerReferences"].is_null()), "{orphans:#?}");
}

/// [sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so [Serial] [Conformance]
#[test]
fn garbage_collector_should_keep_the_rc_around_until_all_its_pods_are_deleted() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let path = controller(&cluster, &namespace, "simpletest.rc", MANY);
    // One that is held, so that there is something to wait for.
    let held = format!(
        "{}/{}",
        pods_path(&namespace),
        pods(&cluster, &namespace)[0]["metadata"]["name"].as_str().unwrap()
    );
    cluster.merge(&held, &json!({ "metadata": { "finalizers": ["example.com/hold"] } }));
    delete(&cluster, &path, "Foreground");
    let kept = cluster.until(&path, |found| !found["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(kept["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    wait_for("the end of the others", || pods(&cluster, &namespace).len() == 1);
    cluster.get(&path);
    cluster.merge(&held, &json!({ "metadata": { "finalizers": null } }));
    cluster.gone(&path);
    assert!(pods(&cluster, &namespace).is_empty());
}

fn owner(kind: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": kind, "name": object["metadata"]["name"], "uid": object["metadata"]["uid"],
        "controller": false, "blockOwnerDeletion": true,
    })
}

/// [sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted [Serial] [Conformance]
#[test]
fn garbage_collector_should_not_delete_dependents_that_have_a_valid_owner() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let first = controller(&cluster, &namespace, "simpletest-rc-to-be-deleted", MANY);
    let stays = controller(&cluster, &namespace, "simpletest-rc-to-stay", 0);
    let stays = cluster.get(&stays);
    for pod in pods(&cluster, &namespace).iter().take(MANY / 2) {
        let mut owners = pod["metadata"]["ownerReferences"].as_array().unwrap().clone();
        owners.push(owner("ReplicationController", &stays));
        let path = format!("{}/{}", pods_path(&namespace), pod["metadata"]["name"].as_str().unwrap());
        cluster.strategic(&path, &json!({ "metadata": { "ownerReferences": owners } }));
    }
    delete(&cluster, &first, "Foreground");
    cluster.gone(&first);
    let left = pods(&cluster, &namespace);
    assert_eq!(left.len(), MANY / 2);
    for pod in &left {
        assert!(pod["metadata"]["deletionTimestamp"].is_null(), "{pod:#}");
        let owners = pod["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(owners.len(), 1, "{pod:#}");
        assert_eq!(owners[0]["name"], "simpletest-rc-to-stay");
    }
}

/// [sig-api-machinery] Garbage collector should not be blocked by dependency circle [Conformance]
#[test]
fn garbage_collector_should_not_be_blocked_by_dependency_circle() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let path = pods_path(&namespace);
    let make = |name: &str| {
        let mut pod = template(&json!({}));
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(name);
        cluster.post(&path, &pod)
    };
    let all: Vec<Value> = ["pod1", "pod2", "pod3"].into_iter().map(make).collect();
    for (at, pod) in all.iter().enumerate() {
        let mut reference = owner("Pod", &all[(at + 2) % 3]);
        reference["controller"] = json!(true);
        let name = pod["metadata"]["name"].as_str().unwrap();
        let patch = json!({ "metadata": { "ownerReferences": [reference] } });
        let patched = cluster.strategic(&format!("{path}/{name}"), &patch);
        assert_eq!(patched["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    }
    delete(&cluster, &format!("{path}/pod1"), "Foreground");
    wait_for("the end of all three", || pods(&cluster, &namespace).is_empty());
}

/// A deployment whose replica set is there; its path and the set's.
fn deployment(cluster: &Shared, namespace: &str) -> (String, String) {
    let labels = json!({ "app": "gc" });
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "simpletest.deployment" },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": template(&labels) },
    });
    let apps = format!("/apis/apps/v1/namespaces/{namespace}");
    cluster.post(&format!("{apps}/deployments"), &object);
    let mut set = String::new();
    wait_for("its replica set", || {
        let sets = items(&cluster.get(&format!("{apps}/replicasets")));
        let found = sets.first().and_then(|set| set["metadata"]["name"].as_str());
        found.inspect(|name| set = (*name).to_owned()).is_some()
    });
    (format!("{apps}/deployments/simpletest.deployment"), format!("{apps}/replicasets/{set}"))
}

/// [sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning [Conformance]
#[test]
fn garbage_collector_should_delete_rs_created_by_deployment() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let (path, set) = deployment(&cluster, &namespace);
    delete(&cluster, &path, "Background");
    cluster.gone(&set);
    wait_for("the end of its pods", || pods(&cluster, &namespace).is_empty());
}

/// [sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan [Conformance]
#[test]
fn garbage_collector_should_orphan_rs_created_by_deployment() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let (path, set) = deployment(&cluster, &namespace);
    delete(&cluster, &path, "Orphan");
    cluster.gone(&path);
    for _ in 0..LOOKS {
        cluster.get(&set);
    }
    let orphan = cluster.get(&set);
    assert!(orphan["metadata"]["ownerReferences"].is_null(), "{orphan:#}");
}
