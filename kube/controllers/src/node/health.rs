//! `node-controller`: a node that is silent for too long is unknown, and its taints say what it is.
//!
//! A sign of life is a renewed Lease or a new heartbeat in the status, at the time at which *we* saw it: the
//! clocks of nodes are their own. So after a start of ours every node has its whole time again.

use std::sync::Arc;

use serde_json::{Value, json};

use super::zones::Turn;
use super::{NOT_READY, UNREACHABLE, is_by_readiness, readiness, taints, zones};
use crate::conditions;
use crate::known::{leases, nodes, pods};
use crate::object::{created, flag, is_deleting, items, name, namespace, number, set, text};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "node-controller",
    concurrency: 8,
    watches: Watches::These(&[nodes, leases, pods]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(leases()) {
        let ours = Some(change.object()).filter(|lease| namespace(lease) == LEASES);
        return ours.map(|lease| Key::new(nodes(), "", name(lease))).into_iter().collect();
    }
    if !change.is(nodes()) {
        return Vec::new();
    }
    let mut keys = vec![change.key()];
    // How many of a zone live decides how the others are treated.
    if change.old.map(readiness) != change.new.map(readiness) {
        let all = view.list(nodes(), None);
        keys.extend(all.iter().filter(|node| readiness(node) != "True").map(|node| Key::of(nodes(), node)));
    }
    keys
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(node) = observed.object() else { return Plan::nothing("the node is gone") };
    if is_deleting(&node) {
        return Plan::nothing("the node is to go");
    }
    let sign = Sign::of(observed, &node);
    let plan = if sign.is_late(observed) {
        silence(observed, &node).unwrap_or_else(|| taint(observed, &node, "it is silent"))
    } else {
        taint(observed, &node, "it lives")
    };
    plan.again_after(sign.left(observed)).remembering(sign.memory())
}

/// The last sign of life.
struct Sign {
    lease: String,
    heartbeat: String,
    /// When it was seen, in milliseconds.
    seen: i64,
    grace_seconds: i64,
}

impl Sign {
    fn of(observed: &Observed<'_>, node: &Value) -> Self {
        let lease = observed.view.get(leases(), LEASES, name(node));
        let lease = lease.map(|lease| text(&lease, &["spec", "renewTime"]).to_owned()).unwrap_or_default();
        let ready = conditions::find(node, "Ready");
        let said =
            |found: &Value| format!("{} {}", text(found, &["status"]), text(found, &["lastHeartbeatTime"]));
        let heartbeat = ready.map(said).unwrap_or_default();
        let settings = &observed.settings.nodes;
        let grace_seconds =
            if ready.is_some() { settings.grace_seconds } else { settings.startup_grace_seconds };
        let known = number(observed.memory, &["seen"]);
        let same =
            text(observed.memory, &["lease"]) == lease && text(observed.memory, &["heartbeat"]) == heartbeat;
        let now = observed.now.as_millisecond();
        let seen = match known {
            Some(seen) if same => seen,
            None if ready.is_none() && lease.is_empty() => created(node).saturating_mul(1000).min(now),
            // What we write into the status ourselves is no sign of life.
            Some(seen) if text(observed.memory, &["lease"]) == lease && readiness(node) == "Unknown" => seen,
            _ => now,
        };
        Self { lease, heartbeat, seen, grace_seconds }
    }

    fn due(&self) -> i64 {
        self.seen.saturating_add(self.grace_seconds.saturating_mul(1000))
    }

    fn is_late(&self, observed: &Observed<'_>) -> bool {
        observed.now.as_millisecond() >= self.due()
    }

    fn left(&self, observed: &Observed<'_>) -> Option<std::time::Duration> {
        let left = self.due().saturating_sub(observed.now.as_millisecond());
        u64::try_from(left).ok().filter(|left| *left > 0).map(std::time::Duration::from_millis)
    }

    fn memory(&self) -> Value {
        json!({"lease": self.lease, "heartbeat": self.heartbeat, "seen": self.seen})
    }
}

/// Says that nothing is known of a node any more, if that was not said yet.
fn silence(observed: &Observed<'_>, node: &Arc<Value>) -> Option<Plan> {
    let mut list = conditions::list(node);
    let mut changed = false;
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        let now = observed.time();
        let Some(found) = list.iter_mut().find(|found| text(found, &["type"]) == kind) else {
            list.push(json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.", "lastTransitionTime": now,
                "lastHeartbeatTime": text(node, &["metadata", "creationTimestamp"]),
            }));
            changed = true;
            continue;
        };
        if text(found, &["status"]) != "Unknown" {
            set(found, &["status"], json!("Unknown"));
            set(found, &["reason"], json!("NodeStatusUnknown"));
            set(found, &["message"], json!("Kubelet stopped posting node status."));
            set(found, &["lastTransitionTime"], json!(now));
            changed = true;
        }
    }
    if !changed {
        return None;
    }
    let mut said = Value::clone(node);
    set(&mut said, &["status", "conditions"], Value::Array(list));
    let mut actions = vec![Action::update_status(nodes(), said)];
    if readiness(node) == "True" {
        let text = format!("Node {} status is now: NodeNotReady", name(node));
        actions.push(Action::event(node, "NodeNotReady", text));
        actions.extend(unready_pods(observed, node));
    }
    Some(Plan::of("nothing was heard of it for too long", actions))
}

