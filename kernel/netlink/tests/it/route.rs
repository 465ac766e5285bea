//! Links, addresses, routes and rules.

use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;

use netlink::route::{
    self, Address, AddressGeneration, Ipv4Conf, LinkChange, LinkKind, MacAddress, Macvlan, MacvlanMode,
    NewLink, Place, Route, RouteKind, VethPeer, Vlan,
};
use netlink::{Protocol, Socket};
use rustix::io::Errno;
use testkit::isolated;

use crate::sh;

fn socket() -> Socket {
    Socket::open(Protocol::Route).expect("socket")
}

fn bridge(name: &str) -> netlink::Message {
    let mac = Some(MacAddress([2, 0x42, 10, 0, 0, 1]));
    route::new_link(&NewLink { name, kind: LinkKind::Bridge, mtu: Some(1400), mac, master: None })
}

#[test]
fn one_send_makes_a_bridge_with_all_its_settings() {
    isolated(|| {
        let mut socket = socket();
        socket.execute_all(&[bridge("br0")]).expect("make");
        let link = route::link_by_name(&mut socket, "br0").expect("ask").expect("there");
        let change = LinkChange {
            up: Some(true),
            alias: Some("ours"),
            ipv6_generation: Some(AddressGeneration::None),
            ipv4: &[(Ipv4Conf::RouteLocalnet, 1), (Ipv4Conf::ArpNotify, 1)],
            ..LinkChange::default()
        };
        let address = Address { link: link.index, address: Ipv4Addr::new(10, 0, 0, 1), prefix: 24 };
        let set = route::set_link(Place::Index(link.index), &change);
        socket.execute_all(&[set, route::add_address(&address)]).expect("set");

        let shown = sh("ip -d addr show dev br0");
        for part in ["bridge", "mtu 1400", "02:42:0a:00:00:01", "10.0.0.1/24 brd 10.0.0.255", "alias ours"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(sh("sysctl -n net.ipv4.conf.br0.route_localnet net.ipv4.conf.br0.arp_notify"), "1\n1\n");
        assert!(!sh("ip -6 addr show dev br0").contains("fe80"));
        let seen = route::link_by_index(&mut socket, link.index).expect("ask").expect("there");
        assert_eq!((seen.alias.as_str(), seen.mtu, seen.is_up()), ("ours", 1400, true));
        assert_eq!(seen.kind.as_deref(), Some("bridge"));
        assert!(route::addresses(&mut socket).expect("list").contains(&address));

        socket.execute_all(&[route::delete_link(Place::Name("br0"))]).expect("delete");
        assert_eq!(route::link_by_name(&mut socket, "br0").expect("ask"), None);
    });
}

#[test]
fn a_pair_is_born_in_another_namespace() {
    isolated(|| {
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            let kinds = sys::namespace::NamespaceSet::EMPTY.with(sys::namespace::Namespace::Net);
            sys::namespace::unshare(kinds).expect("unshare");
            let own = std::fs::File::open("/proc/thread-self/ns/net").expect("own namespace");
            send.send(own).expect("waiting");
            let _ = stopped.recv();
            sh("ip -o link show eth0")
        });
        let netns = receive.recv().expect("namespace");
        let mut host = socket();
        host.execute_all(&[bridge("br0")]).expect("make");
        let master = route::link_by_name(&mut host, "br0").expect("ask").expect("there").index;
        let mac = MacAddress([2, 0x42, 10, 0, 0, 2]);
        let peer = VethPeer { name: "eth0", mac, netns: Some(std::os::fd::AsFd::as_fd(&netns)) };
        let new = NewLink {
            name: "v0",
            kind: LinkKind::Veth(peer),
            mtu: Some(1300),
            mac: None,
            master: Some(master),
        };
        host.execute_all(&[route::new_link(&new)]).expect("make");
        let seen = route::link_by_name(&mut host, "v0").expect("ask").expect("there");
        assert_eq!((seen.master, seen.peer_elsewhere, seen.mtu), (Some(master), true, 1300));
        let mut inside = Socket::open_in(std::os::fd::AsFd::as_fd(&netns), Protocol::Route).expect("socket");
        let eth0 = route::link_by_name(&mut inside, "eth0").expect("ask").expect("there");
        assert_eq!((eth0.mac, eth0.mtu), (Some(mac), 1300));
        assert!(route::link_by_name(&mut inside, "br0").expect("ask").is_none());
        assert!(route::link_by_name(&mut host, "br0").expect("ask").is_some(), "we came back");
        drop(stop);
        assert!(other.join().expect("no panic").contains("02:42:0a:00:00:02"));
    });
}

