//! `job-controller`: pods that run to their end, so many times or once an index.
//!
//! Every pod carries a finalizer until its end is counted, in steps of which each is seen before the next:
//!
//! ```text
//! pod ended ─▶ its uid (or index) in the status ─▶ finalizer gone ─▶ uid gone, counter up ─▶ … ─▶ finished
//! ```
//!
//! What is to finish a job is said first by `SuccessCriteriaMet` or `FailureTarget`, and by `Complete` or `Failed`
//! once nothing of it is left uncounted or running.

mod backoff;
mod indexes;
mod manage;
mod policy;
#[cfg(test)]
mod tests;
mod track;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::claim::Claim;
use crate::conditions;
use crate::history;
use crate::known::{jobs, pods};
use crate::object::{
    annotation, at, controller_of, flag, has_finalizer, is_deleting, items, number, selector, text, time,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::{is_active, is_finished, is_ready};
use backoff::Backoff;
use indexes::Indexes;
use policy::{Verdict, verdict};

/// The loop.
pub(crate) const LOOP: Loop =
    Loop { name: "job-controller", concurrency: 5, watches: Watches::These(&[jobs, pods]), keys, reconcile };

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(jobs()) {
        let mut keys = vec![change.key()];
        if change.new.is_none_or(is_over) {
            let owned = view.owned(pods(), crate::object::uid(change.object()));
            keys.extend(
                owned.iter().filter(|pod| has_finalizer(pod, TRACKING)).map(|pod| Key::of(pods(), pod)),
            );
        }
        return keys;
    }
    let mut keys = change.controllers(jobs(), KIND);
    let Some(pod) = change.new else { return keys };
    if has_finalizer(pod, TRACKING) && is_orphan(pod, view) {
        keys.push(change.key());
    }
    keys.extend(history::suitors(view, pod, jobs()));
    keys
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(object) = observed.object() else { return Plan::nothing("it is gone") };
    if observed.key.resource == *pods() {
        return orphan(observed, &object);
    }
    let manager = text(&object, &["spec", "managedBy"]);
    if !manager.is_empty() && manager != MANAGER {
        return Plan::nothing("somebody else manages it");
    }
    if is_over(&object) {
        return Plan::nothing("it is finished").remembering(Value::Null);
    }
    let claim = Claim {
        owner: &object,
        owner_resource: jobs(),
        api_version: "batch/v1",
        kind: KIND,
        claimed: pods(),
        selector: selector(&object, &["spec", "selector"]),
        finalizer: Some(TRACKING),
    };
    let claimed = claim.of(observed.view, |_| true);
    if !claimed.actions.is_empty() {
        return Plan::of("pods are claimed", claimed.actions);
    }
    Look::new(observed, &object, claimed.mine).plan()
}

/// A pod whose job is gone or finished needs no counting any more.
fn orphan(observed: &Observed<'_>, pod: &Value) -> Plan {
    if !has_finalizer(pod, TRACKING) || !is_orphan(pod, observed.view) {
        return Plan::nothing("its job counts it");
    }
    Plan::of("no job counts it any more", vec![release(pod)])
}

fn is_orphan(pod: &Value, view: &dyn View) -> bool {
    let Some(owner) = controller_of(pod) else { return true };
    if text(owner, &["kind"]) != KIND || text(owner, &["apiVersion"]) != "batch/v1" {
        return false;
    }
    let job = view.get(jobs(), crate::object::namespace(pod), text(owner, &["name"]));
    let job = job.filter(|job| crate::object::uid(job) == text(owner, &["uid"]));
    job.is_none_or(|job| {
        let manager = text(&job, &["spec", "managedBy"]);
        (manager.is_empty() || manager == MANAGER) && is_over(&job)
    })
}

/// Takes the finalizer from a pod.
fn release(pod: &Value) -> Action {
    let patch = json!({"metadata": {
        "uid": crate::object::uid(pod), "$deleteFromPrimitiveList/finalizers": [TRACKING],
    }});
    Action::patch(pods(), pod, patch)
}

/// Whether a job is finished, well or not.
fn is_over(job: &Value) -> bool {
    conditions::holds(job, "Complete") || conditions::holds(job, "Failed")
}

/// What is to end a job: the condition that says so first, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finish {
    well: bool,
    reason: String,
    message: String,
}

/// What an indexed job knows of its indexes.
struct Indexed {
    completions: i64,
    succeeded: Indexes,
    /// With a limit for each index.
    failed: Option<Indexes>,
    /// The last failed pod of each index that will be tried again: it carries the count of its failures.
    delayed: BTreeMap<i64, Arc<Value>>,
}

/// One look at a job and its pods.
struct Look<'a> {
    observed: &'a Observed<'a>,
    job: &'a Arc<Value>,
    pods: Vec<Arc<Value>>,
    active: Vec<Arc<Value>>,
    indexed: Option<Indexed>,
    backoff: Backoff,
    succeeded: i64,
    failed: i64,
    again: Option<Duration>,
}

