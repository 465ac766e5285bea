//! Topology spread constraints as a pod states them.

use std::sync::Arc;

use kube_object::label_selector::{LabelSelector, Operator};
use serde_json::Value;

use crate::affinity::{narrowed, selector_of};
use crate::read::{Labels, items, member, number, text, texts};

/// How pods of a kind are to be spread over the domains of a topology key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// The label of nodes whose values are the domains.
    pub topology_key: Arc<str>,
    /// How many more pods a domain may have than the emptiest.
    pub max_skew: i64,
    /// Whether a pod waits that cannot be placed so.
    pub is_hard: bool,
    /// The pods, in the pod's own namespace.
    pub selector: LabelSelector,
    /// With fewer domains the emptiest counts as empty.
    pub min_domains: i64,
    /// Only nodes that the pod may go to by its node rules count.
    pub honors_rules: bool,
    /// Only nodes whose taints the pod tolerates count.
    pub honors_taints: bool,
}

impl Constraint {
    /// The constraints of a pod's `spec`.
    pub fn read_all(spec: &Value, labels: &Labels) -> Vec<Self> {
        let read = |constraint: &Value| Self {
            topology_key: text(constraint, "topologyKey").into(),
            max_skew: number(constraint, "maxSkew", 1),
            is_hard: text(constraint, "whenUnsatisfiable") != "ScheduleAnyway",
            selector: narrowed(
                selector_of(member(constraint, "labelSelector")),
                &texts(constraint, "matchLabelKeys"),
                Operator::In,
                labels,
            ),
            min_domains: number(constraint, "minDomains", 1),
            honors_rules: text(constraint, "nodeAffinityPolicy") != "Ignore",
            honors_taints: text(constraint, "nodeTaintsPolicy") == "Honor",
        };
        items(spec, "topologySpreadConstraints").iter().map(read).collect()
    }

    /// What holds of a pod that says nothing, and does the same work as others; upstream's
    /// defaults of the system.
    pub fn defaults(peers: &LabelSelector) -> [Self; 2] {
        let soft = |key: &str, max_skew| Self {
            topology_key: key.into(),
            max_skew,
            is_hard: false,
            selector: peers.clone(),
            min_domains: 1,
            honors_rules: true,
            honors_taints: false,
        };
        [soft("kubernetes.io/hostname", 3), soft("topology.kubernetes.io/zone", 5)]
    }
}
