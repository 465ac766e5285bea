//! Ranges, addresses, and what is left at the end.

use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;

use attach::{Error, Networks};
use base::ContainerId;
use testkit::{isolated, wait_until};

use crate::world::{Netns, World, request, sh};

#[test]
fn a_range_that_collides_moves_and_stays() {
    isolated(|| {
        let world = World::new();
        sh("ip route add 172.30.7.0/24 via 192.0.2.2");
        let (_one, attached) = world.container("one", &[]);
        assert_eq!(attached.subnet.to_string(), "172.29.0.0/16");
        let why = attached.decisions.iter().find(|d| d.what == "subnet").expect("recorded");
        assert!(why.why.contains("meets 172.30.7.0/24"), "{why:?}");
        sh("ip route del 172.30.7.0/24");
        let (_two, attached) = world.container("two", &[]);
        assert_eq!(attached.address, Ipv4Addr::new(172, 29, 0, 3), "a network keeps its range");
        // After a "reboot", with a new route in the way and nobody attached, it moves.
        world.detach("one");
        world.detach("two");
        assert!(world.networks.remove_idle().expect("remove"));
        sh("ip route add 172.29.0.0/16 via 192.0.2.2");
        let (_three, attached) = world.container("three", &[]);
        assert_eq!(attached.subnet.to_string(), "172.30.0.0/16");
    });
}

#[test]
fn two_data_roots_share_a_host() {
    isolated(|| {
        let world = World::new();
        let (_one, first) = world.container("one", &["8080:80"]);
        let other = Networks::open(&world.dir.join("data2"), &world.dir.join("state2")).expect("open");
        let netns = Netns::new();
        let second = other.attach(&request("one2", &["8081:80"]), netns.file.as_fd()).expect("attach");
        assert_eq!((first.bridge.as_str(), second.bridge.as_str()), ("strake0", "strake1"));
        assert!(!first.subnet.overlaps(&second.subnet));
        assert!(sh("nft list table ip strake1").contains("8081"));
        assert!(sh("nft list table ip strake").contains("8080"));
    });
}

#[test]
fn addresses_on_request_and_used_up() {
    isolated(|| {
        let world = World::new();
        let mut fixed = request("one", &[]);
        fixed.address = Some(Ipv4Addr::new(172, 30, 5, 5));
        let one = Netns::new();
        assert_eq!(
            world.networks.attach(&fixed, one.file.as_fd()).expect("free").address.octets(),
            [172, 30, 5, 5]
        );
        let error = world.attach(&one, "one", &[]).expect_err("attached");
        assert!(matches!(error, Error::AlreadyAttached { .. }), "{error}");
        let two = Netns::new();
        fixed.id = ContainerId::parse("two").expect("id");
        let error = world.networks.attach(&fixed, two.file.as_fd()).expect_err("held");
        assert_eq!(
            error.to_string(),
            "address 172.30.5.5 is held by container name-one; stop it or choose another --ip"
        );
        fixed.network = "nosuch".to_owned();
        let error = world.networks.attach(&fixed, two.file.as_fd()).expect_err("unknown");
        assert!(matches!(error, Error::NoSuchNetwork { .. }));
        // A failed attach in the middle leaves nothing: eth0 is there already.
        two.sh("ip link add eth0 type bridge");
        let links = sh("ip -o link");
        let error = world.attach(&two, "two", &["8080:80"]).expect_err("in the way");
        assert!(matches!(error, Error::LinkExists { .. }), "{error}");
        assert_eq!(sh("ip -o link"), links);
        assert!(!sh("nft list ruleset").contains("8080"));
        let (_, next) = world.container("three", &["8080:80"]);
        assert!(next.subnet.contains(next.address));
    });
}

#[test]
fn nothing_is_left_after_the_last() {
    isolated(|| {
        let world = World::new();
        let ids = ["one", "two", "three"];
        let containers: Vec<_> = ids.iter().map(|id| world.container(id, &["80"])).collect();
        for id in ids {
            world.detach(id);
            world.detach(id); // idempotent
        }
        drop(containers);
        let gone = || sh("ip -o link show type veth").lines().filter(|l| l.contains(": sk")).count() == 0;
        assert!(wait_until(std::time::Duration::from_secs(20), gone), "{}", sh("ip -o link"));
        assert_eq!(world.networks.attachments().expect("list"), []);
        assert!(world.networks.remove_idle().expect("remove"));
        assert!(!sh("ip -o link").contains("strake"));
        assert_eq!(sh("nft list ruleset"), "");
    });
}

#[test]
fn a_detached_container_that_lives_on_is_cut_off() {
    isolated(|| {
        let world = World::new();
        let (one, first) = world.container("one", &[]);
        let (two, _) = world.container("two", &[]);
        two.sh(&format!("ping -c1 -W2 {}", first.address));
        world.detach("one");
        two.serve_tcp(80, "two");
        assert!(one.ask((Ipv4Addr::new(172, 30, 0, 3), 80)).is_err(), "the old namespace reaches nobody");
        let live: std::collections::BTreeSet<_> = [ContainerId::parse("two").expect("id")].into();
        let done = world.networks.reconcile(|id| live.contains(id)).expect("reconcile");
        assert_eq!(done.links_deleted, [first.host_link]);
    });
}

#[test]
fn a_restart_does_not_wait_for_the_old_link() {
    isolated(|| {
        let world = World::new();
        let (old, first) = world.container("one", &["8080:80"]);
        world.detach("one");
        // The old namespace is still there, and with it the link's name.
        let (new, second) = world.container("one", &["8080:80"]);
        assert_ne!(first.host_link, second.host_link);
        new.serve_tcp(80, "new");
        assert!(world.outside.ask((crate::world::HOST, 8080)).is_ok());
        let live: std::collections::BTreeSet<_> = [ContainerId::parse("one").expect("id")].into();
        let done = world.networks.reconcile(|id| live.contains(id)).expect("reconcile");
        assert_eq!(done.links_deleted, [first.host_link]);
        drop(old);
        // Disconnected while it lives, it can be connected again.
        world.networks.disconnect(&second.id).expect("disconnect");
        world.attach(&new, "one", &["8080:80"]).expect("connect again");
        assert!(world.outside.ask((crate::world::HOST, 8080)).is_ok());
    });
}

#[test]
fn many_at_once_get_different_addresses_and_ports() {
    isolated(|| {
        let world = World::new();
        let (data, state) = (world.dir.join("data"), world.dir.join("state"));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (data, state) = (data.clone(), state.clone());
                std::thread::spawn(move || {
                    let networks = Networks::open(&data, &state).expect("open");
                    let mut got = Vec::new();
                    for round in 0..10 {
                        let netns = Netns::new();
                        let id = format!("w{worker}r{round}");
                        let attached =
                            networks.attach(&request(&id, &["80"]), netns.file.as_fd()).expect("attach");
                        got.push((netns, attached));
                    }
                    got
                })
            })
            .collect();
        let all: Vec<_> = workers.into_iter().flat_map(|w| w.join().expect("no panic")).collect();
        let addresses: std::collections::BTreeSet<_> = all.iter().map(|(_, a)| a.address).collect();
        let ports: std::collections::BTreeSet<_> = all.iter().map(|(_, a)| a.ports[0].host_port).collect();
        assert_eq!((addresses.len(), ports.len()), (40, 40));
        assert_eq!(sh("nft list map ip strake published").matches("tcp . ").count(), 40);
    });
}
