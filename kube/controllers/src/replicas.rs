//! `replicaset-controller` and `replication-controller`: as many pods as wanted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionResource;
use serde_json::{Map, Value, json};

use crate::claim::Claim;
use crate::conditions;
use crate::known::{pods, replica_sets, replication_controllers};
use crate::object::{
    at, controller_reference, flag, generation, is_deleting, labels, map_selector, name, namespace, number,
    owners, same, selector, text, text_map,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::pods::{creation, deletion, deletion_rank, from_template, is_active, is_available, is_ready};

/// The loop of `apps/v1` ReplicaSet.
pub(crate) const REPLICA_SETS: Loop = Loop {
    name: "replicaset-controller",
    concurrency: 5,
    watches: Watches::These(&[replica_sets, pods]),
    keys: |change, view| keys(change, view, &REPLICA_SET),
    reconcile: |observed| reconcile(observed, &REPLICA_SET),
};

/// The loop of `v1` ReplicationController.
pub(crate) const REPLICATION_CONTROLLERS: Loop = Loop {
    name: "replication-controller",
    concurrency: 5,
    watches: Watches::These(&[replication_controllers, pods]),
    keys: |change, view| keys(change, view, &REPLICATION_CONTROLLER),
    reconcile: |observed| reconcile(observed, &REPLICATION_CONTROLLER),
};

/// What tells the two kinds apart.
struct Kind {
    resource: fn() -> &'static GroupVersionResource,
    api_version: &'static str,
    kind: &'static str,
    selector: fn(&Value) -> LabelSelector,
}

const REPLICA_SET: Kind = Kind {
    resource: replica_sets,
    api_version: "apps/v1",
    kind: "ReplicaSet",
    selector: |set| selector(set, &["spec", "selector"]),
};

const REPLICATION_CONTROLLER: Kind = Kind {
    resource: replication_controllers,
    api_version: "v1",
    kind: "ReplicationController",
    selector: |set| map_selector(set, &["spec", "selector"]),
};

fn keys(change: &Change<'_>, view: &dyn View, kind: &Kind) -> Vec<Key> {
    let resource = (kind.resource)();
    if change.is(resource) {
        return vec![change.key()];
    }
    let mut keys = change.controllers(resource, kind.kind);
    // A pod of nobody may be adopted by all that select it.
    if let Some(pod) = change.new.filter(|pod| owners(pod).iter().all(|owner| !flag(owner, &["controller"])))
    {
        let labels = labels(pod);
        let all = view.list(resource, Some(namespace(pod)));
        let selecting = all.iter().filter(|set| (kind.selector)(set).matches(&labels));
        keys.extend(selecting.map(|set| Key::of(resource, set)));
    }
    keys
}

fn reconcile(observed: &Observed<'_>, kind: &Kind) -> Plan {
    let Some(set) = observed.object() else { return Plan::nothing("it is gone") };
    let claim = Claim {
        owner: &set,
        owner_resource: (kind.resource)(),
        api_version: kind.api_version,
        kind: kind.kind,
        claimed: pods(),
        selector: (kind.selector)(&set),
        finalizer: None,
    };
    let mut claimed = claim.of(observed.view, is_active);
    let mut actions = std::mem::take(&mut claimed.actions);
    let active = claimed.mine;
    let wanted = number(&set, &["spec", "replicas"]).unwrap_or(1).max(0);
    let (status, due) = status(observed, &set, &active, wanted);
    if !same(&status, at(&set, &["status"]).unwrap_or(&Value::Null)) {
        let mut said = Value::clone(&set);
        crate::object::set(&mut said, &["status"], status);
        actions.push(Action::update_status((kind.resource)(), said));
    }
    let have = active.len() as i64;
    let why = format!("{have} of {wanted} pods");
    if !is_deleting(&set) {
        if have < wanted {
            actions.extend(creations(&set, kind, (wanted - have).min(BURST_MAX)));
        } else if have > wanted {
            let count = (have - wanted).min(BURST_MAX) as usize;
            actions.extend(victims(&set, &active, count, observed.seconds()));
        }
    }
    Plan::of(why, actions).again_after(due)
}

fn creations(set: &Value, kind: &Kind, count: i64) -> Vec<Action> {
    let Some(template) = at(set, &["spec", "template"]) else { return Vec::new() };
    let controller = controller_reference(set, kind.api_version, kind.kind);
    let pod = from_template(template, name(set), namespace(set), &controller);
    (0..count).map(|_| creation(set, pod.clone())).collect()
}

fn victims(set: &Value, active: &[Arc<Value>], count: usize, now: i64) -> Vec<Action> {
    let mut crowds: HashMap<&str, usize> = HashMap::new();
    for pod in active {
        *crowds.entry(text(pod, &["spec", "nodeName"])).or_default() += 1;
    }
    let crowd = |pod: &Value| crowds.get(text(pod, &["spec", "nodeName"])).copied().unwrap_or(0);
    let mut ranked: Vec<_> = active.iter().collect();
    ranked.sort_by_cached_key(|pod| deletion_rank(pod, crowd(pod), now));
    ranked.into_iter().take(count).map(|pod| deletion(set, pod)).collect()
}

/// The status that is true now, and when it may change by time alone.
fn status(
    observed: &Observed<'_>,
    set: &Value,
    active: &[Arc<Value>],
    wanted: i64,
) -> (Value, Option<Duration>) {
    let template = text_map(set, &["spec", "template", "metadata", "labels"]);
    let fully_labeled = |pod: &Value| {
        let labels = labels(pod);
        template.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let min_ready = number(set, &["spec", "minReadySeconds"]).unwrap_or(0);
    let (mut labeled, mut ready, mut available, mut due) = (0, 0, 0, None);
    for pod in active {
        labeled += i64::from(fully_labeled(pod));
        ready += i64::from(is_ready(pod));
        match is_available(pod, min_ready, observed.seconds()) {
            Ok(()) => available += 1,
            Err(at) => due = due.into_iter().chain(at).min(),
        }
    }
    let mut status = Map::new();
    status.insert("replicas".to_owned(), json!(active.len()));
    for (member, count) in [
        ("fullyLabeledReplicas", labeled),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("observedGeneration", generation(set)),
    ] {
        if count != 0 {
            status.insert(member.to_owned(), json!(count));
        }
    }
    let conditions = failure(observed, set, (active.len() as i64) < wanted);
    if !conditions.is_empty() {
        status.insert("conditions".to_owned(), Value::Array(conditions));
    }
    (Value::Object(status), due.and_then(|due| observed.until(due)))
}

/// The condition `ReplicaFailure` is there as long as pods cannot be made or ended.
fn failure(observed: &Observed<'_>, set: &Value, too_few: bool) -> Vec<Value> {
    let mut list = conditions::list(set);
    let failed = observed.failure.filter(|failure| failure.resource == "pods");
    match failed {
        None => list.retain(|found| text(found, &["type"]) != "ReplicaFailure"),
        Some(_) if conditions::find(set, "ReplicaFailure").is_some() => {}
        Some(failure) => list.push(json!({
            "type": "ReplicaFailure", "status": "True", "lastTransitionTime": observed.time(),
            "reason": if too_few { "FailedCreate" } else { "FailedDelete" },
            "message": failure.status.message,
        })),
    }
    list
}

/// Most pods that one look makes or ends, so that others have their turn.
const BURST_MAX: i64 = 500;

#[cfg(test)]
mod tests {
    use kube_object::resource::GroupResource;
    use kube_object::status::Status;

    use super::*;
    use crate::sim::World;

    fn set_of(replicas: i64) -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "a", "generation": 1},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
        })
    }

    fn pod(name: &str, app: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "a", "labels": {"app": app}}, "status": {"phase": "Running"}})
    }

    #[test]
    fn grows_and_shrinks() {
        let mut world = World::default();
        world.put("replicasets", set_of(3));
        world.settle(&[REPLICA_SETS]);
        assert_eq!(world.all("pods").len(), 3);
        let found = world.get("replicasets", "a", "web").unwrap();
        assert_eq!(
            found["status"],
            json!({"replicas": 3, "fullyLabeledReplicas": 3, "observedGeneration": 1})
        );
        let pod = &world.all("pods")[0];
        assert_eq!(pod["metadata"]["generateName"], "web-");
        assert!(crate::object::is_controlled_by(pod, crate::object::uid(&found)));

        world.change("replicasets", "a", "web", |set| set["spec"]["replicas"] = json!(1));
        world.settle(&[REPLICA_SETS]);
        assert_eq!(world.all("pods").len(), 1);
        assert_eq!(world.get("replicasets", "a", "web").unwrap()["status"]["observedGeneration"], 2);
    }

    #[test]
    fn adopts_and_releases() {
        let mut world = World::default();
        world.put("pods", pod("mine", "web"));
        world.put("pods", pod("not", "db"));
        world.put("replicasets", set_of(1));
        world.settle(&[REPLICA_SETS]);
        assert_eq!(world.all("pods").len(), 2);
        assert!(crate::object::controller_of(&world.get("pods", "a", "mine").unwrap()).is_some());
        world.change("pods", "a", "mine", |pod| pod["metadata"]["labels"]["app"] = json!("other"));
        world.settle(&[REPLICA_SETS]);
        assert!(owners(&world.get("pods", "a", "mine").unwrap()).is_empty());
        assert_eq!(world.all("pods").len(), 3);
    }

    #[test]
    fn replaces_what_ended() {
        let mut world = World::default();
        world.put("replicasets", set_of(1));
        world.settle(&[REPLICA_SETS]);
        let name = name(&world.all("pods")[0]).to_owned();
        world.change("pods", "a", &name, |pod| pod["status"] = json!({"phase": "Failed"}));
        world.settle(&[REPLICA_SETS]);
        assert_eq!(world.all("pods").len(), 2);
    }

    #[test]
    fn tells_of_failure_and_of_its_end() {
        let mut world = World::default();
        let refused = Status::forbidden(&GroupResource::new("", "pods"), "", "exceeded quota: q");
        world.refuse = Some(("pods", refused));
        world.put("replicasets", set_of(1));
        world.settle(&[REPLICA_SETS]);
        let found = world.get("replicasets", "a", "web").unwrap();
        let condition = conditions::find(&found, "ReplicaFailure").unwrap();
        assert_eq!(text(condition, &["reason"]), "FailedCreate");
        assert_eq!(text(condition, &["message"]), "pods is forbidden: exceeded quota: q");
        world.refuse = None;
        world.pass(1, &[REPLICA_SETS]);
        world.pass(1, &[REPLICA_SETS]);
        let found = world.get("replicasets", "a", "web").unwrap();
        assert!(conditions::find(&found, "ReplicaFailure").is_none());
        assert_eq!(world.all("pods").len(), 1);
    }

    #[test]
    fn availability_comes_with_time() {
        let mut world = World::default();
        let mut set = set_of(1);
        set["spec"]["minReadySeconds"] = json!(10);
        world.put("replicasets", set);
        world.settle(&[REPLICA_SETS]);
        let name = name(&world.all("pods")[0]).to_owned();
        let since = crate::object::time_text(world.now);
        world.change("pods", "a", &name, |pod| {
            pod["status"] = json!({"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": since}]});
        });
        world.settle(&[REPLICA_SETS]);
        let status = |world: &World| world.get("replicasets", "a", "web").unwrap()["status"].clone();
        assert_eq!(
            (status(&world)["readyReplicas"].clone(), status(&world).get("availableReplicas")),
            (json!(1), None)
        );
        assert!(world.deadlines.contains(&Duration::from_secs(10)));
        world.pass(10, &[REPLICA_SETS]);
        assert_eq!(status(&world)["availableReplicas"], 1);
    }

    #[test]
    fn replication_controllers_too() {
        let mut world = World::default();
        world.put(
            "replicationcontrollers",
            json!({"metadata": {"name": "rc", "namespace": "a", "generation": 1},
                "spec": {"replicas": 2, "selector": {"app": "x"}, "template": {"metadata": {"labels": {"app": "x"}}}}}),
        );
        world.settle(&[REPLICATION_CONTROLLERS, REPLICA_SETS]);
        assert_eq!(world.all("pods").len(), 2);
        assert_eq!(world.all("pods")[0]["metadata"]["ownerReferences"][0]["kind"], "ReplicationController");
    }
}
