//! Networks without a bridge: each member has a link with a hardware address of its own on a
//! link of the host, and is a machine of the network that this is in.
//!
//! Nothing of ours stands between: no translation, no published ports, no rules. The host itself
//! does not reach its own members, and they do not reach it: so macvlan is made.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use netlink::route::{self, Link, LinkChange, LinkKind, MacAddress, NewLink, Place, Vlan};
use netlink::{Protocol, Socket};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::attachment::Attachment;
use crate::error::Error;
use crate::links::HostLinks;

/// Where a macvlan network is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macvlan {
    /// The host's link.
    pub parent: String,
    /// How members reach each other.
    #[serde(default)]
    pub mode: MacvlanMode,
}

/// How the members of a macvlan network reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacvlanMode {
    /// Directly.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// By way of the switch that the parent is on.
    Vepa,
    /// There is only one, with the parent's own hardware address.
    Passthru,
}

impl MacvlanMode {
    fn of_kernel(self) -> route::MacvlanMode {
        match self {
            Self::Bridge => route::MacvlanMode::Bridge,
            Self::Private => route::MacvlanMode::Private,
            Self::Vepa => route::MacvlanMode::Vepa,
            Self::Passthru => route::MacvlanMode::Passthru,
        }
    }
}

impl Macvlan {
    /// Reads docker's driver options `parent` and `macvlan_mode`.
    pub fn parse(network: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let parent = options.get("parent").filter(|parent| !parent.is_empty());
        let parent = parent.ok_or_else(|| Error::NoParent { network: network.to_owned() })?.clone();
        let mode = match options.get("macvlan_mode").map(String::as_str) {
            None | Some("" | "bridge") => MacvlanMode::Bridge,
            Some("private") => MacvlanMode::Private,
            Some("vepa") => MacvlanMode::Vepa,
            Some("passthru") => MacvlanMode::Passthru,
            Some(other) => {
                return Err(Error::InvalidNetworkOption {
                    option: format!("macvlan_mode={other}"),
                    network: network.to_owned(),
                    why: "it is bridge, private, vepa or passthru".to_owned(),
                });
            }
        };
        Ok(Self { parent, mode })
    }
}

/// The parent's link name and tag in `eth0.10`.
fn tagged(parent: &str) -> Option<(&str, u16)> {
    let (link, tag) = parent.rsplit_once('.')?;
    let tag = tag.parse().ok().filter(|tag| (1..=4094).contains(tag))?;
    (!link.is_empty()).then_some((link, tag))
}

impl HostLinks {
    /// The link that a macvlan network is on. One of the form `eth0.10` that is not there is made:
    /// the part of `eth0` with that tag.
    pub(crate) fn parent(&mut self, network: &str, parent: &str, alias: &str) -> Result<Link, Error> {
        if let Some(link) = self.by_name(parent)? {
            return Ok(link);
        }
        let missing =
            |link: &str| Error::ParentMissing { network: network.to_owned(), parent: link.to_owned() };
        let (below, id) = tagged(parent).ok_or_else(|| missing(parent))?;
        let below_index = self.by_name(below)?.ok_or_else(|| missing(below))?.index;
        let kind = LinkKind::Vlan(Vlan { parent: below_index, id });
        let new = NewLink { name: parent, kind, mtu: None, mac: None, master: None };
        let change = LinkChange { up: Some(true), alias: Some(alias), ..LinkChange::default() };
        let messages = [route::new_link(&new), route::set_link(Place::Name(parent), &change)];
        self.socket.execute_all(&messages).map_err(|source| match source.is(Errno::OPNOTSUPP) {
            true => Error::NoVlan { parent: parent.to_owned(), source },
            false => Error::Kernel { step: format!("make link {parent} of {below}"), source },
        })?;
        self.by_name(parent)?.ok_or_else(|| missing(parent))
    }

    /// Makes a container's link on its parent, in `netns`, and says which hardware address it has.
    pub(crate) fn make_macvlan(
        &mut self,
        attachment: &Attachment,
        (parent, mode): (&Link, MacvlanMode),
        mac: MacAddress,
        netns: BorrowedFd<'_>,
    ) -> Result<MacAddress, Error> {
        let name = attachment.link.as_str();
        let step = |source| Error::Kernel {
            step: format!("make link {name} on {} for container {}", parent.name, attachment.id.short()),
            source,
        };
        let mode = mode.of_kernel();
        let kind = LinkKind::Macvlan(route::Macvlan { parent: parent.index, mode, netns: Some(netns) });
        let mtu = Some(attachment.mtu);
        let new = NewLink { name, kind, mtu, mac: Some(mac), master: None };
        self.socket.execute_all(&[route::new_link(&new)]).map_err(|error| match error.is(Errno::EXIST) {
            true => Error::LinkExists { name: name.to_owned() },
            false => step(error),
        })?;
        let mut socket = Socket::open_in(netns, Protocol::Route).map_err(step)?;
        let made = route::link_by_name(&mut socket, name).map_err(step)?;
        Ok(made.and_then(|link| link.mac).unwrap_or(mac))
    }

    /// Why this kernel makes no ipvlan links; nothing when it would. Asks without a parent, so that
    /// nothing is made.
    pub(crate) fn refuses_ipvlan(&mut self) -> Option<netlink::Error> {
        let new =
            NewLink { name: "strake-probe", kind: LinkKind::Ipvlan(0), mtu: None, mac: None, master: None };
        self.socket.execute_all(&[route::new_link(&new)]).err().filter(|error| error.is(Errno::OPNOTSUPP))
    }
}

/// Deletes the macvlan link of that name in `netns`; another kind of link stays, and one that is
/// not there is deleted.
pub(crate) fn delete_inside(name: &str, netns: BorrowedFd<'_>) -> Result<(), Error> {
    let step = |source| Error::Kernel { step: format!("delete link {name} in the container"), source };
    let mut socket = Socket::open_in(netns, Protocol::Route).map_err(step)?;
    let Some(link) = route::link_by_name(&mut socket, name).map_err(step)? else { return Ok(()) };
    if link.kind.as_deref() != Some("macvlan") {
        return Ok(());
    }
    match socket.execute_all(&[route::delete_link(Place::Index(link.index))]) {
        Err(error) if !error.is(Errno::NODEV) => Err(step(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(options: &[(&str, &str)], expected: &str) {
        let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let said = match Macvlan::parse("lan", &options) {
            Ok(macvlan) => format!("{} {:?}", macvlan.parent, macvlan.mode),
            Err(error) => error.to_string(),
        };
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn options_are_dockers() {
        check(&[("parent", "eth0")], "eth0 Bridge");
        check(&[("parent", "eth0.10"), ("macvlan_mode", "passthru")], "eth0.10 Passthru");
        check(&[], "macvlan network lan needs the host's link that it is on");
        check(
            &[("parent", "eth0"), ("macvlan_mode", "hub")],
            "option macvlan_mode=hub of network lan is not valid",
        );
    }

    #[test]
    fn tags_are_told_from_names() {
        for (parent, expected) in [
            ("eth0.10", Some(("eth0", 10))),
            ("eth0.1.4094", Some(("eth0.1", 4094))),
            ("eth0", None),
            ("eth0.4095", None),
            ("eth0.x", None),
            (".5", None),
        ] {
            assert_eq!(tagged(parent), expected, "{parent}");
        }
    }
}
