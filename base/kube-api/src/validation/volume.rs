//! Rules of persistent volumes and of claims to them.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::cluster::{amount, resource_quantity};
use super::common::{POSITIVE, immutable, label_selector, one_of, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::quantity::{self, Quantity};
use crate::value::{is_empty, items, members, put, same, text};

pub(super) const VOLUME: Rules =
    Rules { name: subdomain_name, create: volume, update: volume_update, subresource: |_, _, _, _, _| {} };
pub(super) const CLAIM: Rules =
    Rules { name: subdomain_name, create: claim, update: claim_update, subresource: claim_status };

const SPEC: PathRef<'static> = PathRef::Root("spec");
const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

/// Where the data of a persistent volume may lie.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

fn volume(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    access_modes(spec, "", errors);
    capacity(spec, errors);
    let policy = &spec["persistentVolumeReclaimPolicy"];
    if !is_empty(policy) {
        let path = SPEC.child("persistentVolumeReclaimPolicy");
        one_of(policy, &["Delete", "Recycle", "Retain"], &path, errors);
    }
    let path = SPEC.child("nodeAffinity");
    if spec["nodeAffinity"].is_object() {
        required(
            &spec["nodeAffinity"]["required"],
            "must specify required node constraints",
            &path.child("required"),
            errors,
        );
    }
    source(spec, errors);
    classes(spec, errors);
    one_of(&spec["volumeMode"], &VOLUME_MODES, &SPEC.child("volumeMode"), errors);
}

fn access_modes(spec: &Value, detail: &str, errors: &mut Errors) {
    let path = SPEC.child("accessModes");
    required(&spec["accessModes"], detail, &path, errors);
    let modes = items(&spec["accessModes"]);
    for mode in modes {
        one_of(mode, &ACCESS_MODES, &path, errors);
    }
    let known = |mode: &&Value| ACCESS_MODES.contains(&text(mode));
    let single = modes.iter().filter(known).filter(|mode| text(mode) == "ReadWriteOncePod").count();
    if single > 0 && modes.iter().filter(known).count() > single {
        errors.push(FieldError::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
}

fn capacity(spec: &Value, errors: &mut Errors) {
    let path = SPEC.child("capacity");
    required(&spec["capacity"], "", &path, errors);
    let amounts = &spec["capacity"];
    if members(amounts).count() != 1 || amounts.get("storage").is_none() {
        errors.push(FieldError::not_supported(path, amounts.clone(), &["storage"]));
    }
    for (name, amount) in members(amounts) {
        if enough(errors) {
            break;
        }
        if let Some(quantity) = quantity::read(amount)
            && (quantity.is_zero() || quantity.is_negative())
        {
            errors.push(FieldError::invalid(path.key(name), quantity.to_string(), POSITIVE));
        }
    }
}

fn source(spec: &Value, errors: &mut Errors) {
    let mut found = SOURCES.iter().filter(|name| !spec[**name].is_null());
    if found.next().is_none() {
        errors.push(FieldError::required(SPEC, "must specify a volume type"));
    }
    for name in found {
        errors.push(FieldError::forbidden(SPEC.child(name), "may not specify more than 1 volume type"));
    }
    let need = |source: &str, field: &str, errors: &mut Errors| {
        if spec[source].is_object() {
            required(&spec[source][field], "", &SPEC.child(source).child(field), errors);
        }
    };
    for (source, field) in [
        ("hostPath", "path"),
        ("local", "path"),
        ("nfs", "server"),
        ("nfs", "path"),
        ("csi", "driver"),
        ("csi", "volumeHandle"),
        ("iscsi", "targetPortal"),
        ("iscsi", "iqn"),
        ("rbd", "monitors"),
        ("rbd", "image"),
        ("cephfs", "monitors"),
        ("cinder", "volumeID"),
        ("azureFile", "secretName"),
        ("azureFile", "shareName"),
        ("azureDisk", "diskName"),
        ("azureDisk", "diskURI"),
        ("vsphereVolume", "volumePath"),
        ("gcePersistentDisk", "pdName"),
        ("awsElasticBlockStore", "volumeID"),
        ("glusterfs", "endpoints"),
        ("glusterfs", "path"),
        ("flexVolume", "driver"),
        ("photonPersistentDisk", "pdID"),
        ("portworxVolume", "volumeID"),
        ("quobyte", "registry"),
        ("quobyte", "volume"),
        ("scaleIO", "gateway"),
        ("scaleIO", "system"),
        ("scaleIO", "volumeName"),
    ] {
        need(source, field, errors);
    }
    paths(spec, errors);
}

fn paths(spec: &Value, errors: &mut Errors) {
    for (source, field) in [("hostPath", "path"), ("local", "path"), ("nfs", "path")] {
        let value = text(&spec[source][field]);
        let path = SPEC.child(source);
        let path = path.child(field);
        if source == "nfs" && !value.is_empty() && !value.starts_with('/') {
            errors.push(FieldError::invalid(path, value, "must be an absolute path"));
        }
        if value.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(path, value, "must not contain '..'"));
        }
    }
    if spec["local"].is_object() && is_empty(&spec["nodeAffinity"]) {
        errors.push(FieldError::required(SPEC.child("nodeAffinity"), "Local volume requires node affinity"));
    }
    let host = text(&spec["hostPath"]["path"]);
    let root = !host.is_empty() && host.split('/').all(|part| part.is_empty() || part == ".");
    if root && text(&spec["persistentVolumeReclaimPolicy"]) == "Recycle" {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(SPEC.child("persistentVolumeReclaimPolicy"), why));
    }
}

