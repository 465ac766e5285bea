//! `generic-garbage-collector`: what has owners goes with the last of them.
//!
//! The graph is the cache's index of owners. An owner that the cache does not show is asked for at the API before
//! anything goes, for the cache of one resource may be behind that of another.

use std::sync::Arc;

use kube_object::resource::GroupKind;
use serde_json::{Value, json};

use crate::object::{finalizers, flag, has_finalizer, is_deleting, namespace, owners, revision, text, uid};
use crate::observed::{Change, Key, Loop, Observed, Resource, View, Watches};
use crate::plan::{Action, Plan, Target};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "generic-garbage-collector",
    concurrency: 20,
    watches: Watches::Everything,
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    let mut keys = Vec::new();
    let (object, gone) = (change.object(), change.new.is_none());
    let held = is_waiting(object) || is_orphaning(object);
    if !gone && (held || !owners(object).is_empty()) {
        keys.push(change.key());
    }
    let had = change.old.is_some_and(is_waiting);
    if gone || (is_waiting(object) && !had) {
        keys.extend(view.dependents(uid(object)));
    }
    // An owner that waits for this one may be done waiting.
    let before = change.old.filter(|old| gone || owners(old) != owners(object));
    let resources = view.resources();
    for owner in before.into_iter().flat_map(owners) {
        if let Some(resource) = resource_of(owner, &resources) {
            let within = if resource.namespaced { namespace(object) } else { "" };
            keys.push(Key::new(&resource.gvr, within, text(owner, &["name"])));
        }
    }
    keys
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(object) = observed.object() else { return Plan::nothing("the object is gone") };
    if is_deleting(&object) {
        if is_orphaning(&object) {
            return orphan(observed, &object);
        }
        if is_waiting(&object) {
            return wait(observed, &object);
        }
        return Plan::nothing("the object is going already");
    }
    if owners(&object).is_empty() {
        return Plan::nothing("the object has no owner");
    }
    let owners = Owners::of(observed, &object);
    if !owners.solid.is_empty() {
        return owners.drop_others(observed, &object);
    }
    if !owners.waiting.is_empty() {
        return delete_for_waiting_owner(observed, &object, &owners);
    }
    let propagation = if has_finalizer(&object, ORPHAN) {
        "Orphan"
    } else if has_finalizer(&object, FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    };
    let mut actions = owners.must_be_absent();
    actions.extend(owners.warn_about_namespaces(&object));
    actions.push(delete(observed, &object, propagation));
    Plan::of("all owners are gone", actions)
}

/// The object's deletion leaves its dependents alone: they lose the reference, then it goes.
fn orphan(observed: &Observed<'_>, object: &Value) -> Plan {
    let mut actions = Vec::new();
    for (key, dependent) in dependents(observed, uid(object)) {
        let kept = owners(&dependent).iter().filter(|owner| text(owner, &["uid"]) != uid(object));
        actions.push(patch_owners(&key, &dependent, kept.cloned().collect()));
    }
    actions.push(drop_finalizer(observed, object, ORPHAN));
    Plan::of("the dependents stay", actions)
}

/// The object's deletion waits for its dependents; they are looked at under their own keys.
fn wait(observed: &Observed<'_>, object: &Value) -> Plan {
    let blocks = |dependent: &Value| {
        owners(dependent)
            .iter()
            .any(|owner| text(owner, &["uid"]) == uid(object) && flag(owner, &["blockOwnerDeletion"]))
    };
    let blocking = dependents(observed, uid(object)).iter().filter(|(_, found)| blocks(found)).count();
    if blocking > 0 {
        return Plan::nothing(format!("{blocking} dependents go first"));
    }
    Plan::of("no dependent is left", vec![drop_finalizer(observed, object, FOREGROUND)])
}

/// No owner stays, and one waits for this object: it goes, and before it what depends on it.
fn delete_for_waiting_owner(observed: &Observed<'_>, object: &Value, owners: &Owners) -> Plan {
    let mut actions = owners.must_be_absent();
    let below = dependents(observed, uid(object));
    if below.is_empty() {
        actions.push(delete(observed, object, "Background"));
        return Plan::of("its owner waits for its end", actions);
    }
    // A circle would wait for ever.
    if below.iter().any(|(_, dependent)| is_waiting(dependent)) {
        let unblocked = crate::object::owners(object).iter().map(|owner| {
            let mut owner = owner.clone();
            crate::object::set(&mut owner, &["blockOwnerDeletion"], json!(false));
            owner
        });
        let unblocked: Vec<_> = unblocked.collect();
        if unblocked != crate::object::owners(object) {
            actions.push(patch_owners(observed.key, object, unblocked));
            return Plan::of("it is in a circle of owners", actions);
        }
    }
    actions.push(delete(observed, object, "Foreground"));
    Plan::of("its owner waits for its end, and it for its dependents'", actions)
}

