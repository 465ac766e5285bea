//! The row of a pod: what its containers' states say together.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::format::{age, human_duration, is_true, micros, name, number, or};
use crate::value::{items, text};

/// What the containers tell.
#[derive(Default)]
struct Seen {
    reason: String,
    ready: usize,
    restarts: i64,
    last_restart: Value,
}

/// The cells of a pod.
pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let sidecars = items(&spec["initContainers"]).iter().filter(|container| is_sidecar(container)).count();
    let total = items(&spec["containers"]).len() + sidecars;
    let mut seen = Seen { reason: first_reason(status), ..Seen::default() };
    let (initializing, of_sidecars) = look_at_init_containers(pod, &mut seen);
    if !initializing || is_true(&status["conditions"], "Initialized") {
        seen.restarts = of_sidecars.restarts;
        seen.last_restart = of_sidecars.last_restart;
        look_at_containers(status, &mut seen);
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if text(&status["reason"]) == "NodeLost" {
            seen.reason = "Unknown".to_owned();
        } else if !matches!(text(&status["phase"]), "Failed" | "Succeeded") {
            seen.reason = "Terminating".to_owned();
        }
    }
    let restarts = match seen.restarts {
        restarts if restarts != 0 && seen.last_restart.is_string() => {
            format!("{restarts} ({} ago)", human_duration(&seen.last_restart, now))
        }
        restarts => restarts.to_string(),
    };
    vec![
        name(pod),
        format!("{}/{total}", seen.ready).into(),
        seen.reason.into(),
        restarts.into(),
        age(pod, now),
        or(if status["podIPs"].is_array() { &status["podIPs"][0]["ip"] } else { &status["podIP"] }, "<none>"),
        or(&spec["nodeName"], "<none>"),
        or(&status["nominatedNodeName"], "<none>"),
        gates(pod).into(),
    ]
}

/// What is said where the containers say nothing.
fn first_reason(status: &Value) -> String {
    let gated = items(&status["conditions"])
        .iter()
        .any(|one| text(&one["type"]) == "PodScheduled" && text(&one["reason"]) == "SchedulingGated");
    let reason = match text(&status["reason"]) {
        _ if gated => "SchedulingGated",
        "" => text(&status["phase"]),
        reason => reason,
    };
    reason.to_owned()
}

/// Whether an init container goes on running beside the others.
fn is_sidecar(container: &Value) -> bool {
    text(&container["restartPolicy"]) == "Always"
}

fn count_restarts(status: &Value, seen: &mut Seen) {
    seen.restarts = seen.restarts.saturating_add(number(&status["restartCount"]));
    let ended = &status["lastState"]["terminated"]["finishedAt"];
    if micros(ended) > micros(&seen.last_restart) {
        seen.last_restart = ended.clone();
    }
}

/// Whether the pod is still initializing, and what its sidecars tell.
fn look_at_init_containers(pod: &Value, seen: &mut Seen) -> (bool, Seen) {
    let specs = items(&pod["spec"]["initContainers"]);
    let sidecars: BTreeSet<_> =
        specs.iter().filter(|spec| is_sidecar(spec)).map(|spec| text(&spec["name"])).collect();
    let mut of_sidecars = Seen::default();
    for (at, status) in items(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
        let sidecar = sidecars.contains(text(&status["name"]));
        count_restarts(status, seen);
        if sidecar {
            count_restarts(status, &mut of_sidecars);
        }
        let (ended, waiting) = (&status["state"]["terminated"], text(&status["state"]["waiting"]["reason"]));
        if ended.is_object() && number(&ended["exitCode"]) == 0 {
            continue;
        }
        if sidecar && status["started"] == json!(true) {
            seen.ready += usize::from(status["ready"] == json!(true));
            continue;
        }
        seen.reason = if ended.is_object() {
            format!("Init:{}", end_reason(ended))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{at}/{}", specs.len())
        };
        return (true, of_sidecars);
    }
    (false, of_sidecars)
}

fn end_reason(ended: &Value) -> String {
    match (text(&ended["reason"]), number(&ended["signal"])) {
        ("", 0) => format!("ExitCode:{}", number(&ended["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn look_at_containers(status: &Value, seen: &mut Seen) {
    let mut running = false;
    for container in items(&status["containerStatuses"]).iter().rev() {
        count_restarts(container, seen);
        let state = &container["state"];
        let waiting = text(&state["waiting"]["reason"]);
        if !waiting.is_empty() {
            seen.reason = waiting.to_owned();
        } else if state["terminated"].is_object() {
            seen.reason = end_reason(&state["terminated"]);
        } else if container["ready"] == json!(true) && state["running"].is_object() {
            running = true;
            seen.ready += 1;
        }
    }
    // One that still runs keeps the pod from being shown as done.
    if seen.reason == "Completed" && running {
        let ready = is_true(&status["conditions"], "Ready");
        seen.reason = if ready { "Running" } else { "NotReady" }.to_owned();
    }
}

fn gates(pod: &Value) -> String {
    let gates = items(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let conditions = &pod["status"]["conditions"];
    let open = gates.iter().filter(|gate| is_true(conditions, text(&gate["conditionType"]))).count();
    format!("{open}/{}", gates.len())
}
