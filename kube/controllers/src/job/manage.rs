//! How many pods of a job run, and which are made or ended for that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::policy::{Verdict, verdict};
use super::{
    FAILURES, IGNORED, INDEX, Indexed, KIND, Look, TRACKING, failures, index_of, release, waits_for_the_end,
};
use crate::object::{controller_reference, is_deleting, items, name, namespace, number, set, text};
use crate::plan::Action;
use crate::pods::{creation, deletion, deletion_rank, from_template, is_finished};

/// What is to be done about a job's pods.
#[derive(Default)]
pub(super) struct Managed {
    /// Before the status is told.
    pub(super) first: Vec<Action>,
    /// After that.
    pub(super) then: Vec<Action>,
    made: i64,
    ended: i64,
    /// Whether all active pods are ended since the job is to finish.
    pub(super) ends_all: bool,
}

impl Managed {
    /// Ends all pods that are active. They keep their finalizers: their ends count.
    pub(super) fn end_all(&mut self, job: &Value, active: &[Arc<Value>]) {
        self.first.extend(active.iter().map(|pod| deletion(job, pod)));
        self.ended = active.len() as i64;
        self.ends_all = true;
    }

    /// How many pods are active when this is done.
    pub(super) fn active(&self, before: &[Arc<Value>]) -> i64 {
        before.len() as i64 + self.made - self.ended
    }
}

