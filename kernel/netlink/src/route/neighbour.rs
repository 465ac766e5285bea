//! Neighbours (ARP) and forwarding entries of tunnels: `RTM_NEWNEIGH`, `RTM_DELNEIGH`,
//! `RTM_GETNEIGH`.

use std::net::Ipv4Addr;

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{self, Attributes, Message};

use super::AF_INET;
use super::link::MacAddress;

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const INFO_LEN: usize = 12;
const AF_BRIDGE: u8 = 7;
const NUD_PERMANENT: u16 = 0x80;
const NTF_SELF: u8 = 2;

/// A known hardware address: of a neighbour, or behind a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Neighbour {
    /// The link it is on.
    pub link: u32,
    /// Of a neighbour, its address; of a forwarding entry, the host that has it.
    pub address: Ipv4Addr,
    /// The hardware address.
    pub mac: MacAddress,
    /// It was set and does not age.
    pub permanent: bool,
}

/// `RTM_NEWNEIGH`: `address` on `link` has `mac`, for ever; replaces what is known.
pub fn set_neighbour(link: u32, address: Ipv4Addr, mac: MacAddress) -> Message {
    entry(RTM_NEWNEIGH, (AF_INET, 0), link, address, Some(mac))
}

/// `RTM_DELNEIGH`: forgets which hardware address `address` has on `link`.
pub fn delete_neighbour(link: u32, address: Ipv4Addr) -> Message {
    entry(RTM_DELNEIGH, (AF_INET, 0), link, address, None)
}

/// `RTM_NEWNEIGH` of a tunnel: frames to `mac` go to the host `to`.
pub fn set_forwarding(link: u32, mac: MacAddress, to: Ipv4Addr) -> Message {
    entry(RTM_NEWNEIGH, (AF_BRIDGE, NTF_SELF), link, to, Some(mac))
}

/// `RTM_DELNEIGH` of a tunnel.
pub fn delete_forwarding(link: u32, mac: MacAddress, to: Ipv4Addr) -> Message {
    entry(RTM_DELNEIGH, (AF_BRIDGE, NTF_SELF), link, to, Some(mac))
}

/// The IPv4 neighbours known on `link`.
pub fn neighbours(socket: &mut Socket, link: u32) -> Result<Vec<Neighbour>, Error> {
    list(socket, AF_INET, link)
}

/// The forwarding entries of the tunnel `link` that name a host.
pub fn forwarding(socket: &mut Socket, link: u32) -> Result<Vec<Neighbour>, Error> {
    list(socket, AF_BRIDGE, link)
}

fn list(socket: &mut Socket, family: u8, link: u32) -> Result<Vec<Neighbour>, Error> {
    let mut fixed = [0; INFO_LEN];
    fixed[0] = family;
    let answers = socket.dump(&Message::new(RTM_GETNEIGH, 0).fixed(&fixed))?;
    let parsed = answers.iter().filter_map(|answer| Neighbour::parse(answer, family));
    Ok(parsed.filter(|neighbour| neighbour.link == link).collect())
}

impl Neighbour {
    fn parse(answer: &Answer, family: u8) -> Option<Self> {
        let body = &answer.body;
        if answer.kind != RTM_NEWNEIGH || body.len() < INFO_LEN || body[0] != family {
            return None;
        }
        let attributes = || Attributes::after(body, INFO_LEN);
        let state = u16::from_ne_bytes([body[8], body[9]]);
        Some(Self {
            link: wire::read_u32(body, 4)?,
            address: attributes().find(NDA_DST)?.ipv4()?,
            mac: MacAddress(attributes().find(NDA_LLADDR)?.data.try_into().ok()?),
            permanent: state & NUD_PERMANENT != 0,
        })
    }
}

fn entry(
    kind: u16,
    (family, flags): (u8, u8),
    link: u32,
    address: Ipv4Addr,
    mac: Option<MacAddress>,
) -> Message {
    let mut fixed = [0; INFO_LEN];
    fixed[0] = family;
    fixed[4..8].copy_from_slice(&link.to_ne_bytes());
    let new = kind == RTM_NEWNEIGH;
    if new {
        fixed[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    }
    fixed[10] = flags;
    let creation = if new { wire::F_CREATE | wire::F_REPLACE } else { 0 };
    let mut message = Message::new(kind, creation).fixed(&fixed);
    message.bytes(NDA_DST, &address.octets());
    if let Some(mac) = mac {
        message.bytes(NDA_LLADDR, &mac.0);
    }
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comes_back_as_written(link in any::<u32>(), ip in any::<u32>(), mac in any::<[u8; 6]>()) {
            let (address, mac) = (Ipv4Addr::from(ip), MacAddress(mac));
            let known = Neighbour { link, address, mac, permanent: true };
            for (message, family) in
                [(set_neighbour(link, address, mac), AF_INET), (set_forwarding(link, mac, address), AF_BRIDGE)]
            {
                let answer = Answer { kind: RTM_NEWNEIGH, body: message.body().to_vec() };
                prop_assert_eq!(Neighbour::parse(&answer, family), Some(known));
            }
        }

        #[test]
        fn foreign_entries_never_panic(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Neighbour::parse(&Answer { kind: RTM_NEWNEIGH, body }, AF_INET);
        }
    }
}
