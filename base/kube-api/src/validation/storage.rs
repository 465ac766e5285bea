//! Rules of storage.k8s.io: classes, drivers, attachments, capacities.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{
    immutable, label_selector, no_subresource, non_negative, non_negative_quantity, one_of, required,
    required_one_of, subdomain_name, wrong,
};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, items, members, same, text};

pub(super) const CLASS: Rules =
    Rules { name: subdomain_name, create: class, update: class_update, subresource: no_subresource };
pub(super) const ATTRIBUTES_CLASS: Rules = Rules {
    name: subdomain_name,
    create: attributes_class,
    update: attributes_class_update,
    subresource: no_subresource,
};
pub(super) const ATTACHMENT: Rules = Rules {
    name: subdomain_name,
    create: attachment,
    update: attachment_update,
    subresource: no_subresource,
};
pub(super) const NODE: Rules =
    Rules { name: subdomain_name, create: node, update: node_update, subresource: no_subresource };
pub(super) const DRIVER: Rules =
    Rules { name: driver_object_name, create: driver, update: driver_update, subresource: no_subresource };
pub(super) const CAPACITY: Rules =
    Rules { name: subdomain_name, create: capacity, update: capacity_update, subresource: no_subresource };

const SPEC: PathRef<'static> = PathRef::Root("spec");
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;

fn class(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (provisioner, path) = (text(&object["provisioner"]), PathRef::Root("provisioner"));
    if provisioner.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        wrong(provisioner, names::qualified_name(&provisioner.to_lowercase()), &path, errors);
    }
    parameters(&object["parameters"], errors);
    let policy = &object["reclaimPolicy"];
    if !is_empty(policy) {
        one_of(policy, &["Delete", "Retain"], &PathRef::Root("reclaimPolicy"), errors);
    }
    let modes = ["Immediate", "WaitForFirstConsumer"];
    required_one_of(&object["volumeBindingMode"], &modes, &PathRef::Root("volumeBindingMode"), errors);
    topologies(&object["allowedTopologies"], errors);
}

fn parameters(parameters: &Value, errors: &mut Errors) {
    let path = PathRef::Root("parameters");
    let count = members(parameters).count();
    if count > PARAMETERS_MAX {
        errors.push(FieldError::too_many(path, count, PARAMETERS_MAX));
        return;
    }
    let mut bytes = 0;
    for (key, value) in members(parameters) {
        if enough(errors) {
            break;
        }
        if key.is_empty() {
            errors.push(FieldError::invalid(path, key.as_str(), "field can not be empty."));
        }
        bytes += key.len() + text(value).len();
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_BYTES_MAX));
    }
}

fn topologies(terms: &Value, errors: &mut Errors) {
    let path = PathRef::Root("allowedTopologies");
    for (at, term) in items(terms).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        let list = path.child("matchLabelExpressions");
        let mut seen = BTreeSet::new();
        for (at, expression) in items(&term["matchLabelExpressions"]).iter().enumerate() {
            if enough(errors) {
                break;
            }
            let path = list.index(at);
            let key = text(&expression["key"]);
            required(&expression["values"], "", &path.child("values"), errors);
            super::metadata::label_name(key, &path.child("key"), errors);
            if !seen.insert(key) {
                errors.push(FieldError::duplicate(path.child("key"), key));
            }
        }
    }
}

fn forbid_change(new: &Value, old: &Value, name: &str, errors: &mut Errors) {
    if !same(&new[name], &old[name]) {
        errors.push(FieldError::forbidden(name, format!("updates to {name} are forbidden.")));
    }
}

fn class_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    for name in ["parameters", "provisioner", "reclaimPolicy"] {
        forbid_change(new, old, name, errors);
    }
    let path = PathRef::Root("volumeBindingMode");
    immutable(&new["volumeBindingMode"], &old["volumeBindingMode"], &path, errors);
    topologies(&new["allowedTopologies"], errors);
}

fn attributes_class(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    csi_name(&object["driverName"], &PathRef::Root("driverName"), errors);
    parameters(&object["parameters"], errors);
    if members(&object["parameters"]).next().is_none() {
        errors.push(FieldError::required("parameters", "must contain at least one key/value pair"));
    }
}

fn attributes_class_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    for name in ["driverName", "parameters"] {
        forbid_change(new, old, name, errors);
    }
}

const DRIVER_LEN_MAX: usize = 63;

fn driver_object_name(name: &str, prefix: bool) -> Vec<String> {
    if prefix { subdomain_name(name, true) } else { csi_name_faults(name) }
}

fn csi_name_faults(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > DRIVER_LEN_MAX {
        faults.push(format!("must be no more than {DRIVER_LEN_MAX} characters"));
    }
    faults.extend(names::dns1123_subdomain(&name.to_lowercase()));
    faults
}

/// The name of a CSI driver.
fn csi_name(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(value);
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if name.len() > DRIVER_LEN_MAX {
        errors.push(FieldError::too_long(path, DRIVER_LEN_MAX));
    }
    wrong(name, names::dns1123_subdomain(&name.to_lowercase()), path, errors);
}

