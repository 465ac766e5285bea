//! The kubelet on the real engine: what its node does with pods besides running them.

mod crash;
mod eviction;
mod figures;
mod last_words;
mod logs;
mod probes;
mod resize;
mod restarts;
mod shutdown;
mod statics;

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::wait_for;

use super::{busybox, cluster, exec};

/// A pod on the server's node; `container` has what its only container has besides name and image.
fn pod(name: &str, container: &Value, spec: &Value) -> String {
    let mut own = json!({"name": "app", "image": "busybox", "imagePullPolicy": "IfNotPresent"});
    merge(&mut own, container);
    let mut whole = json!({"terminationGracePeriodSeconds": 1, "containers": [own]});
    merge(&mut whole, spec);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}).to_string()
}

/// The same with a container that sleeps.
fn sleeps(name: &str, container: &Value, spec: &Value) -> String {
    let mut own = json!({"command": ["sleep", "3600"]});
    merge(&mut own, container);
    pod(name, &own, spec)
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

/// An object as the API has it.
fn object(cluster: &Cluster, name: &str) -> Value {
    serde_json::from_str(cluster.kubectl(&["get", name, "-o", "json"]).ok()).expect("JSON")
}

/// Waits until an object is as wanted.
#[track_caller]
fn until(cluster: &Cluster, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = testkit::wait_until(std::time::Duration::from_secs(90), || {
        let output = cluster.kubectl(&["get", name, "-o", "json"]);
        last = serde_json::from_str(&output.stdout).unwrap_or_default();
        holds(&last)
    });
    assert!(found, "{name}: never {what}: {last:#}\n{}", cluster.report());
    last
}

/// A condition of an object, if it has it.
fn condition(object: &Value, kind: &str) -> Option<Value> {
    let all = object["status"]["conditions"].as_array()?;
    all.iter().find(|condition| condition["type"] == kind).cloned()
}

/// Waits for an event about an object; its message.
#[track_caller]
fn event(cluster: &Cluster, about: &str, reason: &str) -> String {
    let fields = format!("involvedObject.name={about},reason={reason}");
    let args = ["get", "events", "--field-selector", &fields, "-o", "jsonpath={.items[0].message}"];
    wait_for(&format!("an event {reason} of {about}"), || {
        let found = cluster.kubectl(&args);
        (found.code == 0 && !found.stdout.is_empty()).then_some(found.stdout)
    })
}

/// Numbers of a cgroup's files by controller: of a pod, or of what is below it.
fn cgroup(cluster: &Cluster, below: &str, controller: &str, file: &str) -> String {
    let path = cluster.pods().dir(controller).join(below).join(file);
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}
