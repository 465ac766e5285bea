//! What only the runtime knows and a plugin may ask for: `capabilities` and `runtimeConfig`, as
//! the project's conventions name them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// All that a runtime can tell. What is empty is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `portMappings`.
    pub port_mappings: Vec<PortMapping>,
    /// `ips`: addresses wanted, with or without the length of their network.
    pub ips: Vec<String>,
    /// `mac`: the hardware address wanted.
    pub mac: Option<String>,
    /// `dns`.
    pub dns: DnsCapability,
    /// `aliases`: other names of the container in the network.
    pub aliases: Vec<String>,
    /// `bandwidth`.
    pub bandwidth: Option<Bandwidth>,
}

/// A port of the host that leads to one of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The host's port.
    pub host_port: u16,
    /// The container's.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default = "tcp")]
    pub protocol: String,
    /// The host's address; empty is all.
    #[serde(rename = "hostIP", default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

/// How names are to be resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsCapability {
    /// Servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Domains for short names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<String>,
    /// Options of the resolver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// Limits of traffic: rates in bits a second, bursts in bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bandwidth {
    /// Into the container.
    pub ingress_rate: u64,
    /// The same at once.
    pub ingress_burst: u64,
    /// Out of the container.
    pub egress_rate: u64,
    /// The same at once.
    pub egress_burst: u64,
}

impl Capabilities {
    /// By capability, what is to be told.
    pub fn told(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let mut tell = |key: &str, empty: bool, value: Value| {
            if !empty {
                all.insert(key.to_owned(), value);
            }
        };
        tell("portMappings", self.port_mappings.is_empty(), json!(self.port_mappings));
        tell("ips", self.ips.is_empty(), json!(self.ips));
        tell("mac", self.mac.is_none(), json!(self.mac));
        tell("dns", self.dns == DnsCapability::default(), json!(self.dns));
        tell("aliases", self.aliases.is_empty(), json!(self.aliases));
        tell("bandwidth", self.bandwidth.is_none(), json!(self.bandwidth));
        all
    }
}

fn tcp() -> String {
    "tcp".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_told() {
        assert!(Capabilities::default().told().is_empty());
        let capabilities = Capabilities {
            port_mappings: vec![PortMapping {
                host_port: 8080,
                container_port: 80,
                protocol: tcp(),
                host_ip: "127.0.0.1".to_owned(),
            }],
            ips: vec!["10.1.0.5".to_owned()],
            bandwidth: Some(Bandwidth { ingress_rate: 1_000_000, ..Bandwidth::default() }),
            ..Capabilities::default()
        };
        let expected = json!({
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}],
            "ips": ["10.1.0.5"],
            "bandwidth": {"ingressRate": 1_000_000, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0},
        });
        assert_eq!(json!(capabilities.told()), expected);
    }
}
