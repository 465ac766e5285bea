//! Whom to end so that a more important pod fits.

use std::cmp::Reverse;
use std::sync::Arc;

use kube_object::label_selector::LabelSelector;

use crate::cycle::{Cycle, Wanted};
use crate::misfit::Diagnosis;
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
/// victims, then the fewest. The snapshot is the same afterwards.
pub fn preempt(
    snapshot: &mut Snapshot,
    pod: &Pod,
    diagnosis: &Diagnosis,
    budgets: &[DisruptionBudget],
) -> Option<Preemption> {
    if !pod.preempts {
        return None;
    }
    let clearable = diagnosis.misfits.iter().filter(|(_, misfit)| misfit.may_be_cleared());
    let places: Vec<usize> = clearable.filter_map(|(name, _)| snapshot.place_of(name)).collect();
    let tried = (places.len() / 10).max(CANDIDATES_MIN);
    let mut found: Vec<Preemption> = Vec::new();
    for place in places {
        found.extend(victims(snapshot, pod, place, budgets));
        if found.len() >= tried {
            break;
        }
    }
    found.into_iter().min_by_key(cost)
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
) -> Option<Preemption> {
    let node = snapshot.at(place)?;
    let name = Arc::clone(&node.name);
    let mut lower: Vec<Arc<Pod>> =
        node.pods.iter().filter(|other| other.priority < pod.priority).cloned().collect();
    if lower.is_empty() {
        return None;
    }
    for other in &lower {
        snapshot.remove_pod(&other.uid);
    }
    let mut victims = Vec::new();
    let mut violations = 0;
    let fits = fits(snapshot, pod, place);
    if fits {
        // Who matters most, or breaks a budget, is spared first.
        lower.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.created.cmp(&b.created)));
        let (breaking, harmless) = split(&lower, budgets);
        for (other, breaks) in
            breaking.into_iter().map(|pod| (pod, true)).chain(harmless.into_iter().map(|pod| (pod, false)))
        {
            snapshot.put(&other, place);
            if !self::fits(snapshot, pod, place) {
                snapshot.remove_pod(&other.uid);
                violations += usize::from(breaks);
                victims.push(other);
            }
        }
    }
    let gone = if fits { &victims } else { &lower };
    gone.iter().for_each(|other| snapshot.put(other, place));
    victims.sort_by_key(|victim| Reverse(victim.priority));
    (fits && !victims.is_empty()).then_some(Preemption { node: name, victims, violations })
}

fn fits(snapshot: &mut Snapshot, pod: &Pod, place: usize) -> bool {
    let wanted = Wanted::of(snapshot, pod);
    let Ok(cycle) = Cycle::new(snapshot, pod, &wanted) else { return false };
    cycle.snapshot.at(place).is_some_and(|node| cycle.check(place, node).is_none())
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

/// Upstream's `minCandidateNodesAbsolute`.
const CANDIDATES_MIN: usize = 100;
