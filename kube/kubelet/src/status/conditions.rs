//! The pod's conditions.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Place;
use super::containers::Lists;
use crate::model::{Cause, Ending, Life, Observed, Role, Volumes, Wanted};
use crate::read::{at, flag, host_network, items, named, number, text, time_text};
use crate::resources::{self, Resize};

/// What conditions are made of.
pub(super) struct Context<'a> {
    pub(super) pod: &'a Value,
    pub(super) seen: Observed<'a>,
    pub(super) ending: Option<&'a Ending>,
    pub(super) lists: &'a Lists,
    pub(super) phase: &'static str,
    pub(super) is_over: bool,
    pub(super) place: &'a Place,
    pub(super) now: Timestamp,
}

struct Condition {
    kind: &'static str,
    is_true: bool,
    reason: String,
    message: String,
}

/// All conditions: ours anew, others' as they are.
pub(super) fn conditions(context: &Context<'_>) -> Vec<Value> {
    let old = items(context.pod, &["status", "conditions"]);
    let ours = ours(context);
    let mut all: Vec<Value> = Vec::new();
    for condition in &ours {
        all.push(written(context, old, condition));
    }
    let kept = old.iter().filter(|condition| {
        let kind = text(condition, &["type"]);
        !ours.iter().any(|own| own.kind == kind) && !PASSING.contains(&kind)
    });
    all.extend(kept.cloned());
    all
}

fn ours(context: &Context<'_>) -> Vec<Condition> {
    let containers = containers_ready(context);
    let ready = ready(context, &containers);
    let mut all = Vec::new();
    if let Some(Ending { cause: Cause::Failed { disruption: Some(reason), message, .. }, .. }) =
        context.ending
    {
        all.push(Condition {
            kind: "DisruptionTarget",
            is_true: true,
            reason: reason.clone(),
            message: message.clone(),
        });
    }
    if let Some((reason, message)) = &context.place.resize_pending {
        all.push(Condition {
            kind: "PodResizePending",
            is_true: true,
            reason: reason.clone(),
            message: message.clone(),
        });
    }
    all.extend(resizing(context));
    all.push(plain("PodReadyToStartContainers", has_ground(context)));
    all.push(initialized(context));
    all.push(ready);
    all.push(containers);
    all.push(plain("PodScheduled", true));
    all
}

/// Whether running containers do not have the limits yet that they are to have.
pub(crate) fn resizes(pod: &Value, seen: Observed<'_>) -> bool {
    Wanted::all(pod).any(|wanted| {
        let newest = seen.newest(wanted.name()).filter(|newest| newest.life == Life::Running);
        newest.is_some_and(|newest| resources::resize(wanted.spec, seen.has(newest)) != Resize::None)
    })
}

/// That running containers do not have the limits yet that they are to have.
fn resizing(context: &Context<'_>) -> Option<Condition> {
    if context.ending.is_some() || !resizes(context.pod, context.seen) {
        return None;
    }
    let failure = context.seen.memory.resize_failure.clone();
    let reason = if failure.is_some() { "Error" } else { "" };
    Some(Condition {
        kind: "PodResizeInProgress",
        is_true: true,
        reason: reason.to_owned(),
        message: failure.unwrap_or_default(),
    })
}

fn plain(kind: &'static str, is_true: bool) -> Condition {
    Condition { kind, is_true, reason: String::new(), message: String::new() }
}

/// Whether the sandbox runs and has its addresses, and volumes are there.
fn has_ground(context: &Context<'_>) -> bool {
    if context.is_over {
        return false;
    }
    let sandbox = context.seen.sandbox();
    let volumes = context.seen.memory.volumes == Volumes::Ready || sandbox.is_some();
    sandbox.is_some_and(|it| host_network(context.pod) || !it.addresses.is_empty()) && volumes
}

