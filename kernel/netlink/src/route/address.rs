//! IPv4 addresses of links: `RTM_NEWADDR`, `RTM_DELADDR`, `RTM_GETADDR`.

use std::net::Ipv4Addr;

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{self, Attributes, Message};

use super::AF_INET;

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const INFO_LEN: usize = 8;

/// An IPv4 address on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link it is on.
    pub link: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// Length of the network part.
    pub prefix: u8,
}

impl Address {
    /// Reads an `RTM_NEWADDR` answer of IPv4.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let body = &answer.body;
        if answer.kind != RTM_NEWADDR || body.len() < INFO_LEN || body[0] != AF_INET {
            return None;
        }
        let attributes = Attributes::after(body, INFO_LEN);
        let local = attributes.find(IFA_LOCAL).or_else(|| attributes.find(IFA_ADDRESS))?;
        Some(Self { link: wire::read_u32(body, 4)?, address: local.ipv4()?, prefix: body[1].min(32) })
    }
}

/// `RTM_NEWADDR`: adds `address`, or leaves it when it is there.
pub fn add_address(address: &Address) -> Message {
    let host = u32::MAX.checked_shr(u32::from(address.prefix)).unwrap_or(0);
    let broadcast = Ipv4Addr::from(u32::from(address.address) | host);
    let mut message = about(RTM_NEWADDR, wire::F_CREATE | wire::F_REPLACE, address);
    if address.prefix < 31 {
        message.bytes(IFA_BROADCAST, &broadcast.octets());
    }
    message
}

/// `RTM_DELADDR`.
pub fn delete_address(address: &Address) -> Message {
    about(RTM_DELADDR, 0, address)
}

/// All IPv4 addresses of the socket's namespace.
pub fn addresses(socket: &mut Socket) -> Result<Vec<Address>, Error> {
    let request = Message::new(RTM_GETADDR, 0).fixed(&[AF_INET, 0, 0, 0, 0, 0, 0, 0]);
    Ok(socket.dump(&request)?.iter().filter_map(Address::parse).collect())
}

fn about(kind: u16, flags: u16, address: &Address) -> Message {
    let mut fixed = [0; INFO_LEN];
    fixed[0] = AF_INET;
    fixed[1] = address.prefix;
    fixed[4..8].copy_from_slice(&address.link.to_ne_bytes());
    let mut message = Message::new(kind, flags).fixed(&fixed);
    message.bytes(IFA_LOCAL, &address.address.octets()).bytes(IFA_ADDRESS, &address.address.octets());
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comes_back_as_written(link in any::<u32>(), ip in any::<u32>(), prefix in 0u8..=32) {
            let address = Address { link, address: ip.into(), prefix };
            let answer = Answer { kind: RTM_NEWADDR, body: add_address(&address).body().to_vec() };
            prop_assert_eq!(Address::parse(&answer), Some(address));
        }

        #[test]
        fn foreign_addresses_never_panic(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Address::parse(&Answer { kind: RTM_NEWADDR, body });
        }
    }
}
