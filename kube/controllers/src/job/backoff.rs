//! The pause after failures: ten seconds, doubled with each, to ten minutes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::conditions;
use crate::object::{at, created, items, number, text, texts, time, uid};

/// Failures in a row since the last success, and when the last of them was.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: i64,
    last: Option<i64>,
    counted: BTreeSet<String>,
}

impl Backoff {
    /// What is remembered, with pods that have ended since.
    pub(super) fn of(memory: &Value, succeeded: &[Arc<Value>], failed: &[Arc<Value>]) -> Self {
        let known: BTreeSet<&str> = texts(memory, &["counted"]).into_iter().collect();
        let mut backoff = Self {
            failures: number(memory, &["failures"]).unwrap_or(0),
            last: number(memory, &["last"]),
            counted: succeeded.iter().chain(failed).map(|pod| uid(pod).to_owned()).collect(),
        };
        let ends = |pods: &[Arc<Value>]| {
            let new = pods.iter().filter(|pod| !known.contains(uid(pod)));
            new.map(|pod| finished(pod)).collect::<Vec<_>>()
        };
        let mut failures = ends(failed);
        if let Some(success) = ends(succeeded).into_iter().max() {
            (backoff.failures, backoff.last) = (0, None);
            failures.retain(|end| *end > success);
        }
        backoff.failures += failures.len() as i64;
        backoff.last = failures.into_iter().max().or(backoff.last);
        backoff
    }

    pub(super) fn memory(&self) -> Value {
        json!({"failures": self.failures, "last": self.last, "counted": self.counted})
    }

    /// What is left of the pause.
    pub(super) fn left(&self, now_millis: i64) -> Option<Duration> {
        left(self.failures, self.last?, now_millis)
    }
}

/// What is left of the pause after so many failures, the last of which was then.
pub(super) fn left(failures: i64, last: i64, now_millis: i64) -> Option<Duration> {
    if failures <= 0 {
        return None;
    }
    let doublings = u32::try_from(failures - 1).unwrap_or(u32::MAX).min(20);
    let pause = FIRST.saturating_mul(1 << doublings).min(MOST);
    let left = last.saturating_add(pause).saturating_mul(1000).saturating_sub(now_millis);
    u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
}

/// When a pod ended: its containers say so, or the end of its readiness, or its deletion.
pub(super) fn finished(pod: &Value) -> i64 {
    let restarts = |status: &&Value| {
        let inits = items(pod, &["spec", "initContainers"]);
        inits.iter().any(|init| {
            text(init, &["restartPolicy"]) == "Always" && text(init, &["name"]) == text(status, &["name"])
        })
    };
    let containers = items(pod, &["status", "containerStatuses"]).iter();
    let sidecars = items(pod, &["status", "initContainerStatuses"]).iter().filter(restarts);
    let ends: Option<Vec<i64>> = containers
        .chain(sidecars)
        .map(|status| time(status, &["state", "terminated", "finishedAt"]))
        .collect();
    if let Some(end) = ends.and_then(|ends| ends.into_iter().max()) {
        return end;
    }
    let unready = conditions::find(pod, "Ready").filter(|found| text(found, &["status"]) == "False");
    if let Some(since) = unready.and_then(|found| time(found, &["lastTransitionTime"])) {
        return since;
    }
    if at(pod, &["metadata", "deletionTimestamp"]).is_some() {
        let grace = number(pod, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
        return time(pod, &["metadata", "deletionTimestamp"]).unwrap_or(0) - grace;
    }
    created(pod)
}

const FIRST: i64 = 10;
const MOST: i64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, at: i64) -> Arc<Value> {
        let finished = crate::object::time_text(at);
        Arc::new(json!({"metadata": {"uid": name}, "status": {"containerStatuses": [
            {"state": {"terminated": {"finishedAt": finished}}}]}}))
    }

    #[test]
    fn failures_in_a_row() {
        let seconds = |backoff: &Backoff, now: i64| backoff.left(now * 1000).map_or(0, |left| left.as_secs());
        let first = Backoff::of(&Value::Null, &[], &[ended("a", 100)]);
        assert_eq!((seconds(&first, 100), seconds(&first, 110)), (10, 0));
        // The same pod is counted once.
        let again = Backoff::of(&first.memory(), &[], &[ended("a", 100)]);
        assert_eq!(seconds(&again, 104), 6);
        let more = Backoff::of(&again.memory(), &[], &[ended("b", 120), ended("c", 130)]);
        assert_eq!(seconds(&more, 130), 40);
        // Only what failed after a success counts.
        let better = Backoff::of(&more.memory(), &[ended("d", 140)], &[ended("e", 135), ended("f", 150)]);
        assert_eq!(seconds(&better, 150), 10);
        assert_eq!(left(99, 0, 0), Some(Duration::from_secs(600)));
    }
}
