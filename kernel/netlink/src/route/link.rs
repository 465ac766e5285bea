//! Network interfaces: `RTM_NEWLINK`, `RTM_DELLINK`, `RTM_GETLINK`.

use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{self, Attributes, Message};

use super::AF_INET;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const AF_INET6: u16 = 10;
const AF_BRIDGE: u8 = 7;
const IFLA_BRPORT_STATE: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// `IFF_UP`.
pub(crate) const IFF_UP: u32 = 1;
const INFO_LEN: usize = 16;

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A link as the kernel lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `IFF_*` flags.
    pub flags: u32,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Hardware address, when it has one of six bytes.
    pub mac: Option<MacAddress>,
    /// Index of the bridge or bond it is a port of.
    pub master: Option<u32>,
    /// `bridge`, `veth`, `vxlan`…, when it is a virtual one.
    pub kind: Option<String>,
    /// The peer lives in another namespace.
    pub peer_elsewhere: bool,
    /// The text that its maker gave it.
    pub alias: String,
    /// What a VXLAN device was made with.
    pub vxlan: Option<Vxlan>,
    /// Index of the link it is on, as a macvlan's or a VLAN's; a veth's peer.
    pub parent: Option<u32>,
}

/// A VXLAN device: frames in UDP between hosts, RFC 7348.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vxlan {
    /// The network's number, 24 bits.
    pub vni: u32,
    /// The UDP port, of all hosts alike.
    pub port: u16,
    /// This host's address on the underlay.
    pub local: Option<Ipv4Addr>,
    /// Index of the link it sends by; routing decides without.
    pub underlay: Option<u32>,
}

impl Vxlan {
    fn parse(info: Attributes<'_>) -> Option<Self> {
        let data = info.find(IFLA_INFO_DATA)?;
        let port = data.nested().find(IFLA_VXLAN_PORT)?.data.try_into().ok()?;
        Some(Self {
            vni: data.nested().find(IFLA_VXLAN_ID)?.u32()?,
            port: u16::from_be_bytes(port),
            local: data.nested().find(IFLA_VXLAN_LOCAL).and_then(|a| a.ipv4()),
            underlay: data.nested().find(IFLA_VXLAN_LINK).and_then(|a| a.u32()).filter(|index| *index != 0),
        })
    }

    fn write(&self, data: &mut Message) {
        data.u32(IFLA_VXLAN_ID, self.vni).be16(IFLA_VXLAN_PORT, self.port);
        // Who is where is told, not learned: a forged frame must not move an address.
        data.u8(IFLA_VXLAN_LEARNING, 0);
        if let Some(local) = self.local {
            data.bytes(IFLA_VXLAN_LOCAL, &local.octets());
        }
        if let Some(underlay) = self.underlay {
            data.u32(IFLA_VXLAN_LINK, underlay);
        }
    }
}

impl Link {
    /// Whether the link is administratively up.
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// Reads an `RTM_NEWLINK` answer.
    pub fn parse(answer: &Answer) -> Option<Self> {
        if answer.kind != RTM_NEWLINK || answer.body.len() < INFO_LEN {
            return None;
        }
        let index = wire::read_u32(&answer.body, 4)?;
        let flags = wire::read_u32(&answer.body, 8)?;
        let mut link = Self { index, flags, ..Self::default() };
        for attribute in Attributes::after(&answer.body, INFO_LEN) {
            match attribute.kind {
                IFLA_IFNAME => link.name = attribute.text(),
                IFLA_MTU => link.mtu = attribute.u32().unwrap_or(0),
                IFLA_LINK => link.parent = attribute.u32(),
                IFLA_MASTER => link.master = attribute.u32(),
                IFLA_ADDRESS => link.mac = attribute.data.try_into().ok().map(MacAddress),
                IFLA_LINKINFO => {
                    link.kind = attribute.nested().find(IFLA_INFO_KIND).map(|a| a.text());
                    if link.kind.as_deref() == Some("vxlan") {
                        link.vxlan = Vxlan::parse(attribute.nested());
                    }
                }
                IFLA_LINK_NETNSID => link.peer_elsewhere = true,
                IFLA_IFALIAS => link.alias = attribute.text(),
                _ => {}
            }
        }
        Some(link)
    }
}

/// How a link is named in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// By index.
    Index(u32),
    /// By name.
    Name(&'a str),
}

