//! A host that closes a port keeps it closed when it is published.

use std::os::fd::AsFd as _;

use testkit::isolated;

use crate::world::{HOST, World, ask, sh};

/// Attaches a container behind 8080 and 8081 on a host with these rules, and says which
/// of the two the outside reaches.
#[track_caller]
fn check(rules: &str, open: (bool, bool)) {
    let world = World::new();
    sh(rules);
    let (one, attached) = world.container("one", &["8080:80", "8081:81"]);
    one.serve_tcp(80, "one");
    one.serve_tcp(81, "one");
    let reached = (world.outside.ask((HOST, 8080)).is_ok(), world.outside.ask((HOST, 8081)).is_ok());
    let ours = sh("nft list table ip strake");
    assert_eq!(reached, open, "{rules}\n{ours}\n{:?}", attached.warnings);
    assert!(ask(([127, 0, 0, 1], 8080).into()).is_ok(), "the host itself is not asked");
    let notes = attached.decisions.iter().filter(|d| d.what == "host's input policy").count();
    assert!(notes > 0, "{:?}", attached.decisions);
    // The host's own rules are as they were.
    let before = sh(&format!("unshare -n sh -ec '{}; nft list ruleset'", rules.replace('\'', "'\\''")));
    let after = sh("nft list ruleset");
    let foreign = after.split("table ip strake").next().expect("some");
    assert_eq!(strip_counters(foreign), strip_counters(&before));
    // A connection that is established goes on, and the network of the container too.
    world.detach("one");
}

fn strip_counters(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out = String::new();
    let mut skip = 0;
    for (at, word) in words.iter().enumerate() {
        if skip > 0 {
            skip -= 1;
        } else if *word == "packets" && words.get(at + 2) == Some(&"bytes") {
            skip = 3;
        } else {
            out.push_str(word);
            out.push(' ');
        }
    }
    out
}

#[test]
fn nw_04_policy_drop_keeps_a_published_port_closed() {
    isolated(|| {
        check(
            "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; \
             nft add rule inet fw in ct state established,related accept; nft add rule inet fw in iif lo accept; \
             nft add rule inet fw in tcp dport 8081 accept",
            (false, true),
        );
    });
}

#[test]
fn nw_04_an_iptables_drop_keeps_a_published_port_closed() {
    isolated(|| check("iptables-nft -A INPUT -p tcp --dport 8080 -j DROP", (false, true)));
}

#[test]
fn iptables_extensions_are_copied() {
    isolated(|| {
        check(
            "iptables-nft -A INPUT -i lo -j ACCEPT; \
             iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; \
             iptables-nft -N web; iptables-nft -A web -p tcp -m multiport --dports 80,8081 -m comment --comment public -j ACCEPT; \
             iptables-nft -A INPUT -m addrtype --dst-type MULTICAST -j ACCEPT; \
             iptables-nft -A INPUT -m recent --name seen --set; \
             iptables-nft -A INPUT -s 203.0.113.0/24 -p udp -m udp --sport 53 -m state --state NEW -j ACCEPT; \
             iptables-nft -A INPUT -m limit --limit 5/min -j LOG --log-prefix in; \
             iptables-nft -A INPUT -j web; iptables-nft -A INPUT -j REJECT",
            (false, true),
        );
    });
}

#[test]
fn sets_and_verdict_maps_are_copied() {
    isolated(|| {
        check(
            "nft add table inet fw; nft add set inet fw bad '{ type ipv4_addr; flags interval; elements = { 192.0.2.0/24 } }'; \
             nft add chain inet fw web; nft add rule inet fw web ip saddr @bad counter reject with icmpx admin-prohibited; \
             nft add chain inet fw in '{ type filter hook input priority 5; }'; \
             nft add rule inet fw in tcp dport vmap '{ 8080 : jump web, 22 : accept }'; \
             nft add rule inet fw in tcp dport '{ 23, 8080-8090 }' accept",
            (false, true),
        );
    });
}

#[test]
fn zones_as_firewalld_writes_them_are_copied() {
    isolated(|| {
        check(
            "nft add table inet firewalld; nft add chain inet firewalld filter_INPUT '{ type filter hook input priority 10; policy accept; }'; \
             nft add chain inet firewalld IN_public; nft add chain inet firewalld IN_public_allow; \
             nft add rule inet firewalld filter_INPUT ct state '{ established, related }' accept; \
             nft add rule inet firewalld filter_INPUT iifname lo accept; \
             nft add rule inet firewalld filter_INPUT ct state invalid drop; \
             nft add rule inet firewalld filter_INPUT iifname vmap '{ wire0 : goto IN_public }'; \
             nft add rule inet firewalld filter_INPUT reject with icmpx admin-prohibited; \
             nft add rule inet firewalld IN_public jump IN_public_allow; \
             nft add rule inet firewalld IN_public meta l4proto '{ icmp, ipv6-icmp }' accept; \
             nft add rule inet firewalld IN_public_allow ip6 daddr fe80::/64 udp dport 546 accept; \
             nft add rule inet firewalld IN_public_allow tcp dport 8081 ct state '{ new, untracked }' accept; \
             nft add rule inet firewalld IN_public reject with icmpx admin-prohibited",
            (false, true),
        );
    });
}

