//! What a network is: kept below the data root, across reboots.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Format; 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// The link name of its bridge.
    pub bridge: String,
    /// Our nftables table, of family `ip`.
    pub table: String,
    /// Its range.
    pub subnet: Cidr,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// Why this range: one plain sentence.
    pub why: String,
}
