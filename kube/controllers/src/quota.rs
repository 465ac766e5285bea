//! `resourcequota-controller`: what a namespace uses of what its quotas allow.
//!
//! Admission charges what is created; this loop counts anew when something ends, shrinks, or a quota changes.

use std::time::Duration;

use kube_api::quota::{self, ResourceList};
use kube_object::resource::GroupResource;
use kube_object::time::Time;
use serde_json::{Value, json};

use crate::known::{pods, resource_quotas};
use crate::object::{at, namespace, same, set};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::is_finished;

/// The loop.
pub(crate) const LOOP: Loop =
    Loop { name: "resourcequota-controller", concurrency: 5, watches: Watches::Everything, keys, reconcile };

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if let Some(quota) = change.new.filter(|_| change.is(resource_quotas())) {
        return if is_unsettled(change.old, quota) { vec![change.key()] } else { Vec::new() };
    }
    let within = namespace(change.object());
    if within.is_empty() || view.count(resource_quotas(), within) == 0 || !may_free(change) {
        return Vec::new();
    }
    let resource = change.resource.group_resource();
    let limits = |quota: &Value| {
        let hard = at(quota, &["spec", "hard"]).and_then(Value::as_object);
        hard.into_iter().flatten().any(|(name, _)| quota::tracked(&resource, name))
    };
    let quotas = view.list(resource_quotas(), Some(within));
    quotas.iter().filter(|found| limits(found)).map(|found| Key::of(resource_quotas(), found)).collect()
}

/// Whether a quota is new, or allows something else than its status says. What admission charges is no reason to
/// count: the object that it charged for may not be seen here yet, and would be forgotten.
fn is_unsettled(old: Option<&Value>, quota: &Value) -> bool {
    let hard = |quota: &Value, part: &str| at(quota, &[part, "hard"]).cloned();
    old.is_none_or(|old| at(old, &["spec"]) != at(quota, &["spec"]))
        || hard(quota, "spec") != hard(quota, "status")
}

/// Whether a change may leave less used than before. What is new was charged when it was admitted. A pod that
/// gets its node uses what it used: to count then would forget the next pod, which is charged for and not seen.
fn may_free(change: &Change<'_>) -> bool {
    match (change.old, change.new) {
        (Some(_), None) => true,
        (Some(old), Some(new)) if change.is(pods()) => {
            let until = |pod| at(pod, &["spec", "activeDeadlineSeconds"]);
            is_finished(old) != is_finished(new)
                || until(old) != until(new)
                || quota::pod_requests(old) != quota::pod_requests(new)
                || quota::pod_limits(old) != quota::pod_limits(new)
        }
        (Some(old), Some(new)) => at(old, &["spec"]) != at(new, &["spec"]),
        _ => false,
    }
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(found) = observed.object() else { return Plan::nothing("the quota is gone") };
    let resources: Vec<GroupResource> = observed
        .view
        .resources()
        .iter()
        .filter(|resource| resource.namespaced)
        .map(|resource| resource.gvr.group_resource())
        .collect();
    let objects = |wanted: &GroupResource| {
        let resources = observed.view.resources();
        let resource = resources.iter().find(|resource| resource.gvr.group_resource() == *wanted);
        let list = |resource: &crate::observed::Resource| {
            observed.view.list(&resource.gvr, Some(&observed.key.namespace))
        };
        resource.map(list).unwrap_or_default()
    };
    let Some(now) = Time::from_unix(observed.seconds()) else {
        return Plan::nothing("it is no year of ours");
    };
    let used = match quota::namespace_usage(&found, &resources, objects, now) {
        Ok(used) => used,
        Err(error) => return Plan::nothing(format!("its scopes cannot be read: {error}")),
    };
    let hard = at(&found, &["spec", "hard"]).cloned().unwrap_or_else(|| json!({}));
    let before = ResourceList::from_value(at(&found, &["status", "used"]));
    let right = json!({"hard": hard, "used": used.to_value()});
    if same(&right, at(&found, &["status"]).unwrap_or(&Value::Null)) {
        return Plan::nothing("its usage is right");
    }
    let lower = used.iter().any(|(name, amount)| before.get(name).is_some_and(|known| amount < known));
    let mut said = Value::clone(&found);
    set(&mut said, &["status"], right);
    let plan = Plan::of("its usage changed", vec![Action::update_status(resource_quotas(), said)]);
    // What was admitted but not seen here yet must not stay uncounted.
    plan.again_after(lower.then_some(SECOND_LOOK))
}

