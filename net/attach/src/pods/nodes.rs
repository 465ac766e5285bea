//! Routes to other nodes' pods: decided purely, compared with what the kernel holds, and only
//! the difference written.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use netlink::route::{self, MacAddress, Neighbour, Route, RouteKind};
use rustix::io::Errno;

use crate::cidr::Cidr;
use crate::error::Error;
use crate::links::{HostLinks, mac_of};

use super::{Mode, PodNetworkConfig};

/// The mark of our routes: `RTPROT_*` numbers from 192 on are nobody's.
const ROUTE_PROTOCOL: u8 = 0xd3;
const MAIN_TABLE: u32 = 254;

/// Where another node's pods are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRoute {
    /// The node's name.
    pub name: String,
    /// Its address on the underlay.
    pub address: Ipv4Addr,
    /// Its pods' addresses.
    pub range: Cidr,
    /// The hardware address of its end of the tunnel; that of a node of ours without.
    pub tunnel_mac: Option<MacAddress>,
}

/// What the kernel holds, or is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    /// Range, next hop, link of a tunnel.
    pub(super) routes: BTreeSet<(Cidr, Ipv4Addr, Option<u32>)>,
    /// On the tunnel: link, address, hardware address.
    pub(super) neighbours: BTreeSet<(u32, Ipv4Addr, MacAddress)>,
    /// Of the tunnel: link, node, hardware address.
    pub(super) forwarding: BTreeSet<(u32, Ipv4Addr, MacAddress)>,
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) add: Routes,
    pub(super) remove: Routes,
}

/// The routes to `nodes`, and what was passed over and why.
pub(super) fn wanted(
    config: &PodNetworkConfig,
    tunnel: Option<u32>,
    nodes: &[NodeRoute],
) -> (Routes, Vec<String>) {
    let (mut routes, mut notes) = (Routes::default(), Vec::new());
    let mut taken: Vec<(Cidr, &str)> = vec![(config.range, config.node.as_str())];
    for node in nodes {
        let NodeRoute { name, address, range, tunnel_mac } = node;
        if *name == config.node {
            continue;
        }
        let outside = !(config.cluster.contains(range.network()) && config.cluster.contains(range.last()));
        if outside {
            notes.push(format!(
                "node {name}: its pod range {range} is not inside the cluster's {}; no route was made",
                config.cluster
            ));
            continue;
        }
        if let Some((other, owner)) = taken.iter().find(|(other, _)| other.overlaps(range)) {
            notes.push(format!(
                "node {name}: its pod range {range} meets {other} of node {owner}; no route was made"
            ));
            continue;
        }
        taken.push((*range, name));
        match (config.mode, tunnel) {
            (Mode::Vxlan { .. }, Some(link)) => {
                let (end, mac) = (range.network(), tunnel_mac.unwrap_or_else(|| mac_of(range.network())));
                routes.routes.insert((*range, end, Some(link)));
                routes.neighbours.insert((link, end, mac));
                routes.forwarding.insert((link, *address, mac));
            }
            (Mode::Direct, _) => {
                routes.routes.insert((*range, *address, None));
            }
            (Mode::Vxlan { .. } | Mode::Bridge, _) => {}
        }
    }
    (routes, notes)
}

/// What the kernel holds of ours.
pub(super) fn held(host: &mut HostLinks, tunnel: Option<u32>) -> Result<Routes, Error> {
    let failed = |source| Error::Kernel { step: "read the routes to other nodes".to_owned(), source };
    let socket = &mut host.socket;
    let mut held = Routes::default();
    for route in route::routes(socket).map_err(failed)? {
        if route.protocol == ROUTE_PROTOCOL
            && let Some(gateway) = route.gateway
        {
            let link = route.link.filter(|_| route.onlink);
            held.routes.insert((Cidr::of(route.destination, route.prefix), gateway, link));
        }
    }
    if let Some(link) = tunnel {
        let entry = |n: Neighbour| n.permanent.then_some((n.link, n.address, n.mac));
        let neighbours = route::neighbours(socket, link).map_err(failed)?;
        held.neighbours = neighbours.into_iter().filter_map(entry).collect();
        let forwarding = route::forwarding(socket, link).map_err(failed)?;
        held.forwarding = forwarding.into_iter().filter_map(entry).collect();
    }
    Ok(held)
}

/// From what is held to what is wanted.
pub(super) fn difference(held: &Routes, wanted: &Routes) -> Difference {
    let without = |a: &Routes, b: &Routes| Routes {
        routes: a.routes.difference(&b.routes).copied().collect(),
        neighbours: a.neighbours.difference(&b.neighbours).copied().collect(),
        forwarding: a.forwarding.difference(&b.forwarding).copied().collect(),
    };
    Difference { add: without(wanted, held), remove: without(held, wanted) }
}