impl Look<'_> {
    pub(super) fn manage(&mut self) -> Managed {
        let mut managed = Managed::default();
        let active = self.active.len() as i64;
        let wanted = if self.is_suspended() { 0 } else { self.wanted() };
        let mut excess = self.excess((active - wanted).max(0) as usize);
        excess.truncate(AT_ONCE_MAX);
        if !excess.is_empty() || self.is_suspended() {
            // What is too many does not count as failed: it goes without its finalizer.
            managed.then.extend(excess.iter().map(|pod| release(pod)));
            managed.then.extend(excess.iter().map(|pod| deletion(self.job, pod)));
            managed.ended = excess.len() as i64;
            return managed;
        }
        let leaving = if waits_for_the_end(self.job) { self.terminating() } else { 0 };
        let missing = usize::try_from(wanted - leaving - active).unwrap_or(0).min(AT_ONCE_MAX);
        if missing > 0 {
            managed.then = self.creations(missing);
            managed.made = managed.then.len() as i64;
            // What has to wait is made later: until then the job is not over.
            managed.made += i64::from(managed.then.is_empty());
        }
        managed
    }

    /// How many pods should be active.
    fn wanted(&self) -> i64 {
        let parallelism = number(self.job, &["spec", "parallelism"]).unwrap_or(1).max(0);
        match number(self.job, &["spec", "completions"]) {
            None if self.succeeded > 0 => self.active.len() as i64,
            None => parallelism,
            Some(completions) => (completions - self.succeeded).clamp(0, parallelism),
        }
    }

    /// At least so many active pods that are too many: those of a wrong or doubled index first.
    fn excess(&self, least: usize) -> Vec<Arc<Value>> {
        let now = self.observed.seconds();
        let mut left = self.active.clone();
        left.sort_by_cached_key(|pod| deletion_rank(pod, 0, now));
        let mut excess = Vec::new();
        if let Some(indexed) = &self.indexed {
            let mut best: BTreeMap<i64, Arc<Value>> = BTreeMap::new();
            for pod in left.drain(..) {
                match index_of(&pod).filter(|index| *index < indexed.completions) {
                    None => excess.push(pod),
                    // The later in rank is the better one.
                    Some(index) => excess.extend(best.insert(index, pod)),
                }
            }
            left = best.into_values().collect();
            left.sort_by_cached_key(|pod| deletion_rank(pod, 0, now));
        }
        let more = least.saturating_sub(excess.len());
        excess.extend(left.into_iter().take(more));
        excess
    }

    fn creations(&mut self, missing: usize) -> Vec<Action> {
        let now = self.observed.now.as_millisecond();
        let per_index = self.indexed.as_ref().is_some_and(|indexed| indexed.failed.is_some());
        if !per_index && let Some(left) = self.backoff.left(now) {
            self.wait(left);
            return Vec::new();
        }
        let Some(indexed) = &self.indexed else {
            let pod = self.pod(None);
            return (0..missing).map(|_| creation(self.job, pod.clone())).collect();
        };
        let (mut now_or_later, mut least) = (Vec::new(), None);
        for index in self.pending(indexed).take(missing) {
            let last = indexed.delayed.get(&index);
            let left = last.and_then(|pod| {
                let count = failures(pod, FAILURES) + failures(pod, IGNORED) + 1;
                super::backoff::left(count, super::backoff::finished(pod), now)
            });
            match left {
                Some(left) => least = Some(least.map_or(left, |least: Duration| least.min(left))),
                None => now_or_later.push(creation(self.job, self.pod(Some(index)))),
            }
        }
        if let Some(least) = least {
            self.wait(least);
        }
        now_or_later
    }

    fn wait(&mut self, left: Duration) {
        self.again = Some(self.again.map_or(left, |again| again.min(left)));
    }

    /// Indexes that nobody works on or has ended, in their order.
    fn pending<'i>(&self, indexed: &'i Indexed) -> impl Iterator<Item = i64> + use<'i> {
        let mut taken: BTreeSet<i64> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
        if waits_for_the_end(self.job) {
            let leaving = self.pods.iter().filter(|pod| is_deleting(pod) && !is_finished(pod));
            taken.extend(leaving.filter_map(|pod| index_of(pod)));
        }
        (0..indexed.completions).filter(move |index| {
            let failed = indexed.failed.as_ref().is_some_and(|failed| failed.has(*index));
            !taken.contains(index) && !indexed.succeeded.has(*index) && !failed
        })
    }

    /// A pod, of an index if the job has such.
    fn pod(&self, index: Option<i64>) -> Value {
        let job = self.job;
        let controller = controller_reference(job, "batch/v1", KIND);
        let mut pod = from_template(&job["spec"]["template"], name(job), namespace(job), &controller);
        let mut finalizers = items(&pod, &["metadata", "finalizers"]).to_vec();
        if !finalizers.contains(&json!(TRACKING)) {
            finalizers.push(json!(TRACKING));
        }
        set(&mut pod, &["metadata", "finalizers"], Value::Array(finalizers));
        let Some(index) = index else { return pod };
        set(&mut pod, &["metadata", "annotations", INDEX], json!(index.to_string()));
        set(&mut pod, &["metadata", "labels", INDEX], json!(index.to_string()));
        set(&mut pod, &["metadata", "generateName"], json!(prefix(name(job), index)));
        set(&mut pod, &["spec", "hostname"], json!(format!("{}-{index}", name(job))));
        for list in ["initContainers", "containers"] {
            let told = items(&pod, &["spec", list]).iter().map(with_index).collect::<Vec<_>>();
            if !told.is_empty() {
                set(&mut pod, &["spec", list], Value::Array(told));
            }
        }
        if let Some(indexed) = self.indexed.as_ref().filter(|indexed| indexed.failed.is_some()) {
            let (counted, ignored) = self.failures_so_far(indexed.delayed.get(&index).map(|pod| &**pod));
            set(&mut pod, &["metadata", "annotations", FAILURES], json!(counted.to_string()));
            if ignored > 0 {
                set(&mut pod, &["metadata", "annotations", IGNORED], json!(ignored.to_string()));
            }
        }
        pod
    }

    /// The failures of an index with that of its last pod: those that count, and those that do not.
    fn failures_so_far(&self, last: Option<&Value>) -> (i64, i64) {
        let Some(last) = last else { return (0, 0) };
        let (counted, ignored) = (failures(last, FAILURES), failures(last, IGNORED));
        match verdict(self.job, last) {
            Verdict::Ignored => (counted, ignored + 1),
            _ => (counted + 1, ignored),
        }
    }
}

/// A container that knows its index, unless it says what that variable is itself.
fn with_index(container: &Value) -> Value {
    let mut env = items(container, &["env"]).to_vec();
    if env.iter().any(|variable| text(variable, &["name"]) == VARIABLE) {
        return container.clone();
    }
    let field = format!("metadata.labels['{INDEX}']");
    env.push(json!({"name": VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": field}}}));
    let mut told = container.clone();
    set(&mut told, &["env"], Value::Array(env));
    told
}

/// `job-3-`, shortened so that the end of a name has room.
fn prefix(job: &str, index: i64) -> String {
    let end = format!("-{index}-");
    let most = PREFIX_MAX.saturating_sub(end.len());
    let start = job.get(..job.len().min(most)).unwrap_or(job);
    format!("{start}{end}")
}

const VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// A name's length without the random end that the server gives it.
const PREFIX_MAX: usize = 58;
/// Most pods that one look makes or ends.
const AT_ONCE_MAX: usize = 500;
