//! What of the bootstrap roles and bindings a cluster lacks: pure, run at every start.
//!
//! A role gets the rules that it lacks and keeps those that somebody added; a binding gets
//! its subjects back. An object whose annotation says no is left alone.

use kube_object::cluster::Cluster;
use serde_json::{Map, Value, json};

use super::{AUTOUPDATE, objects};
use crate::rbac::escalation::missing;
use crate::rbac::index::{str_at, text_at};
use crate::rbac::{Rule, resource};

/// One thing to do at start.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The object is not there. Its namespace may have to be made first.
    Create(Value),
    /// The object lacks something: this is what it should be.
    Update(Value),
    /// The binding refers to another role, which cannot be changed: make it anew.
    Replace(Value),
}

/// What to do so that the cluster has all bootstrap roles and bindings.
pub fn plan(cluster: &dyn Cluster) -> Vec<Step> {
    objects().into_iter().filter_map(|wanted| step(cluster, wanted)).collect()
}

fn step(cluster: &dyn Cluster, wanted: Value) -> Option<Step> {
    let kind = text_at(&wanted, &["kind"]);
    let plural = format!("{}s", kind.to_lowercase());
    let meta = |field| str_at(&wanted, &["metadata", field]);
    let Some(found) = cluster.get(&resource(&plural), meta("namespace"), meta("name")) else {
        return Some(Step::Create(wanted));
    };
    if str_at(&found, &["metadata", "annotations", AUTOUPDATE]) == "false" {
        return None;
    }
    if kind.ends_with("Binding") { binding_step(&found, wanted) } else { role_step(&found, &wanted) }
}

fn role_step(found: &Value, wanted: &Value) -> Option<Step> {
    let mut updated = found.clone();
    let mut changed = merge_meta(&mut updated, wanted);
    if let Some(rule) = wanted.get("aggregationRule") {
        let selectors =
            |role: &Value| role.get("aggregationRule").and_then(|r| r.get("clusterRoleSelectors")).cloned();
        let has = selectors(found).and_then(|value| value.as_array().cloned()).unwrap_or_default();
        let wants = selectors(wanted).and_then(|value| value.as_array().cloned()).unwrap_or_default();
        if wants.iter().any(|selector| !has.contains(selector)) {
            let mut all = has;
            all.extend(wants.into_iter().filter(|selector| !all.contains(selector)).collect::<Vec<_>>());
            let mut rule = rule.clone();
            set(&mut rule, "clusterRoleSelectors", Value::Array(all));
            set(&mut updated, "aggregationRule", rule);
            changed = true;
        }
    } else {
        let has = Rule::all_of(found);
        let wants = Rule::all_of(wanted);
        let missing = missing(&has.iter().collect::<Vec<_>>(), &wants);
        if !missing.is_empty() {
            let rules = has.iter().chain(&missing).map(Rule::to_value).collect();
            set(&mut updated, "rules", Value::Array(rules));
            changed = true;
        }
    }
    changed.then_some(Step::Update(updated))
}

fn binding_step(found: &Value, wanted: Value) -> Option<Step> {
    if found.get("roleRef") != wanted.get("roleRef") {
        return Some(Step::Replace(wanted));
    }
    let mut updated = found.clone();
    let mut changed = merge_meta(&mut updated, &wanted);
    let list = |object: &Value| object.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut subjects = list(found);
    let missing: Vec<_> = list(&wanted).into_iter().filter(|subject| !subjects.contains(subject)).collect();
    if !missing.is_empty() {
        subjects.extend(missing);
        set(&mut updated, "subjects", Value::Array(subjects));
        changed = true;
    }
    changed.then_some(Step::Update(updated))
}

/// Adds labels and annotations that are wanted and not there; says whether there were any.
fn merge_meta(object: &mut Value, wanted: &Value) -> bool {
    let mut changed = false;
    for field in ["labels", "annotations"] {
        let Some(wanted) = wanted.get("metadata").and_then(|meta| meta.get(field)).and_then(Value::as_object)
        else {
            continue;
        };
        let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { continue };
        let has = meta.entry(field).or_insert_with(|| json!({}));
        if !has.is_object() {
            *has = Value::Object(Map::new());
        }
        let Some(has) = has.as_object_mut() else { continue };
        for (key, value) in wanted {
            if !has.contains_key(key) {
                has.insert(key.clone(), value.clone());
                changed = true;
            }
        }
    }
    changed
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(field.to_owned(), value);
    }
}
