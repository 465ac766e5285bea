//! The replica sets of a deployment: which is of the template, what they are called and what they remember.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::known::{deployments, replica_sets};
use crate::object::{
    annotation, at, controller_reference, created, is_controlled_by, name, namespace, number, remove, same,
    set, text, text_map, uid,
};
use crate::observed::Observed;
use crate::plan::{Action, Plan};
use crate::pods::template_hash;

/// A deployment's replica sets.
pub(crate) struct Sets {
    /// The one of the present template.
    pub(crate) newest: Option<Arc<Value>>,
    /// All others.
    pub(crate) old: Vec<Arc<Value>>,
}

impl Sets {
    pub(crate) fn of(deployment: &Value, mut all: Vec<Arc<Value>>) -> Self {
        all.sort_by(|a, b| (created(a), name(a)).cmp(&(created(b), name(b))));
        // Of several the oldest, so that everybody finds the same one.
        let found = all.iter().position(|set| is_of_template(set, deployment));
        let newest = found.map(|at| all.remove(at));
        Self { newest, old: all }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.newest)
    }

    pub(crate) fn active_old(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().filter(|set| replicas(set) > 0)
    }

    fn next_revision(&self) -> i64 {
        self.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1
    }

    /// Writes what the newest replica set and the deployment must remember, if they do not.
    pub(crate) fn revision_of_newest(&self, deployment: &Value) -> Option<Plan> {
        let newest = self.newest.as_ref()?;
        let mut right = Value::clone(newest);
        let number = self.next_revision().max(revision(newest));
        remember(&mut right, deployment, number);
        let min_ready = at(deployment, &["spec", "minReadySeconds"]).cloned();
        match min_ready.filter(|seconds| *seconds != json!(0)) {
            Some(seconds) => set(&mut right, &["spec", "minReadySeconds"], seconds),
            None => remove(&mut right, &["spec", "minReadySeconds"]),
        }
        if !same(&right, newest) {
            return Some(Plan::of(
                "its newest replica set must know more",
                vec![Action::update(replica_sets(), right)],
            ));
        }
        let said = annotation(newest, REVISION)?;
        if annotation(deployment, REVISION) == Some(said) {
            return None;
        }
        let mut told = deployment.clone();
        set(&mut told, &["metadata", "annotations", REVISION], json!(said));
        // With the status, since annotations count as a change of the deployment itself otherwise.
        Some(Plan::of("its revision moved", vec![Action::update_status(deployments(), told)]))
    }

    /// A replica set of the deployment's template; or, if its name is taken, what to do about that.
    pub(crate) fn made_of_template(
        &self,
        observed: &Observed<'_>,
        deployment: &Value,
        replicas: i64,
    ) -> Result<Value, Plan> {
        let template = at(deployment, &["spec", "template"]).cloned().unwrap_or_default();
        let collisions = number(deployment, &["status", "collisionCount"]);
        let hash = template_hash(&template, collisions);
        let full = format!("{}-{hash}", name(deployment));
        if let Some(other) = observed.view.get(replica_sets(), namespace(deployment), &full) {
            return Err(collision(deployment, &other, collisions));
        }
        let mut labelled = template;
        set(&mut labelled, &["metadata", "labels", HASH], json!(hash));
        let mut selector = at(deployment, &["spec", "selector"]).cloned().unwrap_or_default();
        set(&mut selector, &["matchLabels", HASH], json!(hash));
        let mut made = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": full, "namespace": namespace(deployment),
                "labels": at(&labelled, &["metadata", "labels"]),
                "ownerReferences": [controller_reference(deployment, "apps/v1", "Deployment")],
            },
            "spec": {"replicas": replicas, "selector": selector, "template": labelled},
        });
        if let Some(seconds) =
            number(deployment, &["spec", "minReadySeconds"]).filter(|seconds| *seconds != 0)
        {
            set(&mut made, &["spec", "minReadySeconds"], json!(seconds));
        }
        remember(&mut made, deployment, self.next_revision());
        Ok(made)
    }
}

/// The name is of a replica set with another template: the hash needs one more ingredient.
fn collision(deployment: &Value, other: &Value, collisions: Option<i64>) -> Plan {
    if is_controlled_by(other, uid(deployment)) && is_of_template(other, deployment) {
        return Plan::nothing("the replica set is there");
    }
    let mut counted = deployment.clone();
    set(&mut counted, &["status", "collisionCount"], json!(collisions.unwrap_or(0) + 1));
    Plan::of("the replica set's name is taken", vec![Action::update_status(deployments(), counted)])
}

/// Whether a replica set's template is the deployment's, but for the hash that it was given.
fn is_of_template(found: &Value, deployment: &Value) -> bool {
    let mut template = at(found, &["spec", "template"]).cloned().unwrap_or_default();
    remove(&mut template, &["metadata", "labels", HASH]);
    same(&template, at(deployment, &["spec", "template"]).unwrap_or(&Value::Null))
}

/// The annotations of a replica set: the deployment's own, the revision, and those that it held before.
fn remember(found: &mut Value, deployment: &Value, number: i64) {
    let own = text_map(deployment, &["metadata", "annotations"]);
    let mut all: BTreeMap<String, String> = text_map(found, &["metadata", "annotations"]);
    all.extend(own.into_iter().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())));
    let before = revision(found);
    if before < number {
        if before > 0 {
            let mut history: Vec<String> =
                all.get(HISTORY).map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default();
            history.push(before.to_string());
            all.insert(HISTORY.to_owned(), history.join(","));
        }
        all.insert(REVISION.to_owned(), number.to_string());
    }
    set(found, &["metadata", "annotations"], json!(all));
    let wanted = crate::object::number(deployment, &["spec", "replicas"]).unwrap_or(1);
    if annotation(found, DESIRED).is_none() {
        let recreated = text(deployment, &["spec", "strategy", "type"]) == "Recreate";
        let surge = at(deployment, &["spec", "strategy", "rollingUpdate", "maxSurge"]);
        let surge = if recreated { 0 } else { crate::object::scaled(surge, wanted, true).unwrap_or(0) };
        remember_size(found, wanted, wanted + surge);
    }
}

/// The deployment's size when the replica set was last scaled: how a change of it is seen.
pub(crate) fn remember_size(found: &mut Value, desired: i64, most: i64) {
    set(found, &["metadata", "annotations", DESIRED], json!(desired.to_string()));
    set(found, &["metadata", "annotations", MOST], json!(most.to_string()));
}

/// The size that a replica set is told to have.
pub(crate) fn replicas(found: &Value) -> i64 {
    number(found, &["spec", "replicas"]).unwrap_or(1)
}

/// Which rollout a replica set is of.
pub(crate) fn revision(found: &Value) -> i64 {
    annotation(found, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The label that keeps the pods of two replica sets apart.
const HASH: &str = "pod-template-hash";
/// The annotation that counts rollouts.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The annotation with the deployment's size when the replica set was scaled.
pub(crate) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The annotation with the most pods that there might be then.
pub(crate) const MOST: &str = "deployment.kubernetes.io/max-replicas";
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
];