#[test]
fn several_chains_must_all_agree() {
    isolated(|| {
        check(
            "nft add table ip a; nft add chain ip a in '{ type filter hook input priority 0; policy accept; }'; \
             nft add rule ip a in tcp dport 8080 accept; \
             nft add table inet b; nft add chain inet b in '{ type filter hook input priority 10; policy accept; }'; \
             nft add rule inet b in tcp dport 8080 drop",
            (false, true),
        );
    });
}

#[test]
fn what_the_kernel_refuses_before_routing_is_closed_and_told() {
    isolated(|| {
        let world = World::new();
        sh("nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; \
            nft add rule inet fw in tcp dport 8080 ct state invalid,untracked,new synproxy mss 1460 wscale 7 comment shield; \
            nft add rule inet fw in tcp dport 9999 accept");
        let (one, attached) = world.container("one", &["8080:80", "8081:81"]);
        one.serve_tcp(80, "one");
        one.serve_tcp(81, "one");
        assert!(world.outside.ask((HOST, 8080)).is_err());
        assert!(world.outside.ask((HOST, 8081)).is_ok());
        let warning = attached.warnings.first().expect("told");
        assert!(warning.contains("\"shield\"") && warning.contains("chain in"), "{warning}");
    });
}

#[test]
fn legacy_iptables_that_judges_input_closes_published_ports() {
    isolated(|| {
        let world = World::new();
        // In use, but empty: as programs leave it behind.
        sh("iptables-legacy -t filter -S");
        let (one, attached) = world.container("one", &["8080:80"]);
        one.serve_tcp(80, "one");
        assert!(world.outside.ask((HOST, 8080)).is_ok());
        assert_eq!(attached.warnings, Vec::<String>::new());
        sh("iptables-legacy -A INPUT -p tcp --dport 8080 -j DROP");
        let live: std::collections::BTreeSet<_> = [base::ContainerId::parse("one").expect("id")].into();
        let done = world.networks.reconcile(|id| live.contains(id)).expect("reconcile");
        assert!(done.warnings.iter().any(|w| w.contains("legacy iptables")), "{:?}", done.warnings);
        assert!(world.outside.ask((HOST, 8080)).is_err());
        assert!(ask(([127, 0, 0, 1], 8080).into()).is_ok());
    });
}

#[test]
fn a_strict_reverse_path_filter_is_no_obstacle() {
    isolated(|| {
        sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1");
        let world = World::new();
        let (one, attached) = world.container("one", &["8080:80"]);
        one.serve_tcp(80, "one");
        assert!(world.outside.ask((HOST, 8080)).is_ok());
        for address in [std::net::Ipv4Addr::LOCALHOST, HOST, attached.gateway] {
            assert!(ask((address, 8080).into()).is_ok(), "{address}");
        }
        assert!(one.ask((HOST, 8080)).is_ok());
    });
}

#[test]
fn a_rule_that_comes_later_is_found_at_the_next_look() {
    isolated(|| {
        let world = World::new();
        let (one, _) = world.container("one", &["8080:80"]);
        one.serve_tcp(80, "one");
        assert!(world.outside.ask((HOST, 8080)).is_ok());
        sh("iptables-nft -A INPUT -p tcp --dport 8080 -j DROP");
        let (_two, _) = world.container("two", &[]);
        assert!(world.outside.ask((HOST, 8080)).is_err(), "the next attach looks");
        sh("iptables-nft -F INPUT");
        let live: std::collections::BTreeSet<_> =
            ["one", "two"].iter().map(|id| base::ContainerId::parse(id).expect("id")).collect();
        assert!(world.networks.reconcile(|id| live.contains(id)).expect("reconcile").table_rewritten);
        assert!(world.outside.ask((HOST, 8080)).is_ok(), "reconcile looks too");
        sh("nft flush ruleset");
        assert!(world.outside.ask((HOST, 8080)).is_err());
        assert!(world.networks.reconcile(|id| live.contains(id)).expect("reconcile").table_rewritten);
        assert!(world.outside.ask((HOST, 8080)).is_ok());
    });
}

