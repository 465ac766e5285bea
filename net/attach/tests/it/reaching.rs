//! Who reaches whom.

use std::net::Ipv4Addr;

use testkit::isolated;

use crate::world::{HOST, OUTSIDE, World, ask, sh};

#[test]
fn nw_01_members_of_a_bridge_reach_each_other() {
    isolated(|| {
        let world = World::new();
        let (one, first) = world.container("one", &[]);
        let (two, second) = world.container("two", &[]);
        assert_eq!(first.address, Ipv4Addr::new(172, 30, 0, 2));
        assert_eq!(second.address, Ipv4Addr::new(172, 30, 0, 3));
        two.serve_tcp(80, "two");
        assert_eq!(one.ask((second.address, 80)).as_deref(), Ok("two 172.30.0.2"));
        one.sh(&format!("ping -c1 -W2 {}", second.address));
        // A switch: two ports, and the table of hardware addresses shows both.
        let ports = sh("ip -o link show master strake0");
        assert!(ports.contains(&first.host_link) && ports.contains(&second.host_link), "{ports}");
        let table = sh("bridge fdb show br strake0");
        assert!(table.contains(&first.mac) && table.contains(&second.mac), "{table}");
        assert_eq!(one.sh("ip -o -4 addr show dev lo").matches("127.0.0.1/8").count(), 1);
        assert!(one.sh("ip route").contains("default via 172.30.0.1 dev eth0"));
    });
}

#[test]
fn nw_03_a_packet_to_the_outside_has_the_hosts_address() {
    isolated(|| {
        let world = World::new();
        let (one, _) = world.container("one", &[]);
        world.outside.serve_tcp(7000, "outside");
        world.outside.serve_udp(7000, "outside");
        assert_eq!(one.ask((OUTSIDE, 7000)), Ok(format!("outside {HOST}")));
        assert_eq!(one.ask_udp((OUTSIDE, 7000)), Ok(format!("outside {HOST}")));
    });
}

#[test]
fn the_outside_reaches_only_what_is_published() {
    isolated(|| {
        let world = World::new();
        let (one, attached) = world.container("one", &["8080:80"]);
        one.serve_tcp(80, "one");
        one.serve_tcp(81, "secret");
        // A neighbour that knows the way to the bridge.
        world.outside.sh("ip route add 172.30.0.0/16 via 192.0.2.1");
        assert!(world.outside.ask((attached.address, 81)).is_err());
        assert!(world.outside.ask((attached.address, 80)).is_err(), "only by the published port");
        assert_eq!(world.outside.ask((HOST, 8080)), Ok(format!("one {OUTSIDE}")));
    });
}

#[test]
fn a_container_does_not_reach_the_hosts_loopback() {
    isolated(|| {
        let world = World::new();
        let (one, attached) = world.container("one", &[]);
        let listener = std::net::TcpListener::bind("127.0.0.1:9000").expect("bind");
        std::thread::spawn(move || listener.incoming().for_each(drop));
        assert!(ask(([127, 0, 0, 1], 9000).into()).is_ok(), "the host itself does");
        // A hostile container sends packets for 127.0.0.1 to its router.
        one.sh(&format!(
            "sysctl -qw net.ipv4.conf.all.route_localnet=1 && ip addr del 127.0.0.1/8 dev lo && \
             ip route del local 127.0.0.0/8 table local 2>/dev/null || true; \
             ip route add 127.0.0.0/8 via {} dev eth0",
            attached.gateway
        ));
        assert!(one.ask(([127, 0, 0, 1], 9000)).is_err());
    });
}

#[test]
fn a_host_that_did_not_forward_forwards_only_for_containers() {
    isolated(|| {
        sh("sysctl -qw net.ipv4.ip_forward=0");
        let world = World::new();
        let (one, attached) = world.container("one", &[]);
        assert_eq!(sh("sysctl -n net.ipv4.ip_forward").trim(), "1");
        let said = attached.decisions.iter().find(|d| d.what == "forwarding").expect("noted");
        assert!(said.value.contains("was 0"), "{said:?}");
        world.outside.serve_tcp(7000, "outside");
        assert_eq!(one.ask((OUTSIDE, 7000)), Ok(format!("outside {HOST}")));
        // Somebody else's network behind the host: no transit for it.
        let other = crate::world::Netns::new();
        let (pid, tid) = other.run(|| (std::process::id(), rustix::thread::gettid().as_raw_nonzero()));
        sh(&format!(
            "ip link add far0 type veth peer name far1 && ip link set far1 netns /proc/{pid}/task/{tid}/ns/net && ip addr add 198.51.100.1/24 dev far0 && ip link set far0 up"
        ));
        other.sh("ip link set far1 up && ip addr add 198.51.100.2/24 dev far1 && ip route add default via 198.51.100.1");
        world.outside.sh("ip route add 198.51.100.0/24 via 192.0.2.1");
        assert!(other.ask((OUTSIDE, 7000)).is_err());
        world.detach("one");
        assert!(world.networks.remove_idle().expect("remove"));
        assert_eq!(sh("sysctl -n net.ipv4.ip_forward").trim(), "0", "as it was");
    });
}
