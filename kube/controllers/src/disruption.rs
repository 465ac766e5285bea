//! `disruption-controller`: how many pods of a budget may go now.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::conditions::{self, Condition};
use crate::known::{pod_disruption_budgets, pods};
use crate::object::{
    at, controller_of, generation, is_deleting, labels, name, namespace, number, same, scaled, selector, set,
    text, time, uid,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::{is_finished, is_ready};

/// The loop.
pub(crate) const LOOP: Loop =
    Loop { name: "disruption-controller", concurrency: 1, watches: Watches::Everything, keys, reconcile };

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    let budgets = pod_disruption_budgets();
    if change.is(budgets) {
        return vec![change.key()];
    }
    if change.is(pods()) {
        let all = view.list(budgets, Some(namespace(change.object())));
        let sides: Vec<_> = change.sides().map(labels).collect();
        let selects = |budget: &Arc<Value>| {
            let selector = selector(budget, &["spec", "selector"]);
            sides.iter().any(|labels| selector.matches(labels))
        };
        return all.iter().filter(|budget| selects(budget)).map(|budget| Key::of(budgets, budget)).collect();
    }
    // The size of whatever manages pods is what a share is taken of.
    let size = |side: &Value| number(side, &["spec", "replicas"]);
    let resized = change.old.and_then(size) != change.new.and_then(size);
    let within = namespace(change.object());
    if !resized || within.is_empty() {
        return Vec::new();
    }
    view.list(budgets, Some(within)).iter().map(|budget| Key::of(budgets, budget)).collect()
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(budget) = observed.object() else { return Plan::nothing("the budget is gone") };
    let selected =
        observed.view.select(pods(), &observed.key.namespace, &selector(&budget, &["spec", "selector"]));
    let selected: Vec<_> = selected.into_iter().filter(|pod| !is_finished(pod)).collect();
    let (expected, desired) = match wanted(observed, &budget, &selected) {
        Ok(wanted) => wanted,
        Err(trouble) => return fail(observed, &budget, &trouble),
    };
    let (disrupted, due) = disrupted(observed, &budget, &selected);
    let healthy =
        |pod: &&Arc<Value>| !is_deleting(pod) && !disrupted.contains_key(name(pod)) && is_ready(pod);
    let healthy = selected.iter().filter(healthy).count() as i64;
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let mut list = conditions::list(&budget);
    let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    say(&mut list, allowed > 0, reason, "", generation(&budget), &observed.time());
    let mut status = json!({
        "observedGeneration": generation(&budget), "disruptionsAllowed": allowed, "currentHealthy": healthy,
        "desiredHealthy": desired, "expectedPods": expected, "conditions": list,
    });
    if !disrupted.is_empty() {
        set(&mut status, &["disruptedPods"], Value::Object(disrupted));
    }
    let why = format!("{healthy} of {expected} pods are healthy, {desired} must be");
    write(&budget, status, why).again_after(due.and_then(|due| observed.until(due)))
}

fn write(budget: &Arc<Value>, status: Value, why: String) -> Plan {
    if same(&status, at(budget, &["status"]).unwrap_or(&Value::Null)) {
        return Plan::nothing(why);
    }
    let mut said = Value::clone(budget);
    set(&mut said, &["status"], status);
    Plan::of(why, vec![Action::update_status(pod_disruption_budgets(), said)])
}

/// Nobody knows how many there should be: then none may go.
fn fail(observed: &Observed<'_>, budget: &Arc<Value>, trouble: &str) -> Plan {
    let mut status = at(budget, &["status"]).cloned().unwrap_or_else(|| json!({}));
    let mut list = conditions::list(budget);
    say(&mut list, false, "SyncFailed", trouble, generation(budget), &observed.time());
    set(&mut status, &["disruptionsAllowed"], json!(0));
    set(&mut status, &["observedGeneration"], json!(generation(budget)));
    set(&mut status, &["conditions"], Value::Array(list));
    for member in ["currentHealthy", "desiredHealthy", "expectedPods"] {
        if at(&status, &[member]).is_none() {
            set(&mut status, &[member], json!(0));
        }
    }
    write(budget, status, trouble.to_owned())
}

