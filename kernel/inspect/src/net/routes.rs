//! `/proc/net/route` and `ipv6_route`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Network address; unspecified with prefix 0 is the default route.
    pub destination: IpAddr,
    /// Length of the network part.
    pub prefix: u8,
    /// Next hop, `None` when the network is directly connected.
    pub gateway: Option<IpAddr>,
    /// Out of which interface.
    pub interface: String,
    /// Lower wins.
    pub metric: u32,
}

impl Route {
    /// `default` or `172.30.0.0/16`.
    pub fn target(&self) -> String {
        if self.prefix == 0 { "default".to_owned() } else { format!("{}/{}", self.destination, self.prefix) }
    }
}

/// Reads `/proc/net/route`; lines that are none are left out.
pub fn parse_routes(text: &str) -> Vec<Route> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = words.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        if flags & RTF_UP == 0 {
            return None;
        }
        let gateway = address4(gateway)?;
        Some(Route {
            destination: address4(destination)?.into(),
            prefix: u8::try_from(address4(mask)?.to_bits().leading_ones()).ok()?,
            gateway: (flags & RTF_GATEWAY != 0).then_some(gateway.into()),
            interface: (*interface).to_owned(),
            metric: metric.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Reads `/proc/net/ipv6_route`, without what the kernel adds by itself: local
/// addresses, multicast and its catch-all reject routes.
pub fn parse_routes6(text: &str) -> Vec<Route> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, prefix, _, _, gateway, metric, _, _, flags, interface] = words.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let destination = address6(destination)?;
        if flags & RTF_UP == 0 || flags & (RTF_LOCAL | RTF_REJECT) != 0 || destination.is_multicast() {
            return None;
        }
        let gateway = address6(gateway)?;
        Some(Route {
            destination: destination.into(),
            prefix: u8::from_str_radix(prefix, 16).ok().filter(|prefix| *prefix <= 128)?,
            gateway: (flags & RTF_GATEWAY != 0).then_some(gateway.into()),
            interface: (*interface).to_owned(),
            metric: u32::from_str_radix(metric, 16).ok()?,
        })
    };
    text.lines().filter_map(line).collect()
}

/// On which interface an own IPv4 address sits, and its prefix: the narrowest
/// connected route that covers it; loopback's network has no route of its own.
pub(super) fn interface_of(routes: &[Route], address: Ipv4Addr) -> Option<(&str, u8)> {
    if address.is_loopback() {
        return Some(("lo", 8));
    }
    let covers = |route: &&Route| {
        let IpAddr::V4(network) = route.destination else { return false };
        let mask = u32::MAX.checked_shl(32 - u32::from(route.prefix)).unwrap_or(0);
        route.gateway.is_none() && route.prefix > 0 && network.to_bits() == address.to_bits() & mask
    };
    let narrowest = routes.iter().filter(covers).max_by_key(|route| route.prefix)?;
    Some((&narrowest.interface, narrowest.prefix))
}

/// The kernel prints the address as a number of the host's byte order.
fn address4(hex: &str) -> Option<Ipv4Addr> {
    u32::from_str_radix(hex, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()))
}

fn address6(hex: &str) -> Option<Ipv6Addr> {
    (hex.len() == 32).then(|| u128::from_str_radix(hex, 16).ok().map(Ipv6Addr::from)).flatten()
}

/// `linux/route.h`, `linux/ipv6_route.h`.
const RTF_UP: u32 = 0x0001;
const RTF_GATEWAY: u32 = 0x0002;
const RTF_REJECT: u32 = 0x0200;
const RTF_LOCAL: u32 = 0x8000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";

    #[test]
    fn reads_ipv4_routes() {
        let routes = parse_routes(ROUTES);
        assert_eq!((routes[0].target(), routes[0].gateway), ("default".to_owned(), "192.0.2.1".parse().ok()));
        assert_eq!((routes[1].target(), routes[1].gateway), ("192.0.2.0/24".to_owned(), None));
        assert_eq!((routes[1].metric, routes[1].interface.as_str()), (100, "eth0"));
        assert_eq!(interface_of(&routes, Ipv4Addr::new(192, 0, 2, 9)), Some(("eth0", 24)));
        assert_eq!(interface_of(&routes, Ipv4Addr::new(192, 0, 3, 9)), None);
    }

    #[test]
    fn reads_ipv6_routes() {
        let text = "\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fd000000000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";
        let shown: Vec<_> = parse_routes6(text).iter().map(|r| (r.target(), r.gateway)).collect();
        assert_eq!(shown, [("default".to_owned(), "fd00::1".parse().ok()), ("fd00::/64".to_owned(), None)]);
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        for end in 0..ROUTES.len() {
            let _ = parse_routes(&ROUTES[..end]);
            let _ = parse_routes6(&ROUTES[..end]);
        }
        assert!(parse_routes("x\neth0 zz 0 1 0 0 0 0\n").is_empty());
        let wide = parse_routes("x\na 0 0 1 0 0 0 FFFFFFFF 0 0 0\n");
        assert_eq!(wide[0].prefix, 32);
        assert_eq!(interface_of(&wide, Ipv4Addr::new(1, 1, 1, 1)), None);
    }
}
