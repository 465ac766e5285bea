//! How good a node is among those that will do: each score from 0 to 100, weighed and added.

use std::collections::HashSet;

use crate::cycle::Cycle;
use crate::node::Node;
use crate::taints::pities;

/// A score and how much it counts; the weights are upstream's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// Untolerated taints that only say `PreferNoSchedule`.
    TaintToleration,
    /// Wishes about nodes.
    NodeAffinity,
    /// Even spreading.
    PodTopologySpread,
    /// Wishes about other pods, of both sides.
    InterPodAffinity,
    /// Free CPU and memory.
    NodeResourcesFit,
    /// CPU and memory taken alike.
    NodeResourcesBalancedAllocation,
    /// Images that are there already.
    ImageLocality,
}

impl Score {
    /// All, heaviest first.
    pub const ALL: [Self; 7] = [
        Self::TaintToleration,
        Self::NodeAffinity,
        Self::PodTopologySpread,
        Self::InterPodAffinity,
        Self::NodeResourcesFit,
        Self::NodeResourcesBalancedAllocation,
        Self::ImageLocality,
    ];

    /// How often it counts.
    pub fn weight(self) -> i64 {
        match self {
            Self::TaintToleration => 3,
            Self::NodeAffinity | Self::PodTopologySpread | Self::InterPodAffinity => 2,
            _ => 1,
        }
    }

    /// Upstream's name of the plugin.
    pub fn name(self) -> &'static str {
        match self {
            Self::TaintToleration => "TaintToleration",
            Self::NodeAffinity => "NodeAffinity",
            Self::PodTopologySpread => "PodTopologySpread",
            Self::InterPodAffinity => "InterPodAffinity",
            Self::NodeResourcesFit => "NodeResourcesFit",
            Self::NodeResourcesBalancedAllocation => "NodeResourcesBalancedAllocation",
            Self::ImageLocality => "ImageLocality",
        }
    }

    /// The score of each of the places.
    pub(crate) fn of(self, cycle: &Cycle<'_>, places: &[usize]) -> Vec<i64> {
        let each = |score: &dyn Fn(&Node) -> i64| -> Vec<i64> {
            places.iter().map(|place| cycle.snapshot.at(*place).map_or(0, score)).collect()
        };
        let pod = cycle.pod;
        match self {
            Self::TaintToleration => fewest(each(&|node| pities(&node.taints, &pod.tolerations))),
            Self::NodeAffinity if pod.node_rules.has_wishes() => {
                most(each(&|node| pod.node_rules.worth(node)))
            }
            Self::NodeAffinity => vec![0; places.len()],
            Self::PodTopologySpread => spread(cycle, places),
            Self::InterPodAffinity => pods(cycle, places),
            Self::NodeResourcesFit => each(&|node| free(node, pod.weighed)),
            Self::NodeResourcesBalancedAllocation => each(&|node| balanced(node, &pod.requests)),
            Self::ImageLocality => each(&|node| images(cycle, node)),
        }
    }
}

/// The largest becomes 100.
fn most(scores: Vec<i64>) -> Vec<i64> {
    match scores.iter().copied().max().unwrap_or(0) {
        0 => scores,
        max => scores.into_iter().map(|score| score * MAX / max).collect(),
    }
}

/// Nothing becomes 100, the largest 0.
fn fewest(scores: Vec<i64>) -> Vec<i64> {
    match scores.iter().copied().max().unwrap_or(0) {
        0 => vec![MAX; scores.len()],
        max => scores.into_iter().map(|score| MAX - score * MAX / max).collect(),
    }
}

/// Least requested: the mean of what is left of CPU and memory.
fn free(node: &Node, pod: (i64, i64)) -> i64 {
    let left = |capacity: i64, used: i64| match capacity {
        0 => None,
        capacity if used > capacity => Some(0),
        capacity => Some((capacity - used) * MAX / capacity),
    };
    let parts = [
        left(node.allocatable.cpu, node.weighed.0 + pod.0),
        left(node.allocatable.memory, node.weighed.1 + pod.1),
    ];
    let known: Vec<i64> = parts.into_iter().flatten().collect();
    if known.is_empty() { 0 } else { known.iter().sum::<i64>() / known.len() as i64 }
}

/// How near the taken parts of CPU and memory are to each other.
fn balanced(node: &Node, asked: &crate::amounts::Amounts) -> i64 {
    let part = |capacity: i64, used: i64| (capacity > 0).then(|| (used as f64 / capacity as f64).min(1.0));
    let cpu = part(node.allocatable.cpu, node.requested.cpu + asked.cpu);
    let memory = part(node.allocatable.memory, node.requested.memory + asked.memory);
    let deviation = match (cpu, memory) {
        (Some(cpu), Some(memory)) => (cpu - memory).abs() / 2.0,
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX as f64) as i64
}

