//! What netlink adds: `rtnetlink(7)`, by a socket opened in the target namespace.

use std::os::fd::AsFd as _;

use netlink::{Protocol, Socket, route};
use rustix::fs::OFlags;

use super::{Interface, Link};
use crate::procfs::Process;

/// Netlink could not be asked; procfs still can.
pub(super) struct Unanswered;

/// Fills in what the links and addresses of the namespace say.
pub(super) fn complete(process: &Process, interfaces: &mut [Interface]) -> Result<(), Unanswered> {
    let netns = process.open("ns/net", OFlags::RDONLY).map_err(|_| Unanswered)?;
    let mut socket = Socket::open_in(netns.as_fd(), Protocol::Route).map_err(|_| Unanswered)?;
    let links = route::links(&mut socket).map_err(|_| Unanswered)?;
    let addresses = route::addresses(&mut socket).map_err(|_| Unanswered)?;
    for link in links {
        let Some(interface) = interfaces.iter_mut().find(|interface| interface.name == link.name) else {
            continue;
        };
        for address in addresses.iter().filter(|address| address.link == link.index) {
            interface.add4(address.address, address.prefix);
        }
        interface.link = Some(Link {
            index: link.index,
            up: link.is_up(),
            mtu: link.mtu,
            mac: link.mac.map(|mac| mac.to_string()),
            kind: link.kind,
            peer_elsewhere: link.peer_elsewhere,
        });
    }
    Ok(())
}
