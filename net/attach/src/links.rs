//! The links of a network: the bridge, and a pair for each container.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use netlink::route::{
    self, Address, AddressGeneration, BridgePortState, Ipv4Conf, Link, LinkChange, LinkKind, MacAddress,
    NewLink, Place, Route, RouteKind, VethPeer,
};
use netlink::{Protocol, Socket};
use rustix::io::Errno;

use crate::attachment::Attachment;
use crate::cidr::Cidr;
use crate::definition::Definition;
use crate::error::Error;

/// The link's name in a pod.
pub(crate) const CONTAINER_LINK: &str = "eth0";
/// What the names of a container's links begin with.
pub(crate) const CONTAINER_LINKS: &str = "eth";
/// What the names of our links on the host begin with.
const HOST_LINK_PREFIX: &str = "sk";
/// Links of one container that are still going, at most.
const NAME_TRIES_MAX: u32 = 64;
/// The link-local address of our bridges, each on a link of its own.
const BRIDGE_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const LINK_LOCAL_PREFIX: u8 = 64;
const MTU_DEFAULT: u32 = 1500;
const MAIN_TABLE: u32 = 254;

/// The name of a container's link on the host: told from its id, so that one finds the
/// other. Only when that is taken, as by the last link of a container that was restarted
/// at once, further tries give others.
pub(crate) fn host_link_name(id: &str, attempt: u32) -> String {
    let head = id.get(..12).filter(|head| attempt == 0 && head.bytes().all(|b| b.is_ascii_hexdigit()));
    match head {
        Some(head) => format!("{HOST_LINK_PREFIX}{head}"),
        None => {
            let digest = base::Digest::sha256_of(format!("{attempt} {id}").as_bytes());
            format!("{HOST_LINK_PREFIX}{}", digest.hex().get(..12).unwrap_or_default())
        }
    }
}

/// Whether a link is one that [`host_link_name`] names.
pub(crate) fn is_host_link(link: &Link) -> bool {
    let tail = link.name.strip_prefix(HOST_LINK_PREFIX);
    let ours = tail.is_some_and(|tail| tail.len() == 12 && tail.bytes().all(|b| b.is_ascii_hexdigit()));
    ours && link.kind.as_deref() == Some("veth")
}

/// The hardware address that goes with an IPv4 address.
///
/// One address has one hardware address for ever, so neighbours' caches are right also
/// after the address was given to another container, and no announcement is needed.
pub(crate) fn mac_of(address: Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = address.octets();
    MacAddress([0x02, 0x42, a, b, c, d])
}

/// A pair of links to be made for a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// The name of our end.
    pub(crate) name: &'a str,
    /// The name of the container's end.
    pub(crate) link: &'a str,
    /// The bridge's name.
    pub(crate) bridge: &'a str,
    /// Whom it is for, for messages.
    pub(crate) owner: &'a str,
    /// Largest packet in bytes.
    pub(crate) mtu: u32,
    /// The hardware address of the container's end.
    pub(crate) mac: MacAddress,
}

/// The host's side: one socket in the host's namespace.
pub(crate) struct HostLinks {
    pub(crate) socket: Socket,
}

impl HostLinks {
    pub(crate) fn open() -> Result<Self, Error> {
        let socket = Socket::open(Protocol::Route).map_err(failed("open a socket to rtnetlink"))?;
        Ok(Self { socket })
    }

    pub(crate) fn by_name(&mut self, name: &str) -> Result<Option<Link>, Error> {
        route::link_by_name(&mut self.socket, name)
            .map_err(|source| Error::Kernel { step: format!("look for link {name}"), source })
    }

    /// A name for the link of container `id` that no link has.
    pub(crate) fn free_name(&mut self, id: &str) -> Result<String, Error> {
        let mut name = host_link_name(id, 0);
        for attempt in 1..NAME_TRIES_MAX {
            if self.by_name(&name)?.is_none() {
                break;
            }
            name = host_link_name(id, attempt);
        }
        Ok(name)
    }

