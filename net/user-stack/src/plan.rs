//! Addresses of the user's network, and where a packet that leaves it is to go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Addresses of the link between the user's network and the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The namespace's own.
    pub guest: Ipv4Addr,
    /// The other end; who comes from the host itself comes from here.
    pub gateway: Ipv4Addr,
    /// Where the host's name server answers.
    pub names: Ipv4Addr,
    /// Length of the prefix that the three have in common.
    pub prefix: u8,
    /// The namespace's own address of the other family.
    pub guest6: Ipv6Addr,
    /// Length of its prefix.
    pub prefix6: u8,
}

impl Default for Plan {
    /// What slirp has always used.
    fn default() -> Self {
        Self {
            guest: Ipv4Addr::new(10, 0, 2, 100),
            gateway: Ipv4Addr::new(10, 0, 2, 2),
            names: Ipv4Addr::new(10, 0, 2, 3),
            prefix: 24,
            guest6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 2, 100),
            prefix6: 64,
        }
    }
}

/// A transport of published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host that leads to the port of the same number of the user's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Port {
    /// Its transport.
    pub transport: Transport,
    /// Where the host listens.
    pub address: SocketAddr,
    /// Several owners may have it at once.
    #[serde(default)]
    pub shared: bool,
}

impl Plan {
    /// Where on the host's side a packet to `destination` goes; `None` when it goes nowhere. The
    /// host's loopback is closed: what listens there trusts who reaches it.
    pub(crate) fn route(
        &self,
        destination: SocketAddr,
        name_server: impl FnOnce() -> Option<IpAddr>,
    ) -> Option<SocketAddr> {
        match destination.ip() {
            IpAddr::V4(ip) if ip == self.names => (destination.port() == 53)
                .then(name_server)
                .flatten()
                .map(|server| SocketAddr::new(server, 53)),
            IpAddr::V4(ip) if self.is_link(ip) || !may_leave4(ip) => None,
            IpAddr::V6(ip) if self.is_link6(ip) || !may_leave6(ip) => None,
            _ => Some(destination),
        }
    }

    /// The address that a client of a published port comes from, as the user's network sees it: its
    /// own where packets to it come back to us.
    pub(crate) fn seen(&self, client: SocketAddr) -> SocketAddr {
        let ip = match client.ip() {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(ip) => ip.to_ipv4_mapped().unwrap_or(self.gateway),
        };
        let own = if self.is_link(ip) || !may_leave4(ip) { self.gateway } else { ip };
        SocketAddr::new(own.into(), client.port())
    }

    fn is_link(&self, ip: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        (u32::from(ip) ^ u32::from(self.guest)) & mask == 0
    }

    fn is_link6(&self, ip: Ipv6Addr) -> bool {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix6)).unwrap_or(0);
        (u128::from(ip) ^ u128::from(self.guest6)) & mask == 0
    }
}

fn may_leave4(ip: Ipv4Addr) -> bool {
    !(ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() || ip.octets()[0] == 0)
}

fn may_leave6(ip: Ipv6Addr) -> bool {
    let link_local = ip.segments()[0] & 0xffc0 == 0xfe80;
    !(ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || link_local
        || ip.to_ipv4_mapped().is_some())
}

/// The first server of a `resolv.conf(5)`.
pub(crate) fn first_name_server(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(destination: &str, expected: Option<&str>) {
        let server = || Some("127.0.0.53".parse().unwrap());
        let found = Plan::default().route(destination.parse().unwrap(), server);
        assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{destination}");
    }

    #[test]
    fn packets_go_where_they_were_meant_for() {
        check("192.0.2.7:80", Some("192.0.2.7:80"));
        check("10.0.3.1:80", Some("10.0.3.1:80"));
        check("[2001:db8::1]:80", Some("[2001:db8::1]:80"));
    }

    #[test]
    fn the_hosts_loopback_and_the_link_are_closed() {
        for closed in
            ["127.0.0.1:80", "0.0.0.0:80", "10.0.2.2:22", "10.0.2.77:22", "224.0.0.1:5", "255.255.255.255:67"]
        {
            check(closed, None);
        }
        for closed in
            ["[::1]:80", "[::]:80", "[fe80::1]:80", "[ff02::1]:80", "[fd00::2:2]:80", "[::ffff:127.0.0.1]:80"]
        {
            check(closed, None);
        }
    }

    #[test]
    fn names_are_asked_of_the_hosts_server() {
        check("10.0.2.3:53", Some("127.0.0.53:53"));
        check("10.0.2.3:80", None);
        assert_eq!(
            first_name_server("# x\nsearch a\nnameserver 9.9.9.9\nnameserver 8.8.8.8"),
            "9.9.9.9".parse().ok()
        );
        assert_eq!(first_name_server("nameserver x"), None);
    }

    #[test]
    fn clients_keep_their_address_unless_it_is_the_hosts() {
        for (client, seen) in [
            ("192.0.2.7:5000", "192.0.2.7:5000"),
            ("127.0.0.1:5000", "10.0.2.2:5000"),
            ("10.0.2.9:5000", "10.0.2.2:5000"),
            ("[::ffff:192.0.2.7]:5000", "192.0.2.7:5000"),
            ("[2001:db8::1]:5000", "10.0.2.2:5000"),
        ] {
            assert_eq!(Plan::default().seen(client.parse().unwrap()), seen.parse().unwrap(), "{client}");
        }
    }
}