fn initialized(context: &Context<'_>) -> Condition {
    let mut condition = plain("Initialized", true);
    if context.phase == "Succeeded" {
        condition.reason = "PodCompleted".to_owned();
        return condition;
    }
    let had_main = context.lists.main.iter().any(|status| {
        at(status, &["containerID"]).is_some_and(|id| id.as_str().is_some_and(|id| !id.is_empty()))
    });
    let names: Vec<&str> = Wanted::init(context.pod)
        .filter(|wanted| {
            let status = named(&context.lists.init, wanted.name());
            let is_done = status.is_some_and(|status| match wanted.role {
                Role::Sidecar => flag(status, &["started"]),
                _ => number(status, &["state", "terminated", "exitCode"]) == Some(0),
            });
            !(is_done || had_main && wanted.role == Role::Sidecar)
        })
        .map(|wanted| wanted.name())
        .collect();
    let is_forgotten = had_main && context.seen.containers.is_empty();
    if !(names.is_empty() || is_forgotten) {
        condition.is_true = false;
        condition.reason = "ContainersNotInitialized".to_owned();
        condition.message = format!("containers with incomplete status: [{}]", names.join(" "));
    }
    condition
}

fn containers_ready(context: &Context<'_>) -> Condition {
    let mut condition = plain("ContainersReady", true);
    if context.is_over {
        condition.is_true = false;
        condition.reason = match context.phase {
            "Succeeded" => "PodCompleted",
            _ => "PodFailed",
        }
        .to_owned();
        return condition;
    }
    let sidecars = Wanted::init(context.pod).filter(|wanted| wanted.role == Role::Sidecar);
    let unready: Vec<&str> = sidecars
        .chain(Wanted::main(context.pod))
        .filter(|wanted| {
            let list = if wanted.role == Role::Sidecar { &context.lists.init } else { &context.lists.main };
            !named(list, wanted.name()).is_some_and(|status| flag(status, &["ready"]))
        })
        .map(|wanted| wanted.name())
        .collect();
    if !unready.is_empty() {
        condition.is_true = false;
        condition.reason = "ContainersNotReady".to_owned();
        condition.message = format!("containers with unready status: [{}]", unready.join(" "));
    }
    condition
}

fn ready(context: &Context<'_>, containers: &Condition) -> Condition {
    let mut condition = plain("Ready", containers.is_true);
    condition.reason.clone_from(&containers.reason);
    condition.message.clone_from(&containers.message);
    if !containers.is_true {
        return condition;
    }
    let conditions = items(context.pod, &["status", "conditions"]);
    let mut missing = Vec::new();
    for gate in items(context.pod, &["spec", "readinessGates"]) {
        let kind = text(gate, &["conditionType"]);
        match conditions.iter().find(|condition| text(condition, &["type"]) == kind) {
            None => missing
                .push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(found) if text(found, &["status"]) != "True" => {
                let status = text(found, &["status"]);
                missing.push(format!(
                    "the status of pod readiness gate \"{kind}\" is not \"True\", but {status}"
                ));
            }
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        condition.is_true = false;
        condition.reason = "ReadinessGatesNotReady".to_owned();
        condition.message = missing.join(", ");
    }
    condition
}

/// The condition as it is written: the time of its last change stays as long as its status does.
fn written(context: &Context<'_>, old: &[Value], condition: &Condition) -> Value {
    let before = old.iter().find(|before| text(before, &["type"]) == condition.kind);
    let status = if condition.is_true { "True" } else { "False" };
    let unchanged = before.filter(|before| text(before, &["status"]) == status);
    let since = unchanged.and_then(|before| at(before, &["lastTransitionTime"]).cloned());
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
    set("type", json!(condition.kind));
    if let Some(generation) = number(context.pod, &["metadata", "generation"]) {
        set("observedGeneration", json!(generation));
    }
    set("status", json!(status));
    set("lastProbeTime", Value::Null);
    set("lastTransitionTime", since.unwrap_or_else(|| json!(time_text(context.now))));
    if !condition.reason.is_empty() {
        set("reason", json!(condition.reason));
    }
    if !condition.message.is_empty() {
        set("message", json!(condition.message));
    }
    Value::Object(map)
}

/// Ours, and there only as long as they hold.
const PASSING: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];