    pub(crate) fn all(&mut self) -> Result<Vec<Link>, Error> {
        route::links(&mut self.socket).map_err(failed("list links"))
    }

    /// The ranges that the host's routes and addresses are about.
    pub(crate) fn taken_ranges(&mut self) -> Result<Vec<Cidr>, Error> {
        let routes = route::routes(&mut self.socket).map_err(failed("list routes"))?;
        let addresses = route::addresses(&mut self.socket).map_err(failed("list addresses"))?;
        let routed = routes
            .iter()
            .filter(|route| route.kind == RouteKind::Unicast)
            .map(|route| Cidr::of(route.destination, route.prefix));
        let own = addresses.iter().map(|address| Cidr::of(address.address, address.prefix));
        Ok(routed.chain(own).collect())
    }

    /// The host's own addresses.
    pub(crate) fn own_addresses(&mut self) -> Result<BTreeSet<IpAddr>, Error> {
        let four = route::addresses(&mut self.socket).map_err(failed("list addresses"))?;
        let six = route::addresses6(&mut self.socket).map_err(failed("list IPv6 addresses"))?;
        let four = four.into_iter().map(|address| IpAddr::V4(address.address));
        Ok(four.chain(six.into_iter().map(IpAddr::V6)).collect())
    }

    /// The largest packet of the link that the default route leaves by.
    pub(crate) fn default_mtu(&mut self) -> Result<u32, Error> {
        let routes = route::routes(&mut self.socket).map_err(failed("list routes"))?;
        let default = routes
            .iter()
            .filter(|r| r.prefix == 0 && r.table == MAIN_TABLE && r.kind == RouteKind::Unicast)
            .min_by_key(|r| r.metric)
            .and_then(|r| r.link);
        let Some(index) = default else { return Ok(MTU_DEFAULT) };
        let link = route::link_by_index(&mut self.socket, index).map_err(failed("look for a link"))?;
        Ok(link.map_or(MTU_DEFAULT, |link| link.mtu))
    }

    /// Makes the bridge with its address and settings. What exists of it stays.
    pub(crate) fn make_bridge(&mut self, network: &Definition, alias: &str, mtu: u32) -> Result<Link, Error> {
        let name = &network.bridge;
        let step = |source| Error::Kernel { step: format!("make bridge {name}"), source };
        let mac = Some(mac_of(network.gateway));
        let new = NewLink { name, kind: LinkKind::Bridge, mtu: Some(mtu), mac, master: None };
        match self.socket.execute_all(&[route::new_link(&new)]) {
            Err(error) if !error.is(Errno::EXIST) => return Err(step(error)),
            _ => {}
        }
        let missing = netlink::Error::Receive { errno: Errno::NODEV.into() };
        let link = self.by_name(name)?.ok_or_else(|| step(missing))?;
        let change = LinkChange {
            up: Some(true),
            alias: Some(alias),
            ipv6_generation: Some(AddressGeneration::None),
            // The host reaches published ports by 127.0.0.1; the chain `no-loopback` keeps
            // containers from using it the other way.
            ipv4: &[(Ipv4Conf::RouteLocalnet, 1)],
            ..LinkChange::default()
        };
        let address = Address { link: link.index, address: network.gateway, prefix: network.subnet.prefix() };
        let set = route::set_link(Place::Index(link.index), &change);
        let mut messages = vec![set, route::add_address(&address)];
        if let Some(six) = &network.ipv6 {
            // What is passed on asks for neighbours from here: with an address that the kernel
            // would make itself, that could begin only after seconds of looking for others.
            messages.push(route::add_address6(link.index, BRIDGE_LINK_LOCAL, LINK_LOCAL_PREFIX));
            messages.push(route::add_address6(link.index, six.gateway, six.subnet.prefix()));
        }
        self.socket.execute_all(&messages).map_err(step)?;
        Ok(link)
    }