/// The far end of a veth pair.
#[derive(Clone, Debug)]
pub struct VethPeer<'a> {
    /// Its name in its namespace.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: MacAddress,
    /// Where it is born; the caller's namespace without.
    pub netns: Option<BorrowedFd<'a>>,
}

/// What kind of link to make.
#[derive(Clone, Debug)]
pub enum LinkKind<'a> {
    /// An Ethernet bridge.
    Bridge,
    /// A pair of virtual Ethernet devices.
    Veth(VethPeer<'a>),
    /// A device that swallows what it is sent.
    Dummy,
    /// A tunnel to other hosts.
    Vxlan(Vxlan),
    /// A link with a hardware address of its own on another link.
    Macvlan(Macvlan<'a>),
    /// A link that shares another link's hardware address.
    Ipvlan(u32),
    /// A tagged part of another link, IEEE 802.1Q.
    Vlan(Vlan),
}

/// A second link on one.
#[derive(Clone, Copy, Debug)]
pub struct Macvlan<'a> {
    /// Index of the link it is on.
    pub parent: u32,
    /// How those of one link reach each other.
    pub mode: MacvlanMode,
    /// Where it is born; the caller's namespace without.
    pub netns: Option<BorrowedFd<'a>>,
}

/// A tagged part of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Index of the link it is on.
    pub parent: u32,
    /// The tag, from 1 to 4094.
    pub id: u16,
}

/// How the macvlan links of one parent reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Not at all.
    Private,
    /// By way of the switch that the parent is on.
    Vepa,
    /// Directly.
    #[default]
    Bridge,
    /// There is only one, with the parent's own hardware address.
    Passthru,
}

impl LinkKind<'_> {
    /// As the kernel names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Veth(_) => "veth",
            Self::Dummy => "dummy",
            Self::Vxlan(_) => "vxlan",
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
            Self::Vlan(_) => "vlan",
        }
    }
}

impl MacvlanMode {
    /// `MACVLAN_MODE_*`.
    const fn number(self) -> u32 {
        match self {
            Self::Private => 1,
            Self::Vepa => 2,
            Self::Bridge => 4,
            Self::Passthru => 8,
        }
    }
}

/// A link to be made.
#[derive(Clone, Debug)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: LinkKind<'a>,
    /// Largest packet; the kernel's choice without. Of both ends of a pair.
    pub mtu: Option<u32>,
    /// Hardware address; random without.
    pub mac: Option<MacAddress>,
    /// Make it a port of this bridge at once.
    pub master: Option<u32>,
}

/// `RTM_NEWLINK` that fails when the name exists.
pub fn new_link(link: &NewLink<'_>) -> Message {
    let mut message = Message::new(RTM_NEWLINK, wire::F_CREATE | wire::F_EXCL).fixed(&info(0, 0, 0, 0));
    message.str(IFLA_IFNAME, link.name);
    if let Some(mtu) = link.mtu {
        message.u32(IFLA_MTU, mtu);
    }
    if let Some(mac) = link.mac {
        message.bytes(IFLA_ADDRESS, &mac.0);
    }
    if let Some(master) = link.master {
        message.u32(IFLA_MASTER, master);
    }
    match &link.kind {
        LinkKind::Macvlan(Macvlan { parent, netns, .. }) => {
            message.u32(IFLA_LINK, *parent);
            if let Some(netns) = netns {
                message.u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
            }
        }
        LinkKind::Ipvlan(parent) | LinkKind::Vlan(Vlan { parent, .. }) => {
            message.u32(IFLA_LINK, *parent);
        }
        _ => {}
    }
    message.nest(IFLA_LINKINFO, |info_nest| {
        info_nest.str(IFLA_INFO_KIND, link.kind.name());
        if !matches!(link.kind, LinkKind::Bridge | LinkKind::Dummy | LinkKind::Ipvlan(_)) {
            info_nest.nest(IFLA_INFO_DATA, |data| kind_attributes(data, link));
        }
    });
    message
}

fn kind_attributes(data: &mut Message, link: &NewLink<'_>) {
    match &link.kind {
        LinkKind::Bridge | LinkKind::Dummy | LinkKind::Ipvlan(_) => {}
        LinkKind::Vxlan(vxlan) => vxlan.write(data),
        LinkKind::Macvlan(macvlan) => {
            data.u32(IFLA_MACVLAN_MODE, macvlan.mode.number());
        }
        LinkKind::Vlan(vlan) => {
            data.bytes(IFLA_VLAN_ID, &vlan.id.to_ne_bytes());
        }
        LinkKind::Veth(peer) => {
            data.nest(VETH_INFO_PEER, |m| peer_attributes(m, peer, link.mtu));
        }
    }
}