/// The owners of an object, by what is known of them.
#[derive(Default)]
struct Owners {
    solid: Vec<Value>,
    /// The cache does not show them.
    dangling: Vec<Target>,
    /// They wait for their dependents to go.
    waiting: Vec<Target>,
    /// Another object of the cluster has that identity, elsewhere.
    elsewhere: Vec<String>,
}

impl Owners {
    fn of(observed: &Observed<'_>, object: &Value) -> Self {
        let resources = observed.view.resources();
        let mut found = Self::default();
        for owner in owners(object) {
            // A kind that nobody serves may be served again; a namespaced owner of a cluster's object cannot
            // be found: both hold the object.
            let Some(resource) = resource_of(owner, &resources)
                .filter(|resource| !resource.namespaced || !namespace(object).is_empty())
            else {
                found.solid.push(owner.clone());
                continue;
            };
            let within = if resource.namespaced { namespace(object) } else { "" };
            let target = Target {
                resource: resource.gvr.clone(),
                namespace: within.to_owned(),
                name: text(owner, &["name"]).to_owned(),
                uid: text(owner, &["uid"]).to_owned(),
            };
            match observed.view.get(&target.resource, within, &target.name) {
                Some(seen) if uid(&seen) == target.uid && is_waiting(&seen) => found.waiting.push(target),
                Some(seen) if uid(&seen) == target.uid => found.solid.push(owner.clone()),
                _ => {
                    if resource.namespaced && lives_elsewhere(observed, &target) {
                        found.elsewhere.push(format!(
                            "ownerRef [{}/{}, namespace: {within}, name: {}, uid: {}] does not exist in namespace {within:?}",
                            text(owner, &["apiVersion"]),
                            text(owner, &["kind"]),
                            target.name,
                            target.uid,
                        ));
                    }
                    found.dangling.push(target);
                }
            }
        }
        found
    }

    fn must_be_absent(&self) -> Vec<Action> {
        self.dangling.iter().cloned().map(Action::Absent).collect()
    }

    fn warn_about_namespaces(&self, object: &Value) -> Vec<Action> {
        let warn = |message: &String| Action::warning(object, "OwnerRefInvalidNamespace", message.clone());
        self.elsewhere.iter().map(warn).collect()
    }

    /// Some owner stays, so the object does; it forgets the others.
    fn drop_others(&self, observed: &Observed<'_>, object: &Value) -> Plan {
        if self.dangling.is_empty() && self.waiting.is_empty() {
            return Plan::nothing("its owners are there");
        }
        let mut actions = self.must_be_absent();
        actions.push(patch_owners(observed.key, object, self.solid.clone()));
        Plan::of("some of its owners are gone", actions)
    }
}

/// Another namespace's object of that identity; only worth a look when one is missing.
fn lives_elsewhere(observed: &Observed<'_>, target: &Target) -> bool {
    let all = observed.view.list(&target.resource, None);
    all.iter().any(|object| uid(object) == target.uid)
}

fn resource_of<'a>(owner: &Value, resources: &'a [Resource]) -> Option<&'a Resource> {
    let group = text(owner, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
    let wanted = GroupKind::new(group, text(owner, &["kind"]));
    resources.iter().find(|resource| resource.group_kind() == wanted)
}

fn dependents(observed: &Observed<'_>, uid: &str) -> Vec<(Key, Arc<Value>)> {
    let keys = observed.view.dependents(uid).into_iter();
    keys.filter_map(|key| {
        let object = observed.view.get(&key.resource, &key.namespace, &key.name)?;
        Some((key, object))
    })
    .collect()
}

fn is_waiting(object: &Value) -> bool {
    is_deleting(object) && has_finalizer(object, FOREGROUND)
}

fn is_orphaning(object: &Value) -> bool {
    is_deleting(object) && has_finalizer(object, ORPHAN)
}

fn delete(observed: &Observed<'_>, object: &Value, propagation: &'static str) -> Action {
    Action::Delete {
        target: Target::of(&observed.key.resource, object),
        revision: Some(revision(object).to_owned()),
        propagation: Some(propagation),
        grace_seconds: None,
    }
}

/// A merge patch, for custom resources know no other; the revision makes it safe.
fn patch_owners(key: &Key, object: &Value, owners: Vec<Value>) -> Action {
    let owners = if owners.is_empty() { Value::Null } else { Value::Array(owners) };
    merge(key, object, "ownerReferences", &owners)
}

fn drop_finalizer(observed: &Observed<'_>, object: &Value, finalizer: &str) -> Action {
    let kept: Vec<_> = finalizers(object).into_iter().filter(|name| *name != finalizer).collect();
    let kept = if kept.is_empty() { Value::Null } else { json!(kept) };
    merge(observed.key, object, "finalizers", &kept)
}

