//! How many more pods like one fit, and what runs out first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::misfit::Misfit;
use crate::pod::Pod;
use crate::schedule::{Decision, schedule};
use crate::snapshot::Snapshot;

/// What is left for pods of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// How many more fit; no more than were asked for.
    pub pods: usize,
    /// How many of them on each node.
    pub by_node: BTreeMap<Arc<str>, usize>,
    /// What keeps the next one from nodes, and from how many; the most frequent first. Empty if
    /// all that were asked for fit.
    pub limits: Vec<(String, usize)>,
}

/// Places up to `most` pods like this one, and takes them away again.
pub fn capacity(snapshot: &mut Snapshot, like: &Pod, most: usize) -> Capacity {
    let mut capacity = Capacity::default();
    let mut placed = Vec::new();
    while capacity.pods < most {
        let uid: Arc<str> = format!("capacity-{}", capacity.pods).into();
        let mut pod = Pod { uid: Arc::clone(&uid), node: None, nominated: None, ..like.clone() };
        match schedule(snapshot, &pod, capacity.pods) {
            Decision::Place(placement) => {
                *capacity.by_node.entry(Arc::clone(&placement.node)).or_default() += 1;
                capacity.pods += 1;
                pod.node = Some(placement.node);
                snapshot.set_pod(Arc::new(pod));
                placed.push(uid);
            }
            Decision::Unschedulable(diagnosis) => {
                let mut counts: BTreeMap<String, usize> = BTreeMap::new();
                for (_, misfit) in &diagnosis.misfits {
                    names(misfit).into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
                }
                if let Some(why) = diagnosis.everywhere {
                    counts.insert(why, diagnosis.nodes);
                }
                capacity.limits = counts.into_iter().collect();
                capacity.limits.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
                break;
            }
        }
    }
    for uid in placed {
        snapshot.remove_pod(&uid);
    }
    capacity
}

fn names(misfit: &Misfit) -> Vec<String> {
    match misfit {
        Misfit::Resources(shortages) => shortages.iter().map(|it| it.resource.to_string()).collect(),
        Misfit::TooManyPods { .. } => vec!["pods".to_owned()],
        Misfit::Port(port) => vec![format!("port {}/{}", port.port, port.protocol)],
        other => other.reasons(),
    }
}
