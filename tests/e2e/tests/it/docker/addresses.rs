//! Names and addresses that a container is given by hand.

use serde_json::json;
use testkit::{Strake, isolated};

use crate::{inspect, sleeper};

#[test]
fn resolver_hosts_and_hardware_address_are_as_asked() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let dns = "--dns 192.0.2.53 --dns 2001:db8::53 --dns-search a.example --dns-search b.example \
            --dns-option ndots:3 --dns-opt use-vc --add-host db:192.0.2.7 --add-host six=2001:db8::7 \
            --add-host host.docker.internal:host-gateway --hostname web --domainname a.example \
            --mac-address 02:42:ac:11:00:63";
        sleeper(&strake, "web", &dns.split_whitespace().collect::<Vec<_>>());
        let file = |path: &str| strake.ok(&["exec", "web", "cat", path]);
        let said = file("/etc/resolv.conf");
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('#')).collect();
        for line in ["nameserver 192.0.2.53", "search a.example b.example", "options ndots:3 use-vc"] {
            assert!(lines.contains(&line), "{line}: {lines:?}");
        }
        let seen = inspect(&strake, "web");
        let gateway = seen["NetworkSettings"]["Gateway"].as_str().unwrap();
        let hosts = file("/etc/hosts");
        let known = |address: &str, name: &str| {
            let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            hosts
                .lines()
                .map(fields)
                .any(|words| words[0] == address && words[1..].contains(&name.to_owned()))
        };
        assert!(known("192.0.2.7", "db") && known("2001:db8::7", "six"), "{hosts}");
        assert!(known(gateway, "host.docker.internal"), "{gateway}: {hosts}");
        assert!(known(seen["NetworkSettings"]["IPAddress"].as_str().unwrap(), "web"), "{hosts}");
        assert_eq!(strake.ok(&["exec", "web", "hostname", "-f"]), "web.a.example");
        let address = strake.ok(&["exec", "web", "cat", "/sys/class/net/eth0/address"]);
        assert_eq!(address, "02:42:ac:11:00:63");
        assert_eq!(seen["NetworkSettings"]["MacAddress"], "02:42:ac:11:00:63");
        let host = &seen["HostConfig"];
        assert_eq!(host["Dns"], json!(["192.0.2.53", "2001:db8::53"]));
        assert_eq!(host["DnsSearch"], json!(["a.example", "b.example"]));
        assert_eq!(host["DnsOptions"], json!(["ndots:3", "use-vc"]));
        let hosts = json!(["db:192.0.2.7", "six:2001:db8::7", "host.docker.internal:host-gateway"]);
        assert_eq!(host["ExtraHosts"], hosts);

        // A dot is no search list at all.
        sleeper(&strake, "bare", &["--dns-search", "."]);
        assert!(!strake.ok(&["exec", "bare", "cat", "/etc/resolv.conf"]).contains("search"));
    });
}

#[test]
fn addresses_by_hand_are_refused_in_dockers_words() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["network", "create", "--subnet", "10.50.0.0/24", "web"]);
        sleeper(&strake, "first", &["--network", "web", "--ip", "10.50.0.9", "--network-alias", "front"]);
        let settings = &inspect(&strake, "first")["NetworkSettings"]["Networks"]["web"];
        assert_eq!(settings["IPAddress"], "10.50.0.9");
        assert_eq!(settings["Aliases"].as_array().map(|all| all.contains(&json!("front"))), Some(true));
        for (flags, why) in [
            (
                &["--network", "host", "--ip", "10.50.0.10"][..],
                "user specified IP address is supported on user defined networks only",
            ),
            (&["--ip", "172.30.0.9"], "user specified IP address is supported on user defined networks only"),
            (&["--ip6", "fd00::9"], "user specified IP address is supported on user defined networks only"),
            (&["--network", "web", "--ip", "10.50.0.9"], "address 10.50.0.9 is held by container"),
            (&["--network", "web", "--ip", "10.51.0.9"], "10.51.0.9"),
            (&["--network", "web", "--ip6", "fd00::9"], "network web has no IPv6"),
            (&["--network", "host", "--network-alias", "x"], "network-scoped alias"),
            (&["--mac-address", "frob"], "frob"),
            (&["--dns", "frob"], "frob"),
            (&["--add-host", "frob"], "bad format for add-host: \"frob\""),
            (&["--add-host", "a:b"], "invalid IP address in add-host: \"b\""),
        ] {
            let run = strake.run(&[&["run", "--rm"], flags, &["busybox", "true"]].concat());
            run.exits(125).says(why);
        }
        assert_eq!(strake.ok(&["ps", "-aq"]).lines().count(), 1, "what was refused left nothing");
        let connect = strake.run(&["network", "connect", "--ip", "172.30.0.9", "bridge", "first"]);
        connect.exits(1).says("user specified IP address is supported on user defined networks only");
    });
}

#[test]
fn gateway_and_addresses_of_both_families_are_those_given() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let pools = "--subnet 10.51.0.0/24 --gateway 10.51.0.77 --subnet fd51::/64 --gateway fd51::77";
        strake.ok(&[&["network", "create"], &pools.split(' ').collect::<Vec<_>>()[..], &["lab"]].concat());
        sleeper(&strake, "web", &["--network", "lab", "--ip", "10.51.0.9", "--ip6", "fd51::9"]);
        let has = |family: &str| strake.ok(&["exec", "web", "ip", family, "address", "show", "eth0"]);
        assert!(has("-4").contains("inet 10.51.0.9/24") && has("-6").contains("inet6 fd51::9/64"));
        for (family, gateway) in [("-4", "10.51.0.77"), ("-6", "fd51::77")] {
            let routes = strake.ok(&["exec", "web", "ip", family, "route"]);
            assert!(routes.contains(&format!("default via {gateway} ")), "{routes}");
            strake.ok(&["exec", "web", "ping", family, "-c1", "-W2", gateway]);
        }
        let settings = &inspect(&strake, "web")["NetworkSettings"]["Networks"]["lab"];
        assert_eq!(settings["IPAMConfig"], json!({"IPv4Address": "10.51.0.9", "IPv6Address": "fd51::9"}));
        assert_eq!(
            (&settings["Gateway"], &settings["IPv6Gateway"]),
            (&json!("10.51.0.77"), &json!("fd51::77"))
        );
        // Connected by the same flags, and kept through a restart.
        sleeper(&strake, "late", &[]);
        strake.ok(&["network", "connect", "--ip", "10.51.0.10", "--ip6", "fd51::10", "lab", "late"]);
        strake.ok(&["restart", "-t", "0", "late"]);
        assert_eq!(
            inspect(&strake, "late")["NetworkSettings"]["Networks"]["lab"]["GlobalIPv6Address"],
            "fd51::10"
        );
    });
}
