//! Whom to end so that a more important pod fits.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use kube_object::label_selector::LabelSelector;

use crate::cycle::{Cycle, Wanted};
use crate::misfit::{Diagnosis, sentence};
use crate::pod::Pod;
use crate::snapshot::Snapshot;

/// How many pods of a set may go.
#[derive(Clone, Debug)]
pub struct DisruptionBudget {
    /// The namespace of the pods.
    pub namespace: String,
    /// The pods.
    pub selector: LabelSelector,
    /// `status.disruptionsAllowed`.
    pub allowed: i64,
}

/// What has to happen for the pod to fit.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// The node.
    pub node: Arc<str>,
    /// Who has to go there, the most important first.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them go against a disruption budget.
    pub violations: usize,
}

/// Finds the node where making room costs least: fewest budgets broken, then the least important
/// victims, then the fewest. The snapshot is the same afterwards. If there is none, the error says
/// why in upstream's words.
pub fn preempt(
    snapshot: &mut Snapshot,
    pod: &Pod,
    diagnosis: &Diagnosis,
    budgets: &[DisruptionBudget],
) -> Result<Preemption, String> {
    if !pod.preempts {
        return Err("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    if waits_for_victims(snapshot, pod) {
        return Err(WAITS_FOR_VICTIMS.to_owned());
    }
    let clearable = diagnosis.misfits.iter().filter(|(_, misfit)| misfit.may_be_cleared());
    let places: Vec<usize> = clearable.filter_map(|(name, _)| snapshot.place_of(name)).collect();
    let tried = (places.len() / 10).max(CANDIDATES_MIN);
    let mut found: Vec<Preemption> = Vec::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let hopeless = diagnosis.nodes.saturating_sub(places.len());
    if hopeless > 0 {
        reasons.insert("Preemption is not helpful for scheduling".to_owned(), hopeless);
    }
    for place in places {
        match victims(snapshot, pod, place, budgets) {
            Ok(preemption) => found.push(preemption),
            Err(why) => why.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1),
        }
        if found.len() >= tried {
            break;
        }
    }
    found.into_iter().min_by_key(cost).ok_or_else(|| sentence(diagnosis.nodes, reasons))
}

/// Whether others are ending already on the node that the pod waits for.
fn waits_for_victims(snapshot: &Snapshot, pod: &Pod) -> bool {
    let node = pod.nominated.as_ref().and_then(|name| snapshot.node(name));
    node.is_some_and(|node| node.pods.iter().any(|other| other.is_ending && other.priority < pod.priority))
}

/// Compared in this order.
fn cost(preemption: &Preemption) -> (usize, i64, i64, usize, Reverse<String>) {
    let victims = &preemption.victims;
    let highest = victims.iter().map(|pod| pod.priority).max().unwrap_or(i64::MIN);
    // Shifted so that many unimportant victims cost more than one.
    let sum = victims.iter().map(|pod| pod.priority + i64::from(i32::MAX) + 1).sum();
    let oldest = victims.iter().filter(|pod| pod.priority == highest).map(|pod| pod.created.clone()).min();
    (preemption.violations, highest, sum, victims.len(), Reverse(oldest.unwrap_or_default()))
}

fn victims(
    snapshot: &mut Snapshot,
    pod: &Pod,
    place: usize,
    budgets: &[DisruptionBudget],
) -> Result<Preemption, Vec<String>> {
    let nobody = || vec!["No preemption victims found for incoming pod".to_owned()];
    let node = snapshot.at(place).ok_or_else(nobody)?;
    let name = Arc::clone(&node.name);
    let mut lower: Vec<Arc<Pod>> =
        node.pods.iter().filter(|other| other.priority < pod.priority).cloned().collect();
    if lower.is_empty() {
        return Err(nobody());
    }
    for other in &lower {
        snapshot.remove_pod(&other.uid);
    }
    let mut victims = Vec::new();
    let mut violations = 0;
    let refused = refusal(snapshot, pod, place);
    let fits = refused.is_none();
    if fits {
        // Who matters most, or breaks a budget, is spared first.
        lower.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.created.cmp(&b.created)));
        let (breaking, harmless) = split(&lower, budgets);
        for (other, breaks) in
            breaking.into_iter().map(|pod| (pod, true)).chain(harmless.into_iter().map(|pod| (pod, false)))
        {
            snapshot.put(&other, place);
            if refusal(snapshot, pod, place).is_some() {
                snapshot.remove_pod(&other.uid);
                violations += usize::from(breaks);
                victims.push(other);
            }
        }
    }
    let gone = if fits { &victims } else { &lower };
    gone.iter().for_each(|other| snapshot.put(other, place));
    victims.sort_by_key(|victim| Reverse(victim.priority));
    match refused {
        Some(reasons) => Err(reasons),
        None if victims.is_empty() => Err(nobody()),
        None => Ok(Preemption { node: name, victims, violations }),
    }
}

/// What keeps the pod from a node, in upstream's words.
fn refusal(snapshot: &mut Snapshot, pod: &Pod, place: usize) -> Option<Vec<String>> {
    let wanted = Wanted::of(snapshot, pod);
    let cycle = match Cycle::new(snapshot, pod, &wanted) {
        Ok(cycle) => cycle,
        Err(why) => return Some(vec![why]),
    };
    let node = cycle.snapshot.at(place)?;
    cycle.check(place, node).map(|misfit| misfit.reasons())
}

/// Those whose end breaks a budget, and the others, in the same order.
fn split(pods: &[Arc<Pod>], budgets: &[DisruptionBudget]) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut left: Vec<i64> = budgets.iter().map(|budget| budget.allowed).collect();
    pods.iter().cloned().partition(|pod| {
        let mut breaks = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            if *budget.namespace == *pod.namespace && budget.selector.matches(&pod.labels) {
                *left -= 1;
                breaks |= *left < 0;
            }
        }
        breaks
    })
}

/// Why nobody else has to go for a pod that others are going for.
pub const WAITS_FOR_VICTIMS: &str = "not eligible due to a terminating pod on the nominated node.";

/// Upstream's `minCandidateNodesAbsolute`.
const CANDIDATES_MIN: usize = 100;
