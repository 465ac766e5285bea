//! Network devices that move into the container (`linux.netDevices`), with their addresses.
//!
//! They are not moved back when the container ends: the namespace's owner decides about them, and
//! the kernel returns physical ones itself (config-linux.md, "Namespace Lifecycle and Container
//! Termination"). Only a creation that fails gives back what it took.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use base::{Classified, ErrorClass};
use netlink::route::{self, Link, LinkChange, Place};
use netlink::{Protocol, Socket};
use sys::Namespace;

use crate::plan::NetDevicePlan;

/// A device could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It is not there.
    #[error(
        "move netDevice {device}: link not found for interface {device} on runtime namespace: make it first, or correct linux.netDevices"
    )]
    NotFound {
        /// Which.
        device: String,
    },
    /// Its place is taken.
    #[error(
        "move netDevice {device}: the container's network namespace has a device {name} already: choose another name, or one with %d"
    )]
    Taken {
        /// Which.
        device: String,
        /// The name.
        name: String,
    },
    /// The kernel refused.
    #[error("move netDevice {device} to the container's network namespace")]
    Refused {
        /// Which.
        device: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// A namespace could not be opened.
    #[error("open the network namespaces for linux.netDevices")]
    Namespace {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Classified for NetworkError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Taken { .. } => ErrorClass::AlreadyExists,
            Self::Refused { .. } => ErrorClass::Invalid,
            Self::Namespace { source } => source.class(),
        }
    }
}

/// What was moved.
pub(crate) struct Moved {
    target: OwnedFd,
    devices: Vec<Device>,
}

struct Device {
    /// Its name in our namespace.
    outside: String,
    /// Its name in the container's.
    inside: String,
    was_up: bool,
}

/// Brings up the loopback device of the calling process's network namespace, which the container
/// has made: a program expects it, and no specification has a field for it.
pub(crate) fn bring_up_loopback() -> Result<(), netlink::Error> {
    Socket::open(Protocol::Route)?.execute_all(&[route::loopback_up()]).map(drop)
}

/// Moves the devices into `target`: all of them or none.
pub(crate) fn move_in(devices: &[NetDevicePlan], target: OwnedFd) -> Result<Moved, NetworkError> {
    let mut moved = Moved { target, devices: Vec::new() };
    for device in devices {
        match carry(device, moved.target.as_fd()) {
            Ok(device) => moved.devices.push(device),
            Err(error) => {
                moved.back();
                return Err(error);
            }
        }
    }
    Ok(moved)
}

impl Moved {
    /// Gives the devices back, as far as that is possible.
    pub(crate) fn back(&self) {
        let Ok(own) = sys::namespace::open_of(None, Namespace::Net) else { return };
        for device in self.devices.iter().rev() {
            let ways = Socket::open_in(self.target.as_fd(), Protocol::Route)
                .and_then(|from| Ok((from, Socket::open(Protocol::Route)?)));
            let Ok((mut from, mut to)) = ways else { return };
            // There was an error already, which is the one to tell.
            let _ = transfer(&mut from, &mut to, own.as_fd(), &device.inside, &device.outside, device.was_up);
        }
    }
}

fn carry(device: &NetDevicePlan, target: BorrowedFd<'_>) -> Result<Device, NetworkError> {
    let refused = |source| NetworkError::Refused { device: device.name.clone(), source };
    let mut from = Socket::open(Protocol::Route).map_err(refused)?;
    let mut to = Socket::open_in(target, Protocol::Route).map_err(refused)?;
    let (was_up, inside) = transfer(&mut from, &mut to, target, &device.name, &device.inside, true)?;
    Ok(Device { outside: device.name.clone(), inside, was_up })
}

/// Moves and renames in one step, so that no name can be in the way in between. Gives whether the
/// device was up, and the name that it has now.
fn transfer(
    from: &mut Socket,
    to: &mut Socket,
    target: BorrowedFd<'_>,
    device: &str,
    wanted: &str,
    up: bool,
) -> Result<(bool, String), NetworkError> {
    let refused = |source| NetworkError::Refused { device: device.to_owned(), source };
    let link = route::link_by_name(from, device).map_err(refused)?;
    let link = link.ok_or_else(|| NetworkError::NotFound { device: device.to_owned() })?;
    // Before the move: closing the device drops those of IPv6.
    let addresses = route::carried_addresses(from).map_err(refused)?;
    let there = route::links(to).map_err(refused)?;
    if there.iter().any(|other| other.name == wanted) {
        return Err(NetworkError::Taken { device: device.to_owned(), name: wanted.to_owned() });
    }
    let change = LinkChange { name: Some(wanted), netns: Some(target), ..LinkChange::default() };
    from.execute_all(&[route::set_link(Place::Index(link.index), &change)]).map_err(refused)?;
    let arrived = arrived(&route::links(to).map_err(refused)?, &there, wanted);
    let arrived = arrived.ok_or_else(|| NetworkError::NotFound { device: device.to_owned() })?;
    let kept = addresses.iter().filter(|a| a.link == link.index && a.is_permanent_and_global());
    let mut messages: Vec<_> = kept.map(|address| route::add_carried(address, arrived.index)).collect();
    let change = LinkChange { up: Some(up), ..LinkChange::default() };
    messages.push(route::set_link(Place::Index(arrived.index), &change));
    to.execute_all(&messages).map_err(refused)?;
    Ok((link.is_up(), arrived.name))
}

/// The device that was not there before. Where the kernel chose the number, the name begins as wanted.
fn arrived(now: &[Link], before: &[Link], wanted: &str) -> Option<Link> {
    let stem = wanted.split_once("%d").map(|(stem, _)| stem);
    let is_it = |link: &&Link| match stem {
        None => link.name == wanted,
        Some(stem) => link.name.starts_with(stem) && !before.iter().any(|other| other.index == link.index),
    };
    now.iter().find(is_it).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_found() {
        let link = |index, name: &str| Link { index, name: name.to_owned(), ..Link::default() };
        let before = [link(1, "lo"), link(2, "c0")];
        let now = [link(1, "lo"), link(2, "c0"), link(9, "c1")];
        assert_eq!(arrived(&now, &before, "c%d").map(|link| link.index), Some(9));
        assert_eq!(arrived(&now, &before, "c1").map(|link| link.index), Some(9));
        assert_eq!(arrived(&before, &before, "c%d"), None);
    }
}
