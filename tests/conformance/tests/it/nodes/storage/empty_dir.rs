//! Empty folders, on disk and in memory, and what volumes wrap in them.

use serde_json::{Value, json};

use super::{Place, container, mount, place, pod, push};
use crate::nodes::{PATIENCE, Shared, cluster_alone};

/// What an empty folder lies on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Medium {
    Disk,
    Memory,
}

use Medium::{Disk, Memory};

/// A pod with a folder on a medium at `/test-volume`.
fn with_folder(medium: Medium, script: &str) -> Value {
    let source = if medium == Memory { json!({ "medium": "Memory" }) } else { json!({}) };
    let mut pod = pod(&format!("set -e; umask 0; {script}"));
    mount(&mut pod, json!({ "name": "test-volume", "emptyDir": source }), "/test-volume");
    pod
}

/// A file that a user makes with a mode.
fn file(user: u32, mode: &str, shown: &str, medium: Medium) {
    const FILE: &str = "/test-volume/test-file";
    let script = format!(
        "printf 'mount-tester new file' > {FILE}; chmod {mode} {FILE}; cat {FILE}; echo; stat -c '%A %u' {FILE}; \
         stat -f -c %T /test-volume"
    );
    let mut pod = with_folder(medium, &script);
    pod["spec"]["securityContext"] = json!({ "runAsUser": user });
    let said = place().output(&pod);
    let wanted = format!("mount-tester new file\n{shown} {user}\n");
    let on = said.strip_prefix(&wanted).unwrap_or_else(|| panic!("{said} is not {wanted}"));
    assert_eq!(on == "tmpfs\n", medium == Memory, "{on}");
}

fn mode(medium: Medium) {
    let pod = with_folder(medium, "stat -c %A /test-volume; stat -f -c %T /test-volume");
    let said = place().output(&pod);
    let on = said.strip_prefix("drwxrwxrwx\n").unwrap_or_else(|| panic!("{said}"));
    assert_eq!(on == "tmpfs\n", medium == Memory, "{on}");
}

const ROOT: u32 = 0;
const OTHER: u32 = 1001;

/// `[sig-storage] EmptyDir volumes volume on default medium should have the correct mode [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_volume_on_default_medium_should_have_the_correct_mode() {
    mode(Disk);
}

/// `[sig-storage] EmptyDir volumes volume on tmpfs should have the correct mode [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_volume_on_tmpfs_should_have_the_correct_mode() {
    mode(Memory);
}

/// `[sig-storage] EmptyDir volumes should support (root,0644,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_root_0644_tmpfs() {
    file(ROOT, "0644", "-rw-r--r--", Memory);
}

/// `[sig-storage] EmptyDir volumes should support (root,0666,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_root_0666_tmpfs() {
    file(ROOT, "0666", "-rw-rw-rw-", Memory);
}

/// `[sig-storage] EmptyDir volumes should support (root,0777,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_root_0777_tmpfs() {
    file(ROOT, "0777", "-rwxrwxrwx", Memory);
}

/// `[sig-storage] EmptyDir volumes should support (non-root,0644,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_non_root_0644_tmpfs() {
    file(OTHER, "0644", "-rw-r--r--", Memory);
}

/// `[sig-storage] EmptyDir volumes should support (non-root,0666,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_non_root_0666_tmpfs() {
    file(OTHER, "0666", "-rw-rw-rw-", Memory);
}

/// `[sig-storage] EmptyDir volumes should support (non-root,0777,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_non_root_0777_tmpfs() {
    file(OTHER, "0777", "-rwxrwxrwx", Memory);
}

/// `[sig-storage] EmptyDir volumes should support (root,0644,default) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_root_0644_default() {
    file(ROOT, "0644", "-rw-r--r--", Disk);
}

/// `[sig-storage] EmptyDir volumes should support (root,0666,default) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_root_0666_default() {
    file(ROOT, "0666", "-rw-rw-rw-", Disk);
}

/// `[sig-storage] EmptyDir volumes should support (root,0777,default) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_root_0777_default() {
    file(ROOT, "0777", "-rwxrwxrwx", Disk);
}

/// `[sig-storage] EmptyDir volumes should support (non-root,0644,default) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_non_root_0644_default() {
    file(OTHER, "0644", "-rw-r--r--", Disk);
}

/// `[sig-storage] EmptyDir volumes should support (non-root,0666,default) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_non_root_0666_default() {
    file(OTHER, "0666", "-rw-rw-rw-", Disk);
}

