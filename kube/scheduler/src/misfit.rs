//! Why a pod does not go to a node, in upstream's words and with what is behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::amounts::{Shortage, display};
use crate::pod::HostPort;
use crate::taints::Taint;

/// The first thing that keeps a pod from a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The pod names another node.
    OtherNode,
    /// The node is cordoned.
    Unschedulable,
    /// The node has a taint that the pod does not tolerate.
    Taint(Taint),
    /// The pod's node selector or node affinity excludes the node.
    NodeRules {
        /// What the pod demands.
        demands: Arc<str>,
    },
    /// A port is taken.
    Port(HostPort),
    /// The node has as many pods as it takes.
    TooManyPods {
        /// How many that are.
        max: i64,
    },
    /// The node has too little left.
    Resources(Vec<Shortage>),
    /// Nothing that the pod must be with is there.
    Affinity {
        /// The pods it must be with, and where.
        term: Arc<str>,
    },
    /// Something that the pod must not be with is there.
    AntiAffinity {
        /// The pods it must not be with, and where.
        term: Arc<str>,
    },
    /// A pod that is there must not be with the pod.
    RefusedByPods,
    /// The node has no label of a spread constraint's key.
    NoTopologyLabel {
        /// The key.
        key: Arc<str>,
    },
    /// There would be too many in the node's domain.
    Spread {
        /// The constraint's key.
        key: Arc<str>,
        /// How many there would be.
        here: i64,
        /// How many the emptiest domain has.
        least: i64,
        /// How much more is allowed.
        max_skew: i64,
    },
    /// A volume cannot come to the node.
    VolumeElsewhere {
        /// The volume.
        volume: String,
    },
    /// No volume for a claim can come to the node.
    NoVolume {
        /// The claim.
        claim: String,
    },
    /// A volume can be reached in other zones only.
    OtherZone {
        /// The volume.
        volume: String,
    },
    /// There is no room to make a volume for a claim.
    NoRoom {
        /// The claim.
        claim: String,
    },
    /// A driver has attached as many volumes to the node as it can.
    TooManyVolumes {
        /// The driver.
        driver: String,
        /// How many that are.
        most: i64,
    },
    /// Another pod has a claim that only one may have (`ReadWriteOncePod`), on whatever node.
    ClaimTaken {
        /// The claim.
        claim: Arc<str>,
    },
}

impl Misfit {
    /// Upstream's words; of resources there may be several.
    pub fn reasons(&self) -> Vec<String> {
        let text = match self {
            Self::OtherNode => "node(s) didn't match the requested node name",
            Self::Unschedulable => "node(s) were unschedulable",
            Self::Taint(_) => "node(s) had untolerated taint(s)",
            Self::NodeRules { .. } => "node(s) didn't match Pod's node affinity/selector",
            Self::Port(_) => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods { .. } => "Too many pods",
            Self::Resources(shortages) => {
                return shortages.iter().map(|it| format!("Insufficient {}", it.resource)).collect();
            }
            Self::Affinity { .. } => "node(s) didn't match pod affinity rules",
            Self::AntiAffinity { .. } => "node(s) didn't match pod anti-affinity rules",
            Self::RefusedByPods => "node(s) didn't satisfy existing pods anti-affinity rules",
            Self::NoTopologyLabel { .. } => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Self::Spread { .. } => "node(s) didn't match pod topology spread constraints",
            Self::VolumeElsewhere { .. } => "node(s) didn't match PersistentVolume's node affinity",
            Self::NoVolume { .. } => "node(s) didn't find available persistent volumes to bind",
            Self::OtherZone { .. } => "node(s) had no available volume zone",
            Self::NoRoom { .. } => "node(s) did not have enough free storage",
            Self::TooManyVolumes { .. } => "node(s) exceed max volume count",
            Self::ClaimTaken { .. } => {
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            }
        };
        vec![text.to_owned()]
    }

