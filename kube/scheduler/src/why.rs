//! Why a pod waits: all that keeps it from each node, and the least that would help.

use std::sync::Arc;

use crate::cycle::{Cycle, Wanted};
use crate::misfit::Misfit;
use crate::pod::Pod;
use crate::snapshot::Snapshot;

/// What keeps a pod from its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// What keeps it from all nodes: gates, or a claim that cannot be used.
    pub everywhere: Option<String>,
    /// What keeps it from each node; nothing where it would fit. The nearest to fitting come first.
    pub nodes: Vec<(Arc<str>, Vec<Misfit>)>,
}

impl Why {
    /// The least that would help, as things to do together on one node.
    pub fn remedies(&self) -> Vec<String> {
        let Some((node, misfits)) = self.nodes.first() else { return Vec::new() };
        misfits.iter().map(|misfit| misfit.remedy(node)).collect()
    }
}

/// Looks at every node to the end.
pub fn why(snapshot: &mut Snapshot, pod: &Pod) -> Why {
    if !pod.gates.is_empty() {
        let gates = pod.gates.join(", ");
        return Why { everywhere: Some(format!("waiting for scheduling gates: {gates}")), nodes: Vec::new() };
    }
    let wanted = Wanted::of(snapshot, pod);
    let snapshot = &*snapshot;
    let cycle = match Cycle::new(snapshot, pod, &wanted) {
        Ok(cycle) => cycle,
        Err(why) => return Why { everywhere: Some(why), nodes: Vec::new() },
    };
    let places = (0..snapshot.places()).filter_map(|place| Some((place, snapshot.at(place)?)));
    let mut nodes: Vec<(Arc<str>, Vec<Misfit>)> =
        places.map(|(place, node)| (Arc::clone(&node.name), cycle.misfits(place, node).collect())).collect();
    nodes.sort_by_cached_key(|(name, misfits)| {
        (misfits.iter().map(effort).sum::<i64>(), misfits.len(), Arc::clone(name))
    });
    Why { everywhere: None, nodes }
}

/// How much it takes to mend it, roughly: a word to the node, a word to the pod, a part of what is
/// asked for, something that must be made.
fn effort(misfit: &Misfit) -> i64 {
    match misfit {
        Misfit::Unschedulable => 10,
        Misfit::Taint(_) | Misfit::NoTopologyLabel { .. } => 30,
        Misfit::NodeRules { .. } => 35,
        Misfit::Spread { here, least, max_skew, .. } => 30 + (here - least - max_skew).max(0),
        Misfit::Port(_) | Misfit::TooManyPods { .. } => 40,
        Misfit::Resources(shortages) => {
            let part = |it: &crate::Shortage| {
                let missing = it.used.saturating_add(it.requested).saturating_sub(it.capacity);
                missing.saturating_mul(100) / it.requested.max(1)
            };
            20 + shortages.iter().map(part).sum::<i64>()
        }
        Misfit::Affinity { .. } | Misfit::AntiAffinity { .. } | Misfit::RefusedByPods => 60,
        Misfit::ClaimTaken { .. } | Misfit::TooManyVolumes { .. } => 70,
        Misfit::VolumeElsewhere { .. }
        | Misfit::NoVolume { .. }
        | Misfit::OtherZone { .. }
        | Misfit::NoRoom { .. } => 80,
        Misfit::OtherNode => 100,
    }
}