/// Pods of a silent node are no longer behind their services.
fn unready_pods(observed: &Observed<'_>, node: &Value) -> Vec<Action> {
    let all = observed.view.list(pods(), None);
    let ready =
        all.iter().filter(|pod| text(pod, &["spec", "nodeName"]) == name(node) && crate::pods::is_ready(pod));
    let (patches, events): (Vec<_>, Vec<_>) = ready
        .map(|pod| {
            let condition =
                json!({"type": "Ready", "status": "False", "lastTransitionTime": observed.time()});
            let patch =
                json!({"metadata": {"uid": crate::object::uid(pod)}, "status": {"conditions": [condition]}});
            let told = Action::warning(pod, "NodeNotReady", "Node is not ready");
            (Action::patch_status(pods(), pod, patch), told)
        })
        .unzip();
    patches.into_iter().chain(events).collect()
}

/// Writes the taints that follow from a node's conditions.
fn taint(observed: &Observed<'_>, node: &Arc<Value>, why: &str) -> Plan {
    let now = observed.time();
    let made = |key: &str, effect: &str| json!({"key": key, "effect": effect, "timeAdded": now});
    let wanted = unschedulable(node);
    let is_ours = |taint: &Value| {
        text(taint, &["effect"]) == "NoSchedule" && SCHEDULING.contains(&text(taint, &["key"]))
    };
    let mut all: Vec<Value> = items(node, &["spec", "taints"])
        .iter()
        .filter(|taint| !is_ours(taint) || wanted.contains(&text(taint, &["key"])))
        .cloned()
        .collect();
    for key in wanted {
        if !all.iter().any(|taint| is_ours(taint) && text(taint, &["key"]) == key) {
            all.push(made(key, "NoSchedule"));
        }
    }
    let mut turn = Turn::Now;
    let target = match readiness(node) {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    };
    let standing: Vec<_> =
        taints(node, "NoExecute").into_iter().filter(|taint| is_by_readiness(taint)).collect();
    let is_right = |taint: &Value| Some(text(taint, &["key"])) == target;
    if target.is_some() && (standing.is_empty() || zones::all_are_lost(observed.view)) {
        turn = zones::turn(observed, node);
    }
    let drop = |all: &mut Vec<Value>| {
        all.retain(|taint| text(taint, &["effect"]) != "NoExecute" || !is_by_readiness(taint));
    };
    match (target, turn) {
        _ if conditions::find(node, "Ready").is_none() => {}
        (None, _) | (Some(_), Turn::Never) => drop(&mut all),
        (Some(key), Turn::Now) if !standing.iter().copied().any(is_right) || standing.len() > 1 => {
            drop(&mut all);
            all.push(made(key, "NoExecute"));
        }
        (Some(_), _) => {}
    }
    let due = match turn {
        Turn::At(millis) => {
            let left = millis.saturating_sub(observed.now.as_millisecond());
            u64::try_from(left).ok().map(std::time::Duration::from_millis)
        }
        _ => None,
    };
    if all == items(node, &["spec", "taints"]) {
        return Plan::nothing(why).again_after(due);
    }
    let mut tainted = Value::clone(node);
    set(&mut tainted, &["spec", "taints"], Value::Array(all));
    Plan::of(why, vec![Action::update(nodes(), tainted)]).again_after(due)
}

/// The keys of taints that keep new pods away.
fn unschedulable(node: &Value) -> Vec<&'static str> {
    let mut wanted = Vec::new();
    match readiness(node) {
        "True" => {}
        "False" => wanted.push(NOT_READY),
        // Of a node that never said a word nothing is known yet.
        _ if conditions::find(node, "Ready").is_none() => {}
        _ => wanted.push(UNREACHABLE),
    }
    for (condition, key) in PRESSURES {
        if conditions::holds(node, condition) {
            wanted.push(key);
        }
    }
    if flag(node, &["spec", "unschedulable"]) {
        wanted.push("node.kubernetes.io/unschedulable");
    }
    wanted
}

/// Where nodes renew their Leases.
const LEASES: &str = "kube-node-lease";
const PRESSURES: &[(&str, &str)] = &[
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
];
const SCHEDULING: &[&str] = &[
    NOT_READY,
    UNREACHABLE,
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

#[cfg(test)]
mod tests;
