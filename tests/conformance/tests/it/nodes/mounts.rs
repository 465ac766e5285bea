//! Mounts whose places are made of variables, and images as volumes.

use std::process::Command;

use serde_json::{Value, json};
use testkit::images::busybox_tar;
use testkit::registry::Registry;
use testkit::run;

use super::{Shared, cluster, idle_pod, name, shell_pod};
use crate::life::change;

/// Gives a pod one volume: a place in it at `/part`, and all of it at `/whole`.
fn with_part(mut pod: Value, expression: &str, variables: Value) -> Value {
    let container = &mut pod["spec"]["containers"][0];
    container["env"] = variables;
    container["volumeMounts"] = json!([
        { "name": "work", "mountPath": "/part", "subPathExpr": expression },
        { "name": "work", "mountPath": "/whole" },
    ]);
    pod["spec"]["volumes"] = json!([{ "name": "work", "emptyDir": {} }]);
    pod
}

fn own_name() -> Value {
    json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })
}

fn annotation() -> Value {
    let path = "metadata.annotations['mysubpath']";
    json!({ "name": "ANNOTATION", "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

/// The container is never made, for what its mount would be.
fn never_starts(cluster: &Shared, namespace: &str, pod: &Value) -> String {
    let (_, path) = cluster.create(namespace, pod);
    cluster.until(&path, |pod| {
        let state = &pod["status"]["containerStatuses"][0]["state"];
        state["waiting"]["reason"] == "CreateContainerConfigError"
    });
    path
}

/// `[sig-node] Variable Expansion should allow substituting values in a volume subpath [Conformance]`
#[test]
fn variable_expansion_should_allow_substituting_values_in_a_volume_subpath() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = with_part(shell_pod("test -d /whole/$POD_NAME"), "$(POD_NAME)", json!([own_name()]));
    let pod = cluster.run_to_end(&namespace, &pod);
    assert_eq!(pod["status"]["phase"], "Succeeded", "{pod}");
}

/// `[sig-node] Variable Expansion should fail substituting values in a volume subpath with backticks [Conformance]`
#[test]
fn variable_expansion_should_fail_substituting_values_in_a_volume_subpath_with_backticks() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let variables = json!([{ "name": "POD_NAME", "value": ".." }]);
    never_starts(&cluster, &namespace, &with_part(idle_pod(), "$(POD_NAME)", variables));
}

/// `[sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path
/// [Conformance]`
#[test]
fn variable_expansion_should_fail_substituting_values_in_a_volume_subpath_with_absolute_path() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let variables = json!([{ "name": "POD_NAME", "value": "/tmp" }]);
    never_starts(&cluster, &namespace, &with_part(idle_pod(), "$(POD_NAME)", variables));
}

/// `[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle
/// of a container [Slow] [Conformance]`
#[test]
fn variable_expansion_should_verify_that_a_failing_subpath_expansion_can_be_modified_during_the_lifecycle_of_a_container()
 {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let variables = json!([own_name(), annotation()]);
    let mut pod = with_part(idle_pod(), "$(ANNOTATION)/$(POD_NAME)", variables);
    pod["metadata"]["annotations"] = json!({ "notmysubpath": "mypath" });
    let path = never_starts(&cluster, &namespace, &pod);
    change(&cluster, &path, |pod| pod["metadata"]["annotations"] = json!({ "mysubpath": "mypath" }));
    cluster.until(&path, super::is_ready);
}

/// `[sig-node] Variable Expansion should succeed in writing subpaths in container [Conformance]`
#[test]
fn variable_expansion_should_succeed_in_writing_subpaths_in_container() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let variables = json!([own_name(), annotation()]);
    let mut pod = with_part(idle_pod(), "$(ANNOTATION)/$(POD_NAME)", variables);
    pod["metadata"]["annotations"] = json!({ "mysubpath": "mypath" });
    let pod = cluster.running(&namespace, &pod);
    let shell = |line: &str| cluster.exec(&namespace, name(&pod), "main", &["sh", "-c", line]);
    shell("touch /part/test.log").ok();
    shell("test -f /whole/mypath/$POD_NAME/test.log").ok();
    // What it was made of may change: the container keeps its place.
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    change(&cluster, &path, |pod| pod["metadata"]["annotations"] = json!({ "mysubpath": "mynewpath" }));
    cluster.until(&path, |pod| pod["metadata"]["annotations"]["mysubpath"] == "mynewpath");
    shell("test -f /part/test.log").ok();
    assert_eq!(cluster.get(&path)["status"]["containerStatuses"][0]["restartCount"], 0);
}

/// `[sig-node] ImageVolume should succeed with pod and pull policy of Always [LinuxOnly] [MinimumKubeletVersion:1.35]
/// [Conformance]`
#[test]
fn image_volume_should_succeed_with_pod_and_pull_policy_of_always() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let tar = busybox_tar();
    let registry = cluster.in_cluster_net(|| {
        let registry = Registry::start();
        let to = format!("docker://{}", registry.reference("files:1"));
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
            .arg(format!("tarball:{}", tar.display()))
            .arg(to))
        .ok();
        registry
    });
    let mut pod = shell_pod("cat /volume/etc/passwd; touch /volume/here 2>&1 || true");
    // The registry is on the first node's loopback.
    pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": Shared::NODES[0] });
    pod["spec"]["volumes"] = json!([{
        "name": "files", "image": { "reference": registry.reference("files:1"), "pullPolicy": "Always" },
    }]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "files", "mountPath": "/volume" }]);
    let pod = cluster.run_to_end(&namespace, &pod);
    let said = cluster.logs(&namespace, name(&pod), "main");
    assert!(said.starts_with("root:x:0:0:root:/root:/bin/sh\n"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}
