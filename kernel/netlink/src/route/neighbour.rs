//! Neighbour (ARP) entries: `RTM_DELNEIGH`.

use std::net::Ipv4Addr;

use crate::wire::Message;

use super::AF_INET;

const RTM_DELNEIGH: u16 = 29;
const NDA_DST: u16 = 1;

/// `RTM_DELNEIGH`: forgets which hardware address `address` has on `link`.
pub fn delete_neighbour(link: u32, address: Ipv4Addr) -> Message {
    let mut fixed = [0; 12];
    fixed[0] = AF_INET;
    fixed[4..8].copy_from_slice(&link.to_ne_bytes());
    let mut message = Message::new(RTM_DELNEIGH, 0).fixed(&fixed);
    message.bytes(NDA_DST, &address.octets());
    message
}