fn classes(spec: &Value, errors: &mut Errors) {
    let class = text(&spec["storageClassName"]);
    if !class.is_empty() {
        wrong(class, names::dns1123_subdomain(class), &SPEC.child("storageClassName"), errors);
    }
    let Some(class) = spec["volumeAttributesClassName"].as_str() else { return };
    let path = SPEC.child("volumeAttributesClassName");
    if class.is_empty() {
        errors.push(FieldError::required(path, "an empty string is disallowed"));
    } else {
        wrong(class, names::dns1123_subdomain(class), &path, errors);
    }
    if spec["csi"].is_null() {
        let why = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required(SPEC.child("csi"), why));
    }
}

fn volume_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    volume(gvk, new, errors);
    let (mut after, before) = (new["spec"].clone(), &old["spec"]);
    if before["csi"].is_object()
        && before["csi"]["controllerExpandSecretRef"].is_null()
        && let Some(csi) = after.get_mut("csi")
    {
        put(csi, "controllerExpandSecretRef", Value::Null);
    }
    if SOURCES.iter().any(|name| !same(&after[*name], &before[*name])) {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden("spec.persistentvolumesource", why));
    }
    immutable(&after["volumeMode"], &before["volumeMode"], &PathRef::Root("volumeMode"), errors);
    if !before["nodeAffinity"].is_null() && !same(&after["nodeAffinity"], &before["nodeAffinity"]) {
        let why = "field is immutable, except for updating from beta label to GA";
        errors.push(FieldError::invalid("nodeAffinity", after["nodeAffinity"].clone(), why));
    }
    class_kept(&after, before, errors);
}

fn class_kept(after: &Value, before: &Value, errors: &mut Errors) {
    let (new, old) = (&after["volumeAttributesClassName"], &before["volumeAttributesClassName"]);
    if !old.is_null() && new.is_null() {
        let why = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden("spec.volumeAttributesClassName", why));
    }
}

fn claim(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    access_modes(spec, "at least 1 access mode is required", errors);
    if spec["selector"].is_object() {
        label_selector(&spec["selector"], &SPEC.child("selector"), errors);
    }
    let at = SPEC.child("resources");
    let (path, wanted) = (at.key("storage"), &spec["resources"]["requests"]["storage"]);
    match amount(wanted) {
        None => errors.push(FieldError::required(path, "")),
        Some(quantity) if quantity.is_zero() || quantity.is_negative() => {
            errors.push(FieldError::invalid(path, quantity.to_string(), POSITIVE));
        }
        Some(_) => resource_quantity("storage", wanted, &path, errors),
    }
    for name in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(&spec[name]);
        if !class.is_empty() {
            wrong(class, names::dns1123_subdomain(class), &SPEC.child(name), errors);
        }
    }
    one_of(&spec["volumeMode"], &VOLUME_MODES, &SPEC.child("volumeMode"), errors);
    for name in ["dataSource", "dataSourceRef"] {
        data_source(&spec[name], &SPEC.child(name), errors);
    }
    sources_agree(spec, errors);
}

