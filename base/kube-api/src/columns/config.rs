//! Rows of configuration, policies, storage classes, access rules, and whatever is printed plainly.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::format::{age, human_seconds, is_true, listed, name, number, or, selector_text};
use super::workload::condition_status;
use crate::value::{items, members, text};

pub(super) fn plain(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), object["metadata"]["creationTimestamp"].clone()]
}

pub(super) fn aged(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = members(&object["data"]).count();
    vec![name(object), text(&object["type"]).into(), count.into(), age(object, now)]
}

pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = members(&object["data"]).count() + members(&object["binaryData"]).count();
    vec![name(object), count.into(), age(object, now)]
}

pub(super) fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), items(&object["secrets"]).len().into(), age(object, now)]
}

pub(super) fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", text(&object["roleRef"]["kind"]), text(&object["roleRef"]["name"]));
    let subjects = |kind: &str| {
        let all = items(&object["subjects"]).iter().filter(|subject| text(&subject["kind"]) == kind);
        let shown = all.map(|subject| match (kind, text(&subject["namespace"])) {
            ("ServiceAccount", "") | ("User" | "Group", _) => text(&subject["name"]).to_owned(),
            (_, namespace) => format!("{namespace}/{}", text(&subject["name"])),
        });
        Value::from(shown.collect::<Vec<_>>().join(", "))
    };
    vec![
        name(object),
        role.into(),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(super) fn signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let has = |kind: &str| items(&status["conditions"]).iter().any(|one| text(&one["type"]) == kind);
    let mut state = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(&status["certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    let asked = spec["expirationSeconds"].as_i64().map_or("<none>".to_owned(), human_seconds);
    vec![
        name(object),
        age(object, now),
        or(&spec["signerName"], "<none>"),
        text(&spec["username"]).into(),
        asked.into(),
        state.into(),
    ]
}

pub(super) fn trust_bundle(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), or(&object["spec"]["signerName"], "<none>")]
}

pub(super) fn pod_certificate(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let has = |kind: &str| is_true(&object["status"]["conditions"], kind);
    let state = ["Denied", "Failed", "Issued"].into_iter().find(|kind| has(kind)).unwrap_or("Pending");
    vec![
        name(object),
        text(&spec["podName"]).into(),
        text(&spec["serviceAccountName"]).into(),
        text(&spec["nodeName"]).into(),
        text(&spec["signerName"]).into(),
        state.into(),
        age(object, now),
    ]
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["spec"]["holderIdentity"]).into(), age(object, now)]
}

pub(super) fn lease_candidate(object: &Value, now: Timestamp) -> Vec<Value> {
    let field = |field: &str| Value::from(text(&object["spec"][field]));
    vec![
        name(object),
        field("leaseName"),
        field("binaryVersion"),
        field("emulationVersion"),
        age(object, now),
    ]
}

/// The name, and whether the class is what others get who name none.
fn class_name(object: &Value, annotations: &[&str]) -> Value {
    let of = &object["metadata"]["annotations"];
    let default = annotations.iter().any(|annotation| text(&of[*annotation]) == "true");
    format!("{}{}", text(&object["metadata"]["name"]), if default { " (default)" } else { "" }).into()
}

pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    const DEFAULT: [&str; 2] =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    vec![
        class_name(object, &DEFAULT),
        text(&object["provisioner"]).into(),
        or(&object["reclaimPolicy"], "Delete"),
        or(&object["volumeBindingMode"], "Immediate"),
        (object["allowVolumeExpansion"] == json!(true)).into(),
        age(object, now),
    ]
}

pub(super) fn attributes_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let shown = class_name(object, &["volumeattributesclass.alpha.kubernetes.io/is-default-class"]);
    vec![shown, text(&object["driverName"]).into(), age(object, now)]
}

pub(super) fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        text(&spec["attacher"]).into(),
        text(&spec["source"]["persistentVolumeName"]).into(),
        text(&spec["nodeName"]).into(),
        (object["status"]["attached"] == json!(true)).into(),
        age(object, now),
    ]
}

pub(super) fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), items(&object["spec"]["drivers"]).len().into(), age(object, now)]
}

pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let flag = |field: &str, otherwise: bool| Value::from(spec[field].as_bool().unwrap_or(otherwise));
    let all = |list: Vec<&str>, none: &str| {
        if list.is_empty() { Value::from(none) } else { list.join(",").into() }
    };
    let tokens = items(&spec["tokenRequests"]).iter().map(|token| text(&token["audience"])).collect();
    let modes = items(&spec["volumeLifecycleModes"]).iter().map(text).collect();
    vec![
        name(object),
        flag("attachRequired", true),
        flag("podInfoOnMount", false),
        flag("storageCapacity", false),
        all(tokens, "<unset>"),
        flag("requiresRepublish", false),
        all(modes, "<none>"),
        age(object, now),
    ]
}

