//! `pod-garbage-collector`: pods that nobody else will end.
//!
//! These are pods of nodes that are gone, pods that were to end before they had a node, pods on nodes that
//! somebody declared out of service, and the oldest of too many that have ended.

use serde_json::{Value, json};

use crate::conditions;
use crate::known::{nodes, pods};
use crate::object::{created, is_deleting, items, name, number, text, uid};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan, Target};
use crate::pods::is_finished;

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "pod-garbage-collector",
    concurrency: 4,
    watches: Watches::These(&[pods, nodes]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(nodes()) {
        let is_out = |node: Option<&Value>| node.is_none_or(is_out_of_service);
        if change.old.is_some() && is_out(change.old) == is_out(change.new) {
            return Vec::new();
        }
        let all = view.list(pods(), None);
        let there = all.iter().filter(|pod| node_of(pod) == name(change.object()));
        return there.map(|pod| Key::of(pods(), pod)).collect();
    }
    let Some(pod) = change.new else { return Vec::new() };
    let mut keys = Vec::new();
    let before = |what: fn(&Value) -> bool| change.old.is_some_and(what);
    if is_finished(pod) && !before(is_finished) {
        keys.push(all_ended());
    }
    let is_placed = |pod: &Value| !node_of(pod).is_empty();
    if (is_deleting(pod) && !before(is_deleting)) || (is_placed(pod) && !before(is_placed)) {
        keys.push(change.key());
    }
    keys
}

/// The key that stands for all pods that have ended.
fn all_ended() -> Key {
    Key::new(pods(), "", "")
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    if observed.key == &all_ended() {
        return too_many(observed);
    }
    let Some(pod) = observed.object() else { return Plan::nothing("it is gone") };
    let node = node_of(&pod);
    if node.is_empty() {
        return match is_deleting(&pod) {
            true => Plan::of("no node will end it", end(observed, &pod, None)),
            false => Plan::nothing("it waits for a node"),
        };
    }
    let Some(found) = observed.view.get(nodes(), "", node) else { return orphan(observed, &pod) };
    if is_deleting(&pod) && is_out_of_service(&found) && !conditions::holds(&found, "Ready") {
        return Plan::of("its node is out of service", end(observed, &pod, None));
    }
    Plan::nothing("its node has it").remembering(Value::Null)
}

/// A node may only seem to be gone: its pods wait a while.
fn orphan(observed: &Observed<'_>, pod: &Value) -> Plan {
    let since = number(observed.memory, &["since"]).unwrap_or_else(|| observed.seconds());
    let memory = json!({"since": since});
    if let Some(left) = observed.until(since.saturating_add(QUARANTINE_SECONDS)) {
        return Plan::nothing("its node is not there").again_after(Some(left)).remembering(memory);
    }
    let gone = Target {
        resource: nodes().clone(),
        namespace: String::new(),
        name: node_of(pod).to_owned(),
        uid: String::new(),
    };
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists", "lastTransitionTime": observed.time(),
    });
    let mut actions = vec![Action::Absent(gone)];
    actions.extend(end(observed, pod, Some(condition)));
    Plan::of("its node is gone", actions).remembering(memory)
}

/// Ends a pod at once; one that has not ended failed.
fn end(_: &Observed<'_>, pod: &Value, condition: Option<Value>) -> Vec<Action> {
    let mut actions = Vec::new();
    if !is_finished(pod) {
        let conditions: Vec<Value> = condition.into_iter().collect();
        let mut patch = json!({"metadata": {"uid": uid(pod)}, "status": {"phase": "Failed"}});
        if !conditions.is_empty() {
            crate::object::set(&mut patch, &["status", "conditions"], Value::Array(conditions));
        }
        actions.push(Action::patch_status(pods(), pod, patch));
    }
    actions.push(Action::Delete {
        target: Target::of(pods(), pod),
        revision: None,
        propagation: None,
        grace_seconds: Some(0),
    });
    actions
}

