//! The network namespace of a process: interfaces, addresses, routes, open ports.
//!
//! `/proc/PID/net` shows the namespace of that process whoever reads it, so nothing
//! has to be entered. Netlink knows more (hardware address, MTU, kind, which link
//! holds which address), but its socket must be opened inside; where that is not
//! allowed, or the namespace's owner forbids it, procfs answers alone.

mod by_netlink;
mod devices;
mod routes;
mod sockets;

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::error::Error;
use crate::procfs::Process;
use crate::sourced::Sourced;

pub use devices::{Device, parse_devices, parse_fib_trie, parse_if_inet6};
pub use routes::{Route, parse_routes, parse_routes6};
pub use sockets::{Protocol, Socket, SocketState, parse_sockets};

/// An interface and what is on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// `172.30.0.2/16`.
    pub addresses: Vec<String>,
    /// Bytes in since it was made.
    pub received_bytes: u64,
    /// Bytes out.
    pub sent_bytes: u64,
    /// What only netlink tells.
    pub link: Option<Link>,
}

/// What netlink adds to an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its number in the namespace.
    pub index: u32,
    /// Is it switched on?
    pub up: bool,
    /// Largest packet.
    pub mtu: u32,
    /// Hardware address.
    pub mac: Option<String>,
    /// `veth`, `bridge`; none for hardware and loopback.
    pub kind: Option<String>,
    /// Its other end is in another namespace.
    pub peer_elsewhere: bool,
}

impl Process {
    /// Interfaces with their addresses.
    pub fn interfaces(&self) -> Result<Sourced<Vec<Interface>>, Error> {
        let devices = self.parsed("net/dev", parse_devices)?;
        let mut interfaces: Vec<Interface> = devices.value.into_iter().map(Interface::of).collect();
        for (name, address, prefix) in parse_if_inet6(&self.optional("net/if_inet6")?) {
            if let Some(interface) = interfaces.iter_mut().find(|interface| interface.name == name) {
                interface.addresses.push(format!("{address}/{prefix}"));
            }
        }
        let source = match by_netlink::complete(self, &mut interfaces) {
            Ok(()) => format!("netlink(7) in {}, {}", self.path("ns/net"), devices.source),
            Err(_) => {
                self.place_by_routes(&mut interfaces)?;
                format!("{} with fib_trie, if_inet6", devices.source)
            }
        };
        Ok(Sourced::new(interfaces, source))
    }

    /// The main table's routes, IPv4 then IPv6 (without the kernel's own local ones).
    pub fn routes(&self) -> Result<Sourced<Vec<Route>>, Error> {
        let mut routes = parse_routes(&self.optional("net/route")?);
        routes.extend(parse_routes6(&self.optional("net/ipv6_route")?));
        Ok(Sourced::new(routes, format!("{}, ipv6_route", self.path("net/route"))))
    }

    /// TCP and UDP sockets of the namespace (of all its processes).
    pub fn sockets(&self) -> Result<Sourced<Vec<Socket>>, Error> {
        let mut all = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Tcp6, Protocol::Udp, Protocol::Udp6] {
            let text = self.optional(protocol.file())?;
            all.extend(parse_sockets(&text, protocol));
        }
        Ok(Sourced::new(all, format!("{}, tcp6, udp, udp6", self.path("net/tcp"))))
    }

    /// Without netlink: an own address is on the interface of the connected route that
    /// covers it.
    fn place_by_routes(&self, interfaces: &mut [Interface]) -> Result<(), Error> {
        let own = parse_fib_trie(&self.optional("net/fib_trie")?);
        let routes = parse_routes(&self.optional("net/route")?);
        for address in own {
            let Some((name, prefix)) = routes::interface_of(&routes, address) else { continue };
            if let Some(interface) = interfaces.iter_mut().find(|interface| interface.name == name) {
                interface.add4(address, prefix);
            }
        }
        Ok(())
    }

    /// A table that a kernel built without IPv6 lacks.
    fn optional(&self, name: &str) -> Result<String, Error> {
        match self.text(name) {
            Ok(text) => Ok(text.value),
            Err(Error::Missing { .. }) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

impl Interface {
    fn of(device: Device) -> Self {
        Self {
            name: device.name,
            received_bytes: device.received_bytes,
            sent_bytes: device.sent_bytes,
            ..Self::default()
        }
    }

    /// IPv4 goes before IPv6.
    fn add4(&mut self, address: Ipv4Addr, prefix: u8) {
        let at = self.addresses.iter().position(|other| other.contains(':')).unwrap_or(self.addresses.len());
        self.addresses.insert(at, format!("{address}/{prefix}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfs_alone_finds_the_same_addresses_as_netlink() {
        let this = crate::Proc::open().unwrap().this().unwrap();
        let bare = || {
            let devices = this.parsed("net/dev", parse_devices).unwrap().value;
            devices.into_iter().map(Interface::of).collect::<Vec<_>>()
        };
        let (mut by_netlink, mut by_routes) = (bare(), bare());
        assert!(by_netlink::complete(&this, &mut by_netlink).is_ok());
        this.place_by_routes(&mut by_routes).unwrap();
        // An interface that is down has no connected route, and its address no way to be found.
        by_netlink.retain(|interface| interface.link.as_ref().is_some_and(|link| link.up));
        for interface in by_netlink {
            let other = by_routes.iter().find(|other| other.name == interface.name).unwrap();
            assert_eq!(interface.addresses, other.addresses, "{}", interface.name);
        }
    }
}
