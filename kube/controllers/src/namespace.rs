//! `namespace-controller`: empties a namespace that is to go, and lets it go.
//!
//! Pods first, so that what they lean on (secrets, policies, endpoints) outlives them; then everything
//! else. The namespace's own finalizer goes when the API itself says that nothing is left.

use std::collections::BTreeMap;
use std::time::Duration;

use kube_object::resource::GroupVersionResource;
use serde_json::{Value, json};

use crate::conditions::{self, Condition};
use crate::known::{events, namespaces, pods};
use crate::object::{finalizers, is_deleting, items, name, number, same, set, text};
use crate::observed::{Change, Key, Loop, Observed, Resource, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop =
    Loop { name: "namespace-controller", concurrency: 10, watches: Watches::Everything, keys, reconcile };

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(namespaces()) {
        return if change.new.is_some_and(is_deleting) { vec![change.key()] } else { Vec::new() };
    }
    let namespace = crate::object::namespace(change.object());
    if namespace.is_empty() {
        return Vec::new();
    }
    let ending = view.get(namespaces(), "", namespace).is_some_and(|found| is_deleting(&found));
    if ending { vec![Key::new(namespaces(), "", namespace)] } else { Vec::new() }
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(namespace) = observed.object() else { return Plan::nothing("the namespace is gone") };
    if !is_deleting(&namespace) {
        return Plan::nothing("the namespace is not to go");
    }
    if !finalizes(&namespace) {
        return Plan::nothing("others' finalizers hold the namespace");
    }
    let left = Left::of(observed);
    let mut plan = Vec::new();
    let said = with_conditions(&namespace, &left, observed);
    if !same(&said, &namespace) {
        plan.push(Action::update_status(namespaces(), said));
    }
    if let Some(found) = left.of_resource(pods()) {
        let after = found.patience;
        if found.undeleted {
            plan.push(found.delete_all(name(&namespace)));
        }
        return Plan::of("pods go first", plan).again_after(after);
    }
    let undeleted = left.found.iter().filter(|found| found.undeleted);
    plan.extend(undeleted.map(|found| found.delete_all(name(&namespace))));
    if !left.found.is_empty() {
        return Plan::of(format!("{} resources have content", left.found.len()), plan);
    }
    finish(observed, &namespace, plan)
}

/// The cache shows nothing. What it may not show yet is deleted all the same, and the API has to agree.
fn finish(observed: &Observed<'_>, namespace: &Value, mut plan: Vec<Action>) -> Plan {
    // No loop follows events: what there is of them goes unseen.
    plan.push(Action::DeleteAll {
        resource: events().clone(),
        namespace: name(namespace).to_owned(),
        propagation: "Background",
    });
    for resource in content(observed).iter() {
        plan.push(Action::Empty { resource: resource.gvr.clone(), namespace: name(namespace).to_owned() });
    }
    let rest: Vec<Value> = items(namespace, &["spec", "finalizers"])
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .cloned()
        .collect();
    let mut finalized = namespace.clone();
    set(&mut finalized, &["spec", "finalizers"], Value::Array(rest));
    // The condition's update above moves the revision; finalizing is right at any.
    crate::object::remove(&mut finalized, &["metadata", "resourceVersion"]);
    plan.push(Action::Update { resource: namespaces().clone(), part: Some("finalize"), object: finalized });
    Plan::of("nothing is left", plan)
}

fn finalizes(namespace: &Value) -> bool {
    items(namespace, &["spec", "finalizers"]).iter().any(|finalizer| finalizer == FINALIZER)
}

fn content(observed: &Observed<'_>) -> Vec<Resource> {
    observed.view.resources().iter().filter(|resource| resource.namespaced).cloned().collect()
}

/// What the namespace still holds.
struct Left {
    found: Vec<Found>,
    /// Finalizers, and how many objects each holds.
    finalizers: BTreeMap<String, usize>,
}

/// What it holds of one resource.
struct Found {
    resource: Resource,
    count: usize,
    /// Whether deletion of some was not asked for yet.
    undeleted: bool,
    /// When the last pod's grace ends.
    patience: Option<Duration>,
}

impl Left {
    fn of(observed: &Observed<'_>) -> Self {
        let mut left = Self { found: Vec::new(), finalizers: BTreeMap::new() };
        for resource in content(observed) {
            let objects = observed.view.list(&resource.gvr, Some(&observed.key.name));
            if objects.is_empty() {
                continue;
            }
            for finalizer in objects.iter().flat_map(|object| finalizers(object)) {
                *left.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
            let grace = objects
                .iter()
                .filter_map(|object| number(object, &["metadata", "deletionGracePeriodSeconds"]))
                .max();
            left.found.push(Found {
                count: objects.len(),
                undeleted: objects.iter().any(|object| !is_deleting(object)),
                patience: grace.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs),
                resource,
            });
        }
        left
    }

