//! The network namespace of a process: interfaces, addresses, routes, open ports.
//!
//! `/proc/PID/net` shows the namespace of that process whoever reads it, so nothing
//! has to be entered. What these tables lack (which interface holds an IPv4 address)
//! follows from the connected routes.

mod devices;
mod routes;
mod sockets;

use std::net::IpAddr;

use serde::Serialize;

use crate::error::Error;
use crate::procfs::Process;
use crate::sourced::Sourced;

pub use devices::{Device, parse_devices, parse_fib_trie, parse_if_inet6};
pub use routes::{Route, parse_routes, parse_routes6};
pub use sockets::{Protocol, Socket, SocketState, parse_sockets};

/// An interface and what is on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// `172.30.0.2/16`.
    pub addresses: Vec<String>,
    /// Bytes in and out since it was made.
    pub received_bytes: u64,
    /// See above.
    pub sent_bytes: u64,
}

impl Process {
    /// Interfaces with their addresses.
    pub fn interfaces(&self) -> Result<Sourced<Vec<Interface>>, Error> {
        let devices = self.parsed("net/dev", parse_devices)?;
        let trie = self.optional("net/fib_trie")?;
        let routes = self.routes()?.value;
        let local4 = parse_fib_trie(&trie);
        let local6 = parse_if_inet6(&self.optional("net/if_inet6")?);
        let interface = |device: Device| {
            let mut addresses: Vec<String> = local4
                .iter()
                .filter_map(|address| {
                    let (on, prefix) = routes::interface_of(&routes, *address)?;
                    (on == device.name).then(|| format!("{address}/{prefix}"))
                })
                .collect();
            let six = local6.iter().filter(|(name, _, _)| *name == device.name);
            addresses.extend(six.map(|(_, address, prefix)| format!("{address}/{prefix}")));
            Interface {
                name: device.name,
                addresses,
                received_bytes: device.received_bytes,
                sent_bytes: device.sent_bytes,
            }
        };
        let source = format!("{} with net/fib_trie, net/if_inet6", devices.source);
        Ok(Sourced::new(devices.value.into_iter().map(interface).collect(), source))
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

    /// A table that a kernel built without IPv6 lacks.
    fn optional(&self, name: &str) -> Result<String, Error> {
        match self.text(name) {
            Ok(text) => Ok(text.value),
            Err(Error::Missing { .. }) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

/// `::` or `0.0.0.0`: any address of the namespace.
pub fn is_any(address: IpAddr) -> bool {
    address.is_unspecified()
}