/// By then the cache shows what was admitted while it was counted.
const SECOND_LOOK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    #[test]
    fn a_charge_is_no_reason_to_count() {
        let mut world = World::default();
        let quota = |used: &str| {
            json!({"metadata": {"name": "q", "namespace": "a"}, "spec": {"hard": {"pods": "5"}},
            "status": {"hard": {"pods": "5"}, "used": {"pods": used}}})
        };
        world.put("resourcequotas", quota("0"));
        world.settle(&[LOOP]);
        // Admission charged a pod that is not seen yet.
        world.put("resourcequotas", quota("1"));
        world.settle(&[LOOP]);
        assert_eq!(world.get("resourcequotas", "a", "q").unwrap()["status"]["used"]["pods"], "1");
    }

    #[test]
    fn a_pod_that_gets_its_node_is_no_reason_to_count() {
        let mut world = World::default();
        let pod = json!({"metadata": {"name": "p", "namespace": "a"}, "spec": {"containers": [{"name": "c",
            "resources": {"requests": {"cpu": "500m"}}}]}});
        world.put("pods", pod);
        world.put(
            "resourcequotas",
            json!({"metadata": {"name": "q", "namespace": "a"}, "spec": {"hard": {"pods": "5", "cpu": "2"}},
            "status": {"hard": {"pods": "5", "cpu": "2"}, "used": {"pods": "1", "cpu": "500m"}}}),
        );
        world.settle(&[LOOP]);
        // Admission charges for a pod that is not seen yet, and the first one is bound.
        world.change("resourcequotas", "a", "q", |quota| {
            quota["status"]["used"] = json!({"pods": "2", "cpu": "1"});
        });
        world.change("pods", "a", "p", |pod| pod["spec"]["nodeName"] = json!("n"));
        world.settle(&[LOOP]);
        let used = |world: &World| world.get("resourcequotas", "a", "q").unwrap()["status"]["used"].clone();
        assert_eq!(used(&world)["pods"], "2");
        // Less asked for is.
        world.change("pods", "a", "p", |pod| {
            pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("100m");
        });
        world.settle(&[LOOP]);
        assert_eq!(used(&world)["cpu"], "100m");
    }

    #[test]
    fn counts_and_frees() {
        let mut world = World::default();
        world.put(
            "pods",
            json!({"metadata": {"name": "p", "namespace": "a"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}}),
        );
        world.put("widgets", json!({"metadata": {"name": "w", "namespace": "a"}}));
        world.put("resourcequotas", json!({"metadata": {"name": "q", "namespace": "a"},
            "spec": {"hard": {"pods": "5", "requests.cpu": "1", "count/widgets.example.com": "2", "secrets": "1"}}}));
        world.settle(&[LOOP]);
        let status = |world: &World| world.get("resourcequotas", "a", "q").unwrap()["status"].clone();
        assert_eq!(
            status(&world)["used"],
            json!({"pods": "1", "requests.cpu": "500m", "count/widgets.example.com": "1", "secrets": "0"})
        );
        assert_eq!(status(&world)["hard"]["pods"], "5");
        world.change("pods", "a", "p", |pod| pod["status"] = json!({"phase": "Succeeded"}));
        world.settle(&[LOOP]);
        assert_eq!(status(&world)["used"]["pods"], "0");
        assert_eq!(world.deadlines, [SECOND_LOOK]);
        world.remove("widgets", "a", "w");
        world.settle(&[LOOP]);
        assert_eq!(status(&world)["used"]["count/widgets.example.com"], "0");
    }
}
