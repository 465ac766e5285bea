//! Who may reach a published port: one packet for each kind of client.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink::nft::Family;
use netlink::route;
use serde::Serialize;

use super::ruleset::Ruleset;
use super::walk::{Surroundings, walk};
use super::{Fate, Origin, Packet, Path};
use crate::error::{Error, PortOwner};
use crate::ledger::Holder;
use crate::links::HostLinks;
use crate::networks::Networks;
use crate::ports::{companion_of, process_on};
use crate::publish::PublishedPort;

/// A kind of client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "audience", content = "link")]
pub enum Audience {
    /// Other machines, by this link.
    Machines(String),
    /// Processes of this host.
    Host,
    /// Containers of the network with this bridge, by the host's address.
    Containers(String),
}

impl std::fmt::Display for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Machines(link) => write!(f, "other machines by {link}"),
            Self::Host => f.write_str("this host"),
            Self::Containers(bridge) => write!(f, "containers on {bridge}"),
        }
    }
}

/// The way of a client's first packet to a published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Whose packet.
    #[serde(flatten)]
    pub audience: Audience,
    /// Its way.
    #[serde(flatten)]
    pub path: Path,
}

/// A link of the host and one of its addresses.
struct Entrance {
    link: String,
    address: IpAddr,
    /// It is a bridge of ours.
    own: bool,
}

impl Networks {
    /// Who may reach `port`, and by which rules: from the rules that the kernel holds now.
    pub fn ways(&self, port: &PublishedPort) -> Result<Vec<Way>, Error> {
        let ledger = self.ledger()?;
        let holder = ledger.holders.iter().find(|holder| holder.ports.contains(port));
        let led = holder.map_or(*port, |holder| holder.as_led(port));
        let port = &led;
        let family = if port.host_ip.is_ipv4() { Family::Ip } else { Family::Ip6 };
        let rules = self.with_rules_socket(|socket| {
            Ruleset::read(socket, family)
                .map_err(|source| Error::Kernel { step: "read the host's rules".to_owned(), source })
        })?;
        let (around, entrances) = self.surroundings()?;
        let packets = packets(port, &entrances);
        let way = |(audience, packet): (Audience, Packet)| {
            let mut path = walk(&rules, &around, &packet);
            let relays = path.packet.destination.ip() == Ipv6Addr::LOCALHOST && path.fate == Fate::Local;
            if let (true, Some(to)) = (relays, holder.and_then(|holder| self.relayed(holder, port))) {
                path.fate = Fate::Relayed { to };
            }
            Way { audience, path }
        };
        Ok(packets.into_iter().map(way).collect())
    }

    /// Where the companion relays what is sent to `[::1]`, if it listens there.
    fn relayed(&self, holder: &Holder, port: &PublishedPort) -> Option<SocketAddr> {
        let PortOwner::Process { pid, .. } = process_on(port.protocol, port.host_port) else {
            return None;
        };
        let to = holder.address6.map_or(IpAddr::V4(holder.address), IpAddr::V6);
        let listens =
            !holder.withdrawn && port.is_on_loopback6() && companion_of(&self.companion()) == Some(pid);
        listens.then(|| SocketAddr::new(to, port.container_port))
    }

    fn surroundings(&self) -> Result<(Surroundings, Vec<Entrance>), Error> {
        let mut host = HostLinks::open()?;
        let links = host.all()?;
        let addresses = route::addresses(&mut host.socket)
            .map_err(|source| Error::Kernel { step: "list addresses".to_owned(), source })?;
        let definitions = self.definitions()?;
        let ledger = self.ledger()?;
        let bridge_of =
            |network: &str| definitions.iter().find(|d| d.name == network).map(|d| d.bridge.clone());
        let mut containers = Vec::new();
        for holder in &ledger.holders {
            let Some(bridge) = bridge_of(&holder.network) else { continue };
            containers.extend(holder.address6.map(|address| (IpAddr::V6(address), bridge.clone())));
            containers.push((IpAddr::V4(holder.address), bridge));
        }
        let mut entrances = Vec::new();
        for address in &addresses {
            let Some(link) = links.iter().find(|link| link.index == address.link) else { continue };
            let own = definitions.iter().any(|d| d.bridge == link.name);
            entrances.push(Entrance { link: link.name.clone(), address: address.address.into(), own });
        }
        let around = Surroundings {
            own_tables: definitions.iter().map(|d| d.table.clone()).collect(),
            addresses: addresses.iter().map(|a| IpAddr::V4(a.address)).collect::<BTreeSet<_>>(),
            links: links.into_iter().map(|link| (link.index, link.name)).collect(),
            containers,
        };
        Ok((around, entrances))
    }
}

/// One packet for each kind of client that can send one to `port`.
fn packets(port: &PublishedPort, entrances: &[Entrance]) -> Vec<(Audience, Packet)> {
    let mut all = Vec::new();
    let packet = |origin, source, to| Packet {
        origin,
        source,
        protocol: port.protocol,
        destination: SocketAddr::new(to, port.host_port),
    };
    let mut seen = BTreeSet::new();
    for Entrance { link, address, own } in entrances {
        let to = if port.host_ip.is_unspecified() { *address } else { port.host_ip };
        let comes = !address.is_loopback() && !to.is_loopback() && address.is_ipv4() == to.is_ipv4();
        if !comes || !seen.insert(link) {
            continue;
        }
        let audience =
            if *own { Audience::Containers(link.clone()) } else { Audience::Machines(link.clone()) };
        all.push((audience, packet(Origin::Link(link.clone()), None, to)));
    }
    let here = match port.host_ip {
        address if !address.is_unspecified() => address,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    all.push((Audience::Host, packet(Origin::Host, Some(here), here)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Protocol;

    #[test]
    fn each_link_is_asked_once_and_loopback_by_the_host_alone() {
        let entrance = |link: &str, address: &str, own| Entrance {
            link: link.to_owned(),
            address: address.parse().expect("address"),
            own,
        };
        let entrances = [
            entrance("lo", "127.0.0.1", false),
            entrance("eth0", "192.0.2.1", false),
            entrance("eth0", "192.0.2.7", false),
            entrance("strake0", "172.30.0.1", true),
        ];
        let shown = |host_ip: &str| -> Vec<String> {
            let host_ip = host_ip.parse().expect("address");
            let packets = packets(&PublishedPort::new(Protocol::Tcp, host_ip, 80, 80), &entrances);
            packets.iter().map(|(audience, p)| format!("{audience:?} {}", p.destination)).collect()
        };
        let all =
            ["Machines(\"eth0\") 192.0.2.1:80", "Containers(\"strake0\") 172.30.0.1:80", "Host 127.0.0.1:80"];
        assert_eq!(shown("0.0.0.0"), all);
        assert_eq!(shown("127.0.0.1"), ["Host 127.0.0.1:80"]);
        assert_eq!(shown("192.0.2.7")[0], "Machines(\"eth0\") 192.0.2.7:80");
    }
}
