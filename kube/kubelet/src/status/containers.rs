//! What is written about each container.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::model::{Container, Ending, Job, Life, Limits, Observed, Role, StartFailure, Wanted};
use crate::read::{at, flag, from_nanos, items, number, text, time_text};
use crate::resources::{self, Resize};

/// The three lists of a status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lists {
    pub(super) init: Vec<Value>,
    pub(super) main: Vec<Value>,
    pub(super) ephemeral: Vec<Value>,
}

/// Whether no container runs or is about to.
pub(super) fn all_stopped(seen: Observed<'_>) -> bool {
    let alive = seen.containers.iter().any(|found| found.life != Life::Exited);
    let starting = seen.memory.jobs.iter().any(|job| matches!(job, Job::Start(_) | Job::Kill(_)));
    !alive && !starting
}

/// Whether a main container has ended to make place for another.
pub(super) fn is_replacing(pod: &Value, seen: Observed<'_>) -> bool {
    let replaced = |wanted: Wanted<'_>| {
        seen.newest(wanted.name())
            .is_some_and(|newest| newest.life == Life::Exited && seen.memory.replaced.contains(&newest.id))
    };
    Wanted::main(pod).any(replaced)
}

pub(super) fn statuses(
    pod: &Value,
    seen: Observed<'_>,
    ending: Option<&Ending>,
    runtime: &str,
    now: Timestamp,
) -> Lists {
    let has_init = Wanted::init(pod).next().is_some();
    let one = |wanted: Wanted<'_>| {
        let mut status = one(pod, &wanted, seen, ending, has_init, now);
        name_runtime(&mut status, runtime);
        keep_last_words(&mut status, super::written(pod, wanted.name()));
        status
    };
    Lists {
        init: Wanted::init(pod).map(one).collect(),
        main: Wanted::main(pod).map(one).collect(),
        ephemeral: Wanted::ephemeral(pod).map(one).collect(),
    }
}

fn one(
    pod: &Value,
    wanted: &Wanted<'_>,
    seen: Observed<'_>,
    ending: Option<&Ending>,
    has_init: bool,
    now: Timestamp,
) -> Value {
    let name = wanted.name();
    let newest = seen.newest(name);
    let failure = seen.memory.failures.get(name);
    let mut status = match newest {
        Some(newest) => of_container(pod, wanted, newest, seen.has(newest)),
        None => of_none(pod, wanted, ending, has_init, all_stopped(seen)),
    };
    let crash = crash_waiting(pod, wanted, seen, now);
    let waits = failure.map(|failure| shown_failure(wanted, failure, now)).or(crash);
    if let (Some(waiting), None) = (waits, ending) {
        wait(&mut status, newest, &waiting);
    }
    if let Some(previous) = seen.containers.iter().filter(|found| found.name == name).nth(1)
        && at(&status, &["lastState", "terminated"]).is_none()
    {
        status["lastState"] = json!({"terminated": ended(previous)});
    }
    let is_started = newest.is_some_and(|newest| seen.is_started(wanted, newest)) && !hook_runs(seen, name);
    let is_ready = match wanted.role {
        Role::Init => number(&status, &["state", "terminated", "exitCode"]) == Some(0),
        Role::Ephemeral => false,
        _ => is_started && newest.is_some_and(|newest| seen.is_ready(wanted, newest)),
    };
    if wanted.role != Role::Ephemeral {
        status["started"] = json!(is_started);
    }
    status["ready"] = json!(is_ready);
    volume_mounts(&mut status, wanted);
    status
}

fn hook_runs(seen: Observed<'_>, name: &str) -> bool {
    seen.memory.jobs.contains(&Job::Start(name.to_owned()))
}

/// Puts `waiting` in the place of what is shown; an end moves to `lastState`.
fn wait(status: &mut Value, newest: Option<&Container>, waiting: &Value) {
    if newest.is_some_and(|newest| newest.life == Life::Running) {
        return;
    }
    if let Some(terminated) = at(status, &["state", "terminated"]).cloned() {
        status["lastState"] = json!({"terminated": terminated});
    }
    status["state"] = json!({"waiting": waiting});
}

