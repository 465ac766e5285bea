//! The claims of a stateful set's pods: made before the pod, and owned by whoever's end is to be theirs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{KIND, is_in_range, ordinal};
use crate::known::{persistent_volume_claims, stateful_sets};
use crate::object::{
    controller_reference, flag, is_deleting, items, name, namespace, owners, set, text, text_map, uid,
};
use crate::observed::{Key, View};
use crate::plan::Action;

/// The sets whose pods may use a claim of this name.
pub(super) fn keys(claim: &Value, view: &dyn View) -> Vec<Key> {
    let all = view.list(stateful_sets(), Some(namespace(claim)));
    let uses = |found: &&Arc<Value>| {
        templates(found).iter().any(|template| {
            let rest = name(claim).strip_prefix(name(template)).and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|pod| ordinal(found, &json!({"metadata": {"name": pod}})).is_some())
        })
    };
    all.iter().filter(uses).map(|found| Key::of(stateful_sets(), found)).collect()
}

fn templates(found: &Value) -> &[Value] {
    items(found, &["spec", "volumeClaimTemplates"])
}

fn claim_name(found: &Value, template: &Value, at: i64) -> String {
    format!("{}-{}-{at}", name(template), name(found))
}

/// The volumes of a pod: those of the claims stand for others of their names.
pub(super) fn volumes(found: &Value, at: i64, of_template: &[Value]) -> Vec<Value> {
    let claimed = templates(found).iter().map(|template| {
        let claim = claim_name(found, template, at);
        json!({"name": name(template), "persistentVolumeClaim": {"claimName": claim}})
    });
    let mut all: Vec<Value> = claimed.collect();
    let taken =
        |volume: &&Value| templates(found).iter().any(|template| name(template) == text(volume, &["name"]));
    all.extend(of_template.iter().filter(|volume| !taken(volume)).cloned());
    all
}

/// The claims of a pod that there are.
fn existing(view: &dyn View, found: &Value, pod: &Value) -> Vec<Arc<Value>> {
    let Some(at) = ordinal(found, pod) else { return Vec::new() };
    let of = |template: &Value| {
        view.get(persistent_volume_claims(), namespace(found), &claim_name(found, template, at))
    };
    templates(found).iter().filter_map(of).collect()
}

/// Makes the claims that a pod lacks; none can be made while an old one is on its way out.
pub(super) fn missing(view: &dyn View, found: &Value, pod: &Value) -> Result<Vec<Action>, String> {
    let Some(at) = ordinal(found, pod) else { return Ok(Vec::new()) };
    let mut made = Vec::new();
    for template in templates(found) {
        let called = claim_name(found, template, at);
        match view.get(persistent_volume_claims(), namespace(found), &called) {
            Some(claim) if is_deleting(&claim) => return Err(format!("pvc {called} is being deleted")),
            Some(_) => {}
            None => made.push(creation(found, template, &called, name(pod))),
        }
    }
    Ok(made)
}

fn creation(found: &Value, template: &Value, called: &str, pod: &str) -> Action {
    let mut labels = text_map(template, &["metadata", "labels"]);
    labels.extend(text_map(found, &["spec", "selector", "matchLabels"]));
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": called, "namespace": namespace(found), "labels": labels,
            "annotations": text_map(template, &["metadata", "annotations"]),
        },
        "spec": template["spec"],
    });
    let set = name(found);
    Action::create(persistent_volume_claims(), namespace(found), claim).told(
        found,
        ("SuccessfulCreate", format!("create Claim {called} Pod {pod} in StatefulSet {set} success")),
        (
            "FailedCreate",
            format!("create Claim {called} for Pod {pod} in StatefulSet {set} failed error: {{}}"),
        ),
    )
}

/// Whether a claim belongs to a former pod of this name, whose end takes it along.
pub(super) fn are_stale(view: &dyn View, found: &Value, pod: &Value) -> bool {
    let policy = Policy::of(found);
    policy.when_scaled && existing(view, found, pod).iter().any(|claim| is_stale(claim, pod, "v1", "Pod"))
}

/// Makes the owners of a pod's claims what the set's policy says.
pub(super) fn upkeep(view: &dyn View, found: &Value, pod: &Value) -> Vec<Action> {
    let mut actions = Vec::new();
    for claim in existing(view, found, pod) {
        if is_stale(&claim, found, "apps/v1", KIND.kind) || is_stale(&claim, pod, "v1", "Pod") {
            continue;
        }
        let mut right = Value::clone(&claim);
        let references = references(&claim, found, pod);
        if references != owners(&claim) {
            set(&mut right, &["metadata", "ownerReferences"], Value::Array(references));
            actions.push(Action::update(persistent_volume_claims(), right));
        }
    }
    actions
}

/// What becomes of claims: whether they go with their set, and with a pod that goes for the set's size.
struct Policy {
    when_deleted: bool,
    when_scaled: bool,
}

impl Policy {
    fn of(found: &Value) -> Self {
        let goes =
            |member: &str| text(found, &["spec", "persistentVolumeClaimRetentionPolicy", member]) == "Delete";
        Self { when_deleted: goes("whenDeleted"), when_scaled: goes("whenScaled") }
    }
}

fn references(claim: &Value, found: &Value, pod: &Value) -> Vec<Value> {
    let policy = Policy::of(found);
    let is_ours =
        |owner: &Value| uid_of(owner) == uid(found) || (!uid(pod).is_empty() && uid_of(owner) == uid(pod));
    let mut others: Vec<Value> = owners(claim).iter().filter(|owner| !is_ours(owner)).cloned().collect();
    if others.iter().any(|owner| flag(owner, &["controller"])) {
        return others;
    }
    let scaled_down = !is_in_range(found, pod);
    let wanted = if policy.when_scaled && scaled_down {
        Some(controller_reference(pod, "v1", "Pod"))
    } else if policy.when_deleted {
        Some(controller_reference(found, "apps/v1", KIND.kind))
    } else {
        None
    };
    let Some(wanted) = wanted else { return others };
    // As it stands, if it does: the order of owners is nobody's business.
    let standing = owners(claim).iter().find(|owner| uid_of(owner) == uid_of(&wanted)).cloned();
    match standing.filter(|owner| flag(owner, &["controller"])) {
        Some(_) if others.len() + 1 == owners(claim).len() => owners(claim).to_vec(),
        _ => {
            others.push(wanted);
            others
        }
    }
}

/// Whether an owner of this name and kind is named that was another.
fn is_stale(claim: &Value, owner: &Value, api_version: &str, kind: &str) -> bool {
    owners(claim).iter().any(|found| {
        text(found, &["kind"]) == kind
            && text(found, &["apiVersion"]) == api_version
            && text(found, &["name"]) == name(owner)
            && uid_of(found) != uid(owner)
    })
}

fn uid_of(owner: &Value) -> &str {
    text(owner, &["uid"])
}