fn too_many(observed: &Observed<'_>) -> Plan {
    let most = observed.settings.ended_pods_max;
    let mut ended = observed.view.list(pods(), None);
    ended.retain(|pod| is_finished(pod) && !is_deleting(pod));
    let excess = ended.len().saturating_sub(most);
    if most == 0 || excess == 0 {
        return Plan::nothing(format!("{} pods have ended", ended.len()));
    }
    // Evicted ones first, then the oldest.
    ended.sort_by_key(|pod| {
        (text(pod, &["status", "reason"]) != "Evicted", created(pod), name(pod).to_owned())
    });
    let actions = ended.iter().take(excess).flat_map(|pod| end(observed, pod, None));
    Plan::of(format!("{excess} pods too many have ended"), actions.collect())
}

fn node_of(pod: &Value) -> &str {
    text(pod, &["spec", "nodeName"])
}

fn is_out_of_service(node: &Value) -> bool {
    let taints = items(node, &["spec", "taints"]);
    taints.iter().any(|taint| text(taint, &["key"]) == "node.kubernetes.io/out-of-service")
}

/// How long a node may be missing, as upstream.
const QUARANTINE_SECONDS: i64 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{set, time_text};
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    fn pod(name: &str, node: &str, phase: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"nodeName": node}, "status": {"phase": phase}})
    }

    #[test]
    fn orphans() {
        let mut world = World::default();
        world.put("nodes", json!({"metadata": {"name": "n"}}));
        world.put("pods", pod("p", "n", "Running"));
        world.settle(LOOPS);
        world.remove("nodes", "", "n");
        world.settle(LOOPS);
        assert_eq!((world.all("pods").len(), world.deadlines[0].as_secs()), (1, 40));
        // A node of that name in time saves them.
        world.now += 39;
        world.put("nodes", json!({"metadata": {"name": "n"}}));
        world.settle(LOOPS);
        world.remove("nodes", "", "n");
        world.settle(LOOPS);
        world.pass(39, LOOPS);
        assert_eq!(world.all("pods").len(), 1);
        world.change("pods", "a", "p", |pod| set(pod, &["metadata", "finalizers"], json!(["x"])));
        world.pass(1, LOOPS);
        let found = world.get("pods", "a", "p").unwrap();
        assert_eq!((text(&found, &["status", "phase"]), is_deleting(&found)), ("Failed", true));
        assert_eq!(
            text(conditions::find(&found, "DisruptionTarget").unwrap(), &["reason"]),
            "DeletionByPodGC"
        );
    }

    #[test]
    fn what_no_node_will_end() {
        let mut world = World::default();
        world.put("nodes", json!({"metadata": {"name": "n"}, "spec": {"taints": []}}));
        for (name, node) in [("placed", "n"), ("unplaced", "")] {
            let mut pod = pod(name, node, "Pending");
            set(&mut pod, &["metadata", "deletionTimestamp"], json!(time_text(world.now)));
            set(&mut pod, &["metadata", "finalizers"], json!(["x"]));
            world.put("pods", pod);
        }
        world.settle(LOOPS);
        let phase = |world: &World, name: &str| {
            text(&world.get("pods", "a", name).unwrap(), &["status", "phase"]).to_owned()
        };
        assert_eq!(
            (phase(&world, "placed").as_str(), phase(&world, "unplaced").as_str()),
            ("Pending", "Failed")
        );
        world.change("nodes", "", "n", |node| {
            node["spec"]["taints"] =
                json!([{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]);
        });
        world.settle(LOOPS);
        assert_eq!(phase(&world, "placed"), "Failed");
    }

    #[test]
    fn the_oldest_of_too_many() {
        let mut world = World::default();
        world.settings.ended_pods_max = 2;
        world.put("nodes", json!({"metadata": {"name": "n"}}));
        for name in ["a", "b", "c", "d"] {
            world.put("pods", pod(name, "n", "Succeeded"));
            world.now += 1;
        }
        world.put("pods", pod("runs", "n", "Running"));
        world.settle(LOOPS);
        let left: Vec<_> = world.all("pods").iter().map(|pod| name(pod).to_owned()).collect();
        assert_eq!(left, ["c", "d", "runs"]);
    }
}