pub(super) fn storage_capacity(object: &Value, _now: Timestamp) -> Vec<Value> {
    let capacity = match &object["capacity"] {
        Value::Null => "<unset>".to_owned(),
        value => super::format::quantity(value),
    };
    vec![name(object), text(&object["storageClassName"]).into(), capacity.into()]
}

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(&object["value"]).into(),
        (object["globalDefault"] == json!(true)).into(),
        age(object, now),
        text(&object["preemptionPolicy"]).into(),
    ]
}

pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["handler"]).into(), age(object, now)]
}

pub(super) fn webhooks(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), items(&object["webhooks"]).len().into(), age(object, now)]
}

pub(super) fn admission_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let rules =
        [&spec["validations"], &spec["mutations"]].into_iter().map(|list| items(list).len()).sum::<usize>();
    let kind = &spec["paramKind"];
    let kind = if kind.is_object() {
        format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"]))
    } else {
        "<unset>".to_owned()
    };
    vec![name(object), rules.into(), kind.into(), age(object, now)]
}

pub(super) fn admission_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let param = &object["spec"]["paramRef"];
    let shown = match (text(&param["name"]), text(&param["namespace"])) {
        ("", _) if param["selector"].is_object() => selector_text(&param["selector"]).unwrap_or_default(),
        ("", _) => "<unset>".to_owned(),
        (name, "") => format!("*/{name}"),
        (name, namespace) => format!("{namespace}/{name}"),
    };
    vec![name(object), text(&object["spec"]["policyName"]).into(), shown.into(), age(object, now)]
}

pub(super) fn flow_schema(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        text(&spec["priorityLevelConfiguration"]["name"]).into(),
        number(&spec["matchingPrecedence"]).into(),
        or(&spec["distinguisherMethod"]["type"], "<none>"),
        age(object, now),
        condition_status(&object["status"]["conditions"], "Dangling").into(),
    ]
}

pub(super) fn priority_level(object: &Value, now: Timestamp) -> Vec<Value> {
    let limited = &object["spec"]["limited"];
    let queuing = &limited["limitResponse"]["queuing"];
    let shown = |value: &Value| if value.is_number() { value.clone() } else { Value::from("<none>") };
    vec![
        name(object),
        text(&object["spec"]["type"]).into(),
        shown(&limited["nominalConcurrencyShares"]),
        shown(&queuing["queues"]),
        shown(&queuing["handSize"]),
        shown(&queuing["queueLengthLimit"]),
        age(object, now),
    ]
}

pub(super) fn storage_version(object: &Value, now: Timestamp) -> Vec<Value> {
    let one =
        |server: &Value| format!("{}={}", text(&server["apiServerID"]), text(&server["encodingVersion"]));
    let all: Vec<_> = items(&object["status"]["storageVersions"]).iter().map(one).collect();
    vec![
        name(object),
        or(&object["status"]["commonEncodingVersion"], "<unset>"),
        listed(&all, 3, ",", "<unset>").into(),
        age(object, now),
    ]
}

pub(super) fn migration(object: &Value, _now: Timestamp) -> Vec<Value> {
    let resource = &object["spec"]["resource"];
    let parts = ["resource", "version", "group"].map(|part| text(&resource[part]));
    let shown = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
    vec![name(object), shown.into()]
}

pub(super) fn resource_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let deleted = object["metadata"]["deletionTimestamp"].is_string();
    let allocated = object["status"]["allocation"].is_object();
    let reserved = allocated && !items(&object["status"]["reservedFor"]).is_empty();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (reserved, "reserved"),
    ];
    let shown: Vec<_> = states.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
    vec![name(object), shown.join(",").into(), age(object, now)]
}

pub(super) fn resource_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        text(&spec["nodeName"]).into(),
        text(&spec["driver"]).into(),
        text(&spec["pool"]["name"]).into(),
        age(object, now),
    ]
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let served = if service.is_object() {
        format!("{}/{}", text(&service["namespace"]), text(&service["name"]))
    } else {
        "Local".to_owned()
    };
    let available = super::format::condition(&object["status"]["conditions"], "Available");
    let available =
        available.map_or("Unknown".to_owned(), |one| match (text(&one["status"]), text(&one["reason"])) {
            ("True", _) | (_, "") => text(&one["status"]).to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        });
    vec![name(object), served.into(), available.into(), age(object, now)]
}