    /// Makes a container's pair: our end on the bridge and up, the other in `netns`.
    pub(crate) fn make_pair(
        &mut self,
        pair: &Pair<'_>,
        bridge: &Link,
        netns: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let name = pair.name;
        let peer = VethPeer { name: pair.link, mac: pair.mac, netns: Some(netns) };
        let new = NewLink {
            name,
            kind: LinkKind::Veth(peer),
            mtu: Some(pair.mtu),
            mac: None,
            master: Some(bridge.index),
        };
        let up = LinkChange {
            up: Some(true),
            ipv6_generation: Some(AddressGeneration::None),
            ..LinkChange::default()
        };
        let step = |source| Error::Kernel {
            step: format!("make link {name} on {} for container {}", pair.bridge, pair.owner),
            source,
        };
        let messages = [route::new_link(&new), route::set_link(Place::Name(name), &up)];
        let outcomes = self.socket.execute(&messages).map_err(step)?;
        for outcome in outcomes {
            outcome.map_err(|refusal| match refusal.errno.raw_os_error() {
                // The host's name is free, the caller made sure.
                Some(errno) if errno == Errno::EXIST.raw_os_error() => {
                    Error::LinkExists { name: pair.link.to_owned() }
                }
                _ => step(refusal.into()),
            })?;
        }
        if bridge_netfilter_is_on() {
            let index = self.by_name(name)?.map_or(0, |link| link.index);
            let hairpin = route::set_bridge_port(index, None, Some(true));
            self.socket.execute_all(&[hairpin]).map_err(step)?;
        }
        Ok(())
    }

    /// Waits until both ends carry packets.
    ///
    /// Our end came up before its peer, so the kernel activates it (and the bridge, for
    /// its first port) in a work item some time later, and until then drops what it is
    /// given: a container's first connection would lose a second to a retransmission.
    /// Asking for a link runs that work item at once (since Linux 6.8).
    pub(crate) fn settle(&mut self, name: &str, bridge: &Link) -> Result<(), Error> {
        let messages =
            [route::link_request(Place::Name(name)), route::link_request(Place::Index(bridge.index))];
        let step = |source| Error::Kernel { step: format!("wait for link {name}"), source };
        self.socket.execute_all(&messages).map_err(step)?;
        Ok(())
    }

    /// Stops all traffic of a container's link at once, without the milliseconds that
    /// deleting it costs: the link goes with the container's namespace.
    pub(crate) fn cut(&mut self, name: &str) -> Result<(), Error> {
        let Some(link) = self.by_name(name)? else { return Ok(()) };
        if link.master.is_none() {
            return Ok(());
        }
        let port = route::set_bridge_port(link.index, Some(BridgePortState::Disabled), None);
        self.ignoring_absence(&[port], || format!("cut link {name} from its bridge"))
    }

    /// Deletes a link; takes milliseconds.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), Error> {
        self.ignoring_absence(&[route::delete_link(Place::Name(name))], || format!("delete link {name}"))
    }

    fn ignoring_absence(
        &mut self,
        messages: &[netlink::Message],
        step: impl Fn() -> String,
    ) -> Result<(), Error> {
        match self.socket.execute_all(messages) {
            Err(error) if error.is(Errno::NODEV) || error.is(Errno::NXIO) => Ok(()),
            Err(source) => Err(Error::Kernel { step: step(), source }),
            Ok(_) => Ok(()),
        }
    }
}