/// How a failed start is shown: as itself at first, then as waiting for the next try.
fn shown_failure(wanted: &Wanted<'_>, failure: &StartFailure, now: Timestamp) -> Value {
    let fresh = now.duration_since(failure.at).as_secs() < FRESH;
    if fresh || !crate::plan::is_image_failure(&failure.reason) {
        return json!({"reason": failure.reason, "message": failure.message});
    }
    let image = text(wanted.spec, &["image"]);
    let message = format!("Back-off pulling image \"{image}\": {}: {}", failure.reason, failure.message);
    json!({"reason": "ImagePullBackOff", "message": message})
}

/// That a container which has ended waits before it is started again.
fn crash_waiting(pod: &Value, wanted: &Wanted<'_>, seen: Observed<'_>, now: Timestamp) -> Option<Value> {
    let newest = seen.newest(wanted.name()).filter(|newest| newest.life == Life::Exited)?;
    if !seen.restarts(pod, wanted, newest) {
        return None;
    }
    let backoff = seen.memory.backoffs.get(wanted.name()).copied();
    let seconds = backoff.map_or(crate::plan::CRASH_FIRST, |backoff| backoff.seconds);
    let (until, _) = crate::plan::crash_backoff(backoff, from_nanos(newest.finished_at), now);
    until?;
    let message = crate::plan::backoff_message(pod, wanted.name(), seconds);
    Some(json!({"reason": "CrashLoopBackOff", "message": message}))
}

/// A container that the runtime has.
fn of_container(pod: &Value, wanted: &Wanted<'_>, found: &Container, has: Option<Limits>) -> Value {
    let state = match found.life {
        Life::Running => json!({"running": {"startedAt": stamp(found.started_at)}}),
        Life::Exited => json!({"terminated": ended(found)}),
        Life::Created => json!({"waiting": {"reason": "ContainerCreating"}}),
        Life::Unknown => json!({"terminated": unknown(&found.id)}),
    };
    let mut status = Map::new();
    let mut set = |name: &str, value: Value| drop(status.insert(name.to_owned(), value));
    set("name", json!(found.name));
    set("state", state);
    set("lastState", json!({}));
    set("restartCount", json!(found.attempt));
    set("image", json!(if found.image.is_empty() { text(wanted.spec, &["image"]) } else { &found.image }));
    set("imageID", json!(found.image_id));
    set("containerID", json!(found.id));
    if let Some(resources) = at(wanted.spec, &["resources"])
        && found.life == Life::Running
        && wanted.role != Role::Ephemeral
    {
        let requests = at(resources, &["requests"]).cloned();
        if let Some(requests) = requests {
            set("allocatedResources", requests);
        }
        let is_changed = resources::resize(wanted.spec, has) != Resize::None;
        let before = super::written(pod, &found.name).and_then(|before| at(before, &["resources"]));
        match before.filter(|_| is_changed) {
            Some(before) => set("resources", before.clone()),
            None => set("resources", shown_resources(resources)),
        }
    } else if found.life == Life::Running && wanted.role != Role::Ephemeral {
        set("resources", json!({}));
    }
    if let Some(user) = &found.user
        && found.life == Life::Running
    {
        let groups = (!user.groups.is_empty()).then_some(&user.groups);
        let mut linux = json!({"uid": user.uid, "gid": user.gid});
        if let Some(groups) = groups {
            linux["supplementalGroups"] = json!(groups);
        }
        set("user", json!({"linux": linux}));
    }
    if let Some(signal) = &found.stop_signal {
        set("stopSignal", json!(signal));
    }
    Value::Object(status)
}

/// What the container is to have.
fn shown_resources(resources: &Value) -> Value {
    let mut shown = Map::new();
    for name in ["requests", "limits"] {
        if let Some(list) = at(resources, &[name]) {
            shown.insert(name.to_owned(), list.clone());
        }
    }
    Value::Object(shown)
}

