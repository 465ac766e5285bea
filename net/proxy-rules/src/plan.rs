//! One service, decided: which addresses lead where. Common to all ways of carrying it out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::choose::{Chosen, choose};
use crate::facts::{Facts, Range};
use crate::service::{Protocol, Service, ServicePort};
use crate::slice::Slice;

/// Where a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// Some endpoints of a service's port. A cluster address with transport and port belongs to one
/// service, so that it names the pool: the same after a restart, and no two alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId {
    /// The service's cluster address.
    pub cluster_ip: Ipv4Addr,
    /// The transport.
    pub protocol: Protocol,
    /// The service's port.
    pub port: u16,
    /// Only this node's endpoints.
    pub local: bool,
}

/// Where a frontend listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    /// At this address.
    Address(Ipv4Addr),
    /// At the node's addresses.
    Node,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It goes to an endpoint of the pool.
    Pool(PoolId),
    /// It is refused.
    Reject,
    /// It is dropped without an answer: another node may have endpoints.
    Drop,
}

/// An address that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// Where it listens.
    pub at: At,
    /// The transport.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// For connections of pods and of the node itself.
    pub inside: Target,
    /// For all others.
    pub outside: Target,
    /// Endpoints see the node's address, whoever asks.
    pub masquerade: bool,
    /// How many seconds a client stays with its endpoint.
    pub affinity: Option<u32>,
    /// Who may ask; everybody without.
    pub sources: Option<Vec<Range>>,
}

/// What one service needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The addresses that lead to it.
    pub frontends: Vec<Frontend>,
    /// The endpoints that they lead to, none empty.
    pub pools: BTreeMap<PoolId, Vec<Endpoint>>,
    /// Endpoints on this node, which may ask themselves.
    pub own_endpoints: Vec<Ipv4Addr>,
    /// How many endpoints this node has for load balancers that ask.
    pub local_endpoints: usize,
}

impl Plan {
    /// Decides for `service`.
    pub fn of<'a>(service: &Service, slices: impl Iterator<Item = &'a Slice> + Clone, facts: &Facts) -> Self {
        let mut plan = Self::default();
        for port in &service.ports {
            let chosen = choose(service, port, slices.clone(), facts);
            plan.add_port(service, port, &chosen, facts);
        }
        plan.own_endpoints = own_endpoints(&plan.pools, slices, facts);
        plan
    }

    fn add_port(&mut self, service: &Service, port: &ServicePort, chosen: &Chosen, facts: &Facts) {
        let target = |local: bool, endpoints: &[Endpoint]| {
            let (cluster_ip, protocol, port) = (service.cluster_ip, port.protocol, port.port);
            match (endpoints.is_empty(), chosen.any) {
                (false, _) => Target::Pool(PoolId { cluster_ip, protocol, port, local }),
                (true, false) => Target::Reject,
                (true, true) => Target::Drop,
            }
        };
        let (cluster, local) = (target(false, &chosen.cluster), target(true, &chosen.local));
        let frontend = |at: At, number: u16, masquerade: bool, targets: (Target, Target)| Frontend {
            at,
            protocol: port.protocol,
            port: number,
            inside: targets.0,
            outside: targets.1,
            masquerade: masquerade || facts.masquerade_all,
            affinity: service.affinity,
            sources: None,
        };
        let internal = if service.internal_local { local } else { cluster };
        let mut frontends =
            vec![frontend(At::Address(service.cluster_ip), port.port, false, (internal, internal))];
        // From inside, an outside address is a short way to all endpoints.
        let external = (cluster, if service.external_local { local } else { cluster });
        let masquerade = !service.external_local;
        let outer = |at, number| frontend(at, number, masquerade, external);
        if facts.external_ips {
            frontends.extend(service.external_ips.iter().map(|ip| outer(At::Address(*ip), port.port)));
        }
        for ip in &service.balancer_ips {
            let mut frontend = outer(At::Address(*ip), port.port);
            frontend.sources = service.source_ranges.as_ref().map(|ranges| with_self(ranges, *ip, facts));
            frontends.push(frontend);
        }
        frontends.extend(port.node_port.map(|number| outer(At::Node, number)));
        self.local_endpoints = self.local_endpoints.max(ready_count(chosen, service));
        let mut keep = |target: Target, endpoints: &[Endpoint]| {
            if let Target::Pool(id) = target {
                self.pools.insert(id, endpoints.to_vec());
            }
        };
        let used = |wanted: Target| frontends.iter().any(|f| f.inside == wanted || f.outside == wanted);
        if used(cluster) {
            keep(cluster, &chosen.cluster);
        }
        if used(local) {
            keep(local, &chosen.local);
        }
        self.frontends.extend(frontends);
    }
}

/// A node that may ask and has the balancer's address itself asks from that address.
fn with_self(ranges: &[Range], balancer: Ipv4Addr, facts: &Facts) -> Vec<Range> {
    let mut ranges = ranges.to_vec();
    if facts.addresses.iter().any(|own| ranges.iter().any(|range| range.contains(*own))) {
        ranges.push(Range { first: balancer, last: balancer });
    }
    ranges.sort_unstable();
    ranges.dedup();
    merged(ranges)
}

/// Sorted ranges, those that meet as one.
fn merged(ranges: Vec<Range>) -> Vec<Range> {
    let mut whole: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match whole.last_mut() {
            Some(last) if range.first.to_bits() <= last.last.to_bits().saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => whole.push(range),
        }
    }
    whole
}

fn ready_count(chosen: &Chosen, service: &Service) -> usize {
    if !service.external_local {
        return 0;
    }
    let mut addresses: Vec<Ipv4Addr> = chosen.local.iter().map(|endpoint| endpoint.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.len()
}

/// Endpoints in use that are pods of this node: only they can meet themselves.
fn own_endpoints<'a>(
    pools: &BTreeMap<PoolId, Vec<Endpoint>>,
    slices: impl Iterator<Item = &'a Slice>,
    facts: &Facts,
) -> Vec<Ipv4Addr> {
    let mut own: Vec<Ipv4Addr> = slices
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.node.as_deref() == Some(facts.node.as_str()))
        .map(|endpoint| endpoint.address)
        .filter(|address| pools.values().flatten().any(|endpoint| endpoint.address == *address))
        .collect();
    own.sort_unstable();
    own.dedup();
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_meet_are_one() {
        let range = |text| Range::parse(text).expect(text);
        let sorted =
            vec![range("10.0.0.0/25"), range("10.0.0.128/25"), range("10.0.0.200/32"), range("10.2.0.0/16")];
        assert_eq!(merged(sorted), [range("10.0.0.0/24"), range("10.2.0.0/16")]);
    }

    #[test]
    fn the_node_may_ask_the_balancer_that_it_carries() {
        let facts = Facts { addresses: vec![Ipv4Addr::new(192, 0, 2, 7)], ..Facts::default() };
        let (ranges, vip) = ([Range::parse("192.0.2.0/24").expect("range")], Ipv4Addr::new(203, 0, 113, 1));
        assert_eq!(with_self(&ranges, vip, &facts).len(), 2);
        assert_eq!(with_self(&ranges, vip, &Facts::default()).len(), 1);
    }
}
