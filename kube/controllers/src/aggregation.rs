//! `clusterrole-aggregation-controller`: a role that is the sum of others.

use serde_json::{Value, json};

use crate::known::cluster_roles;
use crate::object::{at, items, labels, name};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan, Target};

/// The loop.
pub(crate) const LOOP: Loop =
    Loop { name: NAME, concurrency: 5, watches: Watches::These(&[cluster_roles]), keys, reconcile };

/// Any role may be part of any sum.
fn keys(_change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    let all = view.list(cluster_roles(), None);
    let sums = all.iter().filter(|role| at(role, &["aggregationRule"]).is_some());
    sums.map(|role| Key::of(cluster_roles(), role)).collect()
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(role) = observed.object() else { return Plan::nothing("the role is gone") };
    if at(&role, &["aggregationRule"]).is_none() {
        return Plan::nothing("the role is no sum");
    }
    let all = observed.view.list(cluster_roles(), None);
    let mut rules: Vec<Value> = Vec::new();
    for wanted in items(&role, &["aggregationRule", "clusterRoleSelectors"]) {
        let selector = crate::object::selector(wanted, &[]);
        let parts = all.iter().filter(|part| name(part) != name(&role) && selector.matches(&labels(part)));
        for rule in parts.flat_map(|part| items(part, &["rules"])) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    if items(&role, &["rules"]) == rules {
        return Plan::nothing("the sum is right");
    }
    let config = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name(&role)}, "rules": rules,
    });
    let target = Target { uid: String::new(), ..Target::of(cluster_roles(), &role) };
    Plan::of("the sum changed", vec![Action::Apply { target, manager: NAME, config }])
}

const NAME: &str = "clusterrole-aggregation-controller";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    #[test]
    fn sums() {
        let mut world = World::default();
        let rule = |verb: &str| json!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]});
        world.put(
            "clusterroles",
            json!({"metadata": {"name": "sum"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "sum"}}]}}),
        );
        world.put(
            "clusterroles",
            json!({"metadata": {"name": "a", "labels": {"to": "sum"}}, "rules": [rule("get"), rule("list")]}),
        );
        world.put("clusterroles", json!({"metadata": {"name": "b", "labels": {"to": "sum"}}, "rules": [rule("list"), rule("watch")]}));
        world.settle(&[LOOP]);
        let rules = |world: &World| world.get("clusterroles", "", "sum").unwrap()["rules"].clone();
        assert_eq!(rules(&world), json!([rule("get"), rule("list"), rule("watch")]));
        world.remove("clusterroles", "", "a");
        world.settle(&[LOOP]);
        assert_eq!(rules(&world), json!([rule("list"), rule("watch")]));
    }
}
