//! `horizontal-pod-autoscaler`: as many replicas as metrics ask for.
//!
//! ```text
//! scale ─▶ metrics ─▶ proposal of each, the largest ─▶ stabilized over time ─▶ rates, least and most ─▶ scale
//! ```
//!
//! Neither a scale nor a metric can be watched: the loop asks for them, every time that it looks.

mod metrics;
mod rates;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kube_object::label_selector::LabelSelector;
use serde_json::{Map, Value, json};

use crate::conditions::{self, Condition};
use crate::known::{autoscalers, pods};
use crate::object::{at, generation, is_deleting, items, namespace, number, same, set, text, time};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Ask, Plan, Target};
use metrics::{Proposal, Trouble};
use rates::Past;

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "horizontal-pod-autoscaler",
    concurrency: 5,
    watches: Watches::These(&[autoscalers, pods]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, _: &dyn View) -> Vec<Key> {
    // It looks again by itself: what it tells of itself is no reason to.
    let meant = |found: &Value| (generation(found), at(found, &["spec"]).cloned());
    let counts =
        change.is(autoscalers()) && change.new.is_some() && change.old.map(meant) != change.new.map(meant);
    if counts { vec![change.key()] } else { Vec::new() }
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(found) = observed.object().filter(|found| !is_deleting(found)) else {
        return Plan::nothing("it is gone").remembering(Value::Null);
    };
    let wait = u64::try_from(observed.settings.autoscaler.sync_seconds).unwrap_or(15);
    let plan = Look::new(observed, &found).decide();
    if plan.asks.is_empty() { plan.again_after(Some(Duration::from_secs(wait))) } else { plan }
}

/// One look at an autoscaler.
struct Look<'a> {
    observed: &'a Observed<'a>,
    hpa: &'a Arc<Value>,
    conditions: Vec<Value>,
    events: Vec<Action>,
    past: Past,
}

/// What the target is, and how large.
struct Scaled {
    resource: kube_object::resource::GroupVersionResource,
    scale: Value,
    /// The size that it is told to have.
    wanted: i64,
    /// The size that it has.
    has: i64,
}

/// The size to have, and why.
struct Choice {
    replicas: i64,
    reason: String,
    metrics: Vec<Value>,
}

impl<'a> Look<'a> {
    fn new(observed: &'a Observed<'a>, hpa: &'a Arc<Value>) -> Self {
        let past = Past::of(observed.memory, observed.now.as_millisecond());
        Self { observed, hpa, conditions: conditions::list(hpa), events: Vec::new(), past }
    }

    fn decide(mut self) -> Plan {
        let scaled = match self.scaled() {
            Ok(scaled) => scaled,
            Err(None) => return Plan::asking(self.ask_scale().into_iter().collect()),
            Err(Some(trouble)) => {
                self.events.push(Action::warning(self.hpa, "FailedGetScale", trouble.clone()));
                let text =
                    format!("the HPA controller was unable to get the target's current scale: {trouble}");
                self.say("AbleToScale", false, "FailedGetScale", &text);
                let keeping = Choice::keeping(self.number("currentReplicas"), Vec::new());
                return self.finish("its target cannot be read", None, &keeping);
            }
        };
        self.say(
            "AbleToScale",
            true,
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        );
        let choice = match self.choose(&scaled) {
            Ok(choice) => choice,
            Err(Unsettled::Asks(asks)) => return Plan::asking(asks),
            Err(Unsettled::Nothing(metrics)) => {
                let keeping = Choice::keeping(self.number("desiredReplicas"), metrics);
                return self.finish("its metrics cannot be had", Some(&scaled), &keeping);
            }
        };
        self.finish("its metrics were looked at", Some(&scaled), &choice)
    }

    fn number(&self, member: &str) -> i64 {
        number(self.hpa, &["status", member]).unwrap_or(0)
    }

