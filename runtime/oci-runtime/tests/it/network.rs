//! Network devices that move into the container, with their addresses.

use std::process::Command;

use serde_json::{Value, json};
use testkit::{isolated, run};

use crate::bundle::Bundle;

/// Runs `ip` in the test's own network namespace.
fn ip(args: &str) -> String {
    run(Command::new("ip").args(args.split_whitespace())).ok().to_owned()
}

fn pair() {
    ip("link add host0 type veth peer name host1");
    ip("link set host1 mtu 1280 address 02:42:0a:00:00:09");
    for address in ["192.0.2.7/24", "192.0.2.8/32"] {
        ip(&format!("address add {address} dev host1"));
    }
    ip("address add 127.9.9.9/32 dev host1 scope host");
    ip("link set host1 up");
    ip("-6 address add 2001:db8::7/64 dev host1 nodad");
}

fn devices(devices: Value) -> Bundle {
    Bundle::new().with(|spec| spec["linux"]["netDevices"] = devices)
}

fn inside(bundle: Bundle, script: &str) -> String {
    bundle.script(script).run().ok().to_owned()
}

#[test]
fn a_device_moves_in_with_its_addresses_and_is_up() {
    isolated(|| {
        pair();
        let shown = inside(devices(json!({ "host1": { "name": "eth0" } })), "busybox ip addr show dev eth0");
        let kept = [
            "eth0",
            ",UP",
            "mtu 1280",
            "02:42:0a:00:00:09",
            "192.0.2.7/24",
            "192.0.2.8/32",
            "2001:db8::7/64",
        ];
        for part in kept {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("127.9.9.9"), "an address of the host only stays: {shown}");
        // The namespace is gone, and a virtual device with it.
        let left = testkit::wait_until(std::time::Duration::from_secs(5), || !ip("link").contains("host"));
        assert!(left, "{}", ip("link"));
    });
}

#[test]
fn a_device_that_was_down_keeps_its_name_and_comes_up() {
    isolated(|| {
        ip("link add host0 type veth peer name host1");
        let shown = inside(devices(json!({ "host1": {} })), "busybox ip link show dev host1");
        assert!(shown.contains(",UP"), "{shown}");
    });
}

#[test]
fn the_kernel_numbers_names_and_a_user_namespace_may_have_devices() {
    isolated(|| {
        ip("link add a0 type veth peer name a1");
        let map = json!([{ "containerID": 0, "hostID": 10_000, "size": 65_536 }]);
        let bundle = devices(json!({ "a0": { "name": "c%d" }, "a1": { "name": "c%d" } })).with(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (map.clone(), map);
            spec["linux"]["sysctl"] = json!({ "net.ipv4.conf.c0.forwarding": "1" });
        });
        let script = "ls /sys/class/net; cat /proc/sys/net/ipv4/conf/c0/forwarding";
        assert_eq!(inside(bundle, script), "c0\nc1\nlo\n1");
    });
}

#[test]
fn in_a_joined_namespace_it_stays_after_the_container() {
    isolated(|| {
        pair();
        let holder = testkit::Netns::new();
        let path =
            format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&holder.file));
        let bundle = devices(json!({ "host1": { "name": "eth0" } })).with(|spec| {
            for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
                if namespace["type"] == "network" {
                    namespace["path"] = json!(path);
                }
            }
        });
        assert!(inside(bundle, "busybox ip addr show dev eth0").contains("192.0.2.7/24"));
        let net = format!("--net={path}");
        let there = run(Command::new("nsenter").args([&net, "ip", "addr", "show", "dev", "eth0"]));
        assert!(there.ok().contains("192.0.2.7/24"), "{}", there.stdout);
    });
}

#[test]
fn a_creation_that_fails_gives_devices_back() {
    isolated(|| {
        pair();
        let before = ip("-o addr show dev host1");
        ip("link add other type veth peer name other1");
        let taken = devices(json!({ "host1": { "name": "eth0" }, "other": { "name": "lo" } }));
        taken.run().exits(1).says("has a device lo already");
        // What comes after the move fails, too.
        let hook = devices(json!({ "host1": { "name": "eth0" } })).with(|spec| {
            spec["hooks"]["createRuntime"] = json!([{ "path": "/bin/false" }]);
        });
        hook.run().exits(1).says("createRuntime hook #0");
        let kept = |text: &str| {
            let mut words: Vec<String> =
                text.lines().filter_map(|line| Some(line.split_whitespace().nth(3)?.to_owned())).collect();
            words.retain(|word| !word.starts_with("fe80") && !word.starts_with("127."));
            words.sort();
            words
        };
        assert_eq!(kept(&ip("-o addr show dev host1")), kept(&before));
        assert!(ip("link show dev host1").contains(",UP"));
        devices(json!({ "never": {} })).run().exits(1).says("link not found for interface never");
        for bundle in [taken, hook] {
            bundle.assert_nothing_left();
        }
    });
}
