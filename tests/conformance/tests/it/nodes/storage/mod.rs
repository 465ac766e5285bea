//! [sig-storage] on nodes: what containers find in their volumes.

mod empty_dir;
mod fields;
mod inline;
mod objects;
mod sub_path;

use std::ops::Deref;

use serde_json::{Value, json};

use super::{PATIENCE, Shared, cluster, shell_pod};
pub(super) use fields::whole;

/// The shared cluster and a namespace of the test's own in it.
pub(super) struct Place {
    cluster: Shared,
    pub(super) namespace: String,
}

/// One, made.
pub(super) fn place() -> Place {
    Place::of(cluster())
}

impl Deref for Place {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.cluster
    }
}

impl Place {
    pub(super) fn of(cluster: Shared) -> Self {
        let namespace = cluster.namespace();
        Self { cluster, namespace }
    }

    /// The path of a resource here.
    pub(super) fn path(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.namespace)
    }

    /// What the container `main` of [`pod`] prints, which must end well.
    #[track_caller]
    pub(super) fn output(&self, pod: &Value) -> String {
        let ended = self.run_to_end(&self.namespace, pod);
        let said = self.logs(&self.namespace, "pod", "main");
        assert_eq!(ended["status"]["phase"], "Succeeded", "{said}\n{ended:#}");
        said
    }

    /// Waits until a container of [`pod`] has printed something.
    #[track_caller]
    fn until_said(&self, container: &str, wanted: &str) {
        let mut said = String::new();
        let came = testkit::wait_until(PATIENCE, || {
            said = self.logs(&self.namespace, "pod", container);
            said.contains(wanted)
        });
        assert!(came, "{container} never said {wanted:?}: {said}");
    }
}

/// A pod named `pod` whose container `main` runs a shell's script.
pub(super) fn pod(script: &str) -> Value {
    let mut pod = shell_pod(script);
    pod["metadata"]["name"] = json!("pod");
    pod["spec"]["volumes"] = json!([]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([]);
    pod
}

/// A container like that one, with another name.
fn container(name: &str, script: &str) -> Value {
    let mut container = pod(script)["spec"]["containers"][0].take();
    container["name"] = json!(name);
    container
}

/// Puts something at the end of a list of an object.
fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

/// Gives a pod a volume and mounts it in its first container.
fn mount(pod: &mut Value, volume: Value, path: &str) {
    let mount = json!({ "name": volume["name"], "mountPath": path });
    push(&mut pod["spec"]["volumes"], volume);
    push(&mut pod["spec"]["containers"][0]["volumeMounts"], mount);
}

/// A script that prints a file again and again, and `absent` as long as there is none.
fn repeat(file: &str) -> String {
    format!("while true; do cat {file} 2>/dev/null || echo absent; echo; sleep 0.5; done")
}