fn merge(key: &Key, object: &Value, member: &str, value: &Value) -> Action {
    Action::Patch {
        target: Target::of(&key.resource, object),
        part: None,
        strategic: false,
        patch: json!({"metadata": {"resourceVersion": revision(object), "uid": uid(object), member: value}}),
    }
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    fn owned(name: &str, owners: &[(&str, &str, &str)]) -> Value {
        let owners: Vec<_> = owners
            .iter()
            .map(|(kind, name, uid)| {
                let api = if *kind == "ReplicaSet" {
                    "apps/v1"
                } else if *kind == "Pod" {
                    "v1"
                } else {
                    "example.com/v1"
                };
                json!({"apiVersion": api, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": true})
            })
            .collect();
        json!({"metadata": {"name": name, "namespace": "a", "uid": format!("u-{name}"), "ownerReferences": owners}})
    }

    fn family() -> World {
        let mut world = World::default();
        world.put("replicasets", owned("rs", &[]));
        world.put("pods", owned("p1", &[("ReplicaSet", "rs", "u-rs")]));
        world.put("pods", owned("p2", &[("ReplicaSet", "rs", "u-rs")]));
        world.settle(&[LOOP]);
        assert_eq!(world.all("pods").len(), 2);
        world
    }

    #[test]
    fn background() {
        let mut world = family();
        world.user_deletes("replicasets", "a", "rs", "Background");
        world.settle(&[LOOP]);
        assert_eq!(world.all("pods").len(), 0);
    }

    #[test]
    fn orphan() {
        let mut world = family();
        world.user_deletes("replicasets", "a", "rs", "Orphan");
        world.settle(&[LOOP]);
        assert_eq!((world.all("replicasets").len(), world.all("pods").len()), (0, 2));
        assert!(owners(&world.all("pods")[0]).is_empty());
    }

    #[test]
    fn foreground() {
        let mut world = family();
        world.change("pods", "a", "p1", |pod| *pod = crate::object::with_finalizer(pod, "x/y"));
        world.user_deletes("replicasets", "a", "rs", "Foreground");
        world.settle(&[LOOP]);
        assert_eq!((world.all("replicasets").len(), world.all("pods").len()), (1, 1));
        world.change("pods", "a", "p1", |pod| *pod = crate::object::without_finalizer(pod, "x/y"));
        world.settle(&[LOOP]);
        assert_eq!((world.all("replicasets").len(), world.all("pods").len()), (0, 0));
    }

    #[test]
    fn a_second_owner_keeps_it() {
        let mut world = family();
        world.put("replicasets", owned("other", &[]));
        world.put("pods", owned("both", &[("ReplicaSet", "rs", "u-rs"), ("ReplicaSet", "other", "u-other")]));
        world.user_deletes("replicasets", "a", "rs", "Foreground");
        world.settle(&[LOOP]);
        let left = world.all("pods");
        assert_eq!((world.all("replicasets").len(), left.len()), (1, 1));
        assert_eq!((left[0]["metadata"]["name"].as_str(), owners(&left[0]).len()), (Some("both"), 1));
    }

    #[test]
    fn circles_go() {
        let mut world = World::default();
        world.put("pods", owned("p1", &[("Pod", "p3", "u-p3")]));
        world.put("pods", owned("p2", &[("Pod", "p1", "u-p1")]));
        world.put("pods", owned("p3", &[("Pod", "p2", "u-p2")]));
        world.settle(&[LOOP]);
        assert_eq!(world.all("pods").len(), 3);
        world.user_deletes("pods", "a", "p1", "Foreground");
        world.settle(&[LOOP]);
        assert_eq!(world.all("pods").len(), 0);
    }

    #[test]
    fn owners_that_never_were() {
        for (owner, left) in [
            (("ReplicaSet", "rs", "u-old"), 0), // a successor of that name
            (("ReplicaSet", "none", "u-none"), 0),
            (("Widget", "w", "u-w"), 0), // custom resources too
            (("Nobody", "w", "u-w"), 1), // a kind that nobody serves
        ] {
            let mut world = World::default();
            world.put("replicasets", owned("rs", &[]));
            world.put("pods", owned("p", &[owner]));
            world.settle(&[LOOP]);
            assert_eq!(world.all("pods").len(), left, "{owner:?}");
        }
    }

    #[test]
    fn scopes() {
        // An owner in another namespace is none; a cluster's object may not have a namespaced owner, and stays.
        let mut world = World::default();
        world.put("widgets", json!({"metadata": {"name": "w", "namespace": "b", "uid": "u-w"}}));
        world.put("pods", owned("p", &[("Widget", "w", "u-w")]));
        let mut rack = owned("r", &[("Widget", "w", "u-w")]);
        crate::object::remove(&mut rack, &["metadata", "namespace"]);
        world.put("racks", rack);
        world.put("pods", owned("q", &[("Rack", "r", "u-r")]));
        world.settle(&[LOOP]);
        assert!(world.get("pods", "a", "p").is_none());
        assert!(world.events[0].starts_with("OwnerRefInvalidNamespace: ownerRef [example.com/v1/Widget"));
        assert_eq!(world.all("racks").len(), 1);
        assert!(world.get("pods", "a", "q").is_some());
        world.remove("racks", "", "r");
        world.settle(&[LOOP]);
        assert!(world.get("pods", "a", "q").is_none());
    }
}
