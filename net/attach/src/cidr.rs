//! An IPv4 network: address and prefix length.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 network in CIDR form whose host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: Ipv4Addr,
    prefix: u8,
}

/// The text is not an IPv4 network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{raw:?} is not an IPv4 network: write an address and a prefix length, such as 172.30.0.0/16")]
pub struct InvalidCidr {
    /// What was given.
    pub raw: String,
}

impl Cidr {
    /// The network of length `prefix` (at most 32) that `address` is in.
    pub const fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = if prefix > 32 { 32 } else { prefix };
        let bits = address.to_bits() & mask(prefix);
        Self { network: Ipv4Addr::from_bits(bits), prefix }
    }

    /// Its lowest address, which names it.
    pub const fn network(&self) -> Ipv4Addr {
        self.network
    }

    /// Length of the network part in bits.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Its highest address, the broadcast address.
    pub const fn last(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask(self.prefix))
    }

    /// The address `offset` places after the lowest, when it is inside.
    pub fn nth(&self, offset: u32) -> Option<Ipv4Addr> {
        let address = Ipv4Addr::from_bits(self.network.to_bits().checked_add(offset)?);
        self.contains(address).then_some(address)
    }

    /// Whether `address` is inside.
    pub const fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network.to_bits()
    }

    /// Whether any address is in both.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }
}

const fn mask(prefix: u8) -> u32 {
    match prefix {
        0 => 0,
        1..=32 => u32::MAX << (32 - prefix),
        _ => u32::MAX,
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;
    fn from_str(raw: &str) -> Result<Self, InvalidCidr> {
        let invalid = || InvalidCidr { raw: raw.to_owned() };
        let (address, prefix) = raw.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        if prefix > 32 {
            return Err(invalid());
        }
        Ok(Self::of(address, prefix))
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;
    fn try_from(raw: String) -> Result<Self, InvalidCidr> {
        raw.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(raw: &str) -> Cidr {
        raw.parse().expect(raw)
    }

    #[test]
    fn prints_as_parsed_without_host_bits() {
        for (raw, printed) in
            [("172.30.0.0/16", "172.30.0.0/16"), ("10.1.2.3/8", "10.0.0.0/8"), ("1.2.3.4/32", "1.2.3.4/32")]
        {
            assert_eq!(cidr(raw).to_string(), printed);
        }
        for raw in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", "10.0.0.0/-1"] {
            assert!(raw.parse::<Cidr>().is_err(), "{raw}");
        }
    }

    #[test]
    fn knows_what_is_inside() {
        let net = cidr("172.30.0.0/16");
        assert!(net.contains(Ipv4Addr::new(172, 30, 255, 255)));
        assert!(!net.contains(Ipv4Addr::new(172, 31, 0, 0)));
        assert_eq!(net.last(), Ipv4Addr::new(172, 30, 255, 255));
        assert_eq!(net.nth(1), Some(Ipv4Addr::new(172, 30, 0, 1)));
        assert_eq!(net.nth(65536), None);
        assert!(net.overlaps(&cidr("172.16.0.0/12")));
        assert!(cidr("0.0.0.0/0").overlaps(&net));
        assert!(!net.overlaps(&cidr("172.31.0.0/16")));
    }
}
