//! Published ports.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd as _;

use attach::{Error, PortOwner};
use testkit::isolated;

use crate::world::{HOST, OUTSIDE, World, ask, ask_udp, request, sh};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn nw_04_a_published_port_is_reached_from_everywhere() {
    isolated(|| {
        let world = World::new();
        let (one, attached) = world.container("one", &["8080:80"]);
        let (two, _) = world.container("two", &[]);
        one.serve_tcp(80, "one");
        // From outside with the client's own address; from the host by 127.0.0.1, by its
        // own address and by the bridge's; from the container itself and its neighbour.
        assert_eq!(world.outside.ask((HOST, 8080)), Ok(format!("one {OUTSIDE}")));
        for (address, seen) in
            [(LOCALHOST, attached.gateway), (HOST, HOST), (attached.gateway, attached.gateway)]
        {
            assert_eq!(ask((address, 8080).into()), Ok(format!("one {seen}")), "{address}");
        }
        for address in [HOST, attached.gateway] {
            assert_eq!(one.ask((address, 8080)), Ok("one 172.30.0.1".to_owned()), "itself by {address}");
            assert_eq!(two.ask((address, 8080)), Ok("one 172.30.0.1".to_owned()), "neighbour by {address}");
        }
        // The rules are data that nft can read.
        let rules = sh("nft list table ip strake");
        assert!(rules.contains("tcp . 8080 : 172.30.0.2 . 80"), "{rules}");
        world.detach("one");
        assert!(world.outside.ask((HOST, 8080)).is_err());
        assert!(!sh("nft list table ip strake").contains("8080"));
    });
}

#[test]
fn datagrams_are_published_too() {
    isolated(|| {
        let world = World::new();
        // A client that was there too early: its packets are tracked as the host's own.
        let early = world.outside.run(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:3333").expect("bind");
            socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).expect("timeout");
            socket
        });
        let (zero, _) = world.container("zero", &[]);
        early.send_to(b"?", (HOST, 5353)).expect("send");
        let (one, _) = world.container("one", &["5353:53/udp"]);
        one.serve_udp(53, "one");
        early.send_to(b"?", (HOST, 5353)).expect("send");
        let mut buffer = [0; 64];
        assert!(early.recv(&mut buffer).is_ok(), "the entry from before publishing is gone");
        drop(zero);
        assert_eq!(world.outside.ask_udp((HOST, 5353)), Ok(format!("one {OUTSIDE}")));
        assert_eq!(ask_udp((LOCALHOST, 5353).into()), Ok("one 172.30.0.1".to_owned()));
        // The next container on that port is reached at once by the same client: no
        // entry of the old connection is left.
        let from = world.outside.run(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:4444").expect("bind");
            socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).expect("timeout");
            socket
        });
        let say = |socket: &std::net::UdpSocket| {
            let mut buffer = [0; 64];
            socket.send_to(b"?", (HOST, 5353)).expect("send");
            let length = socket.recv(&mut buffer).expect("answer");
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        assert!(say(&from).starts_with("one"));
        world.detach("one");
        let (two, _) = world.container("two", &["5353:53/udp"]);
        two.serve_udp(53, "two");
        assert!(say(&from).starts_with("two"));
    });
}

/// Sends the first packet of an SCTP association, by a raw socket: the kernel here has no SCTP of
/// its own, but it tracks and leads it.
const SCTP_INIT: &str = r#"
import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
init = struct.pack(">BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 1)
head = lambda crc: struct.pack(">HHI", 4444, int(sys.argv[2]), 0) + struct.pack("<I", crc)
packet = head(crc32c(head(0) + init)) + init
socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(packet, (sys.argv[1], 0))
"#;

#[test]
fn an_sctp_port_leads_to_the_container() {
    isolated(|| {
        let world = World::new();
        let (one, attached) = world.container("one", &["5060:3868/sctp"]);
        assert_eq!(attached.ports[0].to_string(), "0.0.0.0:5060->3868/sctp");
        let inside = one.run(|| {
            let kind = rustix::net::SocketType::RAW;
            let sctp = Some(rustix::net::ipproto::SCTP);
            let socket = rustix::net::socket(rustix::net::AddressFamily::INET, kind, sctp).expect("socket");
            let patience = Some(std::time::Duration::from_secs(20));
            rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, patience)
                .expect("timeout");
            socket
        });
        world.outside.sh(&format!("python3 -c '{SCTP_INIT}' {HOST} 5060"));
        let mut packet = [0; 128];
        let (length, _) =
            rustix::net::recv(&inside, &mut packet, rustix::net::RecvFlags::empty()).expect("a packet");
        assert!(length >= 40, "{length} bytes");
        let (source, port) = (&packet[12..16], u16::from_be_bytes([packet[22], packet[23]]));
        assert_eq!((source, port), (&[192, 0, 2, 2][..], 3868), "the client's address, the container's port");
    });
}