    /// The target's `scale`, asked for.
    fn ask_scale(&self) -> Option<Ask> {
        let target = &self.hpa["spec"]["scaleTargetRef"];
        let group = text(target, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
        let resources = self.observed.view.resources();
        let kind = text(target, &["kind"]);
        let found = resources.iter().find(|found| found.kind == kind && found.gvr.group == group)?;
        let target = Target {
            resource: found.gvr.clone(),
            namespace: namespace(self.hpa).to_owned(),
            name: text(target, &["name"]).to_owned(),
            uid: String::new(),
        };
        Some(Ask::Part { target, part: "scale" })
    }

    /// What is to be scaled; no error yet if it has to be asked for.
    fn scaled(&self) -> Result<Scaled, Option<String>> {
        let target = &self.hpa["spec"]["scaleTargetRef"];
        let unknown = || {
            let (kind, version) = (text(target, &["kind"]), text(target, &["apiVersion"]));
            Some(format!("no matches for kind {kind:?} in version {version:?}"))
        };
        let ask = self.ask_scale().ok_or_else(unknown)?;
        let Ask::Part { target, .. } = &ask else { return Err(None) };
        let scale = match self.observed.answer(&ask) {
            None => return Err(None),
            Some(Err(status)) => return Err(Some(status.message.clone())),
            Some(Ok(scale)) => scale.clone(),
        };
        let of = |part: &str| number(&scale, &[part, "replicas"]).unwrap_or(0);
        Ok(Scaled { resource: target.resource.clone(), wanted: of("spec"), has: of("status"), scale })
    }

    /// The size to have.
    fn choose(&mut self, scaled: &Scaled) -> Result<Choice, Unsettled> {
        let (least, most) = self.limits();
        if scaled.wanted == 0 && least != 0 {
            let text = "scaling is disabled since the replica count of the target is zero";
            self.say("ScalingActive", false, "ScalingDisabled", text);
            return Ok(Choice::keeping(0, Vec::new()));
        }
        let outside =
            |replicas: i64, text: &str| Choice { replicas, reason: text.to_owned(), metrics: Vec::new() };
        if scaled.wanted > most {
            return Ok(outside(most, "Current number of replicas above Spec.MaxReplicas"));
        }
        if scaled.wanted < least {
            return Ok(outside(least, "Current number of replicas below Spec.MinReplicas"));
        }
        let (proposal, metrics) = self.propose(scaled)?;
        let replicas = self.past.choose(&rates::Question {
            hpa: self.hpa,
            settings: &self.observed.settings.autoscaler,
            now: self.observed.now.as_millisecond(),
            current: scaled.wanted,
            proposed: proposal.replicas,
            least,
            most,
        });
        let (able, limited) = (replicas.able, replicas.limited);
        self.say("AbleToScale", true, able.0, able.1);
        self.say("ScalingLimited", limited.0 != "DesiredWithinRange", limited.0, limited.1);
        let reason = match replicas.count.cmp(&scaled.wanted) {
            std::cmp::Ordering::Greater => format!("{} above target", proposal.metric),
            _ => "All metrics below target".to_owned(),
        };
        Ok(Choice { replicas: replicas.count, reason, metrics })
    }

    /// The largest proposal of all metrics, and what is told of them.
    fn propose(&mut self, scaled: &Scaled) -> Result<(Proposal, Vec<Value>), Unsettled> {
        let selector = text(&scaled.scale, &["status", "selector"]);
        let parsed = LabelSelector::parse(selector).ok().filter(|_| !selector.is_empty());
        let Some(selected) = parsed else {
            let text = "the HPA target's scale is missing a selector";
            self.say("ScalingActive", false, "InvalidSelector", text);
            self.events.push(Action::warning(self.hpa, "SelectorRequired", "selector is required"));
            return Err(Unsettled::Nothing(Vec::new()));
        };
        let source = metrics::Source {
            observed: self.observed,
            hpa: self.hpa,
            current: scaled.wanted,
            has: scaled.has,
            selector,
            pods: self.observed.view.select(pods(), namespace(self.hpa), &selected),
        };
        let specs = items(self.hpa, &["spec", "metrics"]).to_vec();
        let (mut best, mut told, mut asks, mut troubles) =
            (None::<Proposal>, Vec::new(), Vec::new(), Vec::new());
        for spec in &specs {
            match source.propose(spec) {
                Ok(proposal) => {
                    told.push(proposal.status.clone());
                    if best.as_ref().is_none_or(|best| best.replicas < proposal.replicas) {
                        best = Some(proposal);
                    }
                }
                Err(Trouble::Asks(path)) => asks.push(Ask::Path(path)),
                Err(Trouble::Fails(reason, text)) => troubles.push((reason, text)),
            }
        }
        if !asks.is_empty() {
            return Err(Unsettled::Asks(asks));
        }
        for (reason, text) in &troubles {
            self.events.push(Action::warning(self.hpa, reason, text.clone()));
        }
        let first = troubles.first().cloned();
        match (best, first) {
            (Some(best), first) if first.is_none() || best.replicas >= scaled.wanted => {
                let text = format!(
                    "the HPA was able to successfully calculate a replica count from {}",
                    best.metric
                );
                self.say("ScalingActive", true, "ValidMetricFound", &text);
                Ok((best, told))
            }
            // With a metric missing nobody knows whether less would do.
            (_, first) => {
                let (reason, text) = first.unwrap_or(("InvalidMetricSourceType", "no metrics".to_owned()));
                let said = format!("the HPA was unable to compute the replica count: {text}");
                self.say("ScalingActive", false, reason, &said);
                let text = format!(
                    "invalid metrics ({} invalid out of {}), first error is: {text}",
                    troubles.len(),
                    specs.len()
                );
                self.events.push(Action::warning(self.hpa, "FailedComputeMetricsReplicas", text));
                Err(Unsettled::Nothing(told))
            }
        }
    }

    fn limits(&self) -> (i64, i64) {
        let of = |member: &str| number(self.hpa, &["spec", member]).unwrap_or(1);
        (of("minReplicas"), of("maxReplicas"))
    }

    /// Scales, tells, remembers.
    fn finish(mut self, why: &str, scaled: Option<&Scaled>, choice: &Choice) -> Plan {
        let mut actions = Vec::new();
        let mut last = time(self.hpa, &["status", "lastScaleTime"]);
        let rescaled = scaled.filter(|scaled| !choice.reason.is_empty() && scaled.wanted != choice.replicas);
        if let Some(scaled) = rescaled {
            actions.push(self.rescale(scaled, choice));
            last = Some(self.observed.seconds());
            if self.observed.failure.is_none() {
                self.past.scaled(scaled.wanted, choice.replicas, self.observed.now.as_millisecond());
            }
        }
        let desired = match scaled {
            Some(scaled) if rescaled.is_none() && !choice.reason.is_empty() => scaled.wanted,
            _ => choice.replicas,
        };
        let mut status = Map::new();
        status.insert("desiredReplicas".to_owned(), json!(desired));
        let has = scaled.map_or(self.number("currentReplicas"), |scaled| scaled.has);
        for (member, value) in
            [("currentReplicas", json!(has)), ("observedGeneration", json!(generation(self.hpa)))]
        {
            if value != json!(0) {
                status.insert(member.to_owned(), value);
            }
        }
        if let Some(last) = last {
            status.insert("lastScaleTime".to_owned(), json!(crate::object::time_text(last)));
        }
        if !choice.metrics.is_empty() {
            status.insert("currentMetrics".to_owned(), json!(choice.metrics));
        }
        status.insert("conditions".to_owned(), json!(self.conditions));
        let status = Value::Object(status);
        if !same(&status, at(self.hpa, &["status"]).unwrap_or(&Value::Null)) {
            let mut said = Value::clone(self.hpa);
            set(&mut said, &["status"], status);
            actions.push(Action::update_status(autoscalers(), said));
        }
        // What is told comes last: a refused scale is told of by itself.
        actions.append(&mut self.events);
        Plan::of(why, actions).remembering(self.past.memory())
    }

    fn rescale(&mut self, scaled: &Scaled, choice: &Choice) -> Action {
        let mut scale = scaled.scale.clone();
        set(&mut scale, &["spec", "replicas"], json!(choice.replicas));
        let text = format!("the HPA controller was able to update the target scale to {}", choice.replicas);
        self.say("AbleToScale", true, "SucceededRescale", &text);
        let (size, reason) = (choice.replicas, &choice.reason);
        let update = Action::Update { resource: scaled.resource.clone(), part: Some("scale"), object: scale };
        update.told(
            self.hpa,
            ("SuccessfulRescale", format!("New size: {size}; reason: {reason}")),
            ("FailedRescale", format!("New size: {size}; reason: {reason}; error: {{}}")),
        )
    }

    fn say(&mut self, kind: &str, holds: bool, reason: &str, message: &str) {
        let condition = Condition { kind, holds, reason, message };
        conditions::write(&mut self.conditions, &condition, &self.observed.time());
    }
}

impl Choice {
    fn keeping(replicas: i64, metrics: Vec<Value>) -> Self {
        Self { replicas, reason: String::new(), metrics }
    }
}

/// Why there is no size yet.
enum Unsettled {
    /// These must be known first.
    Asks(Vec<Ask>),
    /// Nothing can be known; this much is.
    Nothing(Vec<Value>),
}