/// Images that are there, each counted by its size and by how many nodes have it: one that is
/// everywhere is found anywhere.
fn images(cycle: &Cycle<'_>, node: &Node) -> i64 {
    if node.images.is_empty() || cycle.pod.images.is_empty() {
        return 0;
    }
    let nodes = cycle.snapshot.len().max(1) as f64;
    let worth = |image: &String| {
        let name = with_tag(image);
        let size = node.images.get(&name).or_else(|| node.images.get(image))?;
        let spread = f64::from(cycle.snapshot.nodes_with_image(&name)) / nodes;
        Some((*size as f64 * spread) as i64)
    };
    let sum: i64 = cycle.pod.images.iter().filter_map(worth).sum();
    let most = IMAGE_LARGE * cycle.pod.images.len() as i64;
    MAX * (sum.clamp(IMAGE_SMALL, most) - IMAGE_SMALL) / (most - IMAGE_SMALL)
}

fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Few pods of the kind in the domain is good, the more so the more domains there are.
fn spread(cycle: &Cycle<'_>, places: &[usize]) -> Vec<i64> {
    let soft = &cycle.wanted.soft;
    if soft.is_empty() {
        return vec![0; places.len()];
    }
    let demands_all = !cycle.pod.spread.is_empty();
    let mut sums = vec![Some(0.0_f64); places.len()];
    for (id, constraint) in soft {
        let Some(tally) = cycle.snapshot.census.tally(*id) else { continue };
        let domain = |place: usize| cycle.snapshot.topologies.domain(tally.key, place);
        let domains: HashSet<_> = places.iter().filter_map(|place| domain(*place)).collect();
        let weight = (domains.len() as f64 + 2.0).ln();
        for (sum, place) in sums.iter_mut().zip(places) {
            match (domain(*place), sum.as_mut()) {
                (Some(domain), Some(sum)) => {
                    *sum += f64::from(tally.pods_in(domain)) * weight + (constraint.max_skew - 1) as f64;
                }
                (None, _) if demands_all => *sum = None,
                _ => {}
            }
        }
    }
    let sums: Vec<Option<i64>> = sums.into_iter().map(|sum| sum.map(|sum| sum.round() as i64)).collect();
    let known = || sums.iter().flatten().copied();
    let (least, largest) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
    let each = sums.iter().map(|sum| match sum {
        None => 0,
        Some(_) if largest == 0 => MAX,
        Some(sum) => MAX * (largest + least - sum) / largest,
    });
    each.collect()
}

/// The pod's wishes about the pods that are there, and theirs about it.
fn pods(cycle: &Cycle<'_>, places: &[usize]) -> Vec<i64> {
    let snapshot = cycle.snapshot;
    let own = cycle.wanted.wishes.iter();
    let own: Vec<_> = own.filter_map(|(weight, id)| Some((*weight, snapshot.census.tally(*id)?))).collect();
    let namespace = snapshot.namespace(&cycle.pod.namespace);
    let theirs: Vec<_> =
        snapshot.census.of(cycle.pod, namespace).filter(|tally| !tally.wishes.is_empty()).collect();
    if own.is_empty() && theirs.is_empty() {
        return vec![0; places.len()];
    }
    let score = |place: &usize| {
        let own = own.iter().map(|(weight, tally)| {
            let domain = snapshot.topologies.domain(tally.key, *place);
            domain.map_or(0, |domain| weight * i64::from(tally.pods_in(domain)))
        });
        let theirs = theirs.iter().map(|tally| {
            let domain = snapshot.topologies.domain(tally.key, *place);
            domain.and_then(|domain| tally.wishes.get(&domain)).copied().unwrap_or(0)
        });
        own.sum::<i64>() + theirs.sum::<i64>()
    };
    let sums: Vec<i64> = places.iter().map(score).collect();
    let (least, most) = (sums.iter().copied().min().unwrap_or(0), sums.iter().copied().max().unwrap_or(0));
    match most - least {
        0 => vec![0; sums.len()],
        range => sums.into_iter().map(|sum| MAX * (sum - least) / range).collect(),
    }
}

/// The best score.
const MAX: i64 = 100;
/// Images smaller than this are pulled as fast as they are found; upstream's 23 MiB.
const IMAGE_SMALL: i64 = 23 * 1024 * 1024;
/// Larger ones count no more; upstream's 1000 MiB.
const IMAGE_LARGE: i64 = 1000 * 1024 * 1024;
