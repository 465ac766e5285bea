//! What a network is: kept below the data root, across reboots.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::cidr::Cidr;
use crate::cidr6::Cidr6;
use crate::macvlan::Macvlan;

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Format; 1. What later builds have added has a default.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// Its id, 64 hexadecimal digits.
    #[serde(default)]
    pub id: String,
    /// When it was made, in nanoseconds since 1970; 0 when that is not known.
    #[serde(default)]
    pub created_nanos: u64,
    /// What carries it.
    #[serde(default)]
    pub driver: Driver,
    /// The link name of its bridge, or of the link that it is on.
    pub bridge: String,
    /// Our nftables table, of family `ip`.
    pub table: String,
    /// Its range.
    pub subnet: Cidr,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// The part of the range that addresses are given from without a wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<Cidr>,
    /// Addresses that are somebody else's, by the name that the user gave them: never given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// Its IPv6 half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Half>,
    /// Nothing leads out of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub internal: bool,
    /// Largest packet in bytes; that of the host's default route when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Its members leave with the host's address.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub masquerade: bool,
    /// `--attachable`, which means something in a swarm only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub attachable: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Options as they were given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// What the user chose of its IPAM.
    #[serde(default, skip_serializing_if = "Chosen::is_nothing")]
    pub chosen: Chosen,
    /// Why this range: one plain sentence.
    pub why: String,
}

impl Definition {
    /// A network of this range without anything that somebody chose.
    pub(crate) fn plain(name: &str, subnet: Cidr) -> Self {
        Self {
            version: 1,
            name: name.to_owned(),
            id: String::new(),
            created_nanos: 0,
            driver: Driver::Bridge,
            bridge: String::new(),
            table: String::new(),
            subnet,
            gateway: subnet.nth(1).unwrap_or(Ipv4Addr::UNSPECIFIED),
            ip_range: None,
            auxiliary: BTreeMap::new(),
            ipv6: None,
            internal: false,
            mtu: None,
            masquerade: true,
            attachable: false,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            chosen: Chosen::default(),
            why: String::new(),
        }
    }
}

/// What carries a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Driver {
    /// A bridge of the host, and our rules.
    #[default]
    Bridge,
    /// Links of their own on a link of the host.
    Macvlan(Macvlan),
    /// Plugins of others, by a CNI configuration.
    Cni(Chain),
}

impl Driver {
    /// As docker names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan(_) => "macvlan",
            Self::Cni(_) => "cni",
        }
    }
}

/// The IPv6 half of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Half {
    /// Its range.
    pub subnet: Cidr6,
    /// The bridge's address.
    pub gateway: Ipv6Addr,
}

/// What was asked for, in place of our own choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The range.
    #[serde(default)]
    pub subnet: bool,
    /// The IPv6 range.
    #[serde(default)]
    pub subnet6: bool,
}

impl Chosen {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Definition {
    /// Whether it is the default network: made on demand, without names, not removed.
    pub fn is_default(&self) -> bool {
        self.name == crate::DEFAULT_NETWORK
    }

    /// Who has an address that is never given.
    pub(crate) fn auxiliary_of(&self, address: IpAddr) -> Option<&str> {
        self.auxiliary.iter().find(|(_, other)| **other == address).map(|(name, _)| name.as_str())
    }

    /// The first and the last of the addresses that are given without a wish.
    pub(crate) fn pool(&self) -> Cidr {
        self.ip_range.unwrap_or(self.subnet)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_true(value: &bool) -> bool {
    *value
}

fn yes() -> bool {
    true
}

/// Whether `name` can be a network's: it becomes a file name.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let head = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    head && name.len() <= 128 && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for (name, valid) in [
            ("bridge", true),
            ("back-end_1.x", true),
            ("", false),
            ("../x", false),
            (".x", false),
            ("a b", false),
        ] {
            assert_eq!(is_name(name), valid, "{name:?}");
        }
    }

    #[test]
    fn what_an_older_build_wrote_is_read() {
        let text = r#"{"version":1,"name":"bridge","bridge":"strake0","table":"strake",
            "subnet":"172.30.0.0/16","gateway":"172.30.0.1","why":"the default"}"#;
        let read: Definition = serde_json::from_str(text).expect("it is one");
        assert_eq!((read.driver.name(), read.masquerade, read.internal), ("bridge", true, false));
        assert!(read.is_default());
    }
}
