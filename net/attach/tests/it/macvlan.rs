//! Networks on a link of the host: members are machines of the network that it is in.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;

use attach::{Driver, Error, NewNetwork};
use base::{Classified as _, ContainerId, ErrorClass};
use testkit::isolated;

use crate::crash::killed_in;
use crate::world::{HOST, Netns, OUTSIDE, World, request, sh};

/// The outside's network, on the host's end of its wire.
fn lan(world: &World, mode: &str) -> Result<attach::Definition, Error> {
    let options: BTreeMap<String, String> = [("parent", "wire0"), ("macvlan_mode", mode)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let driver = world.networks.driver("macvlan", "lan", &options)?;
    world.networks.create(&NewNetwork {
        name: "lan".to_owned(),
        id: "ab".repeat(32),
        driver,
        subnet: Some("192.0.2.0/24".parse().expect("a range")),
        gateway: Some(OUTSIDE),
        ip_range: Some("192.0.2.128/25".parse().expect("a range")),
        options,
        ..NewNetwork::default()
    })
}

fn join(world: &World, netns: &Netns, id: &str) -> Result<attach::Attachment, Error> {
    let mut request = request(id, &["8080:80"]);
    request.network = "lan".to_owned();
    world.networks.attach(&request, netns.file.as_fd())
}

fn pings(from: &Netns, to: Ipv4Addr) -> bool {
    from.sh(&format!("ping -c1 -W1 {to} > /dev/null 2>&1 && echo yes || echo no")).trim() == "yes"
}

#[test]
fn members_are_machines_of_the_network_outside() {
    isolated(|| {
        let world = World::new();
        let definition = lan(&world, "bridge").expect("made");
        assert_eq!((definition.driver.name(), definition.bridge.as_str()), ("macvlan", "wire0"));
        let [one, two] = [Netns::new(), Netns::new()];
        let (first, second) =
            (join(&world, &one, "one").expect("joined"), join(&world, &two, "two").expect("joined"));
        assert_eq!(first.address, Ipv4Addr::new(192, 0, 2, 128));
        assert!(first.warnings[0].contains("ports are not published"), "{:?}", first.warnings);
        assert!(pings(&one, OUTSIDE) && pings(&one, second.address), "the outside, and each other");
        assert!(
            pings(&world.outside, first.address),
            "and the outside reaches them, without a published port"
        );
        assert!(!pings(&one, HOST), "but not their host");
        assert!(one.sh("ip route show default").contains("via 192.0.2.2 dev eth0"));
        assert!(one.sh("ip -d link show eth0").contains("macvlan mode bridge"));
        let neighbours = world.outside.sh("ip neigh");
        assert!(neighbours.contains(&first.mac), "a hardware address of its own: {neighbours}");
        assert!(!sh("nft list tables").contains("wire0") && !sh("ip -brief link").contains("macvlan"));

        // Left while it lives, removed when nobody is in it.
        let id = ContainerId::parse("one").expect("id");
        world.networks.leave(&id, "lan", one.file.as_fd()).expect("leave");
        assert!(!one.sh("ip -brief link").contains("eth0"));
        let error = world.networks.remove("lan").expect_err("in use");
        assert!(error.to_string().contains("has active endpoints"), "{error}");
        world.detach("two");
        world.networks.remove("lan").expect("removed");
        assert!(sh("ip -brief link show wire0").contains("wire0"), "the host's link stays");
    });
}

#[test]
fn modes_are_the_kernels() {
    isolated(|| {
        for mode in ["private", "vepa", "passthru"] {
            let world = World::new();
            lan(&world, mode).expect("made");
            let [one, two] = [Netns::new(), Netns::new()];
            let first = join(&world, &one, "one").expect("joined");
            assert!(one.sh("ip -d link show eth0").contains(&format!("macvlan mode {mode}")));
            let inside = one.sh("ip -brief link show eth0");
            assert!(inside.contains(&first.mac), "{mode}: {} in {inside}", first.mac);
            match mode {
                "passthru" => {
                    let error = join(&world, &two, "two").expect_err("there is only one");
                    assert!(error.to_string().contains("make link eth0 on wire0"), "{error}");
                    let held = world.networks.members("lan").expect("listed");
                    assert_eq!(held.len(), 1, "nothing is left of it");
                }
                _ => {
                    let second = join(&world, &two, "two").expect("joined");
                    assert!(!pings(&one, second.address), "{mode}: no switch sends it back");
                }
            }
            sh("ip link delete wire0");
        }
    });
}

#[test]
fn what_the_host_lacks_is_told() {
    isolated(|| {
        let world = World::new();
        let driver = |name: &str, parent: &str| {
            let options = [("parent".to_owned(), parent.to_owned())].into();
            world.networks.driver(name, "lan", &options)
        };
        let error = driver("nowhere", "wire0").expect_err("no such driver");
        assert_eq!(
            (error.class(), error.to_string().contains("could not find plugin nowhere")),
            (ErrorClass::NotFound, true)
        );
        let create = |driver: Driver| {
            world.networks.create(&NewNetwork {
                name: "lan".to_owned(),
                id: "ab".repeat(32),
                driver,
                ..NewNetwork::default()
            })
        };
        let error = create(driver("macvlan", "nowhere0").expect("read")).expect_err("no such link");
        assert!(
            error.to_string().starts_with("link nowhere0 of macvlan network lan does not exist"),
            "{error}"
        );
        assert!(world.networks.definition("lan").is_err(), "nothing is left");
        // Whether the kernel has these is its own affair; what it says is told.
        let probe = |kind: &str| {
            sh(&format!("ip link add probe0 link wire0 type {kind} 2>&1 && ip link delete probe0 || true"))
        };
        if probe("ipvlan").contains("Unknown device type") {
            let error = driver("ipvlan", "wire0").expect_err("refused");
            let source = std::error::Error::source(&error).expect("the kernel's reason").to_string();
            assert_eq!(error.class(), ErrorClass::Unsupported);
            assert!(source.contains("not supported") || source.contains("Unknown device type"), "{source}");
        }
        let made = create(driver("macvlan", "wire0.10").expect("read"));
        match probe("vlan id 7").contains("Unknown device type") {
            true => {
                let error = made.expect_err("refused");
                assert!(error.to_string().contains("this kernel makes no VLAN links"), "{error}");
            }
            false => {
                made.expect("made");
                assert!(sh("ip -d link show wire0.10").contains("vlan protocol 802.1Q id 10"));
                world.networks.remove("lan").expect("removed");
                assert!(!sh("ip -brief link").contains("wire0.10"));
            }
        }
    });
}

#[test]
fn an_address_is_never_given_twice_and_a_killed_attach_is_undone() {
    isolated(|| {
        let world = World::new();
        lan(&world, "bridge").expect("made");
        for point in ["attach.lease-written", "attach.link-made", "attach.container-configured"] {
            let netns = Netns::new();
            killed_in(&world, "lan", (point, "attach", "one"), &netns);
            let held = world.networks.members("lan").expect("listed");
            assert_eq!(held.len(), 1, "{point}: the lease is known");
            let attachment = join(&world, &netns, "one").expect("joined after all");
            assert!(netns.sh("ip -brief address show eth0").contains(&attachment.address.to_string()));
            let done = world.networks.reconcile(|_| false).expect("reconciled");
            assert_eq!(done.released.len(), 1, "{point}");
            assert!(world.networks.members("lan").expect("listed").is_empty());
        }
    });
}
