//! What a proxy is made with.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use client::Mirror;
use kube_object::resource::GroupVersionResource;
use proxy_rules::Facts;
use serde_json::Value;

/// What a proxy is made with.
#[derive(Clone)]
pub struct Config {
    /// Where services, endpoint slices and nodes are read: see [`Config::resources`].
    pub mirror: Arc<dyn Mirror>,
    /// The node's name and what was configured. Its zone and addresses are taken from its Node.
    pub facts: Facts,
    /// The name of the table.
    pub table: String,
    /// Where load balancers ask whether this node has endpoints.
    pub health_address: IpAddr,
}

impl Config {
    /// A proxy with the defaults.
    pub fn new(mirror: Arc<dyn Mirror>, facts: Facts) -> Self {
        let table = proxy_rules::program::TABLE.to_owned();
        Self { mirror, facts, table, health_address: Ipv4Addr::UNSPECIFIED.into() }
    }

    /// What the mirror must follow.
    pub fn resources() -> [GroupVersionResource; 3] {
        [
            GroupVersionResource::new("", "v1", "services"),
            GroupVersionResource::new("discovery.k8s.io", "v1", "endpointslices"),
            GroupVersionResource::new("", "v1", "nodes"),
        ]
    }
}

/// The facts with what the Node object says: zone and addresses.
pub fn facts_of_node(facts: &Facts, node: &Value) -> Facts {
    let zone = node.pointer("/metadata/labels/topology.kubernetes.io~1zone").and_then(Value::as_str);
    let list = node.pointer("/status/addresses").and_then(Value::as_array);
    let mut addresses: Vec<Ipv4Addr> = list
        .into_iter()
        .flatten()
        .filter(|address| matches!(address["type"].as_str(), Some("InternalIP" | "ExternalIP")))
        .filter_map(|address| address["address"].as_str()?.parse().ok())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Facts { zone: zone.unwrap_or_default().to_owned(), addresses, ..facts.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_says_zone_and_addresses() {
        let node = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}}, "status": {"addresses": [
            {"type": "InternalIP", "address": "192.0.2.9"}, {"type": "Hostname", "address": "n"},
            {"type": "InternalIP", "address": "fd00::9"}]}});
        let facts = facts_of_node(&Facts::default(), &node);
        assert_eq!((facts.zone.as_str(), facts.addresses), ("z", vec![Ipv4Addr::new(192, 0, 2, 9)]));
    }
}
