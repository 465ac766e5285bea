//! [sig-storage]

use serde_json::{Value, json};

use crate::api::{Api, server};
use crate::life::{Life, contains};

/// Data that changes while it may, and no more once the object is immutable.
fn immutable(api: &Api, kind: &str, path: &str, values: [&str; 3]) {
    let [first, second, third] = values;
    let one = format!("{path}/immutable");
    let body = json!({
        "apiVersion": "v1", "kind": kind,
        "metadata": { "name": "immutable" },
        "data": { "data-1": first },
    });
    api.post(path, &body);
    let mut object = api.get(&one);
    object["data"]["data-2"] = json!(second);
    let mut object = api.put(&one, &object);
    assert_eq!(object["data"]["data-2"], second);
    object["immutable"] = json!(true);
    let object = api.put(&one, &object);
    assert_eq!(object["immutable"], true);

    let mut other = object.clone();
    other["data"]["data-3"] = json!(third);
    let refused = api.try_put(&one, &other).refused(422);
    assert_eq!((&refused["code"], &refused["reason"]), (&json!(422), &json!("Invalid")), "{refused}");
    let mut other = object.clone();
    other["immutable"] = json!(false);
    assert_eq!(api.try_put(&one, &other).refused(422)["reason"], "Invalid");
    assert_eq!(api.get(&one)["data"], object["data"]);
    let mut other = object;
    other["metadata"]["labels"] = json!({ "label": "new" });
    assert_eq!(api.put(&one, &other)["metadata"]["labels"]["label"], "new");
    api.delete(&one);
    api.gone(&one);
}

/// ``[sig-storage] ConfigMap should be immutable if `immutable` field is set [Conformance]``
#[test]
fn config_map_should_be_immutable_if_immutable_field_is_set() {
    let api = &server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    immutable(api, "ConfigMap", &path, ["value-1", "value-2", "value-3"]);
}

/// ``[sig-storage] Secrets should be immutable if `immutable` field is set [Conformance]``
#[test]
fn secrets_should_be_immutable_if_immutable_field_is_set() {
    let api = &server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/secrets");
    immutable(api, "Secret", &path, ["dmFsdWUtMQ==", "dmFsdWUtMg==", "dmFsdWUtMw=="]);
}

/// The life of a kind of `storage.k8s.io/v1` that belongs to the cluster.
fn cluster_life(resource: &str, kind: &str, names: [&str; 3], body: Value, status: Option<[Value; 2]>) {
    Life { version: "storage.k8s.io/v1", resource, kind, namespace: None, names, body, phase: None, status }
        .run(&server());
}

/// `[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]`
#[test]
fn csi_inline_volumes_should_run_through_the_lifecycle_of_a_csi_driver() {
    let body = json!({ "spec": { "volumeLifecycleModes": ["Ephemeral"] } });
    let names = ["inline-1.conformance", "inline-2.conformance", "inline-3.conformance"];
    cluster_life("csidrivers", "CSIDriver", names, body, None);
}

/// `[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]`
#[test]
fn csi_nodes_should_run_through_the_lifecycle_of_a_csinode() {
    let body = json!({ "spec": { "drivers": [{ "name": "driver.conformance", "nodeID": "node" }] } });
    cluster_life("csinodes", "CSINode", ["csinode-1", "csinode-2", "csinode-3"], body, None);
}

/// `[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]`
#[test]
fn csi_storage_capacity_should_support_csi_storage_capacities_api_operations() {
    let api = &server();
    let namespace = api.namespace();
    Life {
        version: "storage.k8s.io/v1",
        resource: "csistoragecapacities",
        kind: "CSIStorageCapacity",
        namespace: Some(&namespace),
        names: ["one", "two", "three"],
        body: json!({ "storageClassName": "shared", "capacity": "1Gi" }),
        phase: None,
        status: None,
    }
    .run(api);
}

/// `[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]`
#[test]
fn storage_classes_should_run_through_the_lifecycle_of_a_storage_class() {
    let body = json!({
        "provisioner": "driver.conformance",
        "volumeBindingMode": "Immediate",
        "reclaimPolicy": "Delete",
        "parameters": { "type": "fast" },
    });
    cluster_life("storageclasses", "StorageClass", ["sc-life-1", "sc-life-2", "sc-life-3"], body, None);
}

fn attachment() -> Value {
    json!({ "spec": {
        "attacher": "driver.conformance",
        "nodeName": "some-node",
        "source": { "persistentVolumeName": "some-volume" },
    } })
}

/// `[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]`
#[test]
fn volume_attachment_should_run_through_the_lifecycle_of_a_volume_attachment() {
    cluster_life(
        "volumeattachments",
        "VolumeAttachment",
        ["va-life-1", "va-life-2", "va-life-3"],
        attachment(),
        None,
    );
}

