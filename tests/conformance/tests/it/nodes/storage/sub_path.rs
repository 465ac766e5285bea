//! Single files of volumes.

use serde_json::{Value, json};

use super::{container, mount, place, pod, push};

/// A file of a volume, mounted alone, is what it is in the volume.
fn reads(sub_path: &str, source: Value, at: &str, expected: &str) {
    let place = place();
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "my-secret" }, "stringData": { "secret-key": "secret-value" } });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "my-configmap" }, "data": { "configmap-key": "configmap-value" } });
    place.post(&place.path("secrets"), &secret);
    place.post(&place.path("configmaps"), &map);
    let mut volume = source;
    volume["name"] = json!("volume");
    let mut pod = pod(&format!("cat {at}"));
    mount(&mut pod, volume, at);
    pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = json!(sub_path);
    let mut whole = container("whole", &format!("test \"$(cat /whole/{sub_path})\" = \"{expected}\""));
    push(&mut whole["volumeMounts"], json!({ "name": "volume", "mountPath": "/whole" }));
    push(&mut pod["spec"]["containers"], whole);
    assert_eq!(place.output(&pod), expected);
}

fn config_map() -> Value {
    json!({ "configMap": { "name": "my-configmap" } })
}

fn downward() -> Value {
    let podname = json!({ "path": "downward/podname", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } });
    json!({ "downwardAPI": { "items": [podname] } })
}

fn projected() -> Value {
    let items = json!([{ "path": "projected/configmap-key", "key": "configmap-key" }]);
    json!({ "projected": { "sources": [{ "configMap": { "name": "my-configmap", "items": items } }] } })
}

/// `[sig-storage] Subpath Atomic writer volumes should support subpaths with secret pod [Conformance]`
#[test]
fn subpath_atomic_writer_volumes_should_support_subpaths_with_secret_pod() {
    reads("secret-key", json!({ "secret": { "secretName": "my-secret" } }), AT, "secret-value");
}

/// `[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod [Conformance]`
#[test]
fn subpath_atomic_writer_volumes_should_support_subpaths_with_configmap_pod() {
    reads("configmap-key", config_map(), AT, "configmap-value");
}

/// `[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod with mountPath of existing file [Conformance]`
#[test]
fn subpath_atomic_writer_volumes_should_support_subpaths_with_configmap_pod_with_mount_path_of_existing_file()
{
    reads("configmap-key", config_map(), "/etc/resolv.conf", "configmap-value");
}

/// `[sig-storage] Subpath Atomic writer volumes should support subpaths with downward pod [Conformance]`
#[test]
fn subpath_atomic_writer_volumes_should_support_subpaths_with_downward_pod() {
    reads("downward/podname", downward(), AT, "pod");
}

/// `[sig-storage] Subpath Atomic writer volumes should support subpaths with projected pod [Conformance]`
#[test]
fn subpath_atomic_writer_volumes_should_support_subpaths_with_projected_pod() {
    reads("projected/configmap-key", projected(), AT, "configmap-value");
}

const AT: &str = "/test-volume";
