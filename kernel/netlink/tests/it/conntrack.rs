//! Connection tracking.

use std::net::UdpSocket;

use netlink::{Protocol, Socket, conntrack};
use testkit::isolated;

use crate::sh;

#[test]
fn entries_are_picked_and_deleted() {
    isolated(|| {
        // Tracking is off until a rule asks for it.
        sh(
            "nft add table ip t; nft add chain ip t out '{ type filter hook output priority 0; }'; nft add rule ip t out ct state new accept",
        );
        let servers: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind("127.0.0.1:0").expect("bind")).collect();
        let client = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let ports: Vec<u16> = servers.iter().map(|s| s.local_addr().expect("bound").port()).collect();
        for port in &ports {
            client.send_to(b"x", ("127.0.0.1", *port)).expect("send");
        }
        let mut socket = Socket::open(Protocol::Netfilter).expect("socket");
        let to = |port: u16| {
            move |c: &conntrack::Connection| c.original.protocol == 17 && c.original.destination_port == port
        };
        assert_eq!(conntrack::delete_where(&mut socket, to(ports[0])).expect("delete"), 1);
        assert_eq!(conntrack::delete_where(&mut socket, to(ports[0])).expect("delete"), 0);
        assert_eq!(conntrack::delete_where(&mut socket, to(ports[1])).expect("delete"), 1);
    });
}

#[test]
fn entries_of_ipv6_are_too() {
    isolated(|| {
        sh(
            "ip link set lo up; nft add table ip6 t; nft add chain ip6 t out '{ type filter hook output priority 0; }'; nft add rule ip6 t out ct state new accept",
        );
        let server = UdpSocket::bind("[::1]:0").expect("bind");
        let client = UdpSocket::bind("[::1]:0").expect("bind");
        let to = server.local_addr().expect("bound");
        client.send_to(b"x", to).expect("send");
        let mut socket = Socket::open(Protocol::Netfilter).expect("socket");
        let picked = |c: &conntrack::Connection| {
            (c.original.destination, c.original.destination_port) == (to.ip(), to.port())
        };
        assert_eq!(conntrack::delete_where(&mut socket, picked).expect("delete"), 1);
        assert_eq!(conntrack::delete_where(&mut socket, picked).expect("delete"), 0);
    });
}