impl<'a> Look<'a> {
    fn new(observed: &'a Observed<'a>, job: &'a Arc<Value>, mut pods: Vec<Arc<Value>>) -> Self {
        pods.sort_by_key(|pod| {
            (index_of(pod), crate::object::created(pod), crate::object::name(pod).to_owned())
        });
        let active = pods.iter().filter(|pod| is_active(pod)).cloned().collect();
        let (known_good, known_bad) = (policy::uids(job, "succeeded"), policy::uids(job, "failed"));
        let completions = number(job, &["spec", "completions"]).unwrap_or(0);
        let indexed = is_indexed(job);
        let new = |known: &[String], counts: &dyn Fn(&Value) -> bool| {
            let fresh = |pod: &&Arc<Value>| {
                has_finalizer(pod, TRACKING)
                    && !known.iter().any(|uid| uid == crate::object::uid(pod))
                    && (!indexed || index_of(pod).is_some_and(|index| index < completions))
                    && counts(pod)
            };
            pods.iter().filter(fresh).cloned().collect::<Vec<_>>()
        };
        let good = new(&known_good, &|pod| text(pod, &["status", "phase"]) == "Succeeded");
        let bad = new(&known_bad, &|pod| has_failed(job, pod));
        let counting = bad.iter().filter(|pod| verdict(job, pod) != Verdict::Ignored).count();
        let counter = |member: &str| number(job, &["status", member]).unwrap_or(0);
        let mut look = Self {
            observed,
            job,
            backoff: Backoff::of(observed.memory, &good, &bad),
            succeeded: counter("succeeded") + (good.len() + known_good.len()) as i64,
            failed: counter("failed") + (counting + known_bad.len()) as i64,
            active,
            indexed: None,
            pods,
            again: None,
        };
        if indexed {
            let all = look.count_indexes(completions, &good);
            look.succeeded = all.succeeded.count();
            look.indexed = Some(all);
        }
        look
    }

    fn count_indexes(&self, completions: i64, good: &[Arc<Value>]) -> Indexed {
        let mut succeeded = Indexes::parse(text(self.job, &["status", "completedIndexes"]), completions);
        good.iter().filter_map(|pod| index_of(pod)).for_each(|index| succeeded.add(index));
        let mut all = Indexed { completions, succeeded, failed: None, delayed: BTreeMap::new() };
        let Some(limit) = number(self.job, &["spec", "backoffLimitPerIndex"]) else { return all };
        let mut failed = Indexes::parse(text(self.job, &["status", "failedIndexes"]), completions);
        let ended: Vec<_> = self
            .pods
            .iter()
            .filter(|pod| has_finalizer(pod, TRACKING) && has_failed(self.job, pod))
            .filter_map(|pod| Some((index_of(pod).filter(|index| *index < completions)?, pod)))
            .collect();
        for (index, pod) in &ended {
            let lost = match verdict(self.job, pod) {
                Verdict::FailsIndex => true,
                Verdict::Ignored => false,
                Verdict::Counts | Verdict::FailsJob(_) => failures(pod, FAILURES) >= limit,
            };
            if lost {
                failed.add(*index);
            }
        }
        for (index, pod) in ended {
            let taken = self.active.iter().any(|pod| index_of(pod) == Some(index));
            if taken || all.succeeded.has(index) || failed.has(index) {
                continue;
            }
            let absolute = |pod: &Value| failures(pod, FAILURES) + failures(pod, IGNORED);
            if all.delayed.get(&index).is_none_or(|known| absolute(known) <= absolute(pod)) {
                all.delayed.insert(index, pod.clone());
            }
        }
        all.failed = Some(failed);
        all
    }

    fn plan(mut self) -> Plan {
        let started = time(self.job, &["status", "startTime"]);
        let started = started.or_else(|| (!self.is_suspended()).then(|| self.observed.seconds()));
        let mut finish = self.finish(started);
        let mut managed = manage::Managed::default();
        if finish.is_some() {
            managed.end_all(self.job, &self.active);
        } else if !is_deleting(self.job) {
            managed = self.manage();
        }
        if finish.is_none() && self.is_complete(managed.active(&self.active)) {
            finish = Some(Finish {
                well: true,
                reason: "CompletionsReached".to_owned(),
                message: "Reached expected number of succeeded pods".to_owned(),
            });
        }
        let mut actions = std::mem::take(&mut managed.first);
        actions.extend(self.track(started, finish.as_ref(), &managed));
        actions.append(&mut managed.then);
        let why = match &finish {
            Some(finish) => finish.message.clone(),
            None => format!(
                "{} pods are active, {} succeeded, {} failed",
                self.active.len(),
                self.succeeded,
                self.failed
            ),
        };
        Plan::of(why, actions).again_after(self.again).remembering(self.backoff.memory())
    }

