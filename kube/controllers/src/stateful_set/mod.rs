//! `statefulset-controller`: pods with names and volumes of their own, one after the other.
//!
//! ```text
//! ordinals   start … start+replicas-1      the others
//!            made, kept, rolled             go, the highest first
//! ```
//!
//! In order (`OrderedReady`) a pod is made only when all before it are available, and the first thing that must
//! be waited for ends the look. In parallel nothing waits but updates, for whose unavailable pods there is a limit.

mod claims;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::claim::Claim;
use crate::history::{self, History, POD_LABEL, Present, revision_of_pod, template_of};
use crate::known::{controller_revisions, persistent_volume_claims, pods, stateful_sets};
use crate::object::{
    at, controller_reference, is_deleting, items, label, name, namespace, number, scaled, selector, set, text,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::{from_template, is_available, is_finished, is_ready};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "statefulset-controller",
    concurrency: 5,
    watches: Watches::These(&[stateful_sets, pods, controller_revisions, persistent_volume_claims]),
    keys,
    reconcile,
};

const KIND: history::Kind = history::Kind {
    resource: stateful_sets,
    kind: "StatefulSet",
    hash_label: "controller.kubernetes.io/hash",
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(stateful_sets()) {
        return vec![change.key()];
    }
    if change.is(persistent_volume_claims()) {
        // Only a claim that goes keeps anybody waiting.
        return if change.new.is_none_or(is_deleting) {
            claims::keys(change.object(), view)
        } else {
            Vec::new()
        };
    }
    let mut keys = change.controllers(stateful_sets(), KIND.kind);
    keys.extend(change.new.map(|found| history::suitors(view, found, stateful_sets())).unwrap_or_default());
    keys
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(found) = observed.object() else { return Plan::nothing("the set is gone") };
    let claim = Claim {
        owner: &found,
        owner_resource: stateful_sets(),
        api_version: "apps/v1",
        kind: KIND.kind,
        claimed: pods(),
        selector: selector(&found, &["spec", "selector"]),
        finalizer: None,
    };
    let claimed = claim.of(observed.view, |pod| ordinal(&found, pod).is_some());
    let mut history = History::of(observed.view, &found, &KIND);
    let mut actions = claimed.actions;
    actions.append(&mut history.actions);
    let (update, mut written) = match history.present(observed, &found, &KIND) {
        Present::Is(update, written) => (update, written),
        Present::Taken => {
            let plan = vec![history::counted(&found, stateful_sets())];
            return Plan::of("the revision's name is taken", plan);
        }
    };
    actions.append(&mut written);
    let current = text(&found, &["status", "currentRevision"]);
    let current = history.all.iter().find(|revision| name(revision) == current).unwrap_or(&update).clone();
    let mut look = Look {
        observed,
        set: &found,
        pods: claimed.mine,
        current,
        update,
        plan: Vec::new(),
        rolled: 0,
        due: None,
    };
    let why = if is_deleting(&found) { "it is to go" } else { look.decide() };
    actions.extend(status::of(&look));
    actions.append(&mut look.plan);
    let is_live = |revision: &Value| {
        let called = name(revision);
        called == name(&look.current)
            || called == name(&look.update)
            || look.pods.iter().any(|pod| revision_of_pod(pod) == called)
    };
    actions.extend(history.excess(&found, is_live));
    Plan::of(why, actions).again_after(look.due.and_then(|due| observed.until(due)))
}

/// One look at a set, its pods and revisions.
struct Look<'a> {
    observed: &'a Observed<'a>,
    set: &'a Arc<Value>,
    pods: Vec<Arc<Value>>,
    /// The revision that all pods had when the last rollout was done.
    current: Arc<Value>,
    /// The revision that all pods are to have.
    update: Arc<Value>,
    plan: Vec<Action>,
    /// Pods of the current revision that this plan ends.
    rolled: i64,
    /// When availability may come by time alone.
    due: Option<i64>,
}

/// Whether what comes after has to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Wait,
}

