//! IPv4 routes: `RTM_NEWROUTE`, `RTM_DELROUTE`, `RTM_GETROUTE`.

use std::net::Ipv4Addr;

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{self, Attributes, Message};

use super::AF_INET;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RTM_F_CLONED: u32 = 0x200;
const RTNH_F_ONLINK: u32 = 4;
const INFO_LEN: usize = 12;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;

/// What a route does with a packet: `rtm_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Takes it as our own.
    Local,
    /// Anything else, by number.
    Other(u8),
}

impl RouteKind {
    const fn number(self) -> u8 {
        match self {
            Self::Unicast => 1,
            Self::Local => 2,
            Self::Other(number) => number,
        }
    }
}

/// One IPv4 route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it does.
    pub kind: RouteKind,
    /// Destination network; `0.0.0.0` with prefix 0 is the default route.
    pub destination: Ipv4Addr,
    /// Length of the destination's network part.
    pub prefix: u8,
    /// The next hop, when there is one.
    pub gateway: Option<Ipv4Addr>,
    /// The link it leaves by.
    pub link: Option<u32>,
    /// Preference; lower wins.
    pub metric: u32,
    /// Preferred source address.
    pub source: Option<Ipv4Addr>,
    /// The routing table; 254 is `main`.
    pub table: u32,
    /// The next hop is on the link whatever its address says.
    pub onlink: bool,
    /// Who made it: `RTPROT_*`.
    pub protocol: u8,
}

impl Route {
    /// The default route by `gateway` and `link` in the main table.
    pub fn default_by(gateway: Ipv4Addr, link: u32) -> Self {
        Self {
            kind: RouteKind::Unicast,
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some(gateway),
            link: Some(link),
            metric: 0,
            source: None,
            table: u32::from(TABLE_MAIN),
            onlink: false,
            protocol: PROTOCOL_BOOT,
        }
    }

    /// Reads an `RTM_NEWROUTE` answer of IPv4; route-cache entries are skipped.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let body = &answer.body;
        if answer.kind != RTM_NEWROUTE || body.len() < INFO_LEN || body[0] != AF_INET {
            return None;
        }
        if wire::read_u32(body, 8)? & RTM_F_CLONED != 0 {
            return None;
        }
        let kind = match body[7] {
            1 => RouteKind::Unicast,
            2 => RouteKind::Local,
            other => RouteKind::Other(other),
        };
        let mut route = Self {
            kind,
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: body[1].min(32),
            gateway: None,
            link: None,
            metric: 0,
            source: None,
            table: u32::from(body[4]),
            onlink: wire::read_u32(body, 8)? & RTNH_F_ONLINK != 0,
            protocol: body[5],
        };
        for attribute in Attributes::after(body, INFO_LEN) {
            match attribute.kind {
                RTA_DST => route.destination = attribute.ipv4()?,
                RTA_GATEWAY => route.gateway = attribute.ipv4(),
                RTA_OIF => route.link = attribute.u32(),
                RTA_PRIORITY => route.metric = attribute.u32()?,
                RTA_PREFSRC => route.source = attribute.ipv4(),
                RTA_TABLE => route.table = attribute.u32()?,
                _ => {}
            }
        }
        Some(route)
    }
}

/// `RTM_NEWROUTE` that fails when the same route exists.
pub fn add_route(route: &Route) -> Message {
    about(RTM_NEWROUTE, wire::F_CREATE | wire::F_EXCL, route)
}

/// `RTM_NEWROUTE` that replaces the route to the same destination with the same metric.
pub fn replace_route(route: &Route) -> Message {
    about(RTM_NEWROUTE, wire::F_CREATE | wire::F_REPLACE, route)
}

/// `RTM_DELROUTE`.
pub fn delete_route(route: &Route) -> Message {
    about(RTM_DELROUTE, 0, route)
}

/// All IPv4 routes of the socket's namespace, of all tables.
pub fn routes(socket: &mut Socket) -> Result<Vec<Route>, Error> {
    let mut fixed = [0; INFO_LEN];
    fixed[0] = AF_INET;
    let request = Message::new(RTM_GETROUTE, 0).fixed(&fixed);
    Ok(socket.dump(&request)?.iter().filter_map(Route::parse).collect())
}

fn about(kind: u16, flags: u16, route: &Route) -> Message {
    let mut fixed = [0; INFO_LEN];
    fixed[0] = AF_INET;
    fixed[1] = route.prefix;
    fixed[4] = u8::try_from(route.table).unwrap_or(0);
    fixed[5] = route.protocol;
    fixed[6] = if route.gateway.is_some() { SCOPE_UNIVERSE } else { SCOPE_LINK };
    fixed[7] = route.kind.number();
    if route.onlink {
        fixed[8..12].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
    }
    let mut message = Message::new(kind, flags).fixed(&fixed);
    if route.prefix > 0 {
        message.bytes(RTA_DST, &route.destination.octets());
    }
    if let Some(gateway) = route.gateway {
        message.bytes(RTA_GATEWAY, &gateway.octets());
    }
    if let Some(link) = route.link {
        message.u32(RTA_OIF, link);
    }
    if route.metric > 0 {
        message.u32(RTA_PRIORITY, route.metric);
    }
    if let Some(source) = route.source {
        message.bytes(RTA_PREFSRC, &source.octets());
    }
    message.u32(RTA_TABLE, route.table);
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comes_back_as_written(destination in any::<u32>(), prefix in 1u8..=32, gateway in proptest::option::of(any::<u32>()), link in any::<u32>(), metric in any::<u32>(), table in 1u32..100_000, onlink in any::<bool>(), protocol in any::<u8>()) {
            let route = Route {
                kind: RouteKind::Unicast,
                destination: destination.into(),
                prefix,
                gateway: gateway.map(Into::into),
                link: Some(link),
                metric,
                source: None,
                table,
                onlink,
                protocol,
            };
            let answer = Answer { kind: RTM_NEWROUTE, body: add_route(&route).body().to_vec() };
            prop_assert_eq!(Route::parse(&answer), Some(route));
        }

        #[test]
        fn foreign_routes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Route::parse(&Answer { kind: RTM_NEWROUTE, body });
        }
    }
}