fn say(list: &mut Vec<Value>, holds: bool, reason: &str, message: &str, generation: i64, now: &str) {
    conditions::write(list, &Condition { kind: "DisruptionAllowed", holds, reason, message }, now);
    let found = list.iter_mut().find(|found| text(found, &["type"]) == "DisruptionAllowed");
    if let Some(found) = found {
        set(found, &["observedGeneration"], json!(generation));
    }
}

/// How many pods there should be, and how many of them must stay healthy.
fn wanted(observed: &Observed<'_>, budget: &Value, selected: &[Arc<Value>]) -> Result<(i64, i64), String> {
    let count = selected.len() as i64;
    if let Some(most) = at(budget, &["spec", "maxUnavailable"]) {
        let expected = expected(observed, selected)?;
        let most = scaled(Some(most), expected, true).ok_or("maxUnavailable is no number and no share")?;
        return Ok((expected, (expected - most).max(0)));
    }
    match at(budget, &["spec", "minAvailable"]) {
        Some(share @ Value::String(_)) => {
            let expected = expected(observed, selected)?;
            let least =
                scaled(Some(share), expected, true).ok_or("minAvailable is no number and no share")?;
            Ok((expected, least))
        }
        Some(least) => Ok((count, least.as_i64().unwrap_or(0))),
        None => Ok((count, 0)),
    }
}

/// The sum of the sizes of whatever manages the pods.
fn expected(observed: &Observed<'_>, selected: &[Arc<Value>]) -> Result<i64, String> {
    let mut sizes: Map<String, Value> = Map::new();
    for pod in selected {
        let Some(manager) = controller_of(pod) else {
            return Err(format!("found no controller ref for pod {:?}", name(pod)));
        };
        let (uid, size) = size_of(observed, namespace(pod), manager)
            .ok_or_else(|| format!("found no controllers for pod {:?}", name(pod)))?;
        sizes.insert(uid, json!(size));
    }
    Ok(sizes.values().filter_map(Value::as_i64).sum())
}

