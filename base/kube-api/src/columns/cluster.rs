//! Rows of nodes, namespaces, events, volumes, quotas.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::format::{age, condition, human_duration, micros, name, number, or, quantity};
use crate::value::{items, members, text};

pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let info = &object["status"]["nodeInfo"];
    let address = |kind: &str| {
        let mut all = items(&object["status"]["addresses"]).iter();
        let found = all.find(|address| text(&address["type"]) == kind);
        Value::from(found.map_or("<none>", |address| text(&address["address"])))
    };
    vec![
        name(object),
        node_status(object).into(),
        node_roles(object).into(),
        age(object, now),
        text(&info["kubeletVersion"]).into(),
        address("InternalIP"),
        address("ExternalIP"),
        or(&info["osImage"], "<unknown>"),
        or(&info["kernelVersion"], "<unknown>"),
        or(&info["containerRuntimeVersion"], "<unknown>"),
    ]
}

fn node_status(object: &Value) -> String {
    let ready = match condition(&object["status"]["conditions"], "Ready") {
        Some(ready) if text(&ready["status"]) == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = object["spec"]["unschedulable"] == json!(true);
    format!("{ready}{}", if cordoned { ",SchedulingDisabled" } else { "" })
}

fn node_roles(object: &Value) -> String {
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None => (key == "kubernetes.io/role").then(|| text(value).to_owned()),
    };
    let all = members(&object["metadata"]["labels"]).filter_map(role);
    let roles: BTreeSet<_> = all.filter(|role| !role.is_empty()).collect();
    if roles.is_empty() {
        return "<none>".to_owned();
    }
    roles.into_iter().collect::<Vec<_>>().join(",")
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["status"]["phase"]).into(), age(object, now)]
}

/// An event, in the shape of core or of events.k8s.io.
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let either = |one: &str, other: &str| {
        let found = [&object[one], &object[other]].into_iter().find(|value| !value.is_null());
        found.cloned().unwrap_or_default()
    };
    let about = either("involvedObject", "regarding");
    let (first, last) = (
        either("firstTimestamp", "deprecatedFirstTimestamp"),
        either("lastTimestamp", "deprecatedLastTimestamp"),
    );
    let since = |time: &Value| micros(time).map(|_| human_duration(time, now));
    let first = since(&first).unwrap_or_else(|| human_duration(&object["eventTime"], now));
    let mut seen = since(&last).unwrap_or_else(|| first.clone());
    let mut count = number(&either("count", "deprecatedCount")).max(1);
    if object["series"].is_object() {
        seen = human_duration(&object["series"]["lastObservedTime"], now);
        count = number(&object["series"]["count"]);
    }
    let (kind, target) = (text(&about["kind"]).to_lowercase(), text(&about["name"]));
    let target = if target.is_empty() { kind } else { format!("{kind}/{target}") };
    let message = either("message", "note");
    vec![
        seen.into(),
        text(&object["type"]).into(),
        text(&object["reason"]).into(),
        target.into(),
        text(&about["fieldPath"]).into(),
        event_source(object, &either("source", "deprecatedSource")).into(),
        text(&message).trim().into(),
        first.into(),
        count.into(),
        name(object),
    ]
}

fn event_source(object: &Value, source: &Value) -> String {
    let first = |all: [&Value; 3]| {
        all.into_iter().map(text).find(|text| !text.is_empty()).unwrap_or_default().to_owned()
    };
    let component =
        first([&source["component"], &object["reportingComponent"], &object["reportingController"]]);
    let instance = first([&source["host"], &object["reportingInstance"], &Value::Null]);
    if instance.is_empty() { component } else { format!("{component}, {instance}") }
}

/// The modes in the order and letters that upstream prints.
fn access_modes(modes: &Value) -> String {
    const LETTERS: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| items(modes).iter().any(|item| text(item) == mode);
    let all: Vec<_> = LETTERS.iter().filter(|(mode, _)| has(mode)).map(|(_, letters)| *letters).collect();
    all.join(",")
}

fn phase(object: &Value) -> Value {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating".into();
    }
    text(&object["status"]["phase"]).into()
}

/// The class: of the annotation that came first, or of the field.
fn storage_class(object: &Value) -> Value {
    let annotation = &object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    let class = if annotation.is_string() { annotation } else { &object["spec"]["storageClassName"] };
    text(class).into()
}

fn set_or_unset(value: &Value) -> Value {
    value.as_str().unwrap_or("<unset>").into()
}

pub(super) fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let claim = &spec["claimRef"];
    let claim = if claim.is_object() {
        format!("{}/{}", text(&claim["namespace"]), text(&claim["name"]))
    } else {
        String::new()
    };
    vec![
        name(object),
        quantity(&spec["capacity"]["storage"]).into(),
        access_modes(&spec["accessModes"]).into(),
        text(&spec["persistentVolumeReclaimPolicy"]).into(),
        phase(object),
        claim.into(),
        storage_class(object),
        set_or_unset(&spec["volumeAttributesClassName"]),
        text(&object["status"]["reason"]).into(),
        age(object, now),
        set_or_unset(&spec["volumeMode"]),
    ]
}

pub(super) fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let bound = !text(&spec["volumeName"]).is_empty();
    let (capacity, modes) = match bound {
        true => (quantity(&status["capacity"]["storage"]), access_modes(&status["accessModes"])),
        false => (String::new(), String::new()),
    };
    vec![
        name(object),
        phase(object),
        text(&spec["volumeName"]).into(),
        capacity.into(),
        modes.into(),
        storage_class(object),
        set_or_unset(&spec["volumeAttributesClassName"]),
        age(object, now),
        set_or_unset(&spec["volumeMode"]),
    ]
}

pub(super) fn quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in members(&status["hard"]) {
        let cell = format!("{resource}: {}/{}", quantity(&status["used"][resource.as_str()]), quantity(hard));
        if resource.starts_with("limits.") { limits.push(cell) } else { requests.push(cell) }
    }
    vec![name(object), requests.join(", ").into(), limits.join(", ").into(), age(object, now)]
}

pub(super) fn component_status(object: &Value, _now: Timestamp) -> Vec<Value> {
    let healthy = condition(&object["conditions"], "Healthy");
    let status = match healthy.map(|healthy| text(&healthy["status"])) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let part = |field: &str| Value::from(healthy.map_or("", |healthy| text(&healthy[field])));
    vec![name(object), status.into(), part("message"), part("error")]
}
