//! `daemonset-controller`: one pod on every node that would have it.
//!
//! The controller names the node of each pod by affinity, and the scheduler binds it. Failed pods are replaced
//! with a growing pause, since a node that rejects one will likely reject the next.

mod backoff;
mod node;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::claim::Claim;
use crate::history::{self, History, POD_LABEL, Present, revision_of_pod};
use crate::known::{controller_revisions, daemon_sets, nodes, pods};
use crate::object::{at, created, is_deleting, label, name, namespace, number, scaled, selector, text};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::{creation, deletion, is_available, is_finished, is_ready};
use backoff::Backoff;
use node::{Fit, fit};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "daemonset-controller",
    concurrency: 2,
    watches: Watches::These(&[daemon_sets, pods, controller_revisions, nodes]),
    keys,
    reconcile,
};

const KIND: history::Kind = history::Kind { resource: daemon_sets, kind: "DaemonSet", hash_label: POD_LABEL };

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(daemon_sets()) {
        return vec![change.key()];
    }
    if change.is(nodes()) {
        let all = view.list(daemon_sets(), None);
        let fits = |set: &Value, node: Option<&Value>| node.map(|node| fit(set, node));
        let changed = all.iter().filter(|set| fits(set, change.old) != fits(set, change.new));
        return changed.map(|set| Key::of(daemon_sets(), set)).collect();
    }
    let mut keys = change.controllers(daemon_sets(), KIND.kind);
    keys.extend(change.new.map(|found| history::suitors(view, found, daemon_sets())).unwrap_or_default());
    keys
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(set) = observed.object() else { return Plan::nothing("the set is gone") };
    let selected = selector(&set, &["spec", "selector"]);
    if selected.is_everything() {
        let text = "This daemon set is selecting all pods. A non-empty selector is required.";
        return Plan::of("it would select all pods", vec![Action::warning(&set, "SelectingAll", text)]);
    }
    if is_deleting(&set) {
        return Plan::nothing("it is to go, and so are its pods");
    }
    let mut history = History::of(observed.view, &set, &KIND);
    let mut actions = std::mem::take(&mut history.actions);
    let (revision, mut written) = match history.present(observed, &set, &KIND) {
        Present::Is(revision, written) => (revision, written),
        Present::Taken => {
            return Plan::of("the revision's name is taken", vec![history::counted(&set, daemon_sets())]);
        }
    };
    let claim = Claim {
        owner: &set,
        owner_resource: daemon_sets(),
        api_version: "apps/v1",
        kind: KIND.kind,
        claimed: pods(),
        selector: selected,
        finalizer: None,
    };
    let mut claimed = claim.of(observed.view, |_| true);
    actions.append(&mut claimed.actions);
    actions.append(&mut written);
    let hash = label(&revision, POD_LABEL).unwrap_or_default().to_owned();
    let live: Vec<String> = claimed.mine.iter().map(|pod| revision_of_pod(pod).to_owned()).collect();
    let mut look = Look::new(observed, &set, claimed.mine, hash);
    actions.extend(status::of(&mut look));
    look.manage();
    if look.plan.is_empty() && text(&set, &["spec", "updateStrategy", "type"]) != "OnDelete" {
        look.roll();
    }
    let why = format!("{} nodes would have a pod of it", look.wanted());
    actions.append(&mut look.plan);
    let is_live = |found: &Value| {
        name(found) == name(&revision) || live.iter().any(|hash| label(found, POD_LABEL) == Some(hash))
    };
    actions.extend(history.excess(&set, is_live));
    let due = look.due.and_then(|due| observed.until(due));
    let memory = look.backoff.memory();
    Plan::of(why, actions).again_after(due).again_after(look.retry).remembering(memory)
}

/// One look at a set and all nodes.
struct Look<'a> {
    observed: &'a Observed<'a>,
    set: &'a Arc<Value>,
    nodes: Vec<(Arc<Value>, Fit)>,
    /// The pods by the node that they are or will be on.
    by_node: BTreeMap<String, Vec<Arc<Value>>>,
    /// What pods of the present template carry.
    hash: String,
    backoff: Backoff,
    plan: Vec<Action>,
    /// When availability may come by time alone.
    due: Option<i64>,
    /// When a failed pod may be replaced.
    retry: Option<std::time::Duration>,
}

impl<'a> Look<'a> {
    fn new(observed: &'a Observed<'a>, set: &'a Arc<Value>, mine: Vec<Arc<Value>>, hash: String) -> Self {
        let all = observed.view.list(nodes(), None).into_iter();
        let nodes = all.map(|node| (node.clone(), fit(set, &node))).collect();
        let mut by_node: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
        for pod in mine {
            // What ended and is on its way out is nobody's concern any more.
            if is_finished(&pod) && is_deleting(&pod) {
                continue;
            }
            if let Some(target) = node::target(&pod) {
                by_node.entry(target.to_owned()).or_default().push(pod);
            }
        }
        // The one with a node first, then the oldest.
        for pods in by_node.values_mut() {
            pods.sort_by_key(|pod| {
                (text(pod, &["spec", "nodeName"]).is_empty(), created(pod), name(pod).to_owned())
            });
        }
        let generation = number(set, &["status", "observedGeneration"]).unwrap_or(0);
        let backoff = Backoff::of(observed.memory, generation);
        Self { observed, set, nodes, by_node, hash, backoff, plan: Vec::new(), due: None, retry: None }
    }