fn attachment(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    csi_name(&spec["attacher"], &SPEC.child("attacher"), errors);
    let (source, path) = (&spec["source"], SPEC.child("source"));
    match (source["inlineVolumeSpec"].is_object(), source["persistentVolumeName"].as_str()) {
        (true, Some(_)) => {
            let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(FieldError::forbidden(path, why));
        }
        (false, None) => {
            errors.push(FieldError::required(
                path,
                "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ));
        }
        (false, Some("")) => {
            errors.push(FieldError::required(
                path.child("persistentVolumeName"),
                "must specify non empty persistentVolumeName",
            ));
        }
        (false, Some(name)) => {
            wrong(name, names::dns1123_subdomain(name), &path.child("persistentVolumeName"), errors);
        }
        (true, None) => {}
    }
    let node = text(&spec["nodeName"]);
    wrong(node, names::dns1123_subdomain(node), &SPEC.child("nodeName"), errors);
}

fn attachment_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    attachment(gvk, new, errors);
    if !same(&new["spec"], &old["spec"]) {
        errors.push(FieldError::invalid(SPEC, new["spec"].clone(), "field is immutable"));
    }
}

const NODE_ID_LEN_MAX: usize = 256;

fn node(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let list = SPEC.child("drivers");
    let mut seen = BTreeSet::new();
    for (at, driver) in items(&object["spec"]["drivers"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = list.index(at);
        csi_name(&driver["name"], &path.child("name"), errors);
        let id = text(&driver["nodeID"]);
        required(&driver["nodeID"], "", &path.child("nodeID"), errors);
        if id.len() > NODE_ID_LEN_MAX {
            let why = format!("must be {NODE_ID_LEN_MAX} characters or less");
            errors.push(FieldError::invalid(path.child("nodeID"), id, why));
        }
        non_negative(&driver["allocatable"]["count"], &path.child("allocatable.count"), errors);
        let keys = path.child("topologyKeys");
        let mut known = BTreeSet::new();
        for (at, key) in items(&driver["topologyKeys"]).iter().enumerate() {
            if enough(errors) {
                break;
            }
            let key = text(key);
            if !known.insert(key) {
                errors.push(FieldError::duplicate(keys, key));
            }
            wrong(key, names::qualified_name(key), &keys.index(at), errors);
        }
        if !seen.insert(text(&driver["name"])) {
            errors.push(FieldError::duplicate(path.child("name"), text(&driver["name"])));
        }
    }
}

fn node_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    let list = SPEC.child("drivers");
    let before = items(&old["spec"]["drivers"]);
    for (at, driver) in items(&new["spec"]["drivers"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let known = before.iter().find(|known| known["name"] == driver["name"]);
        let fixed = |driver: &Value| [driver["nodeID"].clone(), driver["topologyKeys"].clone()];
        if known.is_some_and(|known| fixed(known) != fixed(driver)) {
            errors.push(FieldError::invalid(list.index(at), driver.clone(), "field is immutable"));
        }
    }
    node(gvk, new, errors);
}

const TOKEN_SECONDS_MIN: i64 = 600;

fn driver(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    for name in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if spec[name].is_null() {
            errors.push(FieldError::required(SPEC.child(name), ""));
        }
    }
    one_of(
        &spec["fsGroupPolicy"],
        &["File", "None", "ReadWriteOnceWithFSType"],
        &SPEC.child("fsGroupPolicy"),
        errors,
    );
    let tokens = SPEC.child("tokenRequests");
    let mut seen = BTreeSet::new();
    for (at, token) in items(&spec["tokenRequests"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = tokens.index(at);
        let audience = text(&token["audience"]);
        if !seen.insert(audience) {
            errors.push(FieldError::duplicate(path.child("audience"), audience));
        }
        let seconds = &token["expirationSeconds"];
        if seconds.as_i64().is_some_and(|seconds| seconds < TOKEN_SECONDS_MIN) {
            let why = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(path.child("expirationSeconds"), seconds.clone(), why));
        }
    }
    for mode in items(&spec["volumeLifecycleModes"]) {
        if enough(errors) {
            break;
        }
        one_of(mode, &["Ephemeral", "Persistent"], &SPEC.child("volumeLifecycleModes"), errors);
    }
}

fn driver_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    for name in ["attachRequired", "volumeLifecycleModes"] {
        immutable(&new["spec"][name], &old["spec"][name], &SPEC.child(name), errors);
    }
    driver(gvk, new, errors);
}

fn capacity(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (class, path) = (text(&object["storageClassName"]), PathRef::Root("storageClassName"));
    if required(&object["storageClassName"], "", &path, errors) {
        wrong(class, names::dns1123_subdomain(class), &path, errors);
    }
    non_negative_quantity(&object["capacity"], &PathRef::Root("capacity"), errors);
    non_negative_quantity(&object["maximumVolumeSize"], &PathRef::Root("maximumVolumeSize"), errors);
    label_selector(&object["nodeTopology"], &PathRef::Root("nodeTopology"), errors);
}

fn capacity_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    capacity(gvk, new, errors);
    for name in ["nodeTopology", "storageClassName"] {
        immutable(&new[name], &old[name], &PathRef::Root(name), errors);
    }
}