/// A container that the runtime does not have: not yet, or no longer.
fn of_none(
    pod: &Value,
    wanted: &Wanted<'_>,
    ending: Option<&Ending>,
    has_init: bool,
    stopped: bool,
) -> Value {
    let old = super::written(pod, wanted.name());
    let had_one = old.is_some_and(|old| at(old, &["containerID"]).is_some());
    let reason =
        if has_init && wanted.role != Role::Ephemeral { "PodInitializing" } else { "ContainerCreating" };
    if let (Some(old), true) = (old, had_one) {
        let mut status = old.clone();
        let is_over = matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed");
        let ran = at(old, &["state", "running"]).is_some();
        if (ending.is_some() && stopped && ran) || (is_over && ran) {
            status["state"] = json!({"terminated": unknown(text(old, &["containerID"]))});
        } else if ending.is_none() && ran {
            status["lastState"] = json!({"terminated": unknown(text(old, &["containerID"]))});
            status["state"] = json!({"waiting": {"reason": reason}});
        }
        return status;
    }
    json!({
        "name": wanted.name(), "state": {"waiting": {"reason": reason}}, "lastState": {}, "ready": false,
        "restartCount": old.and_then(|old| number(old, &["restartCount"])).unwrap_or(0),
        "image": text(wanted.spec, &["image"]), "imageID": "",
    })
}

/// How a container ended.
pub(crate) fn ended(found: &Container) -> Value {
    let mut terminated = Map::new();
    let mut set = |name: &str, value: Value| drop(terminated.insert(name.to_owned(), value));
    set("exitCode", json!(found.exit_code));
    let reason = match found.reason.as_str() {
        "" if found.exit_code == 0 => "Completed",
        "" => "Error",
        reason => reason,
    };
    set("reason", json!(reason));
    if !found.message.is_empty() {
        set("message", json!(found.message));
    }
    set("startedAt", stamp(found.started_at));
    set("finishedAt", stamp(found.finished_at));
    set("containerID", json!(found.id));
    Value::Object(terminated)
}

/// A container whose end nobody saw.
fn unknown(id: &str) -> Value {
    json!({
        "exitCode": 137, "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": null, "finishedAt": null, "containerID": id,
    })
}

/// Puts the runtime's name before the ids in a status.
fn name_runtime(status: &mut Value, runtime: &str) {
    for path in ["/containerID", "/state/terminated/containerID", "/lastState/terminated/containerID"] {
        if let Some(id) = status.pointer_mut(path)
            && let Some(text) = id.as_str()
            && !text.is_empty()
            && !text.contains("://")
        {
            *id = json!(format!("{runtime}://{text}"));
        }
    }
}

/// What a container said at its end goes with its files, but not from where it was written.
fn keep_last_words(status: &mut Value, before: Option<&Value>) {
    let states = ["state", "lastState"];
    for state in states {
        let Some(ended) = status.get_mut(state).and_then(|state| state.get_mut("terminated")) else {
            continue;
        };
        if !text(ended, &["message"]).is_empty() {
            continue;
        }
        let mut known = states.iter().filter_map(|state| at(before?, &[state, "terminated"]));
        let same = known.find(|known| text(known, &["containerID"]) == text(ended, &["containerID"]));
        if let Some(message) = same.and_then(|same| at(same, &["message"])) {
            ended["message"] = message.clone();
        }
    }
}

fn stamp(nanos: i64) -> Value {
    // Zero times are written as null by the API.
    from_nanos(nanos).map_or(Value::Null, |at| json!(time_text(at)))
}

/// The mounts that are shown: of volumes that the pod has.
fn volume_mounts(status: &mut Value, wanted: &Wanted<'_>) {
    if wanted.role == Role::Ephemeral && items(wanted.spec, &["volumeMounts"]).is_empty() {
        return;
    }
    let mounts: Vec<Value> = items(wanted.spec, &["volumeMounts"])
        .iter()
        .map(|mount| {
            let mut shown = json!({"name": text(mount, &["name"]), "mountPath": text(mount, &["mountPath"])});
            if flag(mount, &["readOnly"]) {
                shown["readOnly"] = json!(true);
                let recursive = match text(mount, &["recursiveReadOnly"]) {
                    "Enabled" | "IfPossible" => text(mount, &["recursiveReadOnly"]),
                    _ => "Disabled",
                };
                shown["recursiveReadOnly"] =
                    json!(if recursive == "IfPossible" { "Enabled" } else { recursive });
            }
            shown
        })
        .collect();
    if mounts.is_empty() {
        if let Some(map) = status.as_object_mut() {
            map.remove("volumeMounts");
        }
    } else {
        status["volumeMounts"] = Value::Array(mounts);
    }
}

/// Seconds that a failed pull is shown as itself.
pub(crate) const FRESH: i64 = 2;
