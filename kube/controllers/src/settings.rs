//! What the operator set.

use std::net::{IpAddr, Ipv4Addr};

/// What the operator set. The defaults are upstream's, or those of a small cluster where upstream has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The certificates by which pods know the API, as PEM.
    pub root_ca: String,
    /// Whether nodes' requests for certificates are approved.
    pub approves_certificates: bool,
    /// Whether what is approved is signed for the signers of `kubernetes.io`.
    pub signs_certificates: bool,
    /// How nodes are watched over.
    pub nodes: NodeSettings,
    /// Where the nodes' ranges of pod addresses come from, one a family; without any none are given.
    pub node_ranges: Vec<NodeRange>,
    /// Ended pods that are kept in the cluster; at zero all are.
    pub ended_pods_max: usize,
    /// Whether services of type `LoadBalancer` without a class get the nodes' addresses.
    pub node_load_balancer: bool,
    /// The folder on a node that holds volumes of the class `local-path`.
    pub local_path: String,
    /// How HorizontalPodAutoscalers look.
    pub autoscaler: AutoscalerSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let pods = NodeRange { network: IpAddr::V4(Ipv4Addr::new(10, 42, 0, 0)), bits: 16, node_bits: 24 };
        Self {
            root_ca: String::new(),
            approves_certificates: false,
            signs_certificates: false,
            nodes: NodeSettings::default(),
            node_ranges: vec![pods],
            ended_pods_max: 12_500,
            node_load_balancer: true,
            local_path: "/var/lib/strake/storage".to_owned(),
            autoscaler: AutoscalerSettings::default(),
        }
    }
}

/// How nodes are watched over: `--node-monitor-grace-period` and its kin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeSettings {
    /// How long a node may be silent before its condition is unknown.
    pub grace_seconds: i64,
    /// The same for a node that has never spoken.
    pub startup_grace_seconds: i64,
    /// Nodes a second whose pods are told to go, in a zone.
    pub eviction_rate: f64,
    /// The same in a zone in which too many nodes are silent; a small zone gets none.
    pub secondary_eviction_rate: f64,
    /// The share of silent nodes from which a zone counts as partly lost.
    pub unhealthy_zone_share: f64,
    /// A zone of more nodes than this is large.
    pub large_zone_nodes: usize,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            grace_seconds: 50,
            startup_grace_seconds: 60,
            eviction_rate: 0.1,
            secondary_eviction_rate: 0.01,
            unhealthy_zone_share: 0.55,
            large_zone_nodes: 50,
        }
    }
}

/// A range of addresses that is cut into one smaller range a node: `--cluster-cidr`, `--node-cidr-mask-size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRange {
    /// The first address.
    pub network: IpAddr,
    /// The length of the cluster's prefix.
    pub bits: u8,
    /// The length of a node's prefix.
    pub node_bits: u8,
}

/// How HorizontalPodAutoscalers look: `--horizontal-pod-autoscaler-…`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoscalerSettings {
    /// Between two looks.
    pub sync_seconds: i64,
    /// A ratio this near to one changes nothing.
    pub tolerance: f64,
    /// How long a lower recommendation must have stood.
    pub downscale_stabilization_seconds: i64,
    /// How long after its start a pod's use of CPU may be that of its start.
    pub cpu_initialization_seconds: i64,
    /// How long after its start a pod that was never ready is not counted.
    pub initial_readiness_seconds: i64,
}

impl Default for AutoscalerSettings {
    fn default() -> Self {
        Self {
            sync_seconds: 15,
            tolerance: 0.1,
            downscale_stabilization_seconds: 300,
            cpu_initialization_seconds: 300,
            initial_readiness_seconds: 30,
        }
    }
}
