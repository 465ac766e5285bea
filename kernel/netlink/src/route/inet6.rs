//! IPv6 addresses and routes: the few messages that containers' networks need.

use std::net::Ipv6Addr;

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{self, Attributes, Message};

const AF_INET6: u8 = 10;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const ADDRESS_LEN: usize = 8;
const ROUTE_LEN: usize = 12;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const UNICAST: u8 = 1;

/// `RTM_NEWADDR`: adds an IPv6 address to a link, or leaves it when it is there.
///
/// It is used at once: its giver knows that nobody else has it (no duplicate address
/// detection, which would take a second).
pub fn add_address6(link: u32, address: Ipv6Addr, prefix: u8) -> Message {
    let mut fixed = [0; ADDRESS_LEN];
    fixed[0] = AF_INET6;
    fixed[1] = prefix;
    fixed[4..8].copy_from_slice(&link.to_ne_bytes());
    let mut message = Message::new(RTM_NEWADDR, wire::F_CREATE | wire::F_REPLACE).fixed(&fixed);
    message.bytes(IFA_LOCAL, &address.octets()).bytes(IFA_ADDRESS, &address.octets());
    message.u32(IFA_FLAGS, IFA_F_NODAD);
    message
}

/// All IPv6 addresses of the socket's namespace.
pub fn addresses6(socket: &mut Socket) -> Result<Vec<Ipv6Addr>, Error> {
    let mut fixed = [0; ADDRESS_LEN];
    fixed[0] = AF_INET6;
    let request = Message::new(RTM_GETADDR, 0).fixed(&fixed);
    Ok(socket.dump(&request)?.iter().filter_map(address).collect())
}

fn address(answer: &Answer) -> Option<Ipv6Addr> {
    if answer.kind != RTM_NEWADDR || answer.body.first() != Some(&AF_INET6) {
        return None;
    }
    let attributes = Attributes::after(&answer.body, ADDRESS_LEN);
    let local = attributes.find(IFA_LOCAL).or_else(|| attributes.find(IFA_ADDRESS))?;
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(local.data).ok()?))
}

/// `RTM_NEWROUTE`: the IPv6 default route by `gateway` and `link`, in place of another one
/// with the same metric.
pub fn default_route6(gateway: Ipv6Addr, link: u32) -> Message {
    let mut message =
        Message::new(RTM_NEWROUTE, wire::F_CREATE | wire::F_REPLACE).fixed(&route_head(UNICAST));
    message.bytes(RTA_GATEWAY, &gateway.octets()).u32(RTA_OIF, link);
    message
}

/// `RTM_DELROUTE`: takes the IPv6 default route by `gateway` and `link` away.
pub fn delete_default_route6(gateway: Ipv6Addr, link: u32) -> Message {
    let mut message = Message::new(RTM_DELROUTE, 0).fixed(&route_head(UNICAST));
    message.bytes(RTA_GATEWAY, &gateway.octets()).u32(RTA_OIF, link);
    message
}

/// The destinations of all IPv6 unicast routes of the socket's namespace, with the lengths of
/// their network parts.
pub fn destinations6(socket: &mut Socket) -> Result<Vec<(Ipv6Addr, u8)>, Error> {
    let mut fixed = [0; ROUTE_LEN];
    fixed[0] = AF_INET6;
    let request = Message::new(RTM_GETROUTE, 0).fixed(&fixed);
    Ok(socket.dump(&request)?.iter().filter_map(destination).collect())
}

fn destination(answer: &Answer) -> Option<(Ipv6Addr, u8)> {
    let body = &answer.body;
    if answer.kind != RTM_NEWROUTE
        || body.len() < ROUTE_LEN
        || body.first() != Some(&AF_INET6)
        || body.get(7) != Some(&UNICAST)
    {
        return None;
    }
    let to = Attributes::after(body, ROUTE_LEN).find(RTA_DST);
    let address = match to {
        Some(attribute) => Ipv6Addr::from(<[u8; 16]>::try_from(attribute.data).ok()?),
        None => Ipv6Addr::UNSPECIFIED,
    };
    Some((address, (*body.get(1)?).min(128)))
}

fn route_head(kind: u8) -> [u8; ROUTE_LEN] {
    let mut fixed = [0; ROUTE_LEN];
    fixed[0] = AF_INET6;
    fixed[4] = TABLE_MAIN;
    fixed[5] = PROTOCOL_BOOT;
    fixed[7] = kind;
    fixed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_default_route_reads_back_as_one_to_everywhere() {
        let message = default_route6(Ipv6Addr::LOCALHOST, 3);
        let answer = Answer { kind: RTM_NEWROUTE, body: message.body().to_vec() };
        assert_eq!(destination(&answer), Some((Ipv6Addr::UNSPECIFIED, 0)));
    }

    proptest! {
        #[test]
        fn foreign_routes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = destination(&Answer { kind: RTM_NEWROUTE, body });
        }
    }
}
