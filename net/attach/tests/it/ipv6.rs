//! Networks with IPv6: published, isolated, masqueraded.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;

use attach::{Attachment, Error, NewNetwork};
use testkit::isolated;

use crate::world::{HOST, Netns, World, ask, request, sh};

const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// A world whose wire has IPv6 addresses, and a network `six` that has them too.
fn world() -> World {
    let world = World::new();
    sh("ip link set lo up; ip -6 addr add 2001:db8::1/64 dev wire0 nodad");
    world.outside.sh("ip -6 addr add 2001:db8::2/64 dev wire1 nodad");
    for (name, digit) in [("six", "6"), ("seven", "7")] {
        let new = NewNetwork {
            name: name.to_owned(),
            id: digit.repeat(64),
            ipv6: true,
            subnet6: Some(format!("fd00:{digit}::/64").parse().expect("a range")),
            ..NewNetwork::default()
        };
        world.networks.create(&new).expect("create");
    }
    world
}

fn container(world: &World, network: &str, id: &str, ports: &[&str]) -> (Netns, Attachment) {
    let netns = Netns::new();
    let mut request = request(id, ports);
    request.network = network.to_owned();
    let attachment = world.networks.attach(&request, netns.file.as_fd()).expect("attach");
    (netns, attachment)
}

/// A server on both families that says its name and who asks.
fn serve(netns: &Netns, port: u16, name: &str) {
    let name = name.to_owned();
    let listener =
        netns.run(move || std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("bind"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let from = stream.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
            let _ = std::io::Write::write_fmt(&mut stream, format_args!("{name} {}", from.to_canonical()));
        }
    });
}

fn at(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

fn v6(attachment: &Attachment) -> Ipv6Addr {
    attachment.ipv6.expect("it has IPv6").address
}

#[test]
fn nw_04_a_port_is_published_on_both_families() {
    isolated(|| {
        let world = world();
        let (one, attached) =
            container(&world, "six", "one", &["8080:80", "[2001:db8::1]:8081:80", "127.0.0.1:8082:80"]);
        let (two, _) = container(&world, "six", "two", &[]);
        serve(&one, 80, "one");
        let shown: Vec<String> = attached.ports.iter().map(ToString::to_string).collect();
        let expected = [
            "0.0.0.0:8080->80/tcp",
            "[::]:8080->80/tcp",
            "[2001:db8::1]:8081->80/tcp",
            "127.0.0.1:8082->80/tcp",
        ];
        assert_eq!(shown, expected);
        // From outside the client's own address is seen, as with IPv4.
        assert_eq!(world.outside.ask(at(HOST6, 8080)), Ok(format!("one {OUTSIDE6}")));
        assert_eq!(world.outside.ask(at(HOST6, 8081)), Ok(format!("one {OUTSIDE6}")));
        assert!(world.outside.ask(at(HOST, 8080)).is_ok());
        assert!(world.outside.ask(at(HOST6, 8082)).is_err(), "published on 127.0.0.1 only");
        // From the host, from itself and from a neighbour, by the host's address.
        assert_eq!(ask(at(HOST6, 8080)), Ok(format!("one {HOST6}")));
        let gateway = attached.ipv6.expect("it has IPv6").gateway;
        for address in [HOST6, gateway] {
            assert_eq!(one.ask(at(address, 8080)), Ok(format!("one {gateway}")), "itself by {address}");
            assert_eq!(two.ask(at(address, 8080)), Ok(format!("one {gateway}")), "neighbour by {address}");
        }
        // What cannot be translated is refused at once, so that clients try 127.0.0.1 next.
        assert_eq!(ask(at(Ipv6Addr::LOCALHOST, 8080)), Err("connection refused".to_owned()));
        let rules = sh("nft list table ip6 strake");
        assert!(rules.contains(&format!("tcp . 8080 : {} . 80", v6(&attached))), "{rules}");
        world.detach("one");
        assert!(world.outside.ask(at(HOST6, 8080)).is_err());
        assert!(!sh("nft list table ip6 strake").contains("8080"));

        let mut refused = request("three", &["[::1]:8080:80"]);
        refused.network = "six".to_owned();
        assert!(matches!(world.networks.check(&refused), Err(Error::Ipv6Loopback)));
        assert!(matches!(world.networks.check(&request("three", &["[::]:80:80"])), Err(Error::Ipv6 { .. })));
    });
}

/// Says the name of the server.
fn serve_udp(netns: &Netns, port: u16, name: &'static str) {
    let socket = netns.run(move || std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).expect("bind"));
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
}

