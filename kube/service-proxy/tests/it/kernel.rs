//! What happens to the table: restarts, others' hands, crashes.

use std::net::Ipv4Addr;

use netlink::nft::dump;
use netlink::{Protocol, Socket};
use serde_json::{Value, json};
use testkit::isolated;

use crate::world::World;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 43, 0, 10);

fn spec() -> Value {
    json!({"type": "LoadBalancer", "clusterIP": SERVICE.to_string(), "sessionAffinity": "ClientIP",
        "loadBalancerSourceRanges": ["192.0.2.0/24"], "ports": [{"port": 80, "nodePort": 30080}]})
}

fn status() -> Value {
    json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}]}})
}

#[test]
fn a_restart_writes_nothing() {
    isolated(|| {
        let mut world = World::new(1);
        let (one, client) = (world.nodes[0].pod("one"), world.nodes[0].pod("client"));
        one.netns.serve_tcp(80, "one");
        world.serve("web", spec(), status(), &[one.endpoint()]);
        let look = |world: &World| {
            world.nodes[0].netns.run(|| {
                let mut socket = Socket::open(Protocol::Netfilter).expect("socket");
                dump::generation(&mut socket).expect("ask").expect("a number")
            })
        };
        let before = look(&world);
        world.nodes[0].running = None;
        assert!(client.netns.ask((SERVICE, 80)).is_ok(), "without a proxy the rules are still there");
        world.start(0);
        assert_eq!(look(&world), before, "what is there is taken over as it is");
        let status = world.nodes[0].running().proxy.status();
        assert_eq!((status.rewrites, status.services), (0, 1));
        // What changed meanwhile is the only thing that is written.
        world.nodes[0].running = None;
        let two = world.nodes[0].pod("two");
        world.mirror.slice("web", "TCP", &[one.endpoint(), two.endpoint()]);
        world.start(0);
        assert_eq!(look(&world), before + 2, "what comes, then what goes");
        assert_eq!(world.nodes[0].running().proxy.status().rewrites, 0);
    });
}

#[test]
fn two_proxies_do_not_fight() {
    isolated(|| {
        let mut world = World::new(1);
        let one = world.nodes[0].pod("one");
        world.serve("web", spec(), status(), &[one.endpoint()]);
        let config = service_proxy::Config::new(world.mirror.clone(), crate::world::facts("node-0"));
        let second = world.nodes[0].netns.run(move || crate::world::Running::start(config));
        second.until("told", |status| {
            status.error.as_deref().is_some_and(|error| error.contains("another service proxy"))
        });
        assert!(!second.proxy.status().synced);
        // When the first ends, the second takes over what it finds.
        world.nodes[0].running = None;
        second.until("takes over", |status| status.synced && status.rewrites == 0 && status.services == 1);
    });
}

#[test]
fn what_others_break_is_mended() {
    isolated(|| {
        let world = World::new(1);
        let (one, client) = (world.nodes[0].pod("one"), world.nodes[0].pod("client"));
        one.netns.serve_tcp(80, "one");
        world.serve("web", spec(), status(), &[one.endpoint()]);
        let answers = || client.netns.ask((SERVICE, 80)).is_ok();
        assert!(answers());
        for hand in [
            "nft flush ruleset",
            "nft delete table ip strake-services",
            "nft flush chain ip strake-services inside",
            "nft flush set ip strake-services services",
            "nft flush map ip strake-services to-all-1",
            "nft add element ip strake-services services '{ 10.43.0.77 . tcp . 80 }'",
        ] {
            let before = world.nodes[0].running().proxy.status().verifications;
            world.nodes[0].netns.sh(hand);
            world.nodes[0].running().until(hand, |status| status.synced && status.verifications > before);
            world.until(hand, answers);
            let listed = world.nodes[0].netns.sh("nft list table ip strake-services");
            assert!(!listed.contains("10.43.0.77"), "{hand}");
        }
        // Users can read it, with their own tool.
        let listed = world.nodes[0].netns.sh("nft list ruleset");
        for text in [
            "ip saddr 10.42.0.0/16 goto inside",
            "dnat ip to ip daddr . meta l4proto . th dport map @to-all-1",
            "203.0.113.5 . tcp . 80 . 192.0.2.0/24",
            "tcp . 30080 : 10.42.0.2 . 80",
            "timeout 3h",
        ] {
            assert!(listed.contains(text), "{text}: {listed}");
        }
        // Others' tables are others'.
        world.nodes[0].netns.sh("nft add table ip other; nft add chain ip other c");
        let before = world.nodes[0].running().proxy.status().verifications;
        let two = world.nodes[0].pod("two");
        world.serve("web", spec(), status(), &[one.endpoint(), two.endpoint()]);
        assert_eq!(world.nodes[0].running().proxy.status().verifications, before);
        assert!(world.nodes[0].netns.sh("nft list ruleset").contains("table ip other"));
    });
}