fn peer_attributes(message: &mut Message, peer: &VethPeer<'_>, mtu: Option<u32>) {
    message.raw(&info(0, 0, 0, 0)).str(IFLA_IFNAME, peer.name).bytes(IFLA_ADDRESS, &peer.mac.0);
    if let Some(mtu) = mtu {
        message.u32(IFLA_MTU, mtu);
    }
    if let Some(netns) = peer.netns {
        message.u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
    }
}

/// How the kernel makes IPv6 link-local addresses on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressGeneration {
    /// From the hardware address.
    Eui64,
    /// Not at all.
    None,
}

/// A per-link IPv4 setting, as below `/proc/sys/net/ipv4/conf/<link>/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Conf {
    /// `forwarding`.
    Forwarding,
    /// `rp_filter`.
    ReversePathFilter,
    /// `arp_notify`.
    ArpNotify,
    /// `route_localnet`.
    RouteLocalnet,
}

impl Ipv4Conf {
    const fn number(self) -> u16 {
        match self {
            Self::Forwarding => 1,
            Self::ReversePathFilter => 8,
            Self::ArpNotify => 22,
            Self::RouteLocalnet => 26,
        }
    }
}

/// The spanning-tree state of a bridge port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgePortState {
    /// Passes no frame at all.
    Disabled,
    /// Passes all.
    Forwarding,
}

/// A change to an existing link; `None` and empty leave things as they are.
#[derive(Clone, Debug, Default)]
pub struct LinkChange<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// A new name.
    pub name: Option<&'a str>,
    /// A new hardware address.
    pub mac: Option<MacAddress>,
    /// A new largest packet.
    pub mtu: Option<u32>,
    /// A bridge to become a port of; index 0 leaves the present one.
    pub master: Option<u32>,
    /// A text that lists show; at most 255 bytes.
    pub alias: Option<&'a str>,
    /// IPv6 link-local addresses.
    pub ipv6_generation: Option<AddressGeneration>,
    /// IPv4 settings.
    pub ipv4: &'a [(Ipv4Conf, u32)],
    /// The network namespace that it goes to. A `name` holds from its arrival on; `%d` in it is the
    /// first free number there.
    pub netns: Option<BorrowedFd<'a>>,
}

/// Brings up `lo`, which each network namespace has as its first link.
pub fn loopback_up() -> Message {
    set_link(Place::Index(LOOPBACK), &LinkChange { up: Some(true), ..LinkChange::default() })
}

const LOOPBACK: u32 = 1;

/// `RTM_SETLINK`: changes `place`.
pub fn set_link(place: Place<'_>, change: &LinkChange<'_>) -> Message {
    let flags = if change.up == Some(true) { IFF_UP } else { 0 };
    let mask = if change.up.is_some() { IFF_UP } else { 0 };
    let mut message = placed(RTM_SETLINK, 0, place, flags, mask);
    if let (Place::Index(_), Some(name)) = (place, change.name) {
        message.str(IFLA_IFNAME, name);
    }
    if let Some(mac) = change.mac {
        message.bytes(IFLA_ADDRESS, &mac.0);
    }
    if let Some(mtu) = change.mtu {
        message.u32(IFLA_MTU, mtu);
    }
    if let Some(master) = change.master {
        message.u32(IFLA_MASTER, master);
    }
    if let Some(alias) = change.alias {
        message.str(IFLA_IFALIAS, alias);
    }
    if let Some(netns) = change.netns {
        message.u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
    }
    if change.ipv6_generation.is_some() || !change.ipv4.is_empty() {
        message.nest(IFLA_AF_SPEC, |families| {
            if !change.ipv4.is_empty() {
                families.nest(u16::from(AF_INET), |family| {
                    family.nest(IFLA_INET_CONF, |conf| {
                        for (key, value) in change.ipv4 {
                            conf.u32(key.number(), *value);
                        }
                    });
                });
            }
            if let Some(generation) = change.ipv6_generation {
                let mode = if generation == AddressGeneration::None { 1 } else { 0 };
                families.nest(AF_INET6, |family| {
                    family.u8(IFLA_INET6_ADDR_GEN_MODE, mode);
                });
            }
        });
    }
    message
}