#[test]
fn udp_over_ipv6_goes_to_the_next_container_at_once() {
    isolated(|| {
        let world = world();
        let client = world.outside.run(|| {
            let socket = std::net::UdpSocket::bind("[2001:db8::2]:4444").expect("bind");
            socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("timeout");
            socket
        });
        let say = || {
            let mut buffer = [0; 64];
            client.send_to(b"?", (HOST6, 5353)).expect("send");
            client.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        // Nobody is there: what the kernel remembers of this leads to the host itself.
        client.send_to(b"?", (HOST6, 5353)).expect("send");
        let (one, _) = container(&world, "six", "one", &["5353:53/udp"]);
        serve_udp(&one, 53, "one");
        assert_eq!(say().expect("answered"), "one");
        world.detach("one");
        let (two, _) = container(&world, "six", "two", &["5353:53/udp"]);
        serve_udp(&two, 53, "two");
        assert_eq!(say().expect("answered"), "two");
    });
}

#[test]
fn networks_with_ipv6_are_isolated_and_leave_with_the_hosts_address() {
    isolated(|| {
        let world = world();
        let (one, attached) = container(&world, "six", "one", &["8080:80"]);
        let (two, _) = container(&world, "six", "two", &[]);
        let (other, _) = container(&world, "seven", "other", &[]);
        serve(&one, 80, "one");
        serve(&world.outside, 9000, "outside");
        let own = v6(&attached);
        assert!(two.ask(at(own, 80)).is_ok(), "a member");
        assert!(other.ask(at(own, 80)).is_err(), "another network");
        world.outside.sh("ip -6 route add fd00:6::/64 via 2001:db8::1");
        assert!(world.outside.ask(at(own, 80)).is_err(), "not published on that address");
        assert_eq!(one.ask(at(OUTSIDE6, 9000)), Ok(format!("outside {HOST6}")));
        // The host did not forward before: it is no router for others now.
        world
            .outside
            .sh("ip -6 addr add 2001:db8:1::2/64 dev lo; ip -6 route add 2001:db8:2::/64 via 2001:db8::1");
        assert!(sh("nft list chain ip6 strake isolate").contains("others' packets are not passed on"));
    });
}

#[test]
fn nw_04_the_hosts_rules_for_ipv6_hold_for_published_ports() {
    isolated(|| {
        let world = world();
        sh(
            "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; \
            nft add rule inet fw in meta l4proto ipv6-icmp accept; nft add rule inet fw in ct state established accept; nft add rule inet fw in iif lo accept; \
            nft add rule inet fw in ip saddr 192.0.2.2 accept; \
            nft add rule inet fw in ip6 saddr 2001:db8::2 tcp dport 8081 accept",
        );
        let (one, _) = container(&world, "six", "one", &["8080:80", "8081:80"]);
        serve(&one, 80, "one");
        assert!(world.outside.ask(at(HOST6, 8080)).is_err());
        assert!(world.outside.ask(at(HOST6, 8081)).is_ok());
        assert!(world.outside.ask(at(HOST, 8080)).is_ok(), "the rule about IPv4 holds for IPv4");
        assert!(ask(at(HOST6, 8080)).is_ok());
        let mut open = request("two", &["8082:80"]);
        open.network = "six".to_owned();
        open.publishing.policy = attach::PublishPolicy::Docker;
        let two = Netns::new();
        world.networks.attach(&open, two.file.as_fd()).expect("attach");
        serve(&two, 80, "two");
        assert!(world.outside.ask(at(HOST6, 8082)).is_ok());
        // Both tables come back.
        sh("nft delete table ip6 strake");
        assert!(world.outside.ask(at(HOST6, 8082)).is_err());
        assert_eq!(world.networks.mend().expect("mend"), Some(attach::Rewritten::Missing));
        assert!(world.outside.ask(at(HOST6, 8082)).is_ok());
    });
}

#[test]
fn nw_18_a_shared_port_is_spread_over_ipv6_too() {
    isolated(|| {
        let world = world();
        let mut keep = Vec::new();
        for name in ["one", "two"] {
            let mut shared = request(name, &["8080:80"]);
            shared.network = "six".to_owned();
            shared.publishing.shared = true;
            let netns = Netns::new();
            world.networks.attach(&shared, netns.file.as_fd()).expect("attach");
            serve(&netns, 80, name);
            keep.push(netns);
        }
        let answers: Vec<String> =
            (0..60).map(|_| world.outside.ask(at(HOST6, 8080)).expect("answered")).collect();
        for name in ["one", "two"] {
            assert!(answers.iter().any(|said| said.starts_with(name)), "{answers:?}");
        }
    });
}
