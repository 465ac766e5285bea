//! `deployment-controller`: one replica set for each template, and the way from one to the next.
//!
//! A plan writes the deployment itself at most once, so that no write of it meets another's revision; what
//! follows is decided when the cache shows that write.

mod rolling;
mod sets;
mod status;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::claim::Claim;
use crate::known::{deployments, pods, replica_sets};
use crate::object::{
    annotation, at, controller_of, flag, is_deleting, labels, name, namespace, number, selector, set, text,
    uid,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use sets::Sets;

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "deployment-controller",
    concurrency: 5,
    watches: Watches::These(&[deployments, replica_sets, pods]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(deployments()) {
        return vec![change.key()];
    }
    if change.is(replica_sets()) {
        let mut keys = change.controllers(deployments(), "Deployment");
        if let Some(set) = change.new.filter(|set| controller_of(set).is_none()) {
            let labels = labels(set);
            let all = view.list(deployments(), Some(namespace(set)));
            let selecting =
                all.iter().filter(|found| selector(found, &["spec", "selector"]).matches(&labels));
            keys.extend(selecting.map(|found| Key::of(deployments(), found)));
        }
        return keys;
    }
    // Recreation waits for the end of the old pods; nobody else cares for pods.
    let ended = change.new.is_none_or(crate::pods::is_finished);
    let of_set = change.controllers(replica_sets(), "ReplicaSet").into_iter().filter(|_| ended);
    of_set
        .filter_map(|key| {
            let set = view.get(&key.resource, &key.namespace, &key.name)?;
            let owner = controller_of(&set).filter(|owner| text(owner, &["kind"]) == "Deployment")?;
            let key = Key::new(deployments(), &key.namespace, text(owner, &["name"]));
            let found = view.get(deployments(), &key.namespace, &key.name)?;
            is_recreated(&found).then_some(key)
        })
        .collect()
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(found) = observed.object() else { return Plan::nothing("the deployment is gone") };
    let selected = selector(&found, &["spec", "selector"]);
    if selected.is_everything() {
        let warning = Action::warning(
            &found,
            "SelectingAll",
            "This deployment is selecting all pods. A non-empty selector is required.",
        );
        return Plan::of("it would select all pods", vec![warning]);
    }
    let claim = Claim {
        owner: &found,
        owner_resource: deployments(),
        api_version: "apps/v1",
        kind: "Deployment",
        claimed: replica_sets(),
        selector: selected,
        finalizer: None,
    };
    let claimed = claim.of(observed.view, |_| true);
    if !claimed.actions.is_empty() {
        return Plan::of("replica sets are claimed", claimed.actions);
    }
    let rollout = Rollout { observed, deployment: &found, sets: Sets::of(&found, claimed.mine) };
    rollout.plan()
}

/// One look at a deployment and its replica sets.
pub(crate) struct Rollout<'a> {
    observed: &'a Observed<'a>,
    deployment: &'a Arc<Value>,
    sets: Sets,
}

