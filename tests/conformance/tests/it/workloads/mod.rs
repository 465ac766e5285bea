//! [sig-apps] on nodes that are not there: see [`crate::faked`].

mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod job;
mod kept;
mod replica_set;
mod replication_controller;
mod stateful_set;

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;

/// A container of any image.
fn container() -> Value {
    json!({ "name": "c", "image": "registry.example/busybox:1" })
}

/// `Complete`, if that condition holds.
fn holds(object: &Value, condition: &str) -> bool {
    let all = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().any(|found| found["type"] == condition && found["status"] == "True")
}

/// The reason of a condition.
fn reason<'a>(object: &'a Value, condition: &str) -> &'a str {
    let all = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let found = all.iter().find(|found| found["type"] == condition);
    found.and_then(|found| found["reason"].as_str()).unwrap_or_default()
}

fn pods(api: &Api, namespace: &str) -> Vec<Value> {
    let list = api.get(&format!("/api/v1/namespaces/{namespace}/pods"));
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Those that neither ended nor are to.
fn living(api: &Api, namespace: &str) -> Vec<Value> {
    let mut all = pods(api, namespace);
    all.retain(|pod| {
        pod["metadata"]["deletionTimestamp"].is_null()
            && !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
    });
    all
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Waits until what is read there is as wanted.
#[track_caller]
fn until(api: &Api, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    wait_long(path, || {
        found = api.get(path);
        fits(&found)
    });
    found
}

/// Looks at something longer than usual: what has to wait for a full minute, for a back-off, or for many pods that
/// one faked node sees to.
#[track_caller]
fn wait_long(what: &str, condition: impl FnMut() -> bool) {
    assert!(testkit::wait_until(Duration::from_secs(150), condition), "waited in vain for {what}");
}
