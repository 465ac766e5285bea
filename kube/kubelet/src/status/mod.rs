//! The pod's status, from what is known of it: pure.

mod conditions;
mod containers;
mod phase;
#[cfg(test)]
mod tests;

pub(crate) use conditions::resizes;
pub(crate) use containers::FRESH;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::model::{Cause, Ending, Observed};
use crate::read::{at, host_network, is_deleting, items, named, number, text, time_text};
use crate::resources;

/// The node's part of a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The node's addresses.
    pub host_addresses: Vec<String>,
    /// What the runtime calls itself: `containerd`, `strake`.
    pub runtime: String,
    /// What the pod's in-place resize waits for: a reason and a sentence.
    pub resize_pending: Option<(String, String)>,
}

/// What is written about a container in the pod's status as the API has it.
pub(crate) fn written<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    lists.iter().find_map(|list| named(items(pod, &["status", list]), name))
}

/// How a container ended that the runtime has forgotten.
pub(crate) fn written_exit(pod: &Value, name: &str) -> Option<i32> {
    let status = written(pod, name)?;
    // What only waits has the end of its predecessor in `lastState`.
    let code = number(status, &["state", "terminated", "exitCode"]).or_else(|| {
        number(status, &["lastState", "terminated", "exitCode"])
            .filter(|_| at(status, &["state", "waiting"]).is_some())
    })?;
    i32::try_from(code).ok()
}

/// The whole status of a pod.
pub fn status(
    pod: &Value,
    seen: Observed<'_>,
    ending: Option<&Ending>,
    place: &Place,
    now: Timestamp,
) -> Value {
    let old = pod.get("status").cloned().unwrap_or_default();
    let mut new = old.as_object().cloned().unwrap_or_default();
    let all_stopped = containers::all_stopped(seen);
    let lists = containers::statuses(pod, seen, ending, &place.runtime, now);
    let phase = match phase::phase(pod, &lists, ending, ending.is_some() && all_stopped) {
        // One of its containers only makes place for another.
        "Succeeded" | "Failed" if ending.is_none() && containers::is_replacing(pod, seen) => "Running",
        phase => phase,
    };
    let is_over = matches!(phase, "Succeeded" | "Failed");
    set(&mut new, "initContainerStatuses", nonempty(&lists.init));
    set(&mut new, "containerStatuses", nonempty(&lists.main));
    set(&mut new, "ephemeralContainerStatuses", nonempty(&lists.ephemeral));
    if text(&old, &["startTime"]).is_empty() {
        set(&mut new, "startTime", Some(json!(time_text(now))));
    }
    // Whoever sees that a pod is over may count on it that nothing of it runs.
    let is_shown = !is_over || all_stopped;
    let before = match text(&old, &["phase"]) {
        "" => "Pending",
        before => before,
    };
    set(&mut new, "phase", Some(json!(if is_shown { phase } else { before })));
    if let (Some(Ending { cause: Cause::Failed { reason, message, .. }, .. }), true) = (ending, is_shown) {
        set(&mut new, "reason", Some(json!(reason)));
        set(&mut new, "message", Some(json!(message)));
    }
    set(&mut new, "qosClass", Some(json!(resources::qos(pod))));
    addresses(&mut new, pod, seen, place);
    if let Some(generation) = number(pod, &["metadata", "generation"]) {
        set(&mut new, "observedGeneration", Some(json!(generation)));
    }
    let context = conditions::Context { pod, seen, ending, lists: &lists, phase, is_over, place, now };
    set(&mut new, "conditions", Some(Value::Array(conditions::conditions(&context))));
    Value::Object(new)
}

/// The pod's and the node's addresses. A pod that is over keeps those that it had.
fn addresses(new: &mut Map<String, Value>, pod: &Value, seen: Observed<'_>, place: &Place) {
    if let Some(first) = place.host_addresses.first() {
        set(new, "hostIP", Some(json!(first)));
        let all: Vec<Value> = place.host_addresses.iter().map(|ip| json!({"ip": ip})).collect();
        set(new, "hostIPs", Some(Value::Array(all)));
    }
    let own = if host_network(pod) {
        if seen.sandboxes.is_empty() { &[][..] } else { place.host_addresses.as_slice() }
    } else {
        seen.sandboxes.first().map(|sandbox| sandbox.addresses.as_slice()).unwrap_or_default()
    };
    if let Some(first) = own.first() {
        set(new, "podIP", Some(json!(first)));
        set(new, "podIPs", Some(Value::Array(own.iter().map(|ip| json!({"ip": ip})).collect())));
    } else if !is_deleting(pod) && seen.sandboxes.first().is_some_and(|sandbox| sandbox.is_ready) {
        new.remove("podIP");
        new.remove("podIPs");
    }
}

fn nonempty(list: &[Value]) -> Option<Value> {
    (!list.is_empty()).then(|| Value::Array(list.to_vec()))
}

fn set(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(name.to_owned(), value)),
        None => drop(map.remove(name)),
    }
}

/// The merge patch that makes one status of another; none where they are equal.
///
/// Conditions that others own (readiness gates) are not in it: a strategic patch merges them by type.
pub fn patch(pod: &Value, new: &Value) -> Option<Value> {
    let empty = Map::new();
    let old = pod.get("status").and_then(Value::as_object).unwrap_or(&empty);
    let new = new.as_object()?;
    let mut changes = Map::new();
    for (name, value) in new {
        if old.get(name).is_some_and(|old| same(old, value)) {
            continue;
        }
        let change = match name.as_str() {
            "conditions" => match changed_conditions(old.get(name), value) {
                changes if changes.is_empty() => continue,
                changes => Value::Array(changes),
            },
            // A list that merges by key: say that it is replaced.
            "podIPs" => {
                let mut list = value.as_array().cloned().unwrap_or_default();
                list.push(json!({"$patch": "replace"}));
                Value::Array(list)
            }
            _ => value.clone(),
        };
        changes.insert(name.clone(), change);
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        changes.insert(name.clone(), Value::Null);
    }
    if changes.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"uid": crate::read::uid(pod)}, "status": changes}))
}

/// Whether two values say the same: a null is nothing.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let covers = |one: &Map<String, Value>, other: &Map<String, Value>| {
                one.iter().all(|(name, value)| same(value, other.get(name).unwrap_or(&Value::Null)))
            };
            covers(one, other) && covers(other, one)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}

fn changed_conditions(old: Option<&Value>, new: &Value) -> Vec<Value> {
    let old = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let new = new.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut changes: Vec<Value> =
        new.iter().filter(|condition| !old.iter().any(|before| same(before, condition))).cloned().collect();
    for condition in &mut changes {
        // What is left out of a merge stays: a reason that no longer holds must be taken away.
        let kind = text(condition, &["type"]).to_owned();
        let before = old.iter().find(|other| text(other, &["type"]) == kind).and_then(Value::as_object);
        let Some(map) = condition.as_object_mut() else { continue };
        for name in before.into_iter().flat_map(Map::keys) {
            map.entry(name.clone()).or_insert(Value::Null);
        }
    }
    let gone = old.iter().filter(|condition| {
        let kind = text(condition, &["type"]);
        !new.iter().any(|other| text(other, &["type"]) == kind)
    });
    changes.extend(gone.map(|condition| json!({"$patch": "delete", "type": text(condition, &["type"])})));
    changes
}