    fn of_resource(&self, resource: &GroupVersionResource) -> Option<&Found> {
        self.found.iter().find(|found| found.resource.gvr == *resource)
    }
}

impl Found {
    fn delete_all(&self, namespace: &str) -> Action {
        Action::DeleteAll {
            resource: self.resource.gvr.clone(),
            namespace: namespace.to_owned(),
            propagation: "Background",
        }
    }
}

fn with_conditions(namespace: &Value, left: &Left, observed: &Observed<'_>) -> Value {
    let now = observed.time();
    let mut list = conditions::list(namespace);
    let mut say = |kind, holds, reason, message: &str| {
        conditions::write(&mut list, &Condition { kind, holds, reason, message }, &now);
    };
    let (discovered, parsed) =
        ("All resources successfully discovered", "All legacy kube types successfully parsed");
    say("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", discovered);
    say("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", parsed);
    match observed.failure {
        Some(failure) => {
            let message = format!("Failed to delete all resource types, 1 remaining: {}", failure.status);
            say("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", &message);
        }
        None => {
            let message = "All content successfully deleted, may be waiting on finalization";
            say("NamespaceDeletionContentFailure", false, "ContentDeleted", message);
        }
    }
    if left.found.is_empty() {
        let message = "All content successfully removed";
        say("NamespaceContentRemaining", false, "ContentRemoved", message);
    } else {
        let mut counts: Vec<_> = left.found.iter().map(Found::sentence).collect();
        counts.sort();
        let message = format!("Some resources are remaining: {}", counts.join(", "));
        say("NamespaceContentRemaining", true, "SomeResourcesRemain", &message);
    }
    if left.finalizers.is_empty() {
        let message = "All content-preserving finalizers finished";
        say("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", message);
    } else {
        let counts: Vec<_> = left
            .finalizers
            .iter()
            .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
            .collect();
        let message =
            format!("Some content in the namespace has finalizers remaining: {}", counts.join(", "));
        say("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", &message);
    }
    let mut said = namespace.clone();
    set(&mut said, &["status", "conditions"], Value::Array(list));
    if text(&said, &["status", "phase"]) != "Terminating" {
        set(&mut said, &["status", "phase"], json!("Terminating"));
    }
    said
}

impl Found {
    fn sentence(&self) -> String {
        let gvr = &self.resource.gvr;
        format!("{}.{} has {} resource instances", gvr.resource, gvr.group, self.count)
    }
}

/// The finalizer in `spec.finalizers` that is this loop's.
const FINALIZER: &str = "kubernetes";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    fn namespace(world: &mut World) {
        world.put(
            "namespaces",
            json!({"metadata": {"name": "shop", "uid": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}}),
        );
    }

    #[test]
    fn pods_go_first() {
        let mut world = World::default();
        namespace(&mut world);
        world.put("pods", json!({"metadata": {"name": "p", "namespace": "shop", "finalizers": ["x/y"]}}));
        world.put("secrets", json!({"metadata": {"name": "s", "namespace": "shop"}}));
        world.settle(&[LOOP]);
        assert!(world.get("secrets", "shop", "s").is_some());
        let found = world.get("namespaces", "", "shop").unwrap();
        let remaining = conditions::find(&found, "NamespaceContentRemaining").unwrap();
        let message =
            "Some resources are remaining: pods. has 1 resource instances, secrets. has 1 resource instances";
        assert_eq!(text(remaining, &["message"]), message);
        let holders = conditions::find(&found, "NamespaceFinalizersRemaining").unwrap();
        let message = "Some content in the namespace has finalizers remaining: x/y in 1 resource instances";
        assert_eq!(text(holders, &["message"]), message);

        world.change("pods", "shop", "p", |pod| set(pod, &["metadata", "finalizers"], json!([])));
        world.settle(&[LOOP]);
        assert!(world.get("secrets", "shop", "s").is_none());
        assert!(world.get("namespaces", "", "shop").is_none());
    }

    #[test]
    fn leaves_the_living_alone() {
        let mut world = World::default();
        world
            .put("namespaces", json!({"metadata": {"name": "shop"}, "spec": {"finalizers": ["kubernetes"]}}));
        world.put("pods", json!({"metadata": {"name": "p", "namespace": "shop"}}));
        world.settle(&[LOOP]);
        assert!(world.get("pods", "shop", "p").is_some());
    }
}