/// The container's side: loopback, addresses, and the default route if it is to be by this
/// network.
pub(crate) fn configure_container(
    attachment: &Attachment,
    leads_out: bool,
    netns: BorrowedFd<'_>,
) -> Result<(), Error> {
    let name = attachment.link.as_str();
    let step = |source| Error::Kernel {
        step: format!("configure {name} of container {}", attachment.id.short()),
        source,
    };
    let mut socket = Socket::open_in(netns, Protocol::Route).map_err(step)?;
    let messages = [route::loopback_up(), route::link_request(Place::Name(name))];
    let answers = socket.execute_all(&messages).map_err(step)?;
    let link = answers.iter().flatten().find_map(Link::parse).map_or(0, |link| link.index);
    let up = LinkChange {
        up: Some(true),
        ipv6_generation: Some(generation(attachment.ipv6.is_some())),
        ..LinkChange::default()
    };
    let address = Address { link, address: attachment.address, prefix: attachment.subnet.prefix() };
    let mut messages = vec![route::set_link(Place::Index(link), &up), route::add_address(&address)];
    if let Some(six) = attachment.ipv6 {
        messages.push(route::add_address6(link, six.address, six.subnet.prefix()));
    }
    if leads_out {
        messages.extend(default_routes(attachment, link));
    }
    socket.execute_all(&messages).map_err(step)?;
    Ok(())
}

/// Leads the container's default routes by this network's gateway from now on.
pub(crate) fn lead_out(attachment: &Attachment, netns: BorrowedFd<'_>) -> Result<(), Error> {
    let step = |source| Error::Kernel {
        step: format!("set the default route of container {}", attachment.id.short()),
        source,
    };
    let mut socket = Socket::open_in(netns, Protocol::Route).map_err(step)?;
    let link = route::link_by_name(&mut socket, &attachment.link).map_err(step)?;
    let link = link.ok_or(netlink::Error::Receive { errno: Errno::NODEV.into() }).map_err(step)?;
    socket.execute_all(&default_routes(attachment, link.index)).map_err(step)?;
    Ok(())
}

fn default_routes(attachment: &Attachment, link: u32) -> Vec<netlink::Message> {
    let mut messages = vec![route::replace_route(&Route::default_by(attachment.gateway, link))];
    messages.extend(attachment.ipv6.map(|six| route::default_route6(six.gateway, link)));
    messages
}

/// Link-local addresses only where IPv6 is spoken.
fn generation(ipv6: bool) -> AddressGeneration {
    if ipv6 { AddressGeneration::Eui64 } else { AddressGeneration::None }
}

/// Brings loopback up in `netns`: all that `--network none` needs.
pub(crate) fn bring_up_loopback(netns: BorrowedFd<'_>) -> Result<(), Error> {
    let step = failed("bring loopback up in the container's network namespace");
    let mut socket = Socket::open_in(netns, Protocol::Route).map_err(&step)?;
    socket.execute_all(&[route::loopback_up()]).map_err(step)?;
    Ok(())
}

/// With bridged packets passing netfilter, a redirection back to where the packet came
/// from is done by the bridge, which refuses it without hairpin mode.
pub(crate) fn bridge_netfilter_is_on() -> bool {
    std::fs::read("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|text| text.starts_with(b"1"))
}

fn failed(step: &'static str) -> impl Fn(netlink::Error) -> Error {
    move |source| Error::Kernel { step: step.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_fit_and_are_known_again() {
        for id in ["0123456789abcdef0123", "web", "0123456789aZ", "é"] {
            let name = host_link_name(id, 0);
            assert_eq!(name.len(), 14, "{name}");
            let kind = Some("veth".to_owned());
            assert!(is_host_link(&Link { name, kind, ..Link::default() }));
        }
        assert_eq!(host_link_name("0123456789abcdef", 0), "sk0123456789ab");
        assert_ne!(host_link_name("0123456789abcdef", 1), host_link_name("0123456789abcdef", 2));
        for (name, kind) in [("sk0123456789ab", "bridge"), ("skein", "veth"), ("eth0", "veth")] {
            let link = Link { name: name.to_owned(), kind: Some(kind.to_owned()), ..Link::default() };
            assert!(!is_host_link(&link), "{name}");
        }
    }
}
