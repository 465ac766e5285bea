//! What single kinds fill in and keep.

use std::collections::BTreeMap;

use kube_object::time::Time;
use kube_object::user::User;
use serde_json::{Map, Value, json};

use super::{keep_all_but_status, keep_metadata};
use crate::value::{is_empty, items, object_at, put, same, take_over, text};

/// Nothing has looked at it yet.
pub(super) fn pending(object: &mut Value) {
    put(object, "status", json!({"phase": "Pending"}));
}

/// The finalizer by which the namespace's content goes first.
const KUBERNETES: &str = "kubernetes";

pub(super) fn namespace_create(object: &mut Value) {
    put(object, "status", json!({"phase": "Active"}));
    if let Some(spec) = object_at(object, "spec") {
        let finalizers = spec.entry("finalizers").or_insert(Value::Null);
        if finalizers.is_null() {
            *finalizers = json!([]);
        }
        if let Some(finalizers) = finalizers.as_array_mut()
            && !finalizers.iter().any(|name| name == KUBERNETES)
        {
            finalizers.push(json!(KUBERNETES));
        }
    }
    name_label(object);
}

pub(super) fn namespace_update(new: &mut Value, old: &Value) {
    take_over(new, old, "spec");
    name_label(new);
}

pub(super) fn namespace_subresource(subresource: &str, new: &mut Value, old: &Value) -> bool {
    if subresource == "finalize" {
        take_over(new, old, "status");
    }
    name_label(new);
    subresource == "finalize"
}

/// Selectors know a namespace's name by this label, which nobody can take away.
fn name_label(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    let Some(metadata) = object.get_mut("metadata").filter(|_| !is_empty(&name)) else { return };
    if let Some(labels) = object_at(metadata, "labels") {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
}

pub(super) fn claim_create(object: &mut Value) {
    pending(object);
    data_sources(object);
}

pub(super) fn claim_update(new: &mut Value, old: &Value) {
    let untouched = is_empty(&new["spec"]["dataSource"]) && is_empty(&new["spec"]["dataSourceRef"]);
    if !(untouched && is_empty(&old["spec"]["dataSource"]) && is_empty(&old["spec"]["dataSourceRef"])) {
        data_sources(new);
    }
}

/// The older and the newer name of the source say the same, where both can.
fn data_sources(object: &mut Value) {
    let spec = &object["spec"];
    let (source, reference) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    let Some(spec) = object_at(object, "spec") else { return };
    if source.is_object() && reference.is_null() {
        spec.insert("dataSourceRef".to_owned(), source);
    } else if source.is_null() && reference.is_object() && is_empty(&reference["namespace"]) {
        spec.insert("dataSource".to_owned(), reference);
    }
}

pub(super) fn deployment_subresource(subresource: &str, new: &mut Value, old: &Value) -> bool {
    if subresource == "status" {
        keep_all_but_status(new, old);
        keep_metadata(new, old, "labels");
    }
    subresource == "status"
}

/// Who writes a status changes none of the metadata.
pub(super) fn own_metadata_subresource(subresource: &str, new: &mut Value, old: &Value) -> bool {
    const KEPT: [&str; 5] = ["labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp"];
    if subresource == "status" {
        keep_all_but_status(new, old);
        for name in KEPT {
            keep_metadata(new, old, name);
        }
    }
    subresource == "status"
}

/// Where apps/v1 keeps the number of the template, which has no field any more.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(object: &Value) -> i64 {
    text(&object["metadata"]["annotations"][TEMPLATE_GENERATION]).parse().unwrap_or(0)
}

fn set_template_generation(object: &mut Value, number: i64) {
    let Some(metadata) = object_at(object, "metadata") else { return };
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = json!({});
    }
    put(annotations, TEMPLATE_GENERATION, json!(number.to_string()));
}

pub(super) fn daemon_set_create(object: &mut Value) {
    let number = template_generation(object).max(1);
    set_template_generation(object, number);
}

pub(super) fn daemon_set_update(new: &mut Value, old: &Value) {
    let changed = !same(&new["spec"]["template"], &old["spec"]["template"]);
    set_template_generation(new, template_generation(old).saturating_add(i64::from(changed)));
}

pub(super) fn api_service_create(object: &mut Value) {
    if !is_empty(&object["spec"]["service"]) {
        return;
    }
    let local = json!({
        "type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available",
    });
    put(object, "status", json!({"conditions": [local]}));
}

pub(super) fn signing_request_update(new: &mut Value, old: &Value) {
    take_over(new, old, "spec");
}

/// `status` may issue and fail, `approval` may approve and deny, neither both.
pub(super) fn signing_request_subresource(subresource: &str, new: &mut Value, old: &Value) -> bool {
    take_over(new, old, "spec");
    let decided = |one: &&Value| matches!(text(&one["type"]), "Approved" | "Denied");
    match subresource {
        "status" => {
            let given = items(&new["status"]["conditions"]);
            let kept = items(&old["status"]["conditions"]).iter().filter(decided);
            let own = given.iter().filter(|one| !decided(one));
            let conditions: Vec<_> = kept.chain(own).cloned().collect();
            set_conditions(new, conditions);
        }
        "approval" => {
            let certificate = old["status"]["certificate"].clone();
            object_at(new, "status");
            if let Some(status) = new.get_mut("status") {
                put(status, "certificate", certificate);
            }
        }
        _ => return false,
    }
    true
}

fn set_conditions(object: &mut Value, conditions: Vec<Value>) {
    if conditions.is_empty() {
        if let Some(status) = object.get_mut("status") {
            put(status, "conditions", Value::Null);
        }
    } else if let Some(status) = object_at(object, "status") {
        status.insert("conditions".to_owned(), Value::Array(conditions));
    }
}

/// Gives the conditions of a certificate signing request their times: when they were last updated,
/// and when they last changed.
pub fn csr_condition_times(new: &mut Value, old: &Value, now: Time) {
    let known: BTreeMap<_, _> =
        items(&old["status"]["conditions"]).iter().map(|one| (text(&one["type"]), one)).collect();
    let Some(conditions) = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut) else {
        return;
    };
    for condition in conditions {
        let before = known.get(text(&condition["type"])).copied();
        if is_empty(&condition["lastUpdateTime"]) {
            put(condition, "lastUpdateTime", json!(now.to_string()));
        }
        if is_empty(&condition["lastTransitionTime"]) {
            let same = before.filter(|before| before["status"] == condition["status"]);
            let time = same.map(|before| before["lastTransitionTime"].clone()).filter(|time| !time.is_null());
            put(condition, "lastTransitionTime", time.unwrap_or_else(|| json!(now.to_string())));
        }
    }
}

/// Writes who asks into a certificate signing request; nobody can ask for another.
pub fn csr_requester(object: &mut Value, user: &User) {
    let extra: Map<_, _> = user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
    object_at(object, "spec");
    let Some(spec) = object.get_mut("spec") else { return };
    let absent = |empty: bool, value: Value| if empty { Value::Null } else { value };
    put(spec, "username", absent(user.name.is_empty(), json!(user.name)));
    put(spec, "uid", absent(user.uid.is_empty(), json!(user.uid)));
    put(spec, "groups", absent(user.groups.is_empty(), json!(user.groups)));
    put(spec, "extra", absent(extra.is_empty(), Value::Object(extra)));
}
