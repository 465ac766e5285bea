//! What a deployment says of itself: counts, and whether it is available and gets on.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Rollout;
use super::sets::replicas;
use crate::conditions;
use crate::object::{at, generation, name, number, same, set, text, time};

/// A condition of a deployment: it has two times.
struct Said<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: String,
}

/// The status that is true now if it is not what stands there, and when time alone may change it.
pub(super) fn of(rollout: &Rollout<'_>, progress: bool) -> (Option<Value>, Option<Duration>) {
    let mut status = counts(rollout);
    let mut list = conditions::list(rollout.deployment);
    let now = rollout.observed.time();
    let available = number(&status, &["availableReplicas"]).unwrap_or(0);
    let enough = available >= rollout.wanted() - rollout.unavailable();
    let said = if enough {
        Said {
            kind: "Available",
            status: "True",
            reason: "MinimumReplicasAvailable",
            message: "Deployment has minimum availability.".to_owned(),
        }
    } else {
        Said {
            kind: "Available",
            status: "False",
            reason: "MinimumReplicasUnavailable",
            message: "Deployment does not have minimum availability.".to_owned(),
        }
    };
    say(&mut list, &said, &now, false);
    if progress {
        judge(rollout, &status, &mut list, &now);
    }
    failures(rollout, &mut list, &now);
    set(&mut status, &["conditions"], Value::Array(list));
    let mut said = Value::clone(rollout.deployment);
    set(&mut said, &["status"], status);
    let due = deadline(rollout, &said);
    let moved = !same(&said, rollout.deployment);
    (moved.then_some(said), due)
}

/// Pausing and resuming are told, so that the time in between does not count against the rollout.
pub(super) fn paused(rollout: &Rollout<'_>) -> Option<Value> {
    number(rollout.deployment, &["spec", "progressDeadlineSeconds"])?;
    let found = conditions::find(rollout.deployment, "Progressing");
    let reason = found.map(|found| text(found, &["reason"]));
    if reason == Some(TIMED_OUT) {
        return None;
    }
    let is_told = reason == Some("DeploymentPaused");
    let (reason, message) = match (rollout.is_paused(), is_told) {
        (true, false) => ("DeploymentPaused", "Deployment is paused"),
        (false, true) => ("DeploymentResumed", "Deployment is resumed"),
        _ => return None,
    };
    let mut list = conditions::list(rollout.deployment);
    let said = Said { kind: "Progressing", status: "Unknown", reason, message: message.to_owned() };
    say(&mut list, &said, &rollout.observed.time(), false);
    let mut object = Value::clone(rollout.deployment);
    set(&mut object, &["status", "conditions"], Value::Array(list));
    Some(object)
}

fn counts(rollout: &Rollout<'_>) -> Value {
    let sum = |member: &str| -> i64 {
        rollout.sets.all().map(|set| number(set, &["status", member]).unwrap_or(0)).sum()
    };
    let available = sum("availableReplicas");
    let told: i64 = rollout.sets.all().map(|set| replicas(set)).sum();
    let newest = rollout.sets.newest.as_ref();
    let mut status = Map::new();
    for (member, count) in [
        ("observedGeneration", generation(rollout.deployment)),
        ("replicas", sum("replicas")),
        ("updatedReplicas", newest.and_then(|set| number(set, &["status", "replicas"])).unwrap_or(0)),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (told - available).max(0)),
    ] {
        if count != 0 {
            status.insert(member.to_owned(), json!(count));
        }
    }
    if let Some(collisions) = at(rollout.deployment, &["status", "collisionCount"]) {
        status.insert("collisionCount".to_owned(), collisions.clone());
    }
    Value::Object(status)
}

