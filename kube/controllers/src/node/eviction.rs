//! `taint-eviction-controller`: pods leave nodes whose taints they do not, or no longer, tolerate.

use serde_json::{Value, json};

use super::taints;
use crate::known::{nodes, pods};
use crate::object::{at, is_deleting, items, name, namespace, number, text, time, uid};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::placement::{tolerates, untolerated};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "taint-eviction-controller",
    concurrency: 8,
    watches: Watches::These(&[pods, nodes]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(pods()) {
        // A pod without a node, or one that is as it was in this, is nobody's business here.
        let seen = |pod: &Value| {
            (
                text(pod, &["spec", "nodeName"]).to_owned(),
                at(pod, &["spec", "tolerations"]).cloned(),
                is_deleting(pod),
            )
        };
        let is_new = change.new.is_some() && change.old.map(seen) != change.new.map(seen);
        let placed = !text(change.object(), &["spec", "nodeName"]).is_empty();
        return if is_new && placed { vec![change.key()] } else { Vec::new() };
    }
    let driving =
        |node: Option<&Value>| node.map(|node| taints(node, EFFECT).into_iter().cloned().collect::<Vec<_>>());
    if driving(change.old).unwrap_or_default() == driving(change.new).unwrap_or_default() {
        return Vec::new();
    }
    let all = view.list(pods(), None);
    let there = all.iter().filter(|pod| text(pod, &["spec", "nodeName"]) == name(change.object()));
    there.map(|pod| Key::of(pods(), pod)).collect()
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(pod) = observed.object().filter(|pod| !is_deleting(pod)) else {
        return Plan::nothing("it is gone").remembering(Value::Null);
    };
    let node = observed.view.get(nodes(), "", text(&pod, &["spec", "nodeName"]));
    let driving: Vec<Value> = node.iter().flat_map(|node| taints(node, EFFECT)).cloned().collect();
    let tolerations = items(&pod, &["spec", "tolerations"]);
    if driving.is_empty() {
        return stays(observed, &pod, "no taint drives it away");
    }
    if untolerated(&driving, tolerations, &[EFFECT]).is_some() {
        return evict(observed, &pod, "it does not tolerate a taint");
    }
    let used =
        tolerations.iter().filter(|toleration| driving.iter().any(|taint| tolerates(toleration, taint)));
    let Some(patience) = used.filter_map(|toleration| number(toleration, &["tolerationSeconds"])).min()
    else {
        return stays(observed, &pod, "it tolerates all taints");
    };
    // A taint tells when it came; of others we know only when we saw them.
    let told: Option<Vec<i64>> = driving.iter().map(|taint| time(taint, &["timeAdded"])).collect();
    let seen = number(observed.memory, &["since"]).unwrap_or_else(|| observed.seconds());
    let since = told.and_then(|told| told.into_iter().max()).unwrap_or(seen);
    match observed.until(since.saturating_add(patience.max(0))) {
        None => evict(observed, &pod, "its patience is over"),
        left => Plan::nothing("it tolerates the taints for a while")
            .again_after(left)
            .remembering(json!({"since": seen})),
    }
}

fn stays(observed: &Observed<'_>, pod: &Value, why: &str) -> Plan {
    let mut actions = Vec::new();
    if !observed.memory.is_null() {
        let text = format!("Cancelling deletion of Pod {}/{}", namespace(pod), name(pod));
        actions.push(Action::event(pod, "TaintManagerEviction", text));
    }
    Plan::of(why, actions).remembering(Value::Null)
}

fn evict(observed: &Observed<'_>, pod: &Value, why: &str) -> Plan {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": observed.time(),
    });
    let patch = json!({"metadata": {"uid": uid(pod)}, "status": {"conditions": [condition]}});
    let delete = Action::Delete {
        target: crate::plan::Target::of(pods(), pod),
        revision: None,
        propagation: None,
        grace_seconds: None,
    };
    let text = format!("Marking for deletion Pod {}/{}", namespace(pod), name(pod));
    let told = Action::event(pod, "TaintManagerEviction", text);
    Plan::of(why, vec![told, Action::patch_status(pods(), pod, patch), delete]).remembering(Value::Null)
}

const EFFECT: &str = "NoExecute";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::time_text;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    fn world(tolerations: &Value, taint: &Value) -> World {
        let mut world = World::default();
        world.put("nodes", json!({"metadata": {"name": "n"}, "spec": {"taints": []}}));
        world.put(
            "pods",
            json!({"metadata": {"name": "p", "namespace": "a"},
            "spec": {"nodeName": "n", "tolerations": tolerations}}),
        );
        world.settle(LOOPS);
        world.change("nodes", "", "n", |node| node["spec"]["taints"] = json!([taint]));
        world.settle(LOOPS);
        world
    }

    #[test]
    fn leaves_at_once_or_later_or_never() {
        let taint = json!({"key": "k", "effect": "NoExecute"});
        for (tolerations, after) in [
            (json!([]), Some(0)),
            (json!([{"key": "k", "operator": "Exists"}]), None),
            (json!([{"key": "k", "operator": "Exists", "tolerationSeconds": 300}]), Some(300)),
            (json!([{"key": "k", "operator": "Exists", "tolerationSeconds": 0}]), Some(0)),
        ] {
            let mut world = world(&tolerations, &taint);
            if after == Some(300) {
                assert_eq!(world.deadlines[0].as_secs(), 300);
                world.pass(299, LOOPS);
                assert_eq!(world.all("pods").len(), 1);
                world.pass(1, LOOPS);
            }
            assert_eq!(world.all("pods").is_empty(), after.is_some(), "{tolerations}");
            if after.is_some() {
                assert_eq!(
                    world.events.last().unwrap(),
                    "TaintManagerEviction: Marking for deletion Pod a/p"
                );
            }
        }
    }

    #[test]
    fn the_taint_says_since_when_and_may_go() {
        let since = time_text(World::default().now - 200);
        let taint = json!({"key": "k", "effect": "NoExecute", "timeAdded": since});
        let tolerations = json!([{"key": "k", "operator": "Exists", "tolerationSeconds": 300}]);
        let mut world = world(&tolerations, &taint);
        assert_eq!(world.deadlines[0].as_secs(), 100);
        world.change("nodes", "", "n", |node| node["spec"]["taints"] = json!([]));
        world.settle(LOOPS);
        assert_eq!(world.events, ["TaintManagerEviction: Cancelling deletion of Pod a/p"]);
        world.pass(1000, LOOPS);
        assert_eq!(world.all("pods").len(), 1);
    }
}