    /// How many nodes would have a pod.
    fn wanted(&self) -> i64 {
        self.nodes.iter().filter(|(_, fit)| *fit == Fit::Runs).count() as i64
    }

    /// Sees to it that every node has what it is to have, whatever the revision.
    fn manage(&mut self) {
        let (mut needing, mut excess) = (Vec::new(), Vec::new());
        for (node, fit) in self.nodes.clone() {
            let pods = self.by_node.get(name(&node)).cloned().unwrap_or_default();
            match (fit, pods.is_empty()) {
                (Fit::Runs, true) => needing.push(name(&node).to_owned()),
                (Fit::Runs | Fit::Stays, _) => {
                    let running = self.sort_out(&node, &pods, &mut excess);
                    if self.surges() && running.is_empty() && fit == Fit::Runs {
                        needing.push(name(&node).to_owned());
                    }
                    excess.extend(self.too_many(&running));
                }
                (Fit::Goes, _) => excess.extend(pods.into_iter().filter(|pod| !is_deleting(pod))),
            }
        }
        let known = |node: &String| self.nodes.iter().any(|(found, _)| name(found) == node);
        let lost = self.by_node.iter().filter(|(node, _)| !known(node)).flat_map(|(_, pods)| pods);
        excess.extend(lost.filter(|pod| text(pod, &["spec", "nodeName"]).is_empty()).cloned());
        self.apply(&needing, &excess);
    }

    /// The pods of a node that run, or will; those that ended are put to the excess.
    fn sort_out(
        &mut self,
        node: &Value,
        pods: &[Arc<Value>],
        excess: &mut Vec<Arc<Value>>,
    ) -> Vec<Arc<Value>> {
        let mut running = Vec::new();
        for pod in pods.iter().filter(|pod| !is_deleting(pod)) {
            let called = format!("daemon pod {}/{} on node {}", namespace(pod), name(pod), name(node));
            match text(pod, &["status", "phase"]) {
                "Failed" => {
                    if let Err(left) = self.backoff.next(name(node), self.observed.now.as_millisecond()) {
                        self.retry = self.retry.into_iter().chain([left]).min();
                        continue;
                    }
                    let text = format!("Found failed {called}, will try to kill it");
                    self.plan.push(Action::warning(self.set, "FailedDaemonPod", text));
                    excess.push(pod.clone());
                }
                "Succeeded" => {
                    let text = format!("Found succeeded {called}, will try to delete it");
                    self.plan.push(Action::event(self.set, "SucceededDaemonPod", text));
                    excess.push(pod.clone());
                }
                _ => running.push(pod.clone()),
            }
        }
        running
    }

    /// Of several pods on a node those that are too many. With a surge there may be a new one beside an old one,
    /// as long as the old one is needed.
    fn too_many(&mut self, running: &[Arc<Value>]) -> Vec<Arc<Value>> {
        if running.len() <= 1 {
            return Vec::new();
        }
        if !self.surges() {
            return running.iter().skip(1).cloned().collect();
        }
        let (mut new, mut old, mut excess) = (None, None, Vec::new());
        for pod in running {
            let place = if self.is_updated(pod) { &mut new } else { &mut old };
            match place {
                None => *place = Some(pod.clone()),
                Some(_) => excess.push(pod.clone()),
            }
        }
        if let (Some(new), Some(old)) = (new, old)
            && (!is_ready(&old) || self.is_available(&new))
        {
            excess.push(old);
        }
        excess
    }

    /// Makes pods on nodes, and ends others.
    fn apply(&mut self, needing: &[String], excess: &[Arc<Value>]) {
        for node in needing.iter().take(BURST_MAX) {
            self.plan.push(creation(self.set, node::pod(self.set, &self.hash, node)));
        }
        for pod in excess.iter().take(BURST_MAX) {
            self.plan.push(deletion(self.set, pod));
        }
    }

    fn is_updated(&self, pod: &Value) -> bool {
        revision_of_pod(pod) == self.hash
    }

    fn is_available(&mut self, pod: &Value) -> bool {
        let least = number(self.set, &["spec", "minReadySeconds"]).unwrap_or(0);
        let available = is_available(pod, least, self.observed.seconds());
        if let Err(Some(due)) = available {
            self.due = self.due.into_iter().chain([due]).min();
        }
        available.is_ok()
    }

    fn surges(&self) -> bool {
        self.limit("maxSurge", 1) > 0
    }

    /// `maxSurge` or `maxUnavailable` of so many nodes.
    fn limit(&self, member: &str, nodes: i64) -> i64 {
        let value = at(self.set, &["spec", "updateStrategy", "rollingUpdate", member]);
        scaled(value, nodes, true).unwrap_or(0).max(0)
    }
}

/// Most pods that one look makes or ends, as upstream.
const BURST_MAX: usize = 250;
