//! Networks that users make, and containers that are in several.

use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;

use attach::{Error, NewNetwork};
use base::ContainerId;
use testkit::isolated;

use crate::world::{Netns, OUTSIDE, World, request, sh};

fn network(world: &World, name: &str, change: impl FnOnce(&mut NewNetwork)) -> attach::Definition {
    let id = base::Digest::sha256_of(name.as_bytes()).hex().to_owned();
    let mut new = NewNetwork { name: name.to_owned(), id, ..NewNetwork::default() };
    change(&mut new);
    world.networks.create(&new).expect("make the network")
}

fn join(world: &World, netns: &Netns, id: &str, network: &str) -> attach::Attachment {
    let mut request = request(id, &[]);
    request.network = network.to_owned();
    world.networks.attach(&request, netns.file.as_fd()).expect("attach")
}

fn pings(from: &Netns, to: impl std::fmt::Display) -> bool {
    from.sh(&format!("ping -c1 -W1 {to} > /dev/null 2>&1 && echo yes || echo no")).trim() == "yes"
}

#[test]
fn nw_02_two_networks_are_apart_and_one_container_may_be_in_both() {
    isolated(|| {
        let world = World::new();
        let (a, b) = (network(&world, "a", |_| {}), network(&world, "b", |_| {}));
        assert_eq!(
            (a.subnet.to_string(), b.subnet.to_string()),
            ("172.18.0.0/16".into(), "172.19.0.0/16".into())
        );
        let [one, two, both] = [Netns::new(), Netns::new(), Netns::new()];
        let first = join(&world, &one, "one", "a");
        let second = join(&world, &two, "two", "b");
        let left = join(&world, &both, "both", "a");
        let right = join(&world, &both, "both", "b");
        assert_eq!((left.link.as_str(), right.link.as_str()), ("eth0", "eth1"));
        assert!(pings(&both, first.address) && pings(&both, second.address));
        assert!(pings(&one, left.address), "members reach each other");
        assert!(!pings(&one, second.address), "two networks are isolated");
        assert!(pings(&one, OUTSIDE), "and both lead out");
        let neighbours = one.sh("ip neigh");
        assert!(neighbours.contains(&left.address.to_string()), "{neighbours}");
        assert!(!neighbours.contains("172.19."), "ARP stays in one network: {neighbours}");
        let route = both.sh("ip route show default");
        assert!(route.contains("via 172.18.0.1 dev eth0"), "{route}");
        let error = world.networks.remove("a").expect_err("it is used");
        assert!(error.to_string().contains("network a has active endpoints (name:\"name-"), "{error}");

        // Left while it runs: the default route moves, the rest stays.
        let id = ContainerId::parse("both").expect("id");
        world.networks.leave(&id, "a", both.file.as_fd()).expect("leave");
        let route = both.sh("ip route show default");
        assert!(route.contains("via 172.19.0.1 dev eth1"), "{route}");
        assert!(pings(&both, second.address) && !pings(&both, first.address));
        let error = world.networks.leave(&id, "a", both.file.as_fd()).expect_err("gone");
        assert!(matches!(error, Error::NotConnected { .. }), "{error}");
        world.detach("one");
        assert_eq!(world.networks.remove(&a.id[..12]).expect("unused").name, "a");
        assert!(!sh("ip -o link").contains(&a.bridge));
        assert!(pings(&two, OUTSIDE));
        assert!(matches!(world.networks.remove("bridge"), Err(Error::Predefined { .. })));
    });
}

#[test]
fn nothing_leads_out_of_an_internal_network() {
    isolated(|| {
        let world = World::new();
        network(&world, "inner", |new| new.internal = true);
        let [one, two] = [Netns::new(), Netns::new()];
        join(&world, &one, "one", "inner");
        let second = join(&world, &two, "two", "inner");
        assert!(pings(&one, second.address));
        assert_eq!(one.sh("ip route show default"), "");
        // Also one who makes a route of his own stays in.
        one.sh("ip route add default via 172.18.0.1");
        assert!(!pings(&one, OUTSIDE));
        world.outside.sh("ip route add 172.18.0.0/16 via 192.0.2.1");
        assert!(!pings(&world.outside, second.address));
    });
}

#[test]
fn published_ports_move_with_the_way_out() {
    isolated(|| {
        let world = World::new();
        for name in ["a", "b"] {
            network(&world, name, |_| {});
        }
        let web = Netns::new();
        let mut wish = request("web", &["8080:80"]);
        wish.network = "b".to_owned();
        world.networks.attach(&wish, web.file.as_fd()).expect("attach");
        web.serve_tcp(80, "web");
        let answers = || world.outside.ask((crate::world::HOST, 8080)).is_ok();
        assert!(answers());
        join(&world, &web, "web", "a");
        world.networks.settle_gateway(&wish.id).expect("move");
        assert!(answers(), "by the network that comes first now");
        let main = world.networks.describe(&wish.id).expect("read").expect("attached");
        assert_eq!((main.network.as_str(), main.ports.len()), ("a", 1));
        world.networks.leave(&wish.id, "a", web.file.as_fd()).expect("leave");
        assert!(answers(), "and back");
        let main = world.networks.describe(&wish.id).expect("read").expect("attached");
        assert_eq!((main.network.as_str(), main.ports.len()), ("b", 1));
    });
}

#[test]
fn what_is_asked_of_a_network_holds() {
    isolated(|| {
        let world = World::new();
        let made = network(&world, "chosen", |new| {
            new.subnet = "10.77.0.0/24".parse().ok();
            new.gateway = Some(Ipv4Addr::new(10, 77, 0, 254));
            new.ip_range = "10.77.0.128/25".parse().ok();
            new.options.insert("com.docker.network.bridge.name".to_owned(), "br-mine".to_owned());
            new.options.insert("com.docker.network.driver.mtu".to_owned(), "1300".to_owned());
        });
        assert_eq!(made.bridge, "br-mine");
        assert!(sh("ip -o addr show dev br-mine").contains("10.77.0.254/24"));
        let one = Netns::new();
        let attached = join(&world, &one, "one", "chosen");
        assert_eq!(attached.address, Ipv4Addr::new(10, 77, 0, 128));
        assert!(one.sh("ip -o link show eth0").contains("mtu 1300"));
        assert!(one.sh("ip route show default").contains("via 10.77.0.254"));
        let mut again = NewNetwork { name: "chosen".to_owned(), id: "1".repeat(64), ..NewNetwork::default() };
        assert!(matches!(world.networks.create(&again), Err(Error::NetworkExists { .. })));
        again.name = "other".to_owned();
        again.subnet = "10.77.0.64/26".parse().ok();
        assert!(matches!(world.networks.create(&again), Err(Error::PoolOverlaps { .. })));
        again.subnet = None;
        again.options.insert("com.docker.network.bridge.name".to_owned(), "wire0".to_owned());
        assert!(matches!(world.networks.create(&again), Err(Error::ForeignLink { .. })));
        assert_eq!(world.networks.list().expect("list").len(), 2, "the default one and ours");
    });
}