/// The identity and size of a pod's manager; of a replica set's, if it has one that has a size.
fn size_of(observed: &Observed<'_>, within: &str, manager: &Value) -> Option<(String, i64)> {
    let group = text(manager, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
    let kind = text(manager, &["kind"]);
    let resources = observed.view.resources();
    let resource = resources.iter().find(|found| found.kind == kind && found.gvr.group == group)?;
    let found = observed.view.get(&resource.gvr, within, text(manager, &["name"]))?;
    if uid(&found) != text(manager, &["uid"]) {
        return None;
    }
    let above = controller_of(&found).and_then(|above| size_of(observed, within, above));
    above.or_else(|| Some((uid(&found).to_owned(), number(&found, &["spec", "replicas"])?)))
}

/// Pods whose eviction was granted but not seen yet, and when the first of these grants runs out.
fn disrupted(
    observed: &Observed<'_>,
    budget: &Value,
    selected: &[Arc<Value>],
) -> (Map<String, Value>, Option<i64>) {
    let granted = at(budget, &["status", "disruptedPods"]).and_then(Value::as_object);
    let (mut kept, mut due) = (Map::new(), None);
    for (pod, _) in granted.into_iter().flatten() {
        let ends = time(budget, &["status", "disruptedPods", pod]).unwrap_or(0) + PATIENCE_SECONDS;
        let lives = selected.iter().any(|found| name(found) == pod && !is_deleting(found));
        if lives
            && ends > observed.seconds()
            && let Some(since) = at(budget, &["status", "disruptedPods", pod])
        {
            kept.insert(pod.clone(), since.clone());
            due = due.into_iter().chain([ends]).min();
        }
    }
    (kept, due)
}

/// How long a granted eviction may take to show.
const PATIENCE_SECONDS: i64 = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    fn world(budget: &Value, pods: &[(&str, bool)]) -> World {
        let mut world = World::default();
        world.put(
            "replicasets",
            json!({"metadata": {"name": "rs", "namespace": "a", "uid": "u-rs"}, "spec": {"replicas": 4}}),
        );
        let mut spec = budget.clone();
        set(&mut spec, &["selector"], json!({"matchLabels": {"app": "web"}}));
        world.put(
            "poddisruptionbudgets",
            json!({"metadata": {"name": "b", "namespace": "a", "generation": 1}, "spec": spec}),
        );
        for (name, ready) in pods {
            world.put("pods", json!({
                "metadata": {"name": name, "namespace": "a", "labels": {"app": "web"}, "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u-rs", "controller": true}]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if *ready { "True" } else { "False" }}]},
            }));
        }
        world.settle(&[LOOP]);
        world
    }

    fn check(budget: &Value, pods: &[(&str, bool)], expected: (i64, i64, i64, i64, &str)) {
        let world = world(budget, pods);
        let found = world.get("poddisruptionbudgets", "a", "b").unwrap();
        let of = |member: &str| number(&found, &["status", member]).unwrap();
        let reason = text(conditions::find(&found, "DisruptionAllowed").unwrap(), &["reason"]);
        let got = (
            of("expectedPods"),
            of("currentHealthy"),
            of("desiredHealthy"),
            of("disruptionsAllowed"),
            reason,
        );
        assert_eq!(got, expected, "{budget}");
    }

    #[test]
    fn budgets() {
        let three = [("a", true), ("b", true), ("c", false)];
        check(&json!({"minAvailable": 1}), &three, (3, 2, 1, 1, "SufficientPods"));
        check(&json!({"minAvailable": "50%"}), &three, (4, 2, 2, 0, "InsufficientPods"));
        check(&json!({"maxUnavailable": 3}), &three, (4, 2, 1, 1, "SufficientPods"));
        check(&json!({"maxUnavailable": "25%"}), &three, (4, 2, 3, 0, "InsufficientPods"));
        check(&json!({"minAvailable": 1}), &[], (0, 0, 1, 0, "InsufficientPods"));
    }

    #[test]
    fn an_orphan_has_no_size() {
        let mut world = world(&json!({"maxUnavailable": 1}), &[("a", true)]);
        world.put("pods", json!({"metadata": {"name": "z", "namespace": "a", "labels": {"app": "web"}}}));
        world.settle(&[LOOP]);
        let found = world.get("poddisruptionbudgets", "a", "b").unwrap();
        let condition = conditions::find(&found, "DisruptionAllowed").unwrap();
        assert_eq!(
            (text(condition, &["reason"]), text(condition, &["message"])),
            ("SyncFailed", "found no controller ref for pod \"z\"")
        );
    }

    #[test]
    fn grants_run_out() {
        let mut world = world(&json!({"minAvailable": 1}), &[("a", true), ("b", true)]);
        let now = crate::object::time_text(world.now);
        world.change("poddisruptionbudgets", "a", "b", |budget| {
            set(budget, &["status", "disruptedPods"], json!({"a": now, "gone": now}));
        });
        world.settle(&[LOOP]);
        let status = |world: &World| world.get("poddisruptionbudgets", "a", "b").unwrap()["status"].clone();
        assert_eq!(status(&world)["disruptedPods"], json!({"a": now}));
        assert_eq!(status(&world)["disruptionsAllowed"], 0);
        assert!(world.deadlines.iter().any(|due| due.as_secs() == 120));
        world.pass(121, &[LOOP]);
        assert_eq!(
            (status(&world).get("disruptedPods"), &status(&world)["disruptionsAllowed"]),
            (None, &json!(1))
        );
    }
}