#[test]
fn a_forward_policy_that_drops_is_told() {
    isolated(|| {
        let world = World::new();
        sh("iptables-nft -P FORWARD DROP");
        let (_one, attached) = world.container("one", &[]);
        assert!(attached.warnings.iter().any(|w| w.contains("chain FORWARD")), "{:?}", attached.warnings);
        sh("iptables-nft -A FORWARD -i strake0 -j ACCEPT");
        let (_two, attached) = world.container("two", &[]);
        assert_eq!(attached.warnings, Vec::<String>::new());
    });
}

#[test]
fn nw_04_the_policy_docker_opens_a_port_that_the_host_closes() {
    isolated(|| {
        let world = World::new();
        sh("iptables-nft -P INPUT DROP");
        let mut open = crate::world::request("one", &["8080:80", "192.0.2.1:8081:80"]);
        open.publishing.policy = attach::PublishPolicy::Docker;
        let one = crate::world::Netns::new();
        let attached = world.networks.attach(&open, one.file.as_fd()).expect("attach");
        one.serve_tcp(80, "one");
        let (two, _) = world.container("two", &["9090:80"]);
        two.serve_tcp(80, "two");
        assert!(world.outside.ask((HOST, 8080)).is_ok() && world.outside.ask((HOST, 8081)).is_ok());
        assert!(world.outside.ask((HOST, 9090)).is_err(), "its own policy is the host's");
        assert!(attached.decisions.iter().any(|d| d.why.contains("--publish-policy docker")));
        world.detach("one");
        let (three, _) = world.container("three", &["8080:80"]);
        three.serve_tcp(80, "three");
        assert!(world.outside.ask((HOST, 8080)).is_err(), "the next one there has a policy of its own");
    });
}

/// Waits until the rules have changed, and mends them.
fn next_mend(world: &World, watch: &mut attach::RuleWatch) -> Option<attach::Rewritten> {
    let mut waiting = [rustix::event::PollFd::new(&*watch, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut waiting, Some(&limit)), Ok(1), "a change is heard of");
    assert!(watch.changed().expect("read"), "it is one that concerns us");
    world.networks.mend().expect("mend")
}

/// What is wrong with our tables, without changing anything.
fn amiss(world: &World) -> Vec<attach::Rewritten> {
    let left = world.networks.examine(|_| true).expect("examine").into_iter();
    left.filter_map(|left| match left {
        attach::Leftover::Rules { why, .. } => Some(why),
        _ => None,
    })
    .collect()
}

#[test]
fn what_others_do_to_the_rules_is_noticed_and_mended() {
    isolated(|| {
        let world = World::new();
        let mut watch = attach::RuleWatch::open().expect("watch");
        assert_eq!(world.networks.mend().expect("mend"), None, "no container, no rules");
        let (one, _) = world.container("one", &["8080:80", "127.0.0.1:8081:80"]);
        one.serve_tcp(80, "one");
        assert_eq!(next_mend(&world, &mut watch), None, "that was ourselves");
        for vandal in ["nft flush ruleset", "nft delete table ip strake"] {
            sh(vandal);
            assert!(world.outside.ask((HOST, 8080)).is_err(), "{vandal}");
            assert_eq!(amiss(&world), [attach::Rewritten::Missing], "{vandal}");
            assert_eq!(next_mend(&world, &mut watch), Some(attach::Rewritten::Missing), "{vandal}");
            assert!(world.outside.ask((HOST, 8080)).is_ok(), "{vandal}");
            assert_eq!(next_mend(&world, &mut watch), None, "our own mending is no reason to mend");
        }
        for vandal in [
            "nft flush chain ip strake publish",
            "nft flush map ip strake published",
            "nft delete element ip strake published '{ tcp . 8080 }'",
            "nft add rule ip strake isolate drop",
        ] {
            sh(vandal);
            assert_eq!(amiss(&world), [attach::Rewritten::Changed], "{vandal}");
            assert_eq!(next_mend(&world, &mut watch), Some(attach::Rewritten::Changed), "{vandal}");
            assert_eq!(amiss(&world), [], "{vandal}");
            assert!(world.outside.ask((HOST, 8080)).is_ok(), "{vandal}");
            watch.changed().expect("read");
        }
        sh("iptables-nft -A INPUT -p tcp --dport 8080 -j DROP");
        assert_eq!(next_mend(&world, &mut watch), Some(attach::Rewritten::Outdated));
        assert!(world.outside.ask((HOST, 8080)).is_err(), "the host's new rule holds at once");
        // Others' tables that judge nothing of ours are looked at, and that is all.
        watch.changed().expect("read");
        sh("nft add table inet other");
        assert_eq!(next_mend(&world, &mut watch), None);
        // Nor is what nobody needs any more put back.
        world.detach("one");
        watch.changed().expect("read");
        sh("nft flush ruleset");
        assert_eq!(next_mend(&world, &mut watch), None);
        assert!(!sh("nft list tables").contains("strake"));
    });
}
