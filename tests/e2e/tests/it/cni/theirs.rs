//! Debian's plugins under us, and macvlan networks, as a user has them.

use std::fs;

use testkit::{Strake, isolated, sh, wait_for};

use crate::{inspect, sleeper};

/// A host with Debian's plugins and one configuration.
fn host() -> Strake {
    let strake = Strake::new().with_busybox();
    let leases = strake.home().join("leases");
    let list = serde_json::json!({"cniVersion": "1.0.0", "name": "deb", "plugins": [
        {"type": "bridge", "bridge": "cbr0", "isGateway": true, "ipMasq": true, "capabilities": {"ips": true},
         "ipam": {"type": "host-local", "dataDir": leases, "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]});
    fs::create_dir(strake.home().join("net.d")).expect("made");
    fs::write(strake.home().join("net.d/10-deb.conflist"), list.to_string()).expect("written");
    strake
}

/// `strake --cni-conf-dir … ARGS`.
fn ok(strake: &Strake, args: &[&str]) -> String {
    let mut command = strake.command(args);
    command.env("STRAKE_CNI_CONF_DIR", strake.home().join("net.d"));
    testkit::run(&mut command).ok().to_owned()
}

/// What ended by itself is cleaned up by its supervisor's command, soon.
fn is_clean(strake: &Strake) {
    wait_for("the container's links, rules, leases and namespaces to go", || {
        let links = sh("ip -brief link show type veth").contains("veth");
        let rules = sh("iptables-save -t nat");
        let leases = fs::read_dir(strake.home().join("leases/deb")).expect("host-local's directory");
        let is_lease = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("10.");
        let leased = leases.flatten().any(is_lease);
        let pinned = sh("cat /proc/self/mountinfo").contains("/namespaces/");
        (!links && !rules.contains("8080") && !rules.contains("10.77.") && !leased && !pinned).then_some(())
    });
}

#[test]
fn nw_13_debians_plugins_carry_our_containers() {
    isolated(|| {
        let strake = host();
        assert!(ok(&strake, &["network", "ls", "--format", "{{.Name}} {{.Driver}}"]).contains("deb cni"));
        let server = "while true; do echo served | nc -l -p 80; done";
        let run = ["run", "-d", "--name", "web", "--network", "deb", "-p", "8080:80"];
        ok(&strake, &[&run[..], &["busybox", "sh", "-c", server]].concat());
        let seen = inspect(&strake, "web");
        let network = &seen["NetworkSettings"]["Networks"]["deb"];
        assert_eq!((&network["IPAddress"], &network["Gateway"]), (&"10.77.0.2".into(), &"10.77.0.1".into()));
        assert!(ok(&strake, &["exec", "web", "ip", "route"]).contains("default via 10.77.0.1 dev eth0"));
        let host = std::net::SocketAddr::from(([10, 77, 0, 1], 8080));
        wait_for("the published port", || testkit::ask(host).ok().filter(|said| said.contains("served")));
        assert!(ok(&strake, &["port", "web"]).contains("80/tcp -> 0.0.0.0:8080"));
        let fixed = ok(
            &strake,
            &[
                "run",
                "--rm",
                "--network",
                "deb",
                "--ip",
                "10.77.0.9",
                "busybox",
                "ip",
                "-4",
                "-o",
                "addr",
                "show",
                "eth0",
            ],
        );
        assert!(fixed.contains("10.77.0.9/24"), "{fixed}");
        // An end that nobody waits for is cleaned up by the supervisor's command.
        ok(&strake, &["kill", "web"]);
        is_clean(&strake);
        ok(&strake, &["start", "web"]);
        assert!(ok(&strake, &["exec", "web", "ip", "-4", "-o", "addr", "show", "eth0"]).contains("10.77.0."));
        ok(&strake, &["rm", "-f", "web"]);
        is_clean(&strake);
    });
}

#[test]
fn a_command_killed_between_add_and_record_leaves_nothing() {
    isolated(|| {
        let strake = host();
        for point in ["cni.plugin-added", "cni.added", "attach.link-made"] {
            let mut command = strake.command(&[
                "run",
                "-d",
                "--name",
                "web",
                "--network",
                "deb",
                "-p",
                "8080:80",
                "busybox",
                "sleep",
                "3600",
            ]);
            command.env("STRAKE_CNI_CONF_DIR", strake.home().join("net.d")).env("STRAKE_FAILPOINT", point);
            assert_ne!(testkit::run(&mut command).code, 0, "{point}");
            ok(&strake, &["rm", "-f", "web"]);
            ok(&strake, &["system", "reconcile"]);
            is_clean(&strake);
        }
    });
}

#[test]
fn macvlan_containers_are_machines_of_the_hosts_network() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = testkit::Netns::new();
        sh(
            "ip link add wire0 type veth peer name wire1 && ip addr add 192.0.2.1/24 dev wire0 && ip link set wire0 up",
        );
        sh(&format!("ip link set wire1 netns {}", outside.path()));
        outside.sh("ip link set lo up && ip addr add 192.0.2.2/24 dev wire1 && ip link set wire1 up");
        let create =
            ["network", "create", "-d", "macvlan", "--subnet", "192.0.2.0/24", "--gateway", "192.0.2.2"];
        strake.ok(&[&create[..], &["-o", "parent=wire0", "--ip-range", "192.0.2.128/25", "lan"]].concat());
        sleeper(&strake, "one", &["--network", "lan"]);
        sleeper(&strake, "two", &["--network", "lan", "--ip", "192.0.2.200"]);
        let seen = inspect(&strake, "two");
        assert_eq!(seen["NetworkSettings"]["Networks"]["lan"]["IPAddress"], "192.0.2.200");
        strake.ok(&["exec", "one", "ping", "-c1", "-W2", "192.0.2.2"]);
        strake.ok(&["exec", "one", "ping", "-c1", "-W2", "two"]);
        assert!(
            outside.sh("ping -c1 -W2 192.0.2.200").contains("1 received")
                || outside.sh("ping -c1 -W2 192.0.2.200").contains("1 packets received")
        );
        let listed: serde_json::Value =
            serde_json::from_str(&strake.ok(&["network", "inspect", "lan"])).expect("JSON");
        assert_eq!(
            (&listed[0]["Driver"], &listed[0]["Options"]["parent"]),
            (&"macvlan".into(), &"wire0".into())
        );
        strake.ok(&["network", "disconnect", "lan", "one"]);
        assert!(!strake.ok(&["exec", "one", "ip", "link"]).contains("eth0"));
        let again = strake.run(&[
            "network",
            "create",
            "-d",
            "macvlan",
            "-o",
            "parent=wire0",
            "--subnet",
            "198.51.100.0/24",
            "lan2",
        ]);
        assert!(
            again.stderr.contains("network lan is already using parent interface wire0"),
            "{}",
            again.stderr
        );
        strake.ok(&["rm", "-f", "one", "two"]);
        strake.ok(&["network", "rm", "lan"]);
        assert!(sh("ip -brief link").contains("wire0"));
    });
}
