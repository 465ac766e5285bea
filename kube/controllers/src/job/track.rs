//! Counting the ends of pods, and what a job tells of itself.

use std::sync::Arc;

use serde_json::{Value, json};

use super::manage::Managed;
use super::policy::{Verdict, uids, verdict};
use super::{Finish, Look, TRACKING, has_failed, index_of, release};
use crate::conditions;
use crate::known::jobs;
use crate::object::{at, has_finalizer, is_deleting, number, remove, same, set, text, time_text, uid};
use crate::plan::Action;

/// The pods whose ends are in the status but not in a counter.
#[derive(Default)]
struct Uncounted {
    succeeded: Vec<String>,
    failed: Vec<String>,
}

impl Look<'_> {
    /// The status that is true now, and the pods that are free to go when it is told.
    pub(super) fn track(
        &self,
        started: Option<i64>,
        finish: Option<&Finish>,
        managed: &Managed,
    ) -> Vec<Action> {
        let mut said = Value::clone(self.job);
        let mut told = Vec::new();
        let resumed = self.say_suspended(&mut said, finish, &mut told);
        let started = if resumed { Some(self.observed.seconds()) } else { started };
        if let Some(started) = started {
            set(&mut said, &["status", "startTime"], json!(time_text(started)));
        }
        let (mut uncounted, counted) = self.count(&mut said);
        let (free, all) = self.free(finish, &mut uncounted);
        self.say_counts(&mut said, &uncounted, managed);
        let is_open = !uncounted.succeeded.is_empty() || !uncounted.failed.is_empty() || !free.is_empty();
        if let Some(finish) = finish {
            let terminating = number(&said, &["status", "terminating"]).unwrap_or(0);
            let over = all && !is_open && terminating == 0 && self.is_announced(finish);
            self.say_finish(&mut said, finish, over, counted, &mut told);
        }
        let mut actions = Vec::new();
        if !same(&said["status"], at(self.job, &["status"]).unwrap_or(&Value::Null)) {
            actions.push(Action::update_status(jobs(), said));
        }
        actions.extend(free.iter().map(|pod| release(pod)));
        actions.append(&mut told);
        actions
    }

    /// Pods that have lost their finalizers go from the lists into the counters.
    fn count(&self, said: &mut Value) -> (Uncounted, i64) {
        let waits =
            |uid: &String| self.pods.iter().any(|pod| self::uid(pod) == uid && has_finalizer(pod, TRACKING));
        let mut count = |list: &str| {
            let all = uids(self.job, list);
            let waiting: Vec<String> = all.iter().filter(|uid| waits(uid)).cloned().collect();
            let done = (all.len() - waiting.len()) as i64;
            let total = number(self.job, &["status", list]).unwrap_or(0) + done;
            if total > 0 {
                set(said, &["status", list], json!(total));
            }
            (waiting, total)
        };
        let ((succeeded, total), (failed, _)) = (count("succeeded"), count("failed"));
        (Uncounted { succeeded, failed }, total)
    }

    /// The pods whose finalizers may go, noted down where they are to be counted; and whether these are all.
    fn free(&self, finish: Option<&Finish>, uncounted: &mut Uncounted) -> (Vec<Arc<Value>>, bool) {
        let mut free = Vec::new();
        let known = (uids(self.job, "succeeded"), uids(self.job, "failed"));
        for pod in self.pods.iter().filter(|pod| has_finalizer(pod, TRACKING)) {
            let failed = has_failed(self.job, pod);
            if !self.may_go(pod, failed, finish) {
                continue;
            }
            free.push(pod.clone());
            let id = uid(pod).to_owned();
            let index =
                index_of(pod).filter(|at| self.indexed.as_ref().is_none_or(|all| *at < all.completions));
            if text(pod, &["status", "phase"]) == "Succeeded" && !known.1.contains(&id) {
                // An index speaks for itself.
                if self.indexed.is_none() && !known.0.contains(&id) {
                    uncounted.succeeded.push(id);
                }
            } else if (failed || finish.is_some_and(|finish| !finish.well))
                && !known.1.contains(&id)
                && (self.indexed.is_none() || index.is_some())
                && verdict(self.job, pod) != Verdict::Ignored
            {
                uncounted.failed.push(id);
            }
            if uncounted.succeeded.len() + uncounted.failed.len() >= UNCOUNTED_MAX {
                return (free, false);
            }
        }
        (free, true)
    }

    fn may_go(&self, pod: &Value, failed: bool, finish: Option<&Finish>) -> bool {
        if is_deleting(self.job) || finish.is_some() || text(pod, &["status", "phase"]) == "Succeeded" {
            return true;
        }
        // The last failed pod of an index stays until there is another to carry on its count.
        let delayed = self.indexed.as_ref().and_then(|all| all.delayed.get(&index_of(pod)?));
        failed && delayed.is_none_or(|kept| uid(kept) != uid(pod))
    }

    fn say_counts(&self, said: &mut Value, uncounted: &Uncounted, managed: &Managed) {
        let mut lists = json!({});
        for (list, all) in [("succeeded", &uncounted.succeeded), ("failed", &uncounted.failed)] {
            if !all.is_empty() {
                set(&mut lists, &[list], json!(all));
            }
        }
        set(said, &["status", "uncountedTerminatedPods"], lists);
        let active = self.active.len() as i64;
        let (active, ready, terminating) = if managed.ends_all {
            (0, 0, self.terminating() + active)
        } else {
            (active, self.ready(), self.terminating())
        };
        match active {
            0 => remove(said, &["status", "active"]),
            active => set(said, &["status", "active"], json!(active)),
        }
        set(said, &["status", "ready"], json!(ready));
        set(said, &["status", "terminating"], json!(terminating));
        let Some(indexed) = &self.indexed else { return };
        match indexed.succeeded.count() {
            0 => remove(said, &["status", "succeeded"]),
            count => set(said, &["status", "succeeded"], json!(count)),
        }
        match indexed.succeeded.to_string() {
            none if none.is_empty() => remove(said, &["status", "completedIndexes"]),
            all => set(said, &["status", "completedIndexes"], json!(all)),
        }
        match &indexed.failed {
            Some(failed) => set(said, &["status", "failedIndexes"], json!(failed.to_string())),
            None => remove(said, &["status", "failedIndexes"]),
        }
    }

    /// Whether the condition that comes before the last one is in the status already.
    fn is_announced(&self, finish: &Finish) -> bool {
        conditions::holds(self.job, announcement(finish))
    }

    fn say_finish(
        &self,
        said: &mut Value,
        finish: &Finish,
        over: bool,
        counted: i64,
        told: &mut Vec<Action>,
    ) {
        let kind = match (over, finish.well) {
            (false, _) => announcement(finish),
            (true, true) => "Complete",
            (true, false) => "Failed",
        };
        self.say(said, kind, "True", &finish.reason, &finish.message);
        if !over {
            return;
        }
        if !finish.well {
            told.push(Action::warning(self.job, word(&finish.reason), finish.message.clone()));
            return;
        }
        set(said, &["status", "completionTime"], json!(self.observed.time()));
        let wanted = number(self.job, &["spec", "completions"]);
        if self.indexed.is_none() && wanted.is_some_and(|wanted| counted > wanted) {
            let text = "Too many succeeded pods running after completion count reached";
            told.push(Action::warning(self.job, "TooManySucceededPods", text));
        }
        told.push(Action::event(self.job, "Completed", "Job completed"));
    }

    /// Tells that the job is suspended, or no more; whether it has just been resumed.
    fn say_suspended(&self, said: &mut Value, finish: Option<&Finish>, told: &mut Vec<Action>) -> bool {
        if finish.is_some() || is_deleting(self.job) {
            return false;
        }
        let was = conditions::holds(self.job, "Suspended");
        match (was, self.is_suspended()) {
            (false, true) => {
                self.say(said, "Suspended", "True", "JobSuspended", "Job suspended");
                told.push(Action::event(self.job, "Suspended", "Job suspended"));
                false
            }
            (true, false) => {
                self.say(said, "Suspended", "False", "JobResumed", "Job resumed");
                told.push(Action::event(self.job, "Resumed", "Job resumed"));
                true
            }
            _ => false,
        }
    }

    /// Writes a condition, anew if it says something else.
    fn say(&self, said: &mut Value, kind: &str, status: &str, reason: &str, message: &str) {
        let mut list = conditions::list(said);
        let found = list.iter_mut().find(|found| text(found, &["type"]) == kind);
        let says = |found: &Value| {
            text(found, &["status"]) == status
                && text(found, &["reason"]) == reason
                && text(found, &["message"]) == message
        };
        if found.as_ref().is_some_and(|found| says(found)) {
            return;
        }
        let now = self.observed.time();
        let written = json!({
            "type": kind, "status": status, "lastProbeTime": now, "lastTransitionTime": now,
            "reason": reason, "message": message,
        });
        match found {
            Some(found) => *found = written,
            None => list.push(written),
        }
        set(said, &["status", "conditions"], Value::Array(list));
    }
}

fn announcement(finish: &Finish) -> &'static str {
    if finish.well { "SuccessCriteriaMet" } else { "FailureTarget" }
}

/// The word of an event for the reason of a condition, which others may have written.
fn word(reason: &str) -> &'static str {
    const KNOWN: [&str; 5] = [
        "PodFailurePolicy",
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "MaxFailedIndexesExceeded",
        "FailedIndexes",
    ];
    KNOWN.into_iter().find(|known| *known == reason).unwrap_or("Failed")
}

/// Most pods that wait to be counted, as upstream: their names are to stay below 20 KB.
const UNCOUNTED_MAX: usize = 500;
