//! The links of a pod network: bridge, tunnel, and what is inside a pod.

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use netlink::route::{
    self, Address, AddressGeneration, Ipv4Conf, Link, LinkChange, LinkKind, NewLink, Place, Route, Vxlan,
};
use netlink::{Protocol, Socket};
use rustix::io::Errno;

use crate::error::Error;
use crate::links::{CONTAINER_LINK, HostLinks, mac_of};

use super::{PodAttachment, PodNetworkConfig, addresses};

const ALIAS_BYTES_MAX: usize = 200;
const MAIN_TABLE: u32 = 254;

/// The text by which our links are known again.
pub(super) fn alias(state: &Path) -> String {
    let path = state.to_string_lossy();
    if path.len() <= ALIAS_BYTES_MAX {
        return format!("strake pods {path}");
    }
    format!("strake pods {}", base::Digest::sha256_of(path.as_bytes()).hex())
}

/// What a tunnel is made with.
#[derive(Clone, Copy)]
pub(super) struct Tunnel {
    pub(super) vni: u32,
    pub(super) port: u16,
    pub(super) local: Ipv4Addr,
    pub(super) mtu: u32,
}

/// Makes the bridge with the gateway's address, or finishes what is there of it.
pub(super) fn ensure_bridge(
    host: &mut HostLinks,
    config: &PodNetworkConfig,
    alias: &str,
    mtu: u32,
) -> Result<Link, Error> {
    let name = config.bridge.as_str();
    let gateway = addresses::gateway(config.range);
    let new =
        NewLink { name, kind: LinkKind::Bridge, mtu: Some(mtu), mac: Some(mac_of(gateway)), master: None };
    let link = host.ensure(&new, alias)?;
    // The node reaches host ports by 127.0.0.1; the chain `no-loopback` keeps pods from using it
    // the other way.
    let localnet = LinkChange { ipv4: &[(Ipv4Conf::RouteLocalnet, 1)], ..LinkChange::default() };
    let localnet = route::set_link(Place::Index(link.index), &localnet);
    let mut messages = vec![up(&link, alias, mtu), localnet, route::add_address(&alone(&link, gateway))];
    messages.push(route::replace_route(&Route {
        destination: config.range.network(),
        prefix: config.range.prefix(),
        gateway: None,
        source: Some(gateway),
        ..Route::default_by(gateway, link.index)
    }));
    // An address of an earlier range.
    for address in host.addresses_of(link.index)? {
        if address.address != gateway {
            messages.push(route::delete_address(&address));
        }
    }
    host.run(&messages, || format!("set up bridge {name}"))?;
    Ok(link)
}

/// Makes the tunnel, or finishes what is there of it; one with other settings is made anew.
pub(super) fn ensure_tunnel(
    host: &mut HostLinks,
    config: &PodNetworkConfig,
    alias: &str,
    tunnel: Tunnel,
) -> Result<Link, Error> {
    let name = config.tunnel.as_str();
    let end = config.range.network();
    let underlay = host.link_of(tunnel.local)?.map(|link| link.index);
    let wanted = Vxlan { vni: tunnel.vni, port: tunnel.port, local: Some(tunnel.local), underlay };
    let differs = |link: &Link| link.vxlan != Some(wanted) || link.mac != Some(mac_of(end));
    if host.by_name(name)?.is_some_and(|link| link.alias == alias && differs(&link)) {
        host.delete(name)?;
    }
    let new = NewLink {
        name,
        kind: LinkKind::Vxlan(wanted),
        mtu: Some(tunnel.mtu),
        mac: Some(mac_of(end)),
        master: None,
    };
    let link = host.ensure(&new, alias)?;
    let messages = [up(&link, alias, tunnel.mtu), route::add_address(&alone(&link, end))];
    host.run(&messages, || format!("set up tunnel {name}"))?;
    Ok(link)
}

fn up(link: &Link, alias: &str, mtu: u32) -> netlink::Message {
    let change = LinkChange {
        up: Some(true),
        alias: Some(alias),
        mtu: Some(mtu),
        ipv6_generation: Some(AddressGeneration::None),
        ..LinkChange::default()
    };
    route::set_link(Place::Index(link.index), &change)
}

/// An address without a network: what is on the link is told by routes.
fn alone(link: &Link, address: Ipv4Addr) -> Address {
    Address { link: link.index, address, prefix: 32 }
}

