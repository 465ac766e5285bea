//! UDP has no handshake: a tracked connection would go on with an endpoint that is gone.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use netlink::conntrack::{self, Connection};
use netlink::{Protocol, Socket};
use proxy_rules::{Endpoint, Leads};

use crate::error::Error;

const UDP: u8 = 17;

/// Deletes tracked connections to the frontends that lead elsewhere than they may; returns how
/// many.
pub(crate) fn forget(changed: &[Leads]) -> Result<usize, Error> {
    if changed.is_empty() {
        return Ok(0);
    }
    let stale = Stale::new(changed);
    let mut socket = Socket::open(Protocol::Netfilter).map_err(Error::Datagrams)?;
    conntrack::delete_where(&mut socket, |connection| stale.holds(connection)).map_err(Error::Datagrams)
}

/// By frontend, the endpoints that it may lead to.
struct Stale<'a> {
    allowed: HashMap<(Option<Ipv4Addr>, u16), HashSet<&'a Endpoint>>,
}

impl<'a> Stale<'a> {
    fn new(changed: &'a [Leads]) -> Self {
        let mut allowed: HashMap<_, HashSet<&Endpoint>> = HashMap::new();
        for Leads { frontends, endpoints } in changed {
            for (address, _, port) in frontends {
                allowed.entry((*address, *port)).or_default().extend(endpoints);
            }
        }
        Self { allowed }
    }

    fn holds(&self, connection: &Connection) -> bool {
        let (original, reply) = (connection.original, connection.reply);
        if original.protocol != UDP {
            return false;
        }
        // Services have addresses of IPv4.
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (reply.source, original.destination) else {
            return false;
        };
        let to = Endpoint { address: source, port: reply.source_port };
        let at_address = (Some(destination), original.destination_port);
        if let Some(allowed) = self.allowed.get(&at_address) {
            return !allowed.contains(&to);
        }
        // A node port's number may be in use for other things: only what was translated counts.
        let translated = source != destination;
        let at_node = self.allowed.get(&(None, original.destination_port));
        at_node.is_some_and(|allowed| translated && !allowed.contains(&to))
    }
}
