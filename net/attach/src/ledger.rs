//! Who holds which address and which host ports.
//!
//! One file, replaced in one step under the lock: what it says is held is held, also
//! by a process that was killed in the middle of an attach. It lies below the state
//! root, because addresses are held by running containers and none survives a reboot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use base::ContainerId;
use serde::{Deserialize, Serialize};

use crate::publish::{Protocol, PublishedPort};

/// The whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Format; 1.
    pub(crate) version: u32,
    /// The address given last, by network.
    pub(crate) cursors: BTreeMap<String, Ipv4Addr>,
    /// The ephemeral host port given last.
    pub(crate) port_cursor: u16,
    /// Packet forwarding was off and was turned on by us.
    pub(crate) forwarding_turned_on: bool,
    /// Those who hold something.
    pub(crate) holders: Vec<Holder>,
}

/// One container's holdings.
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
    /// Its link's name on the host.
    pub(crate) host_link: String,
    /// Its published ports.
    pub(crate) ports: Vec<PublishedPort>,
}

impl Ledger {
    pub(crate) fn holder(&self, id: &ContainerId) -> Option<&Holder> {
        self.holders.iter().find(|holder| holder.id == *id)
    }

    /// The addresses that are held in `network`.
    pub(crate) fn held(&self, network: &str) -> BTreeSet<Ipv4Addr> {
        self.holders.iter().filter(|h| h.network == network).map(|h| h.address).collect()
    }

    /// Who holds `address` in `network`.
    pub(crate) fn holder_of(&self, network: &str, address: Ipv4Addr) -> Option<&Holder> {
        self.holders.iter().find(|h| h.network == network && h.address == address)
    }

    /// Who publishes on a host port that meets this one: the same port of the same
    /// transport, on the same address or with one of the two on all addresses.
    pub(crate) fn publisher(&self, protocol: Protocol, host_ip: Ipv4Addr, port: u16) -> Option<&Holder> {
        let meets = |other: &PublishedPort| {
            let address =
                other.host_ip == host_ip || other.host_ip.is_unspecified() || host_ip.is_unspecified();
            other.protocol == protocol && other.host_port == port && address
        };
        self.holders.iter().find(|holder| holder.ports.iter().any(meets))
    }

    /// All published ports with the address they lead to.
    pub(crate) fn published(&self) -> impl Iterator<Item = (PublishedPort, Ipv4Addr)> + '_ {
        self.holders.iter().flat_map(|h| h.ports.iter().map(|port| (*port, h.address)))
    }

    /// Takes out what `id` holds.
    pub(crate) fn release(&mut self, id: &ContainerId) -> Option<Holder> {
        let at = self.holders.iter().position(|holder| holder.id == *id)?;
        Some(self.holders.swap_remove(at))
    }
}