/// Whether the rollout is done, gets on, or stands still for too long.
fn judge(rollout: &Rollout<'_>, status: &Value, list: &mut Vec<Value>, now: &str) {
    let found = conditions::find(rollout.deployment, "Progressing");
    if number(rollout.deployment, &["spec", "progressDeadlineSeconds"]).is_none() {
        list.retain(|found| text(found, &["type"]) != "Progressing");
        return;
    }
    let count = |member: &str| number(status, &[member]).unwrap_or(0);
    let was_done = found.is_some_and(|found| text(found, &["reason"]) == DONE);
    if count("replicas") == count("updatedReplicas") && was_done {
        return;
    }
    let subject = match &rollout.sets.newest {
        Some(set) => format!("ReplicaSet {:?}", name(set)),
        None => format!("Deployment {:?}", name(rollout.deployment)),
    };
    let wanted = rollout.wanted();
    let done =
        ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|member| count(member) == wanted);
    let said = |status, reason, message: &str| Said {
        kind: "Progressing",
        status,
        reason,
        message: format!("{subject} {message}"),
    };
    if done {
        say(list, &said("True", DONE, "has successfully progressed."), now, false);
    } else if gets_on(rollout.deployment, status) || found.is_none() {
        say(list, &said("True", "ReplicaSetUpdated", "is progressing."), now, true);
    } else if is_late(rollout) {
        say(list, &said("False", TIMED_OUT, "has timed out progressing."), now, false);
    }
}

fn gets_on(deployment: &Value, status: &Value) -> bool {
    let new = |member: &str| number(status, &[member]).unwrap_or(0);
    let old = |member: &str| number(deployment, &["status", member]).unwrap_or(0);
    new("updatedReplicas") > old("updatedReplicas")
        || new("replicas") - new("updatedReplicas") < old("replicas") - old("updatedReplicas")
        || new("readyReplicas") > old("readyReplicas")
        || new("availableReplicas") > old("availableReplicas")
}

fn is_late(rollout: &Rollout<'_>) -> bool {
    let Some(found) = conditions::find(rollout.deployment, "Progressing") else { return false };
    match text(found, &["reason"]) {
        DONE => false,
        TIMED_OUT => true,
        _ => late_at(rollout.deployment, found).is_some_and(|due| due <= rollout.observed.seconds()),
    }
}

/// When the rollout has stood still for too long.
fn late_at(deployment: &Value, progressing: &Value) -> Option<i64> {
    let patience = number(deployment, &["spec", "progressDeadlineSeconds"])?;
    Some(time(progressing, &["lastUpdateTime"])?.saturating_add(patience))
}

fn deadline(rollout: &Rollout<'_>, said: &Value) -> Option<Duration> {
    let found = conditions::find(said, "Progressing")?;
    if matches!(text(found, &["reason"]), DONE | TIMED_OUT | "DeploymentPaused") {
        return None;
    }
    rollout.observed.until(late_at(said, found)?)
}

/// What keeps a replica set from making pods is the deployment's trouble too.
fn failures(rollout: &Rollout<'_>, list: &mut Vec<Value>, now: &str) {
    let of_newest = rollout.sets.newest.as_ref().and_then(|set| conditions::find(set, FAILURE));
    let of_old = || rollout.sets.old.iter().find_map(|set| conditions::find(set, FAILURE));
    match of_newest.or_else(of_old) {
        None => list.retain(|found| text(found, &["type"]) != FAILURE),
        Some(found) => {
            let said = Said {
                kind: FAILURE,
                status: text(found, &["status"]),
                reason: text(found, &["reason"]),
                message: text(found, &["message"]).to_owned(),
            };
            say(list, &said, now, false);
        }
    }
}

/// Writes a condition. One that says the same with the same reason stays as it is, unless it is to be `renewed`.
fn say(list: &mut Vec<Value>, said: &Said<'_>, now: &str, renewed: bool) {
    let found = list.iter().position(|found| text(found, &["type"]) == said.kind);
    let before = found.and_then(|at| list.get(at));
    let same_status = before.is_some_and(|before| text(before, &["status"]) == said.status);
    let same_reason = before.is_some_and(|before| text(before, &["reason"]) == said.reason);
    if same_status && same_reason && !renewed {
        return;
    }
    let since = before.filter(|_| same_status).map(|before| text(before, &["lastTransitionTime"]).to_owned());
    let written = json!({
        "type": said.kind, "status": said.status, "reason": said.reason, "message": said.message,
        "lastUpdateTime": now, "lastTransitionTime": since.unwrap_or_else(|| now.to_owned()),
    });
    match found {
        Some(at) => {
            list.remove(at);
            list.push(written);
        }
        None => list.push(written),
    }
}

const DONE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const FAILURE: &str = "ReplicaFailure";
