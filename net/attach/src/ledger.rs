//! Who holds which address and which host ports.
//!
//! One file, replaced in one step under the lock: what it says is held is held, also
//! by a process that was killed in the middle of an attach. It lies below the state
//! root, because addresses are held by running containers and none survives a reboot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base::ContainerId;
use serde::{Deserialize, Serialize};

use crate::chain::Chained;
use crate::publish::{Protocol, PublishedPort};

/// The whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Format; 1.
    pub(crate) version: u32,
    /// The address given last, by network.
    pub(crate) cursors: BTreeMap<String, Ipv4Addr>,
    /// The IPv6 address given last, by network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cursors6: BTreeMap<String, Ipv6Addr>,
    /// The ephemeral host port given last.
    pub(crate) port_cursor: u16,
    /// Packet forwarding was off and was turned on by us.
    pub(crate) forwarding_turned_on: bool,
    /// Forwarding of IPv6 packets was off and was turned on by us.
    #[serde(default)]
    pub(crate) forwarding6_turned_on: bool,
    /// Those who hold something.
    pub(crate) holders: Vec<Holder>,
}

/// What one container holds in one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The container.
    pub(crate) id: ContainerId,
    /// Its name.
    pub(crate) name: String,
    /// Its network.
    pub(crate) network: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Its IPv6 address, when the network has those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address6: Option<Ipv6Addr>,
    /// Its link's name on the host.
    pub(crate) host_link: String,
    /// Its published ports.
    pub(crate) ports: Vec<PublishedPort>,
    /// Its process has ended: the ports are kept for it, and lead nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) withdrawn: bool,
    /// A process on another host sends what its ports get here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) outside: bool,
    /// Plugins made all of it, and publish its ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chained: Option<Chained>,
}

impl Holder {
    /// Whether an address is its own.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        address == self.address || self.address6.is_some_and(|six| address == six)
    }

    /// Its published ports with the address of the same family that they lead to by our rules.
    pub(crate) fn published(&self) -> impl Iterator<Item = (PublishedPort, IpAddr)> + '_ {
        let ports = self.ports.iter().filter(|_| !self.withdrawn && self.chained.is_none());
        let mut led = BTreeSet::new();
        ports.filter_map(move |port| {
            let port = self.as_led(port);
            let to = match port.host_ip {
                // The kernel does not send it anywhere.
                IpAddr::V6(Ipv6Addr::LOCALHOST) => return None,
                IpAddr::V4(_) => self.address.into(),
                IpAddr::V6(_) => self.address6?.into(),
            };
            led.insert(port).then_some((port, to))
        })
    }

    /// A port as the rules are to have it: what comes from outside is for this namespace's own
    /// IPv4 address, whatever it was for there.
    pub(crate) fn as_led(&self, port: &PublishedPort) -> PublishedPort {
        let host_ip = if self.outside { Ipv4Addr::UNSPECIFIED.into() } else { port.host_ip };
        PublishedPort { host_ip, ..*port }
    }
}

impl Ledger {
    /// What a container holds in a network.
    pub(crate) fn holder(&self, id: &ContainerId, network: &str) -> Option<&Holder> {
        self.holders.iter().find(|holder| holder.id == *id && holder.network == network)
    }

    /// All that a container holds.
    pub(crate) fn of<'l>(&'l self, id: &'l ContainerId) -> impl Iterator<Item = &'l Holder> {
        self.holders.iter().filter(move |holder| holder.id == *id)
    }

    /// The IPv6 addresses that are held in `network`.
    pub(crate) fn held6(&self, network: &str) -> BTreeSet<Ipv6Addr> {
        self.holders.iter().filter(|h| h.network == network).filter_map(|h| h.address6).collect()
    }

    /// Who holds the IPv6 `address` in `network`.
    pub(crate) fn holder_of6(&self, network: &str, address: Ipv6Addr) -> Option<&Holder> {
        self.holders.iter().find(|h| h.network == network && h.address6 == Some(address))
    }

    /// The addresses that are held in `network`.
    pub(crate) fn held(&self, network: &str) -> BTreeSet<Ipv4Addr> {
        self.holders.iter().filter(|h| h.network == network).map(|h| h.address).collect()
    }

    /// Who holds `address` in `network`.
    pub(crate) fn holder_of(&self, network: &str, address: Ipv4Addr) -> Option<&Holder> {
        self.holders.iter().find(|h| h.network == network && h.address == address)
    }

    /// Who publishes on a host port that meets this one.
    pub(crate) fn publisher(&self, protocol: Protocol, host_ip: IpAddr, port: u16) -> Option<&Holder> {
        let meets =
            |holder: &Holder| holder.ports.iter().any(|p| holder.as_led(p).meets(protocol, host_ip, port));
        self.holders.iter().find(|holder| meets(holder))
    }

    /// Who stands in the way of a port: who publishes on one that meets it and does not share
    /// the very same.
    pub(crate) fn in_the_way(&self, wanted: &PublishedPort) -> Option<&Holder> {
        let refuses = |other: PublishedPort| {
            let shares = other.shared && wanted.shared && other.host_ip == wanted.host_ip;
            other.meets(wanted.protocol, wanted.host_ip, wanted.host_port) && !shares
        };
        self.holders.iter().find(|holder| holder.ports.iter().any(|port| refuses(holder.as_led(port))))
    }

    /// All published ports with the address they lead to.
    pub(crate) fn published(&self) -> impl Iterator<Item = (PublishedPort, IpAddr)> + '_ {
        self.holders.iter().flat_map(Holder::published)
    }

    /// Takes out what `id` holds in a network, or in all.
    pub(crate) fn release(&mut self, id: &ContainerId, network: Option<&str>) -> Vec<Holder> {
        let goes =
            |holder: &mut Holder| holder.id == *id && network.is_none_or(|network| holder.network == network);
        self.holders.extract_if(.., goes).collect()
    }
}