/// `[sig-storage] EmptyDir volumes should support (non-root,0777,default) [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn empty_dir_volumes_should_support_non_root_0777_default() {
    file(OTHER, "0777", "-rwxrwxrwx", Disk);
}

/// `[sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]`
#[test]
fn empty_dir_volumes_pod_should_support_shared_volumes_between_containers() {
    const FILE: &str = "/usr/share/volumeshare/shareddata.txt";
    let place = place();
    let mut pod = with_folder(Disk, "sleep 3600");
    pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = json!("/usr/share/volumeshare");
    let writes = format!("echo Hello from the busy-box sub-container > {FILE}; sleep 3600");
    let mut sub = container("sub", &writes);
    push(&mut sub["volumeMounts"], json!({ "name": "test-volume", "mountPath": "/usr/share/volumeshare" }));
    push(&mut pod["spec"]["containers"], sub);
    place.running(&place.namespace, &pod);
    let wait = format!("until test -s {FILE}; do sleep 0.1; done; cat {FILE}");
    let read = place.exec(&place.namespace, "pod", "main", &["sh", "-c", &wait]);
    assert_eq!(read.ok(), "Hello from the busy-box sub-container");
}

/// `[sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]`
#[test]
fn empty_dir_wrapper_volumes_should_not_conflict() {
    let place = place();
    let data = json!({ "data-1": "dmFsdWUtMQo=" });
    let object = |kind: &str, field: &str| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "both" }, field: data });
    place.post(&place.path("secrets"), &object("Secret", "data"));
    place.post(&place.path("configmaps"), &object("ConfigMap", "binaryData"));
    let mut pod = pod("sleep 3600");
    mount(&mut pod, json!({ "name": "secret", "secret": { "secretName": "both" } }), "/etc/secret-volume");
    pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] = json!(true);
    mount(&mut pod, json!({ "name": "map", "configMap": { "name": "both" } }), "/etc/configmap-volume");
    place.running(&place.namespace, &pod);
    place.delete(&place.path("secrets/both"));
    place.delete(&place.path("configmaps/both"));
    place.delete(&place.path("pods/pod"));
    place.gone(&place.path("pods/pod"));
}

/// Fifty volumes in each of five pods on one node, all of which must come to run.
fn race(place: &Place, round: usize) {
    let name = format!("wrapped-volume-race-{round}");
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for number in 0..MAPS {
        let items = json!([{ "key": "data-1", "path": "data-1" }]);
        let map = format!("racey-configmap-{number}");
        volumes.push(json!({ "name": map, "configMap": { "name": map, "items": items } }));
        mounts.push(json!({ "name": map, "mountPath": format!("/etc/config-{number}") }));
    }
    let mut idle = container("test-container", "sleep 3600");
    idle["volumeMounts"] = json!(mounts);
    let on =
        json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [Shared::NODES[round % 2]] });
    let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": [on] }] });
    let template = json!({
        "metadata": { "labels": { "name": name } },
        "spec": {
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": terms } },
            "dnsPolicy": "Default", "terminationGracePeriodSeconds": 0, "volumes": volumes,
            "containers": [idle],
        },
    });
    let controllers = place.path("replicationcontrollers");
    place.post(
        &controllers,
        &json!({
            "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": name },
            "spec": { "replicas": 5, "selector": { "name": name }, "template": template },
        }),
    );
    let pods = place.path(&format!("pods?labelSelector=name%3D{name}"));
    let running = || {
        let list = place.get(&pods);
        let all = list["items"].as_array().unwrap();
        all.len() == 5 && all.iter().all(|pod| pod["status"]["phase"] == "Running")
    };
    assert!(testkit::wait_until(PATIENCE, running), "{:#}", place.get(&pods));
    place.delete(&format!("{controllers}/{name}?propagationPolicy=Background"));
    let none = || place.get(&pods)["items"].as_array().is_some_and(Vec::is_empty);
    assert!(testkit::wait_until(PATIENCE, none), "{:#}", place.get(&pods));
}

/// `[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps [Serial] [Conformance]`
#[test]
fn empty_dir_wrapper_volumes_should_not_cause_race_condition_when_used_for_configmaps() {
    let place = Place::of(cluster_alone());
    for number in 0..MAPS {
        let name = format!("racey-configmap-{number}");
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "data-1": "value-1" } });
        place.post(&place.path("configmaps"), &map);
    }
    (0..3).for_each(|round| race(&place, round));
}

const MAPS: usize = 50;
