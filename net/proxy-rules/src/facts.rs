//! What the rules depend on beside services and endpoints.

use std::net::Ipv4Addr;

/// Addresses from the first to the last, both inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// The lowest.
    pub first: Ipv4Addr,
    /// The highest.
    pub last: Ipv4Addr,
}

impl Range {
    /// Reads `10.42.0.0/16`; host bits are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.trim().split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let first = address.to_bits() & mask;
        Some(Self { first: first.into(), last: (first | !mask).into() })
    }

    /// Whether `address` is inside.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// All addresses.
    pub fn is_everything(&self) -> bool {
        self.first == Ipv4Addr::UNSPECIFIED && self.last == Ipv4Addr::BROADCAST
    }

    /// The bits that all its addresses have in common, as a mask.
    pub(crate) fn mask(&self) -> u32 {
        let differing = self.first.to_bits() ^ self.last.to_bits();
        u32::MAX.checked_shl(32 - differing.leading_zeros()).unwrap_or(0)
    }
}

/// This node, and what was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub node: String,
    /// Its zone: label `topology.kubernetes.io/zone`.
    pub zone: String,
    /// Its own addresses, as other nodes know them.
    pub addresses: Vec<Ipv4Addr>,
    /// The addresses of all pods; without, nobody is known to be outside.
    pub cluster: Vec<Range>,
    /// The addresses that services are given: those that no service has are dropped.
    pub services: Vec<Range>,
    /// On which of the node's addresses node ports are; on all but loopback without.
    pub node_ports: Vec<Range>,
    /// `spec.externalIPs` is honoured (CVE-2020-8554: it takes traffic from others).
    pub external_ips: bool,
    /// All traffic to services is masqueraded.
    pub masquerade_all: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = Range::parse("10.42.7.9/16").expect("a range");
        assert_eq!((range.first, range.last), (Ipv4Addr::new(10, 42, 0, 0), Ipv4Addr::new(10, 42, 255, 255)));
        assert_eq!(range.mask(), 0xffff_0000);
        assert!(Range::parse("0.0.0.0/0").expect("a range").is_everything());
        assert_eq!(Range::parse("0.0.0.0/0").expect("a range").mask(), 0);
        assert_eq!(Range::parse("1.2.3.4/32").expect("a range").mask(), u32::MAX);
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/0", "10.0.0.0/-1"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }
}
