//! An IPv6 network: address and prefix length.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv6 network in CIDR form whose host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr6 {
    network: Ipv6Addr,
    prefix: u8,
}

/// The text is not an IPv6 network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{raw:?} is not an IPv6 network: write an address and a prefix length, such as fd12:3456:789a::/64")]
pub struct InvalidCidr6 {
    /// What was given.
    pub raw: String,
}

impl Cidr6 {
    /// The network of length `prefix` (at most 128) that `address` is in.
    pub const fn of(address: Ipv6Addr, prefix: u8) -> Self {
        let prefix = if prefix > 128 { 128 } else { prefix };
        Self { network: Ipv6Addr::from_bits(address.to_bits() & mask(prefix)), prefix }
    }

    /// A range of 64 bits for one network out of the addresses that are everybody's own:
    /// RFC 4193, with a global id and a subnet id from `random`.
    pub const fn unique_local(random: [u8; 7]) -> Self {
        let [a, b, c, d, e, f, g] = random;
        let address =
            Ipv6Addr::from_bits(u128::from_be_bytes([0xFD, a, b, c, d, e, f, g, 0, 0, 0, 0, 0, 0, 0, 0]));
        Self::of(address, 64)
    }

    /// Its lowest address, which names it.
    pub const fn network(&self) -> Ipv6Addr {
        self.network
    }

    /// Length of the network part in bits.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Its highest address.
    pub const fn last(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.network.to_bits() | !mask(self.prefix))
    }

    /// Whether `address` is inside.
    pub const fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network.to_bits()
    }

    /// Whether any address is in both.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }
}

const fn mask(prefix: u8) -> u128 {
    match prefix {
        0 => 0,
        1..=128 => u128::MAX << (128 - prefix),
        _ => u128::MAX,
    }
}

impl fmt::Display for Cidr6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Cidr6 {
    type Err = InvalidCidr6;
    fn from_str(raw: &str) -> Result<Self, InvalidCidr6> {
        let invalid = || InvalidCidr6 { raw: raw.to_owned() };
        let (address, prefix) = raw.split_once('/').ok_or_else(invalid)?;
        let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        if prefix > 128 {
            return Err(invalid());
        }
        Ok(Self::of(address, prefix))
    }
}

impl TryFrom<String> for Cidr6 {
    type Error = InvalidCidr6;
    fn try_from(raw: String) -> Result<Self, InvalidCidr6> {
        raw.parse()
    }
}

impl From<Cidr6> for String {
    fn from(cidr: Cidr6) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_parsed_without_host_bits() {
        for (raw, printed) in
            [("fd00:1::5/64", "fd00:1::/64"), ("::/0", "::/0"), ("2001:db8::1/128", "2001:db8::1/128")]
        {
            assert_eq!(raw.parse::<Cidr6>().expect(raw).to_string(), printed);
        }
        for raw in ["", "fd00::", "fd00::/129", "10.0.0.0/8", "fd00::/-1"] {
            assert!(raw.parse::<Cidr6>().is_err(), "{raw}");
        }
    }

    #[test]
    fn a_range_of_ones_own() {
        let own = Cidr6::unique_local([1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(own.to_string(), "fd01:203:405:607::/64");
        assert!(own.contains("fd01:203:405:607::1".parse().expect("address")));
        assert!(!own.overlaps(&Cidr6::unique_local([1, 2, 3, 4, 5, 6, 8])));
        assert_eq!(own.last().to_string(), "fd01:203:405:607:ffff:ffff:ffff:ffff");
    }
}