#[test]
fn ranges_and_single_addresses() {
    isolated(|| {
        let world = World::new();
        let (one, attached) =
            world.container("one", &["8000-8002:80-82", "127.0.0.1:9000:90", "192.0.2.1:9001:91", "70"]);
        assert_eq!(attached.ports.len(), 6);
        for port in [80, 81, 82, 90, 91, 70] {
            one.serve_tcp(port, "one");
        }
        for port in 8000..=8002 {
            assert!(world.outside.ask((HOST, port)).is_ok(), "{port}");
        }
        assert!(ask((LOCALHOST, 9000).into()).is_ok());
        assert!(world.outside.ask((HOST, 9000)).is_err(), "published on loopback only");
        // A neighbour that sends packets for 127.0.0.1 over the wire.
        world
            .outside
            .sh("sysctl -qw net.ipv4.conf.all.route_localnet=1 && ip addr del 127.0.0.1/8 dev lo && \
             ip route add 127.0.0.0/8 via 192.0.2.1 dev wire1");
        assert!(world.outside.ask((LOCALHOST, 9000)).is_err());
        assert!(world.outside.ask((HOST, 9001)).is_ok());
        assert!(ask((LOCALHOST, 9001).into()).is_err(), "published on one address only");
        let chosen = attached.ports.iter().find(|port| port.container_port == 70).expect("published");
        assert!(chosen.host_port >= 32768);
        assert!(world.outside.ask((HOST, chosen.host_port)).is_ok());
    });
}

#[test]
fn a_thousand_ports_are_one_message() {
    isolated(|| {
        let world = World::new();
        let (one, attached) = world.container("one", &["20000-20999:20000-20999"]);
        assert_eq!(attached.ports.len(), 1000);
        one.serve_tcp(20999, "last");
        assert!(world.outside.ask((HOST, 20999)).is_ok());
        world.detach("one");
        assert!(!sh("nft list table ip strake").contains("20999"));
    });
}