/// `[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]`
#[test]
fn volume_attachment_should_apply_changes_to_a_volumeattachment_status() {
    let statuses = [
        json!({ "attached": true, "attachmentMetadata": { "lun": "1" } }),
        json!({ "attached": false, "attachError": { "message": "gone" } }),
    ];
    let names = ["va-status-1", "va-status-2", "va-status-3"];
    cluster_life("volumeattachments", "VolumeAttachment", names, attachment(), Some(statuses));
}

/// `[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a VolumeAttributesClass [Conformance]`
#[test]
fn volume_attributes_class_should_run_through_the_lifecycle_of_a_volume_attributes_class() {
    let api = &server();
    let body = json!({ "driverName": "driver.conformance", "parameters": { "iops": "100" } });
    let names = ["vac-life-1", "vac-life-2", "vac-life-3"];
    cluster_life("volumeattributesclasses", "VolumeAttributesClass", names, body.clone(), None);
    // What is in use stays until nobody names it any more.
    let classes = "/apis/storage.k8s.io/v1/volumeattributesclasses";
    let one = format!("{classes}/vac-used");
    let mut class = body;
    class["metadata"] = json!({ "name": "vac-used" });
    api.post(classes, &class);
    api.until(&one, |class| class["metadata"]["finalizers"] == json!(["kubernetes.io/vac-protection"]));
    let namespace = api.namespace();
    let claims = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims");
    let mut user = claim("vac-used");
    user["metadata"] = json!({ "name": "user" });
    user["spec"]["volumeAttributesClassName"] = json!("vac-used");
    api.post(&claims, &user);
    api.delete(&one);
    api.until(&one, |class| class["metadata"]["deletionTimestamp"].is_string());
    api.delete(&format!("{claims}/user"));
    api.gone(&one);
}

fn volume(class: &str) -> Value {
    json!({ "spec": {
        "accessModes": ["ReadWriteOnce"],
        "capacity": { "storage": "1Gi" },
        "csi": { "driver": "driver.conformance", "volumeHandle": "handle" },
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": class,
    } })
}

fn claim(class: &str) -> Value {
    json!({ "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Gi" } },
        "storageClassName": class,
    } })
}

/// A volume and a claim of different classes, so that nothing binds them.
fn volume_lives(api: &Api, prefix: &str, statuses: Option<[[Value; 2]; 2]>) {
    let namespace = api.namespace();
    let [of_volume, of_claim] = statuses.map_or([None, None], |both| both.map(Some));
    let names = ["a", "b", "c"].map(|end| format!("{prefix}-{end}"));
    Life {
        version: "v1",
        resource: "persistentvolumes",
        kind: "PersistentVolume",
        namespace: None,
        names: [&names[0], &names[1], &names[2]],
        body: volume(&format!("{prefix}-volumes")),
        phase: Some("Available"),
        status: of_volume,
    }
    .run(api);
    Life {
        version: "v1",
        resource: "persistentvolumeclaims",
        kind: "PersistentVolumeClaim",
        namespace: Some(&namespace),
        names: [&names[0], &names[1], &names[2]],
        body: claim(&format!("{prefix}-claims")),
        phase: Some("Pending"),
        status: of_claim,
    }
    .run(api);
}

/// `[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]`
#[test]
fn persistent_volumes_should_run_through_the_lifecycle_of_a_pv_and_a_pvc() {
    let api = &server();
    volume_lives(api, "pv-life", None);
    let namespace = api.namespace();
    let claims = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims");
    let (mut pv, mut pvc) = (volume("pv-bound"), claim("pv-bound"));
    pv["metadata"] = json!({ "name": "pv-bound" });
    pvc["metadata"] = json!({ "name": "claim" });
    api.post("/api/v1/persistentvolumes", &pv);
    api.post(&claims, &pvc);
    let bound = api.until(&format!("{claims}/claim"), |claim| claim["status"]["phase"] == "Bound");
    assert_eq!(bound["spec"]["volumeName"], "pv-bound");
    let pv = api.until("/api/v1/persistentvolumes/pv-bound", |volume| volume["status"]["phase"] == "Bound");
    contains(&pv["spec"]["claimRef"], &json!({ "namespace": namespace, "name": "claim" }));
    api.delete(&format!("{claims}/claim"));
    api.gone(&format!("{claims}/claim"));
    api.until("/api/v1/persistentvolumes/pv-bound", |volume| volume["status"]["phase"] == "Released");
    api.delete("/api/v1/persistentvolumes/pv-bound");
    api.gone("/api/v1/persistentvolumes/pv-bound");
}

/// `[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]`
#[test]
fn persistent_volumes_should_apply_changes_to_a_pv_pvc_status() {
    let condition = |reason: &str| json!({ "conditions": [{ "type": "Changed", "status": "True", "reason": reason, "message": "changed" }] });
    let volume = |word: &str| json!({ "message": word, "reason": "Conformance" });
    let statuses = [[volume("patched"), volume("updated")], [condition("Patched"), condition("Updated")]];
    volume_lives(&server(), "pv-status", Some(statuses));
}
