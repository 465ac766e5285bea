//! The decision: which node a pod goes to, or why none.

use std::sync::Arc;

use crate::cycle::{Cycle, Wanted};
use crate::misfit::Diagnosis;
use crate::pod::Pod;
use crate::score::Score;
use crate::snapshot::Snapshot;

/// What was decided about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes to a node.
    Place(Placement),
    /// It goes nowhere for now.
    Unschedulable(Diagnosis),
}

/// Where a pod goes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The node.
    pub node: Arc<str>,
    /// How many nodes were looked at.
    pub looked_at: usize,
    /// How many of them would have done.
    pub feasible: usize,
    /// The node's scores, weighed; empty if it was the only one.
    pub scores: Vec<(Score, i64)>,
}

/// Decides about a pod. `turn` says where among the nodes the search begins and which of equally
/// good ones is taken: who counts it up spreads the load.
pub fn schedule(snapshot: &mut Snapshot, pod: &Pod, turn: usize) -> Decision {
    snapshot.census.sweep();
    let wanted = Wanted::of(snapshot, pod);
    let snapshot = &*snapshot;
    let mut diagnosis = Diagnosis { nodes: snapshot.len(), ..Diagnosis::default() };
    let cycle = match Cycle::new(snapshot, pod, &wanted) {
        Ok(cycle) => cycle,
        Err(why) => return Decision::Unschedulable(Diagnosis { everywhere: Some(why), ..diagnosis }),
    };
    let nominated = pod.nominated.as_ref().and_then(|name| snapshot.place_of(name));
    if let Some(place) = nominated
        && let Some(node) = snapshot.at(place)
        && cycle.check(place, node).is_none()
    {
        return Decision::Place(placement(&cycle, &[place], 1, turn));
    }
    let (mut feasible, mut looked_at) = (Vec::new(), 0);
    let enough = enough(snapshot.len());
    for place in cycle.places(turn) {
        let Some(node) = snapshot.at(place) else { continue };
        looked_at += 1;
        match cycle.check(place, node) {
            None => feasible.push(place),
            Some(misfit) => diagnosis.misfits.push((Arc::clone(&node.name), misfit)),
        }
        if feasible.len() >= enough {
            break;
        }
    }
    if feasible.is_empty() {
        return Decision::Unschedulable(diagnosis);
    }
    Decision::Place(placement(&cycle, &feasible, looked_at, turn))
}

fn placement(cycle: &Cycle<'_>, feasible: &[usize], looked_at: usize, turn: usize) -> Placement {
    let name = |place: usize| cycle.snapshot.at(place).map(|node| Arc::clone(&node.name)).unwrap_or_default();
    if let [only] = feasible {
        return Placement { node: name(*only), looked_at, feasible: 1, scores: Vec::new() };
    }
    let scores: Vec<(Score, Vec<i64>)> =
        Score::ALL.into_iter().map(|score| (score, score.of(cycle, feasible))).collect();
    let total = |at: usize| -> i64 {
        scores.iter().map(|(score, values)| score.weight() * values.get(at).copied().unwrap_or(0)).sum()
    };
    let totals: Vec<i64> = (0..feasible.len()).map(total).collect();
    let best = totals.iter().copied().max().unwrap_or(0);
    let equal: Vec<usize> = (0..feasible.len()).filter(|at| totals[*at] == best).collect();
    let chosen = equal.get(turn % equal.len().max(1)).copied().unwrap_or(0);
    let own = scores.iter().map(|(score, values)| (*score, score.weight() * values[chosen]));
    Placement { node: name(feasible[chosen]), looked_at, feasible: feasible.len(), scores: own.collect() }
}

/// How many nodes that will do are enough to choose among: all of a hundred, fewer in proportion
/// the more there are, at least a twentieth; upstream's figures.
fn enough(nodes: usize) -> usize {
    if nodes < ENOUGH_MIN {
        return nodes.max(1);
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(ENOUGH_MIN)
}

const ENOUGH_MIN: usize = 100;