#[test]
fn a_taken_port_names_its_owner_and_changes_nothing() {
    isolated(|| {
        let world = World::new();
        let (_one, _) = world.container("one", &["8080:80"]);
        let links = sh("ip -o link");
        let rules = sh("nft list ruleset");
        let listener = TcpListener::bind("0.0.0.0:9090").expect("bind");
        let netns = crate::world::Netns::new();

        let error = world.attach(&netns, "two", &["8080:80"]).expect_err("taken");
        assert_eq!(
            error.to_string(),
            "port 0.0.0.0:8080/tcp is already used by container name-one (one); stop that, or publish on another host port"
        );
        let error = world.attach(&netns, "two", &["127.0.0.1:8080:80"]).expect_err("taken");
        assert!(matches!(error, Error::PortInUse { owner: PortOwner::Container { .. }, .. }));

        let error = world.attach(&netns, "two", &["8081:80", "9090:80"]).expect_err("taken");
        let Error::PortInUse { owner: PortOwner::Process { pid, .. }, port: 9090, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(pid, std::process::id());
        let error = world.attach(&netns, "two", &["203.0.113.9:80:80"]).expect_err("not ours");
        assert!(error.to_string().contains("203.0.113.9"), "{error}");
        assert!(world.networks.check(&request("two", &["9090:80"])).is_err());
        assert!(world.networks.check(&request("two", &["9091:80"])).is_ok());

        assert_eq!(sh("ip -o link"), links);
        assert_eq!(sh("nft list ruleset"), rules);
        drop(listener);
        world.attach(&netns, "two", &["9090:80"]).expect("free again");
    });
}

#[test]
fn nw_18_a_shared_port_is_spread_over_its_containers() {
    isolated(|| {
        let world = World::new();
        let shared = |id: &str, ports: &[&str]| {
            let mut request = request(id, ports);
            request.publishing.shared = true;
            let netns = crate::world::Netns::new();
            let attachment = world.networks.attach(&request, netns.file.as_fd()).expect("attach");
            (netns, attachment)
        };
        let counts = |port: u16, names: &[&str]| -> Vec<usize> {
            let answers: Vec<String> =
                (0..60).map(|_| world.outside.ask((HOST, port)).expect("answered")).collect();
            let count =
                |name: &&str| answers.iter().filter(|said| **said == format!("{name} {OUTSIDE}")).count();
            names.iter().map(count).collect()
        };
        let (one, _) = shared("one", &["8080:80"]);
        let (two, _) = shared("two", &["8080:81", "9090:81"]);
        one.serve_tcp(80, "one");
        two.serve_tcp(81, "two");
        let spread = counts(8080, &["one", "two"]);
        assert!(spread.iter().all(|count| *count > 0) && spread.iter().sum::<usize>() == 60, "{spread:?}");
        assert_eq!(counts(9090, &["two"]), [60], "shared with nobody yet");
        let from_here: Vec<String> =
            (0..60).map(|_| ask((LOCALHOST, 8080).into()).expect("answered")).collect();
        assert!(["one", "two"].iter().all(|name| from_here.iter().any(|said| said.starts_with(name))));
        let (three, _) = shared("three", &["8080:80"]);
        three.serve_tcp(80, "three");
        assert!(counts(8080, &["one", "two", "three"]).iter().all(|count| *count > 0));
        // One goes: the others have all of it, at once.
        world.detach("two");
        let spread = counts(8080, &["one", "three"]);
        assert_eq!(spread.iter().sum::<usize>(), 60, "{spread:?}");
        world.detach("one");
        world.detach("three");
        assert!(world.outside.ask((HOST, 8080)).is_err());
        assert!(!sh("nft list table ip strake").contains("8080"));
        // Shared is only what all share.
        let (_four, _) = world.container("four", &["8080:80"]);
        let mut late = request("five", &["8080:80"]);
        late.publishing.shared = true;
        assert!(matches!(world.networks.check(&late), Err(Error::PortInUse { .. })));
    });
}

#[test]
fn nw_20_what_has_ended_is_led_around_before_it_is_released() {
    isolated(|| {
        let world = World::new();
        let mut keep = Vec::new();
        let process = |pid| attach::Process { pid, start_time: 7 };
        for (name, pid) in [("one", 11), ("two", 12)] {
            let mut shared = request(name, &["8080:80"]);
            shared.publishing.shared = true;
            shared.process = Some(process(pid));
            let netns = crate::world::Netns::new();
            world.networks.attach(&shared, netns.file.as_fd()).expect("attach");
            netns.serve_tcp(80, name);
            keep.push(netns);
        }
        let id = |name: &str| base::ContainerId::parse(name).expect("id");
        assert!(
            !world.networks.withdraw(&id("one"), process(99)).expect("withdraw"),
            "another process of it"
        );
        assert!(world.networks.withdraw(&id("one"), process(11)).expect("withdraw"));
        assert!(!world.networks.withdraw(&id("one"), process(11)).expect("withdraw"), "once is enough");
        let all_by_two = || {
            for _ in 0..40 {
                assert_eq!(world.outside.ask((HOST, 8080)), Ok(format!("two {OUTSIDE}")));
            }
        };
        all_by_two();
        // It keeps its port, and a rule set that is written anew knows that it has ended.
        assert!(world.networks.check(&request("three", &["8080:80"])).is_err());
        sh("nft flush ruleset");
        assert!(world.networks.mend().expect("mend").is_some());
        all_by_two();
        world.detach("one");
        all_by_two();
        world.detach("two");
        assert!(world.networks.check(&request("three", &["8080:80"])).is_ok());
    });
}