#[test]
fn routes_and_rules_are_listed_as_ip_made_them() {
    isolated(|| {
        sh("ip link add br0 type bridge && ip addr add 10.1.0.1/24 dev br0 && ip link set br0 up");
        sh("ip route add 10.2.0.0/16 via 10.1.0.9 metric 7 && ip route add 10.3.0.0/16 dev br0 table 1000");
        sh("ip rule add from 10.4.0.0/16 table 1000 priority 99");
        let mut socket = socket();
        let index = route::link_by_name(&mut socket, "br0").expect("ask").expect("there").index;
        let default = Route::default_by(Ipv4Addr::new(10, 1, 0, 254), index);
        socket.execute_all(&[route::add_route(&default)]).expect("add");
        assert!(sh("ip route show default").starts_with("default via 10.1.0.254 dev br0"));
        let routes = route::routes(&mut socket).expect("list");
        assert!(routes.contains(&Route { table: 254, ..default }) || routes.iter().any(|r| r.prefix == 0));
        let far = routes.iter().find(|r| r.destination == Ipv4Addr::new(10, 2, 0, 0)).expect("listed");
        assert_eq!((far.prefix, far.metric, far.gateway), (16, 7, Some(Ipv4Addr::new(10, 1, 0, 9))));
        let other = routes.iter().find(|r| r.destination == Ipv4Addr::new(10, 3, 0, 0)).expect("listed");
        assert_eq!((other.table, other.kind), (1000, RouteKind::Unicast));
        let rules = route::policy_rules(&mut socket).expect("list");
        let rule = rules.iter().find(|rule| rule.priority == 99).expect("listed");
        assert_eq!((rule.table, rule.source), (1000, Some((Ipv4Addr::new(10, 4, 0, 0), 16))));
        socket.execute_all(&[route::delete_route(&default)]).expect("delete");
        assert_eq!(sh("ip route show default"), "");
    });
}

#[test]
fn each_message_has_its_own_verdict_and_the_kernels_words() {
    isolated(|| {
        let mut socket = socket();
        let outcomes = socket
            .execute(&[
                bridge("br0"),
                bridge("br0"),
                route::delete_link(Place::Name("nosuch")),
                bridge("br1"),
            ])
            .expect("exchange");
        let numbers: Vec<_> =
            outcomes.iter().map(|o| o.as_ref().err().and_then(|r| r.errno.raw_os_error())).collect();
        let number = |errno: Errno| Some(errno.raw_os_error());
        assert_eq!(numbers, [None, number(Errno::EXIST), number(Errno::NODEV), None]);
        let long = "a-name-that-is-too-long-for-a-link";
        let error = socket.execute_all(&[bridge(long)]).expect_err("refused");
        assert!(error.to_string().contains("attribute at byte"), "{error}");
        assert_eq!(route::links(&mut socket).expect("list").len(), 3);
    });
}

#[test]
fn a_thousand_links_are_dumped_whole() {
    isolated(|| {
        let mut socket = socket();
        for hundred in 0..10 {
            let messages: Vec<_> = (0..100).map(|one| bridge(&format!("b{hundred}x{one}"))).collect();
            socket.execute_all(&messages).expect("make");
        }
        assert_eq!(route::links(&mut socket).expect("list").len(), 1001);
    });
}

#[test]
fn a_macvlan_is_born_in_another_namespace() {
    isolated(|| {
        let mut socket = socket();
        sh("ip link add up0 type veth peer name up1");
        let parent = route::link_by_name(&mut socket, "up0").expect("ask").expect("there").index;
        for (mode, name) in [
            (MacvlanMode::Private, "private"),
            (MacvlanMode::Vepa, "vepa"),
            (MacvlanMode::Bridge, "bridge"),
            (MacvlanMode::Passthru, "passthru"),
        ] {
            let inside = testkit::Netns::new();
            let kind = LinkKind::Macvlan(Macvlan { parent, mode, netns: Some(inside.file.as_fd()) });
            let mac = Some(MacAddress([2, 0x42, 10, 0, 0, 9]));
            let new = NewLink { name: "eth0", kind, mtu: Some(1400), mac, master: None };
            socket.execute_all(&[route::new_link(&new)]).expect(name);
            let shown = inside.sh("ip -d link show eth0");
            assert!(shown.contains(&format!("macvlan mode {name}")) && shown.contains("mtu 1400"), "{shown}");
            assert_eq!(shown.contains("02:42:0a:00:00:09"), mode != MacvlanMode::Passthru, "{shown}");
            assert_eq!(route::link_by_name(&mut socket, "eth0").expect("ask"), None, "none of ours");
            inside.sh("ip link delete eth0");
        }
        // What the kernel may lack is told in its own words, and is right when it has it.
        let vlan = NewLink {
            name: "up0.10",
            kind: LinkKind::Vlan(Vlan { parent, id: 10 }),
            mtu: None,
            mac: None,
            master: None,
        };
        match socket.execute_all(&[route::new_link(&vlan)]) {
            Ok(_) => assert!(sh("ip -d link show up0.10").contains("vlan protocol 802.1Q id 10")),
            Err(error) => assert!(error.is(Errno::OPNOTSUPP), "{error}"),
        }
    });
}
