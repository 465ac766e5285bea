//! Links and rules, in a network namespace of the trial's own.

use std::io;
use std::net::{Ipv6Addr, TcpListener};

use netlink::nft::{self, ChainKind, Family, Hook, HookPoint, Transaction};
use netlink::route::{LinkKind, NewLink, Place, Vxlan, link_request, new_link};
use netlink::{Message, Protocol, Socket, wire};

use super::process::number;

/// A table with a chain that translates addresses and one that filters.
pub(super) fn nftables() -> io::Result<String> {
    let mut socket = Socket::open(Protocol::Netfilter).map_err(said)?;
    let mut changes = Transaction::on(Family::Inet, "strake-check");
    changes.add_table(None);
    for (name, kind, point) in
        [("nat", ChainKind::Nat, HookPoint::Postrouting), ("filter", ChainKind::Filter, HookPoint::Forward)]
    {
        changes.add_chain(&nft::Chain { name, hook: Some(Hook { kind, point, priority: 0 }) });
    }
    changes.commit(&mut socket, None).map_err(said)?;
    Ok(String::new())
}

/// A chain that translates addresses makes the kernel track connections.
pub(super) fn conntrack() -> io::Result<String> {
    nftables()?;
    match number("/proc/sys/net/netfilter/nf_conntrack_max") {
        Some(most) => Ok(format!("{most} connections")),
        None => Err(io::Error::other("/proc/sys/net/netfilter/nf_conntrack_max is not there")),
    }
}

/// A link that needs nothing but its kind.
pub(super) fn plain(kind: &str) -> io::Result<String> {
    let mut socket = Socket::open(Protocol::Route).map_err(said)?;
    socket.execute_all(&[of_kind(kind, None)]).map_err(said)?;
    Ok(String::new())
}

/// A link that stands on another.
pub(super) fn on_a_parent(kind: &str) -> io::Result<String> {
    let mut socket = Socket::open(Protocol::Route).map_err(said)?;
    let parent = NewLink { name: "parent", kind: LinkKind::Bridge, mtu: None, mac: None, master: None };
    let made = socket.execute_all(&[new_link(&parent), link_request(Place::Name("parent"))]).map_err(said)?;
    let parent = made.iter().flatten().find_map(netlink::route::Link::parse);
    let parent = parent.ok_or_else(|| io::Error::other("a bridge was made and is not there"))?;
    socket.execute_all(&[of_kind(kind, Some(parent.index))]).map_err(said)?;
    Ok(String::new())
}

pub(super) fn vxlan() -> io::Result<String> {
    let mut socket = Socket::open(Protocol::Route).map_err(said)?;
    let kind = LinkKind::Vxlan(Vxlan { vni: 1, port: 4789, local: None, underlay: None });
    let link = NewLink { name: "probe", kind, mtu: None, mac: None, master: None };
    socket.execute_all(&[new_link(&link)]).map_err(said)?;
    Ok(String::new())
}

/// The family by which virtual servers are set.
pub(super) fn ipvs() -> io::Result<String> {
    let mut socket = Socket::open(Protocol::Generic).map_err(said)?;
    match netlink::generic::family(&mut socket, "IPVS").map_err(said)? {
        Some(_) => Ok(String::new()),
        None => Err(io::Error::other("the kernel has no family IPVS of generic netlink")),
    }
}

/// A socket of the family, and a host that has not switched it off.
pub(super) fn ipv6() -> io::Result<String> {
    if number("/proc/sys/net/ipv6/conf/all/disable_ipv6") == Some(1) {
        return Err(io::Error::other("net.ipv6.conf.all.disable_ipv6 is 1"));
    }
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    Ok(String::new())
}

/// `RTM_NEWLINK` of a kind that this workspace makes only to see whether it can be made.
fn of_kind(kind: &str, parent: Option<u32>) -> Message {
    let mut message = Message::new(RTM_NEWLINK, wire::F_CREATE | wire::F_EXCL).fixed(&[0; INFO_LEN]);
    message.str(IFLA_IFNAME, "probe");
    if let Some(parent) = parent {
        message.u32(IFLA_LINK, parent);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.str(IFLA_INFO_KIND, kind);
    });
    message
}

#[allow(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn said(error: netlink::Error) -> io::Error {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(text),
    }
}

const RTM_NEWLINK: u16 = 16;
/// `struct ifinfomsg`.
const INFO_LEN: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