/// Writes the difference: ways first, then what leads to them; what is removed the other way
/// round.
pub(super) fn apply(host: &mut HostLinks, difference: &Difference) -> Result<(), Error> {
    let Difference { add, remove } = difference;
    for route in &remove.routes {
        gone(host, &route::delete_route(&as_route(*route)), || format!("delete route {}", route.0))?;
    }
    for (link, address, mac) in &remove.forwarding {
        let message = route::delete_forwarding(*link, *mac, *address);
        gone(host, &message, || format!("delete tunnel entry of node {address}"))?;
    }
    for (link, address, _) in &remove.neighbours {
        // Replaced by the one that is added under the same address.
        if add.neighbours.iter().any(|(l, a, _)| (l, a) == (link, address)) {
            continue;
        }
        let message = route::delete_neighbour(*link, *address);
        gone(host, &message, || format!("delete neighbour {address}"))?;
    }
    for (link, address, mac) in &add.forwarding {
        let message = route::set_forwarding(*link, *mac, *address);
        host.run(&[message], || format!("send to node {address} by the tunnel"))?;
    }
    for (link, address, mac) in &add.neighbours {
        let message = route::set_neighbour(*link, *address, *mac);
        host.run(&[message], || format!("set the hardware address of {address}"))?;
    }
    for route in &add.routes {
        let message = route::replace_route(&as_route(*route));
        host.run(&[message], || step(*route))?;
    }
    Ok(())
}

fn step((range, gateway, link): (Cidr, Ipv4Addr, Option<u32>)) -> String {
    match link {
        Some(_) => format!("route {range} by the tunnel"),
        None => format!(
            "route {range} by node address {gateway}: direct routes need all nodes on one link; else use VXLAN"
        ),
    }
}

fn as_route((range, gateway, link): (Cidr, Ipv4Addr, Option<u32>)) -> Route {
    Route {
        kind: RouteKind::Unicast,
        destination: range.network(),
        prefix: range.prefix(),
        gateway: Some(gateway),
        link,
        metric: 0,
        source: None,
        table: MAIN_TABLE,
        onlink: link.is_some(),
        protocol: ROUTE_PROTOCOL,
    }
}

/// Removes; gone already is fine.
fn gone(host: &mut HostLinks, message: &netlink::Message, step: impl Fn() -> String) -> Result<(), Error> {
    match host.socket.execute_all(std::slice::from_ref(message)) {
        Err(error) if [Errno::NOENT, Errno::SRCH, Errno::NODEV].iter().any(|e| error.is(*e)) => Ok(()),
        Err(source) => Err(Error::Kernel { step: step(), source }),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    fn node(name: &str, last: u8, range: &str) -> NodeRoute {
        NodeRoute {
            name: name.to_owned(),
            address: Ipv4Addr::new(192, 0, 2, last),
            range: cidr(range),
            tunnel_mac: None,
        }
    }

    fn config(mode: Mode) -> PodNetworkConfig {
        let ranges = (cidr("10.42.0.0/24"), cidr("10.42.0.0/16"));
        PodNetworkConfig { mode, ..PodNetworkConfig::new("state", "a", ranges) }
    }

    #[test]
    fn each_other_node_has_a_route() {
        let nodes =
            [node("a", 1, "10.42.0.0/24"), node("b", 2, "10.42.1.0/24"), node("c", 3, "10.42.2.0/24")];
        let (routes, notes) = wanted(&config(Mode::VXLAN), Some(7), &nodes);
        assert_eq!(notes, Vec::<String>::new());
        let ends: Vec<_> =
            routes.routes.iter().map(|(range, end, link)| format!("{range} {end} {link:?}")).collect();
        assert_eq!(ends, ["10.42.1.0/24 10.42.1.0 Some(7)", "10.42.2.0/24 10.42.2.0 Some(7)"]);
        assert_eq!(routes.forwarding.len(), 2);
        let (routes, _) = wanted(&config(Mode::Direct), None, &nodes);
        let ends: Vec<_> =
            routes.routes.iter().map(|(range, end, link)| format!("{range} {end} {link:?}")).collect();
        assert_eq!(ends, ["10.42.1.0/24 192.0.2.2 None", "10.42.2.0/24 192.0.2.3 None"]);
        assert!(routes.neighbours.is_empty());
        assert_eq!(wanted(&config(Mode::Bridge), None, &nodes).0, Routes::default());
    }

    #[test]
    fn a_range_that_cannot_be_is_named() {
        let nodes =
            [node("b", 2, "10.42.0.128/25"), node("c", 3, "10.43.0.0/24"), node("d", 4, "10.42.3.0/24")];
        let (routes, notes) = wanted(&config(Mode::VXLAN), Some(7), &nodes);
        assert_eq!(routes.routes.len(), 1);
        assert_eq!(notes.len(), 2);
        assert!(notes[0].contains("meets 10.42.0.0/24 of node a"), "{notes:?}");
        assert!(notes[1].contains("not inside the cluster's 10.42.0.0/16"), "{notes:?}");
    }

    #[test]
    fn only_the_difference_is_written() {
        let nodes = [node("b", 2, "10.42.1.0/24"), node("c", 3, "10.42.2.0/24")];
        let (before, _) = wanted(&config(Mode::VXLAN), Some(7), &nodes);
        let (after, _) = wanted(&config(Mode::VXLAN), Some(7), &nodes[1..]);
        let difference = difference(&before, &after);
        assert_eq!(difference.add, Routes::default());
        assert_eq!(difference.remove.routes.len(), 1);
        assert_eq!(super::difference(&after, &after), Difference::default());
    }
}
