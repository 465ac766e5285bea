//! What pods fill in and keep.

use serde_json::{Value, json};

use super::{keep_all_but_status, keep_metadata};
use crate::qos;
use crate::value::{is_empty, items, object_at, put, take_over, text};

pub(super) fn create(pod: &mut Value) {
    let mut status = json!({"phase": "Pending", "qosClass": qos::class(pod)});
    if !items(&pod["spec"]["schedulingGates"]).is_empty() {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        });
        put(&mut status, "conditions", json!([condition]));
    }
    put(pod, "status", status);
    match_label_keys(pod);
}

/// The label keys of affinity terms and spread constraints become requirements with the pod's values.
fn match_label_keys(pod: &mut Value) {
    let labels = pod["metadata"]["labels"].clone();
    let Some(affinity) = pod.pointer_mut("/spec/affinity") else { return };
    for part in ["podAffinity", "podAntiAffinity"] {
        let Some(part) = affinity.get_mut(part) else { continue };
        for list in [
            "requiredDuringSchedulingIgnoredDuringExecution",
            "preferredDuringSchedulingIgnoredDuringExecution",
        ] {
            for item in part.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let weighted = item.get("podAffinityTerm").is_some();
                let term = if weighted { item.get_mut("podAffinityTerm") } else { Some(item) };
                if let Some(term) = term {
                    add_keys(term, &labels);
                }
            }
        }
    }
}

fn add_keys(term: &mut Value, labels: &Value) {
    if !term["labelSelector"].is_object() {
        return;
    }
    let mut added = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in items(&term[field]) {
            if let Some(value) = labels.get(text(key)) {
                added.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    if added.is_empty() {
        return;
    }
    let Some(selector) = object_at(term, "labelSelector") else { return };
    let expressions = selector.entry("matchExpressions").or_insert(Value::Null);
    match expressions.as_array_mut() {
        Some(expressions) => expressions.append(&mut added),
        None => *expressions = Value::Array(added),
    }
}

pub(super) fn update(_new: &mut Value, _old: &Value) {}

pub(super) fn subresource(subresource: &str, new: &mut Value, old: &Value) -> bool {
    match subresource {
        "status" => status(new, old),
        "ephemeralcontainers" => {
            let given = new["spec"]["ephemeralContainers"].clone();
            from_old(new, old);
            if let Some(spec) = new.get_mut("spec") {
                put(spec, "ephemeralContainers", given);
            }
        }
        "resize" => resize(new, old),
        _ => return false,
    }
    true
}

/// All but the metadata that a writer may name.
fn from_old(new: &mut Value, old: &Value) {
    let version = new["metadata"]["resourceVersion"].clone();
    let managed = new["metadata"]["managedFields"].clone();
    *new = old.clone();
    if let Some(metadata) = new.get_mut("metadata") {
        put(metadata, "resourceVersion", version);
        put(metadata, "managedFields", managed);
    }
}

fn status(new: &mut Value, old: &Value) {
    keep_all_but_status(new, old);
    // Old kubelets write owners that they do not know.
    for name in ["ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        keep_metadata(new, old, name);
    }
    object_at(new, "status");
    if let Some(status) = new.get_mut("status") {
        for name in ["qosClass", "hostIPs"] {
            if is_empty(&status[name]) {
                take_over(status, &old["status"], name);
            }
        }
        addresses(status);
    }
}

/// The one address and the list of addresses say the same.
pub(super) fn addresses(status: &mut Value) {
    for (one, list) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        let first = status[list][0]["ip"].clone();
        let single = status[one].clone();
        if first.is_null() && !is_empty(&single) {
            put(status, list, json!([{"ip": single}]));
        } else if is_empty(&single) && !first.is_null() {
            put(status, one, first);
        }
    }
}

fn resize(new: &mut Value, old: &Value) {
    let wanted: Vec<Value> = ["containers", "initContainers"].map(|list| new["spec"][list].clone()).into();
    let pod_level = new["spec"]["resources"].clone();
    from_old(new, old);
    for (list, wanted) in ["containers", "initContainers"].into_iter().zip(wanted) {
        let all = new.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for (own, wanted) in all.into_iter().flatten().zip(items(&wanted)) {
            if own["name"] == wanted["name"] {
                take_over(own, wanted, "resources");
                take_over(own, wanted, "resizePolicy");
            }
        }
    }
    if let Some(spec) = new.get_mut("spec") {
        put(spec, "resources", pod_level);
    }
}
