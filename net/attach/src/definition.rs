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
}