    /// What ends the job, if anything does.
    fn finish(&mut self, started: Option<i64>) -> Option<Finish> {
        for (kind, well) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            if let Some(found) =
                conditions::find(self.job, kind).filter(|_| conditions::holds(self.job, kind))
            {
                let (reason, message) =
                    (text(found, &["reason"]).to_owned(), text(found, &["message"]).to_owned());
                return Some(Finish { well, reason, message });
            }
        }
        let failure = |reason: &str, message: &str| {
            Some(Finish { well: false, reason: reason.to_owned(), message: message.to_owned() })
        };
        let lost = self.pods.iter().filter(|pod| has_failed(self.job, pod)).find_map(|pod| {
            match verdict(self.job, pod) {
                Verdict::FailsJob(why) => Some(why),
                _ => None,
            }
        });
        if let Some(why) = lost {
            return failure("PodFailurePolicy", &why);
        }
        let limit = number(self.job, &["spec", "backoffLimit"]).unwrap_or(6);
        if self.failed > limit || self.restarted_too_often(limit) {
            return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        let patience = number(self.job, &["spec", "activeDeadlineSeconds"]).filter(|_| !self.is_suspended());
        if let (Some(patience), Some(started)) = (patience, started) {
            match self.observed.until(started.saturating_add(patience)) {
                None => return failure("DeadlineExceeded", "Job was active longer than specified deadline"),
                left => self.again = left,
            }
        }
        let indexed = self.indexed.as_ref()?;
        if let Some(failed) = &indexed.failed {
            let most = number(self.job, &["spec", "maxFailedIndexes"]);
            if most.is_some_and(|most| failed.count() > most) {
                let text = "Job has exceeded the specified maximal number of failed indexes";
                return failure("MaxFailedIndexesExceeded", text);
            }
            if failed.count() > 0 && failed.count() + indexed.succeeded.count() >= indexed.completions {
                return failure("FailedIndexes", "Job has failed indexes");
            }
        }
        let message = policy::success(self.job, indexed.completions, &indexed.succeeded)?;
        Some(Finish { well: true, reason: "SuccessPolicy".to_owned(), message })
    }

    /// Containers that are started again in their pods count too.
    fn restarted_too_often(&self, limit: i64) -> bool {
        if text(self.job, &["spec", "template", "spec", "restartPolicy"]) != "OnFailure" {
            return false;
        }
        let living =
            self.pods.iter().filter(|pod| matches!(text(pod, &["status", "phase"]), "Running" | "Pending"));
        let lists = living.flat_map(|pod| {
            items(pod, &["status", "initContainerStatuses"])
                .iter()
                .chain(items(pod, &["status", "containerStatuses"]))
        });
        let restarts: i64 = lists.filter_map(|status| number(status, &["restartCount"])).sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    fn is_complete(&self, active: i64) -> bool {
        match number(self.job, &["spec", "completions"]) {
            // Any success is enough, and whoever runs still is waited for.
            None => self.succeeded > 0 && active == 0,
            Some(completions) => self.succeeded >= completions && active == 0,
        }
    }

    fn is_suspended(&self) -> bool {
        flag(self.job, &["spec", "suspend"])
    }

    /// Pods that are on their way out but have not ended.
    fn terminating(&self) -> i64 {
        self.pods.iter().filter(|pod| is_deleting(pod) && !is_finished(pod)).count() as i64
    }

    fn ready(&self) -> i64 {
        self.active.iter().filter(|pod| is_ready(pod)).count() as i64
    }
}

/// Whether a pod counts as failed: one that is deleted does too, unless the job waits for its very end.
fn has_failed(job: &Value, pod: &Value) -> bool {
    match text(pod, &["status", "phase"]) {
        "Failed" => true,
        "Succeeded" => false,
        _ => is_deleting(pod) && !waits_for_the_end(job),
    }
}

/// Whether pods are replaced only when they have ended.
fn waits_for_the_end(job: &Value) -> bool {
    text(job, &["spec", "podReplacementPolicy"]) == "Failed"
        || at(job, &["spec", "podFailurePolicy"]).is_some()
}

fn is_indexed(job: &Value) -> bool {
    text(job, &["spec", "completionMode"]) == "Indexed"
}

/// The index that a pod is for.
fn index_of(pod: &Value) -> Option<i64> {
    annotation(pod, INDEX).and_then(|text| text.parse().ok()).filter(|index| *index >= 0)
}

fn failures(pod: &Value, which: &str) -> i64 {
    annotation(pod, which).and_then(|text| text.parse().ok()).unwrap_or(0)
}

const KIND: &str = "Job";
const MANAGER: &str = "kubernetes.io/job-controller";
/// The finalizer of pods whose end is to be counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The annotation and the label with a pod's index.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The annotation that counts the failures of an index.
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// The annotation that counts those that do not count.
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
