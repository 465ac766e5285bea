//! `ControllerRevision`s: the templates that a stateful set or a daemon set has had, so that pods can be told
//! apart by them and a rollout can go back.

use std::sync::Arc;

use kube_object::resource::GroupVersionResource;
use serde_json::{Value, json};

use crate::claim::Claim;
use crate::known::controller_revisions;
use crate::object::{
    at, controller_reference, created, is_controlled_by, labels, name, namespace, number, remove, same,
    selector, set, text, text_map, uid,
};
use crate::observed::{Observed, View};
use crate::plan::Action;
use crate::pods::template_hash;

/// Whose templates these are.
pub(crate) struct Kind {
    /// Its resource.
    pub(crate) resource: fn() -> &'static GroupVersionResource,
    /// Its kind.
    pub(crate) kind: &'static str,
    /// The label of a revision that holds the template's hash.
    pub(crate) hash_label: &'static str,
}

/// All revisions of an owner, the oldest first.
pub(crate) struct History {
    pub(crate) all: Vec<Arc<Value>>,
    /// Adoptions and releases.
    pub(crate) actions: Vec<Action>,
}

/// The revision of the owner's present template.
pub(crate) enum Present {
    /// This one, and what makes it so.
    Is(Arc<Value>, Vec<Action>),
    /// Its name is another's: the hash needs one more ingredient.
    Taken,
}

impl History {
    /// What the owner has, with what it adopts.
    pub(crate) fn of(view: &dyn View, owner: &Value, kind: &Kind) -> Self {
        let claim = Claim {
            owner,
            owner_resource: (kind.resource)(),
            api_version: "apps/v1",
            kind: kind.kind,
            claimed: controller_revisions(),
            selector: selector(owner, &["spec", "selector"]),
            finalizer: None,
        };
        let claimed = claim.of(view, |_| true);
        let mut all = claimed.mine;
        all.sort_by(|a, b| (revision(a), created(a), name(a)).cmp(&(revision(b), created(b), name(b))));
        Self { all, actions: claimed.actions }
    }

    /// The revision of the present template: made, or made the newest again, if need be.
    pub(crate) fn present(&self, observed: &Observed<'_>, owner: &Value, kind: &Kind) -> Present {
        let wanted = patch_of(at(owner, &["spec", "template"]).unwrap_or(&Value::Null));
        let next = self.all.last().map_or(1, |newest| revision(newest) + 1);
        let equal = self.all.iter().rev().find(|found| same(&found["data"], &wanted));
        if let Some(found) = equal {
            if revision(found) + 1 == next {
                return Present::Is(found.clone(), Vec::new());
            }
            let mut renewed = Value::clone(found);
            set(&mut renewed, &["revision"], json!(next));
            let renewal = Action::update(controller_revisions(), renewed.clone());
            return Present::Is(Arc::new(renewed), vec![renewal]);
        }
        let collisions = number(owner, &["status", "collisionCount"]);
        let hash = template_hash(at(owner, &["spec", "template"]).unwrap_or(&Value::Null), collisions);
        let full = format!("{}-{hash}", name(owner));
        if let Some(other) = observed.view.get(controller_revisions(), namespace(owner), &full) {
            if !is_controlled_by(&other, uid(owner)) || !same(&other["data"], &wanted) {
                return Present::Taken;
            }
            return Present::Is(other, Vec::new());
        }
        let mut labels = text_map(owner, &["spec", "template", "metadata", "labels"]);
        labels.insert(kind.hash_label.to_owned(), hash);
        let made = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": full, "namespace": namespace(owner), "labels": labels,
                "annotations": text_map(owner, &["metadata", "annotations"]),
                "ownerReferences": [controller_reference(owner, "apps/v1", kind.kind)],
            },
            "data": wanted, "revision": next,
        });
        let create = Action::create(controller_revisions(), namespace(owner), made.clone());
        Present::Is(Arc::new(made), vec![create])
    }

    /// Those that nobody needs any more, the oldest first, but for as many as are to be kept.
    pub(crate) fn excess(&self, owner: &Value, is_live: impl Fn(&Value) -> bool) -> Vec<Action> {
        let limit = number(owner, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
        let Ok(limit) = usize::try_from(limit) else { return Vec::new() };
        let dead: Vec<_> = self.all.iter().filter(|revision| !is_live(revision)).collect();
        let excess = dead.len().saturating_sub(limit);
        dead.into_iter().take(excess).map(|found| Action::delete(controller_revisions(), found)).collect()
    }
}

/// Counts a collision into the owner's status.
pub(crate) fn counted(owner: &Value, resource: &GroupVersionResource) -> Action {
    let mut counted = owner.clone();
    let before = number(owner, &["status", "collisionCount"]).unwrap_or(0);
    set(&mut counted, &["status", "collisionCount"], json!(before + 1));
    Action::update_status(resource, counted)
}

/// Where a revision is in its history.
fn revision(found: &Value) -> i64 {
    number(found, &["revision"]).unwrap_or(0)
}

/// The patch that gives an owner this template back, as kubectl applies it.
fn patch_of(template: &Value) -> Value {
    let mut template = template.clone();
    set(&mut template, &["$patch"], json!("replace"));
    json!({"spec": {"template": template}})
}

/// The template that a revision holds.
pub(crate) fn template_of(found: &Value) -> Value {
    let mut template = at(found, &["data", "spec", "template"]).cloned().unwrap_or_default();
    remove(&mut template, &["$patch"]);
    template
}

/// The revision that a pod is of.
pub(crate) fn revision_of_pod(pod: &Value) -> &str {
    text(pod, &["metadata", "labels", POD_LABEL])
}

/// The owners of a kind that a pod or revision without a manager may belong to.
pub(crate) fn suitors(
    view: &dyn View,
    object: &Value,
    resource: &GroupVersionResource,
) -> Vec<crate::observed::Key> {
    if crate::object::controller_of(object).is_some() {
        return Vec::new();
    }
    let labels = labels(object);
    let all = view.list(resource, Some(namespace(object)));
    let selecting = all.iter().filter(|owner| selector(owner, &["spec", "selector"]).matches(&labels));
    selecting.map(|owner| crate::observed::Key::of(resource, owner)).collect()
}

/// The label of a pod that names its revision.
pub(crate) const POD_LABEL: &str = "controller-revision-hash";