/// The pod's side: loopback, address, and the gateway as the way to everybody.
pub(super) fn configure(
    attachment: &PodAttachment,
    address: Ipv4Addr,
    netns: BorrowedFd<'_>,
) -> Result<(), Error> {
    let step = |source| Error::Kernel {
        step: format!("configure {CONTAINER_LINK} of sandbox {}", attachment.id.short()),
        source,
    };
    let mut socket = Socket::open_in(netns, Protocol::Route).map_err(step)?;
    let messages = [route::loopback_up(), route::link_request(Place::Name(CONTAINER_LINK))];
    let answers = socket.execute_all(&messages).map_err(step)?;
    let link = answers.iter().flatten().find_map(Link::parse).unwrap_or_default();
    let change = LinkChange {
        up: Some(true),
        ipv6_generation: Some(AddressGeneration::None),
        ..LinkChange::default()
    };
    let gateway = attachment.gateway;
    let default = Route::default_by(gateway, link.index);
    let on_link = Route { destination: gateway, prefix: 32, gateway: None, ..default };
    let messages = [
        route::set_link(Place::Index(link.index), &change),
        route::add_address(&alone(&link, address)),
        route::set_neighbour(link.index, gateway, mac_of(gateway)),
        route::add_route(&on_link),
        route::add_route(&default),
    ];
    socket.execute_all(&messages).map_err(step)?;
    Ok(())
}

impl HostLinks {
    /// The link of that name, made if it is missing. One that is not ours is an error; one
    /// without a mark that is still down is ours, made when we were killed.
    fn ensure(&mut self, new: &NewLink<'_>, alias: &str) -> Result<Link, Error> {
        let name = new.name;
        let foreign = || Error::ForeignLink { name: name.to_owned() };
        let ours = |link: &Link| link.alias == alias || (link.alias.is_empty() && !link.is_up());
        if let Some(link) = self.by_name(name)? {
            return if ours(&link) { Ok(link) } else { Err(foreign()) };
        }
        match self.socket.execute_all(&[route::new_link(new)]) {
            Err(error) if !error.is(Errno::EXIST) => {
                return Err(Error::Kernel { step: format!("make link {name}"), source: error });
            }
            _ => {}
        }
        self.by_name(name)?.ok_or_else(foreign)
    }

    pub(super) fn run(
        &mut self,
        messages: &[netlink::Message],
        step: impl Fn() -> String,
    ) -> Result<(), Error> {
        self.socket.execute_all(messages).map(drop).map_err(|source| Error::Kernel { step: step(), source })
    }

    fn addresses_of(&mut self, link: u32) -> Result<Vec<Address>, Error> {
        let all = route::addresses(&mut self.socket).map_err(listing("addresses"))?;
        Ok(all.into_iter().filter(|address| address.link == link).collect())
    }

    /// The link that has `address`.
    fn link_of(&mut self, address: Ipv4Addr) -> Result<Option<Link>, Error> {
        let all = route::addresses(&mut self.socket).map_err(listing("addresses"))?;
        let Some(found) = all.iter().find(|a| a.address == address) else { return Ok(None) };
        route::link_by_index(&mut self.socket, found.link).map_err(listing("links"))
    }

    /// The largest packet of the link that has `address`; without one, that of the default
    /// route's link.
    pub(super) fn underlay_mtu(&mut self, address: Option<Ipv4Addr>) -> Result<u32, Error> {
        let link = match address {
            Some(address) => self.link_of(address)?,
            None => None,
        };
        match link {
            Some(link) if link.mtu > 0 => Ok(link.mtu.min(MTU_MAX)),
            _ => self.default_mtu(),
        }
    }

    /// The first address of the link that the default route leaves by.
    pub(super) fn default_address(&mut self) -> Result<Option<Ipv4Addr>, Error> {
        let routes = route::routes(&mut self.socket).map_err(listing("routes"))?;
        let default =
            routes.iter().filter(|r| r.prefix == 0 && r.table == MAIN_TABLE).min_by_key(|r| r.metric);
        let Some(default) = default else { return Ok(None) };
        if let Some(source) = default.source {
            return Ok(Some(source));
        }
        let Some(link) = default.link else { return Ok(None) };
        Ok(self.addresses_of(link)?.first().map(|address| address.address))
    }

    /// Tells the node's kernel which hardware address a pod has: nobody needs to ask.
    pub(super) fn know(&mut self, bridge: u32, address: Ipv4Addr) -> Result<(), Error> {
        let message = route::set_neighbour(bridge, address, mac_of(address));
        self.run(&[message], || format!("set the hardware address of pod {address}"))
    }

    /// Takes that back.
    pub(super) fn forget(&mut self, bridge: u32, address: Ipv4Addr) -> Result<(), Error> {
        match self.socket.execute_all(&[route::delete_neighbour(bridge, address)]) {
            Err(error) if !error.is(Errno::NOENT) && !error.is(Errno::NODEV) => {
                let step = format!("forget the hardware address of pod {address}");
                Err(Error::Kernel { step, source: error })
            }
            _ => Ok(()),
        }
    }
}

/// Loopback has 65536, which no Ethernet link takes.
const MTU_MAX: u32 = 65_000;

fn listing(what: &'static str) -> impl Fn(netlink::Error) -> Error {
    move |source| Error::Kernel { step: format!("list {what}"), source }
}