/// `RTM_SETLINK` in family `AF_BRIDGE`: the settings of the bridge port `index`.
pub fn set_bridge_port(index: u32, state: Option<BridgePortState>, hairpin: Option<bool>) -> Message {
    let mut message = Message::new(RTM_SETLINK, 0).fixed(&info(AF_BRIDGE, index, 0, 0));
    message.nest(IFLA_PROTINFO, |port| {
        if let Some(state) = state {
            port.u8(IFLA_BRPORT_STATE, if state == BridgePortState::Disabled { 0 } else { 3 });
        }
        if let Some(hairpin) = hairpin {
            port.u8(IFLA_BRPORT_MODE, u8::from(hairpin));
        }
    });
    message
}

/// `RTM_DELLINK`.
pub fn delete_link(place: Place<'_>) -> Message {
    placed(RTM_DELLINK, 0, place, 0, 0)
}

/// `RTM_GETLINK` for one link, without its counters.
pub fn link_request(place: Place<'_>) -> Message {
    let mut message = placed(RTM_GETLINK, 0, place, 0, 0);
    message.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    message
}

/// `RTM_GETLINK` for all links, without their counters.
pub fn links_request() -> Message {
    let mut message = Message::new(RTM_GETLINK, 0).fixed(&info(0, 0, 0, 0));
    message.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    message
}

/// All links of the socket's namespace.
pub fn links(socket: &mut Socket) -> Result<Vec<Link>, Error> {
    Ok(socket.dump(&links_request())?.iter().filter_map(Link::parse).collect())
}

/// The link of that name, or `None`.
pub fn link_by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>, Error> {
    one(socket, Place::Name(name))
}

/// The link of that index, or `None`.
pub fn link_by_index(socket: &mut Socket, index: u32) -> Result<Option<Link>, Error> {
    one(socket, Place::Index(index))
}

fn one(socket: &mut Socket, place: Place<'_>) -> Result<Option<Link>, Error> {
    match socket.execute_all(&[link_request(place)]) {
        Ok(answers) => Ok(answers.iter().flatten().find_map(Link::parse)),
        Err(error) if error.is(rustix::io::Errno::NODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn placed(kind: u16, flags: u16, place: Place<'_>, on: u32, mask: u32) -> Message {
    match place {
        Place::Index(index) => Message::new(kind, flags).fixed(&info(0, index, on, mask)),
        Place::Name(name) => {
            let mut message = Message::new(kind, flags).fixed(&info(0, 0, on, mask));
            message.str(IFLA_IFNAME, name);
            message
        }
    }
}

/// `struct ifinfomsg`.
fn info(family: u8, index: u32, flags: u32, mask: u32) -> [u8; INFO_LEN] {
    let mut out = [0; INFO_LEN];
    out[0] = family;
    out[4..8].copy_from_slice(&index.to_ne_bytes());
    out[8..12].copy_from_slice(&flags.to_ne_bytes());
    out[12..16].copy_from_slice(&mask.to_ne_bytes());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_request_reads_back_as_the_link() {
        let request = new_link(&NewLink {
            name: "sk0",
            kind: LinkKind::Bridge,
            mtu: Some(1400),
            mac: Some(MacAddress([2, 66, 1, 2, 3, 4])),
            master: Some(7),
        });
        let link = Link::parse(&Answer { kind: RTM_NEWLINK, body: request.body().to_vec() }).expect("a link");
        assert_eq!((link.name.as_str(), link.mtu, link.master), ("sk0", 1400, Some(7)));
        assert_eq!(link.kind.as_deref(), Some("bridge"));
        assert_eq!(link.mac.expect("has one").to_string(), "02:42:01:02:03:04");
    }

    #[test]
    fn a_tunnel_reads_back_as_it_was_asked_for() {
        let vxlan = Vxlan { vni: 1, port: 8472, local: Some(Ipv4Addr::new(192, 0, 2, 1)), underlay: Some(3) };
        let kind = LinkKind::Vxlan(vxlan);
        let request = new_link(&NewLink { name: "vx", kind, mtu: None, mac: None, master: None });
        let link = Link::parse(&Answer { kind: RTM_NEWLINK, body: request.body().to_vec() }).expect("a link");
        assert_eq!(link.vxlan, Some(vxlan));
    }

    proptest! {
        #[test]
        fn foreign_links_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Link::parse(&Answer { kind: RTM_NEWLINK, body });
        }
    }
}