impl Look<'_> {
    fn decide(&mut self) -> &'static str {
        let ordered = text(self.set, &["spec", "podManagementPolicy"]) != "Parallel";
        let all = self.pods.clone();
        let (start, end) = range(self.set);
        let mut others: Vec<_> = all.iter().filter(|pod| !is_in_range(self.set, pod)).collect();
        others.sort_by_key(|pod| std::cmp::Reverse(ordinal(self.set, pod)));
        for at in start..end {
            let pod = all.iter().find(|pod| ordinal(self.set, pod) == Some(at));
            let then = match pod {
                Some(pod) => self.tend(pod, ordered),
                None => self.make(at),
            };
            if ordered && then == Then::Wait {
                return "a pod has to be waited for";
            }
        }
        for pod in &others {
            self.plan.extend(claims::upkeep(self.observed.view, self.set, pod));
        }
        let unhealthy = self.first_unavailable(start..end, &others);
        for pod in others {
            if self.end(pod, ordered, unhealthy.as_deref()) == Then::Wait && ordered {
                return "pods go one after the other";
            }
        }
        if text(self.set, &["spec", "updateStrategy", "type"]) == "OnDelete" {
            return "pods are renewed when somebody deletes them";
        }
        self.roll(start..end);
        "every pod has its place"
    }

    /// Looks after a pod that is to be there.
    fn tend(&mut self, pod: &Arc<Value>, ordered: bool) -> Then {
        if is_finished(pod) {
            if !is_deleting(pod) {
                self.plan.push(self.deletion(pod));
            }
            return Then::Wait;
        }
        if text(pod, &["status", "phase"]) == "Pending" {
            match claims::missing(self.observed.view, self.set, pod) {
                Ok(made) => self.plan.extend(made),
                Err(_) => return Then::Wait,
            }
        }
        if ordered && (is_deleting(pod) || !self.is_available(pod)) {
            return Then::Wait;
        }
        self.plan.extend(self.identity(pod));
        self.plan.extend(claims::upkeep(self.observed.view, self.set, pod));
        Then::GoOn
    }

    /// Makes the pod of an ordinal, after the claims of its volumes.
    fn make(&mut self, at: i64) -> Then {
        let pod = self.pod(at);
        if claims::are_stale(self.observed.view, self.set, &pod) {
            return Then::Wait;
        }
        let called = format!("create Pod {} in StatefulSet {}", name(&pod), name(self.set));
        match claims::missing(self.observed.view, self.set, &pod) {
            Ok(made) => self.plan.extend(made),
            Err(trouble) => {
                let told =
                    Action::warning(self.set, "FailedCreate", format!("{called} failed error: {trouble}"));
                self.plan.push(told);
                return Then::Wait;
            }
        }
        let creation = Action::create(pods(), namespace(self.set), pod).told(
            self.set,
            ("SuccessfulCreate", format!("{called} successful")),
            ("FailedCreate", format!("{called} failed error: {{}}")),
        );
        self.plan.push(creation);
        Then::Wait
    }

    /// Ends a pod that is not to be there.
    fn end(&mut self, pod: &Arc<Value>, ordered: bool, unhealthy: Option<&Value>) -> Then {
        if is_deleting(pod) {
            return Then::Wait;
        }
        let is_first = unhealthy.is_some_and(|found| name(found) == name(pod));
        if ordered && !is_first && !self.is_available(pod) {
            return Then::Wait;
        }
        self.plan.push(self.deletion(pod));
        Then::Wait
    }

    /// Ends pods of old revisions, the highest first, as long as not too many are unavailable.
    fn roll(&mut self, ordinals: std::ops::Range<i64>) {
        let strategy = |member: &str| at(self.set, &["spec", "updateStrategy", "rollingUpdate", member]);
        let size = ordinals.end - ordinals.start;
        let most = scaled(strategy("maxUnavailable"), size, false).unwrap_or(1).max(1);
        let partition = strategy("partition").and_then(Value::as_i64).unwrap_or(0);
        let of = |at: i64| self.pods.iter().find(|pod| ordinal(self.set, pod) == Some(at)).cloned();
        let all: Vec<_> = ordinals.map(of).collect();
        let mut missing = 0;
        for pod in &all {
            let there = pod.as_ref().is_some_and(|pod| !is_deleting(pod) && self.is_available(pod));
            missing += i64::from(!there);
        }
        for (index, pod) in all.iter().enumerate().rev() {
            if missing >= most || (index as i64) < partition {
                return;
            }
            let Some(pod) = pod else { continue };
            if revision_of_pod(pod) != name(&self.update) && !is_deleting(pod) {
                self.plan.push(self.deletion(pod));
                self.rolled += i64::from(revision_of_pod(pod) == name(&self.current));
                missing += 1;
            }
        }
    }

    fn first_unavailable(
        &mut self,
        ordinals: std::ops::Range<i64>,
        others: &[&Arc<Value>],
    ) -> Option<Arc<Value>> {
        let of = |at: i64| self.pods.iter().find(|pod| ordinal(self.set, pod) == Some(at)).cloned();
        let mut all: Vec<Arc<Value>> = ordinals.filter_map(of).collect();
        all.extend(others.iter().rev().map(|pod| Arc::clone(pod)));
        all.into_iter().find(|pod| is_deleting(pod) || !self.is_available(pod))
    }

    fn is_available(&mut self, pod: &Value) -> bool {
        let least = number(self.set, &["spec", "minReadySeconds"]).unwrap_or(0);
        if !is_running_and_ready(pod) {
            return false;
        }
        let available = is_available(pod, least, self.observed.seconds());
        if let Err(Some(due)) = available {
            self.due = self.due.into_iter().chain([due]).min();
        }
        available.is_ok()
    }

    /// The pod of an ordinal, of the revision that is its.
    fn pod(&self, at: i64) -> Value {
        let (start, _) = range(self.set);
        let rolling = self::at(self.set, &["spec", "updateStrategy", "rollingUpdate"]);
        let kept = match rolling {
            Some(rolling) => number(rolling, &["partition"]).unwrap_or(0),
            None if text(self.set, &["spec", "updateStrategy", "type"]) == "RollingUpdate" => {
                number(self.set, &["status", "currentReplicas"]).unwrap_or(0)
            }
            None => 0,
        };
        let revision = if at < start + kept { &self.current } else { &self.update };
        let controller = controller_reference(self.set, "apps/v1", KIND.kind);
        let mut pod = from_template(&template_of(revision), name(self.set), namespace(self.set), &controller);
        let called = format!("{}-{at}", name(self.set));
        set(&mut pod, &["metadata", "name"], json!(called));
        for (label, value) in
            [(POD_LABEL, name(revision)), (NAME_LABEL, &called), (INDEX_LABEL, &at.to_string())]
        {
            set(&mut pod, &["metadata", "labels", label], json!(value));
        }
        set(&mut pod, &["spec", "hostname"], json!(called));
        set(&mut pod, &["spec", "subdomain"], json!(text(self.set, &["spec", "serviceName"])));
        let volumes = claims::volumes(self.set, at, items(&pod, &["spec", "volumes"]));
        if !volumes.is_empty() {
            set(&mut pod, &["spec", "volumes"], Value::Array(volumes));
        }
        pod
    }

    /// Gives a pod back the labels by which others know it.
    fn identity(&self, pod: &Value) -> Option<Action> {
        let at = ordinal(self.set, pod)?.to_string();
        let wanted = [(NAME_LABEL, name(pod)), (INDEX_LABEL, at.as_str())];
        let wrong: Vec<_> =
            wanted.into_iter().filter(|(key, value)| label(pod, key) != Some(value)).collect();
        if wrong.is_empty() {
            return None;
        }
        let mut patch = json!({"metadata": {"uid": crate::object::uid(pod)}});
        for (key, value) in wrong {
            set(&mut patch, &["metadata", "labels", key], json!(value));
        }
        let called = format!("update Pod {} in StatefulSet {}", name(pod), name(self.set));
        Some(Action::patch(pods(), pod, patch).told(
            self.set,
            ("SuccessfulUpdate", format!("{called} successful")),
            ("FailedUpdate", format!("{called} failed error: {{}}")),
        ))
    }

    fn deletion(&self, pod: &Value) -> Action {
        let called = format!("delete Pod {} in StatefulSet {}", name(pod), name(self.set));
        Action::delete(pods(), pod).told(
            self.set,
            ("SuccessfulDelete", format!("{called} successful")),
            ("FailedDelete", format!("{called} failed error: {{}}")),
        )
    }
}

fn is_running_and_ready(pod: &Value) -> bool {
    text(pod, &["status", "phase"]) == "Running" && is_ready(pod)
}

/// The ordinal that a pod's name says, if it is one of the set's names.
fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    let digits = name(pod).strip_prefix(name(set))?.strip_prefix('-')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<i32>().ok().filter(|_| plain).map(i64::from)
}

/// The ordinals that there are to be: the first, and the one after the last.
fn range(set: &Value) -> (i64, i64) {
    let start = number(set, &["spec", "ordinals", "start"]).unwrap_or(0);
    (start, start.saturating_add(number(set, &["spec", "replicas"]).unwrap_or(1).max(0)))
}

fn is_in_range(set: &Value, pod: &Value) -> bool {
    let (start, end) = range(set);
    ordinal(set, pod).is_some_and(|at| (start..end).contains(&at))
}

const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";