impl Rollout<'_> {
    fn plan(&self) -> Plan {
        if is_deleting(self.deployment) {
            return self.with_status("it is to go", Vec::new(), false);
        }
        if let Some(said) = status::paused(self) {
            let actions = vec![Action::update_status(deployments(), said)];
            return Plan::of("it was paused or resumed", actions);
        }
        if self.is_paused() {
            let mut actions = self.proportional();
            actions.extend(self.clean_up());
            return self.with_status("it is paused", actions, false);
        }
        if let Some(update) = self.sets.revision_of_newest(self.deployment) {
            return update;
        }
        if self.is_scaled() {
            return self.with_status("it was scaled", self.proportional(), false);
        }
        if is_recreated(self.deployment) { self.recreate() } else { self.roll() }
    }

    /// All old pods end before a new one is made.
    fn recreate(&self) -> Plan {
        let down: Vec<_> = self.sets.active_old().flat_map(|set| self.scale(set, 0)).collect();
        if !down.is_empty() {
            return self.with_status("old replica sets go down", down, true);
        }
        let runs = |set: &Arc<Value>| {
            let owned = self.observed.view.owned(pods(), uid(set));
            owned.iter().any(|pod| !crate::pods::is_finished(pod))
        };
        if self.sets.old.iter().any(runs) {
            return self.with_status("old pods are there still", Vec::new(), true);
        }
        let Some(newest) = &self.sets.newest else { return self.create(self.wanted()) };
        let mut actions = self.scale(newest, self.wanted());
        if self.is_complete() {
            actions.extend(self.clean_up());
        }
        self.with_status("the new replica set has all pods", actions, true)
    }

    /// Makes the replica set of the template.
    fn create(&self, replicas: i64) -> Plan {
        let made = match self.sets.made_of_template(self.observed, self.deployment, replicas) {
            Ok(made) => made,
            Err(plan) => return plan,
        };
        let message = format!("Scaled up replica set {} from 0 to {replicas}", name(&made));
        let mut actions = vec![Action::create(replica_sets(), namespace(self.deployment), made)];
        if replicas > 0 {
            actions.push(Action::event(self.deployment, "ScalingReplicaSet", message));
        }
        self.with_status("the template is new", actions, true)
    }

    /// Sets the size of a replica set, and what it remembers of the deployment's.
    fn scale(&self, found: &Arc<Value>, replicas: i64) -> Vec<Action> {
        let before = sets::replicas(found);
        let mut scaled = Value::clone(found);
        set(&mut scaled, &["spec", "replicas"], json!(replicas));
        sets::remember_size(&mut scaled, self.wanted(), self.wanted() + self.surge());
        if scaled == **found {
            return Vec::new();
        }
        let mut actions = vec![Action::update(replica_sets(), scaled)];
        if before != replicas {
            let way = if replicas > before { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {before} to {replicas}", name(found));
            actions.push(Action::event(self.deployment, "ScalingReplicaSet", message));
        }
        actions
    }

    /// Old replica sets that nobody needs to roll back to.
    fn clean_up(&self) -> Vec<Action> {
        let Some(limit) = number(self.deployment, &["spec", "revisionHistoryLimit"]) else {
            return Vec::new();
        };
        let mut dead: Vec<_> = self.sets.old.iter().filter(|set| !is_deleting(set)).collect();
        let excess = dead.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        dead.sort_by_key(|set| (sets::revision(set), crate::object::created(set)));
        let idle = |set: &&&Arc<Value>| {
            sets::replicas(set) == 0
                && number(set, &["status", "replicas"]).unwrap_or(0) == 0
                && number(set, &["status", "observedGeneration"]).unwrap_or(0)
                    >= crate::object::generation(set)
        };
        dead.iter().take(excess).filter(idle).map(|set| Action::delete(replica_sets(), set)).collect()
    }

    /// Adds the status that is true now; whether the rollout's progress is judged too.
    fn with_status(&self, why: &str, mut actions: Vec<Action>, progress: bool) -> Plan {
        let (said, due) = status::of(self, progress);
        if let Some(said) = said {
            actions.push(Action::update_status(deployments(), said));
        }
        Plan::of(why, actions).again_after(due)
    }

    fn is_complete(&self) -> bool {
        let status = |member: &str| number(self.deployment, &["status", member]).unwrap_or(0);
        let wanted = self.wanted();
        status("updatedReplicas") == wanted
            && status("replicas") == wanted
            && status("availableReplicas") == wanted
            && status("observedGeneration") >= crate::object::generation(self.deployment)
    }

    /// Whether the size was changed since the replica sets were last scaled.
    fn is_scaled(&self) -> bool {
        let wanted = self.wanted().to_string();
        let all = self.sets.all().filter(|set| sets::replicas(set) > 0);
        all.filter_map(|set| annotation(set, sets::DESIRED)).any(|desired| desired != wanted)
    }

    fn is_paused(&self) -> bool {
        flag(self.deployment, &["spec", "paused"])
    }

    fn wanted(&self) -> i64 {
        number(self.deployment, &["spec", "replicas"]).unwrap_or(1).max(0)
    }

    /// How many pods there may be more than wanted.
    fn surge(&self) -> i64 {
        if is_recreated(self.deployment) { 0 } else { self.fence().0 }
    }

    /// How many pods may be missing.
    fn unavailable(&self) -> i64 {
        if is_recreated(self.deployment) || self.wanted() == 0 {
            0
        } else {
            self.fence().1.min(self.wanted())
        }
    }

    /// `maxSurge` and `maxUnavailable` as counts; not both may be nothing, or nothing would move.
    fn fence(&self) -> (i64, i64) {
        let of = |member: &str, round_up| {
            let value = at(self.deployment, &["spec", "strategy", "rollingUpdate", member]);
            crate::object::scaled(value, self.wanted(), round_up).unwrap_or(0).max(0)
        };
        match (of("maxSurge", true), of("maxUnavailable", false)) {
            (0, 0) => (0, 1),
            both => both,
        }
    }
}

fn is_recreated(deployment: &Value) -> bool {
    text(deployment, &["spec", "strategy", "type"]) == "Recreate"
}

#[cfg(test)]
mod tests;
