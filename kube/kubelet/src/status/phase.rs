//! The pod's phase, by the states of its containers.

use serde_json::Value;

use super::containers::Lists;
use crate::model::{Cause, Ending, Role, Wanted};
use crate::read::{at, flag, named, number, text};

#[derive(Default)]
struct Count {
    pending_init: u32,
    pending_sidecars: u32,
    failed_init: u32,
    unknown: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    succeeded: u32,
}

/// `Pending`, `Running`, `Succeeded` or `Failed`. What is over stays over.
pub(super) fn phase(pod: &Value, lists: &Lists, ending: Option<&Ending>, all_stopped: bool) -> &'static str {
    match text(pod, &["status", "phase"]) {
        "Succeeded" => return "Succeeded",
        "Failed" => return "Failed",
        _ => {}
    }
    if let Some(Ending { cause: Cause::Failed { .. }, .. }) = ending {
        return "Failed";
    }
    let count = count(pod, lists);
    if ending.is_some() && all_stopped {
        // Whatever did not end well has failed; what never ran has too.
        let is_good = count.failed_init == 0
            && count.pending_init == 0
            && count.stopped > 0
            && count.stopped == count.succeeded
            && count.waiting + count.unknown == 0;
        return if is_good { "Succeeded" } else { "Failed" };
    }
    by_count(pod, &count)
}

fn by_count(pod: &Value, count: &Count) -> &'static str {
    let policy = text(pod, &["spec", "restartPolicy"]);
    if count.failed_init > 0 && policy == "Never" {
        return "Failed";
    }
    let before_main = count.pending_sidecars > 0 && count.running + count.stopped == 0;
    if count.pending_init > 0 || before_main || count.waiting > 0 {
        return "Pending";
    }
    if count.running > 0 && count.unknown == 0 {
        return "Running";
    }
    if count.running == 0 && count.stopped > 0 && count.unknown == 0 {
        return match policy {
            "Never" if count.stopped == count.succeeded => "Succeeded",
            "Never" => "Failed",
            "OnFailure" if count.stopped == count.succeeded => "Succeeded",
            _ => "Running",
        };
    }
    "Pending"
}

fn count(pod: &Value, lists: &Lists) -> Count {
    let mut count = Count::default();
    for wanted in Wanted::init(pod) {
        let status = named(&lists.init, wanted.name());
        let ended = |at: &[&str]| status.and_then(|status| number(status, at));
        let has = |path: &[&str]| status.is_some_and(|status| at(status, path).is_some());
        if wanted.role == Role::Sidecar {
            let runs = has(&["state", "running"]) && status.is_some_and(|status| flag(status, &["started"]));
            count.pending_sidecars += u32::from(!runs);
            continue;
        }
        match ended(&["state", "terminated", "exitCode"]) {
            Some(0) => {}
            Some(_) => count.failed_init += 1,
            None if has(&["state", "waiting"]) && has(&["lastState", "terminated"]) => {
                match ended(&["lastState", "terminated", "exitCode"]) {
                    Some(0) => {}
                    _ => {
                        count.failed_init += 1;
                        count.pending_init += 1;
                    }
                }
            }
            None => count.pending_init += 1,
        }
    }
    for wanted in Wanted::main(pod) {
        let Some(status) = named(&lists.main, wanted.name()) else {
            count.unknown += 1;
            continue;
        };
        if at(status, &["state", "running"]).is_some() {
            count.running += 1;
        } else if let Some(code) = number(status, &["state", "terminated", "exitCode"]) {
            count.stopped += 1;
            count.succeeded += u32::from(code == 0);
        } else if at(status, &["lastState", "terminated"]).is_some() {
            count.stopped += 1;
        } else {
            count.waiting += 1;
        }
    }
    count
}