fn data_source(source: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if !source.is_object() {
        return;
    }
    required(&source["name"], "", &path.child("name"), errors);
    required(&source["kind"], "", &path.child("kind"), errors);
    let (group, kind) = (text(&source["apiGroup"]), text(&source["kind"]));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path, kind, why));
    }
    if !group.is_empty() {
        wrong(group, names::dns1123_subdomain(group), &path.child("apiGroup"), errors);
    }
    let namespace = text(&source["namespace"]);
    if !namespace.is_empty() {
        wrong(namespace, names::dns1123_label(namespace), &path.child("namespace"), errors);
    }
}

fn sources_agree(spec: &Value, errors: &mut Errors) {
    let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    if !source.is_object() || !reference.is_object() {
        return;
    }
    let differ = ["apiGroup", "kind", "name"].iter().any(|name| source[*name] != reference[*name]);
    if !is_empty(&reference["namespace"]) {
        let why = "may not be specified when dataSourceRef.namespace is specified";
        errors.push(FieldError::invalid(SPEC, "spec.dataSource", why));
    } else if differ {
        errors.push(FieldError::invalid(SPEC, "spec.dataSource", "must match dataSourceRef"));
    }
}

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn claim_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    claim(gvk, new, errors);
    let (mut after, mut before) = (new["spec"].clone(), old["spec"].clone());
    if is_empty(&before["volumeName"]) {
        put(&mut before, "volumeName", after["volumeName"].clone());
    }
    let class_is_new = before["storageClassName"].is_null() && !after["storageClassName"].is_null();
    let noted = &old["metadata"]["annotations"][BETA_CLASS];
    if class_is_new && (noted.is_null() || *noted == after["storageClassName"]) {
        put(&mut after, "storageClassName", Value::Null);
    } else if new["metadata"]["annotations"][BETA_CLASS] != *noted {
        let path = PathRef::Root("metadata.annotations");
        let value = new["metadata"]["annotations"][BETA_CLASS].clone();
        errors.push(FieldError::invalid(path.key(BETA_CLASS), value, "field is immutable"));
    }
    if text(&new["status"]["phase"]) == "Bound" {
        bound_may_change(&mut after, &before);
    }
    if after != before {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(SPEC, why));
    }
    size_kept(new, old, errors);
    let modes = (&new["spec"]["volumeMode"], &old["spec"]["volumeMode"]);
    immutable(modes.0, modes.1, &PathRef::Root("volumeMode"), errors);
    class_kept(&new["spec"], &old["spec"], errors);
    let cleared = new["spec"]["volumeAttributesClassName"] == json!("");
    if cleared && !is_empty(&old["spec"]["volumeAttributesClassName"]) {
        let why = "update from non-nil value to an empty string is forbidden";
        errors.push(FieldError::forbidden("spec.volumeAttributesClassName", why));
    }
}

/// A claim that is bound may grow, and get another class of attributes.
fn bound_may_change(after: &mut Value, before: &Value) {
    if !after["volumeAttributesClassName"].is_null() {
        put(after, "volumeAttributesClassName", before["volumeAttributesClassName"].clone());
    }
    if let Some(requests) = after.pointer_mut("/resources/requests") {
        put(requests, "storage", before["resources"]["requests"]["storage"].clone());
    }
}

fn size_kept(new: &Value, old: &Value, errors: &mut Errors) {
    let size = |object: &Value| {
        amount(&object["spec"]["resources"]["requests"]["storage"]).unwrap_or(Quantity::ZERO)
    };
    let held = amount(&old["status"]["capacity"]["storage"]).unwrap_or(Quantity::ZERO);
    if size(new) < size(old) && size(new) <= held {
        let why = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", why));
    }
}

fn claim_status(_: &GroupVersionKind, _: &str, new: &Value, _: &Value, errors: &mut Errors) {
    if is_empty(&new["spec"]["accessModes"]) {
        errors.push(FieldError::required("Spec.accessModes", ""));
    }
    let path = PathRef::Root("status.capacity");
    for (name, value) in members(&new["status"]["capacity"]) {
        if enough(errors) {
            break;
        }
        if let Some(quantity) = amount(value).filter(|quantity| quantity.is_negative()) {
            let why = "must be a valid resource quantity";
            errors.push(FieldError::invalid(path.key(name), quantity.value(), why));
        }
    }
}