    /// The least that would help, on a node of this name.
    pub fn remedy(&self, node: &str) -> String {
        match self {
            Self::OtherNode => format!("let the pod name {node}"),
            Self::Unschedulable => format!("uncordon {node}"),
            Self::Taint(taint) => format!("tolerate {taint}, or take this taint from {node}"),
            Self::NodeRules { demands } => format!("label {node} so that it fits {demands}, or demand less"),
            Self::Port(port) => {
                format!(
                    "take another host port than {}/{}, or end who has it on {node}",
                    port.port, port.protocol
                )
            }
            Self::TooManyPods { max } => format!("end a pod on {node}, or let it take more than {max}"),
            Self::Resources(shortages) => {
                let each = shortages.iter().map(|it| {
                    let missing = it.used + it.requested - it.capacity;
                    let free = format!("free {} {} on {node}", display(&it.resource, missing), it.resource);
                    match it.requested - missing {
                        ..=0 => free,
                        less => format!("{free}, or ask for {}", display(&it.resource, less)),
                    }
                });
                each.collect::<Vec<_>>().join(" and ")
            }
            Self::Affinity { term } => {
                format!("have {term} on {node}'s side, or only prefer to be with them")
            }
            Self::AntiAffinity { term } => {
                format!("move {term} away from {node}, or only prefer to be apart")
            }
            Self::RefusedByPods => format!("move the pods away from {node} that keep away from this one"),
            Self::NoTopologyLabel { key } => format!("give {node} the label {key}"),
            Self::Spread { key, here, least, max_skew } => format!(
                "allow a skew of {} by {key} instead of {max_skew}, or make room where there are only {least}",
                here - least
            ),
            Self::VolumeElsewhere { volume } => format!("bring volume {volume} to {node}"),
            Self::NoVolume { claim } => format!("make a volume for claim {claim} that {node} reaches"),
            Self::OtherZone { volume } => {
                format!("take a node in the zone of volume {volume}, or make a volume in {node}'s")
            }
            Self::NoRoom { claim } => format!("ask for less with claim {claim}, or give {node} more storage"),
            Self::TooManyVolumes { driver, most } => {
                format!("end a pod on {node} that has a volume of {driver}, which attaches {most} there")
            }
            Self::ClaimTaken { claim } => {
                format!("end the pod that has claim {claim}, or let the claim be ReadWriteMany")
            }
        }
    }

    /// Whether it might fit if pods went.
    pub fn may_be_cleared(&self) -> bool {
        match self {
            Self::Port(_)
            | Self::TooManyPods { .. }
            | Self::AntiAffinity { .. }
            | Self::RefusedByPods
            | Self::ClaimTaken { .. }
            | Self::TooManyVolumes { .. }
            | Self::Spread { .. } => true,
            Self::Resources(shortages) => shortages.iter().all(|it| it.requested <= it.capacity),
            _ => false,
        }
    }
}

/// Why a pod goes nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// How many nodes there are.
    pub nodes: usize,
    /// What keeps the pod from each.
    pub misfits: Vec<(Arc<str>, Misfit)>,
    /// What keeps it from all of them, such as a claim that does not exist.
    pub everywhere: Option<String>,
}

impl Diagnosis {
    /// Upstream's sentence of the `FailedScheduling` event and the `PodScheduled` condition.
    pub fn message(&self) -> String {
        if let Some(why) = &self.everywhere {
            return format!("0/{} nodes are available: {why}.", self.nodes);
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for reason in self.misfits.iter().flat_map(|(_, misfit)| misfit.reasons()) {
            *counts.entry(reason).or_default() += 1;
        }
        sentence(self.nodes, counts)
    }
}

/// How many nodes are out of the question for which reason.
pub(crate) fn sentence(nodes: usize, counts: BTreeMap<String, usize>) -> String {
    let head = format!("0/{nodes} nodes are available");
    let mut reasons: Vec<String> =
        counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort_unstable();
    match reasons.is_empty() {
        true => format!("{head}."),
        false => format!("{head}: {}.", reasons.join(", ")),
    }
}
