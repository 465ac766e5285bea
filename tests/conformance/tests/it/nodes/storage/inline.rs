//! Volumes of drivers that a pod brings along.

use serde_json::json;

use super::{mount, place, pod};

/// `[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]`
#[test]
fn csi_inline_volumes_should_support_csi_volume_source_in_pod_api() {
    let place = place();
    let csi = json!({ "driver": "e2e.example.com", "readOnly": false, "volumeAttributes": { "a": "b" } });
    let mut pod = pod("sleep 3600");
    pod["metadata"]["labels"] = json!({ "inline": "one" });
    mount(&mut pod, json!({ "name": "pod-csi-inline-vol", "csi": csi }), "/mnt");
    place.post(&place.path("pods"), &pod);
    let path = place.path("pods/pod");
    assert_eq!(place.get(&path)["spec"]["volumes"][0]["csi"], csi);
    // Labels are of this namespace alone: others may have pods of the same name.
    let listed = place.get(&place.path("pods?labelSelector=inline%3Done"));
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed:#}");
    assert_eq!(listed["items"][0]["spec"]["volumes"][0]["csi"]["driver"], "e2e.example.com");
    let patched = place.merge(&path, &json!({ "metadata": { "labels": { "inline": "patched" } } }));
    assert_eq!(patched["metadata"]["labels"]["inline"], "patched");
    // There is no such driver: it says so and waits, until it is told to go.
    place.until(&path, |pod| pod["status"]["phase"] == "Pending" && pod["spec"]["nodeName"].is_string());
    place.delete(&path);
    place.gone(&path);
}
