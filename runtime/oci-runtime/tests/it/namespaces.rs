//! Namespaces made, inherited and joined; id maps; clocks; kernel parameters.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use testkit::{isolated, wait_until};

use crate::bundle::{Bundle, ns};

const KINDS: &[(&str, &str)] = &[
    ("cgroup", "cgroup"),
    ("ipc", "ipc"),
    ("mount", "mnt"),
    ("network", "net"),
    ("pid", "pid"),
    ("time", "time"),
    ("user", "user"),
    ("uts", "uts"),
];

/// A process with namespaces of its own that others can join.
struct Donor(Child);

impl Donor {
    fn new() -> Self {
        let child = Command::new("unshare")
            .args([
                "--cgroup",
                "--ipc",
                "--net",
                "--uts",
                "--time",
                "--pid",
                "--mount",
                "--user",
                "--map-root-user",
            ])
            .args(["--fork", "--kill-child", "--", "sh", "-c", "echo up; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// The process inside: the child of unshare.
    fn pid(&self) -> String {
        let file = format!("/proc/{0}/task/{0}/children", self.0.id());
        let mut pid = String::new();
        wait_until(std::time::Duration::from_secs(5), || {
            pid = std::fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
            !pid.is_empty()
        });
        pid
    }
}

impl Drop for Donor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn remove(spec: &mut Value, kind: &str) {
    spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != kind);
}

fn add(spec: &mut Value, entry: Value) {
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(entry);
}

/// The container's namespace of that kind, seen from outside.
fn of_container(bundle: &Bundle, kind: &str) -> String {
    ns(&bundle.pid().to_string(), kind)
}

fn maps(spec: &mut Value) {
    spec["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 10_000, "size": 65_536 }]);
    spec["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 10_000, "size": 65_536 }]);
}

#[test]
fn ns_10_every_namespace_can_be_private() {
    isolated(|| {
        for (kind, file) in KINDS {
            let bundle = Bundle::new().script("sleep 1000").with(|spec| {
                remove(spec, kind);
                add(spec, json!({ "type": kind }));
                if *kind == "user" {
                    maps(spec);
                    for mount in spec["mounts"].as_array_mut().unwrap() {
                        if mount["type"] == "devpts" {
                            mount["options"] = json!(["nosuid"]);
                        }
                    }
                }
            });
            bundle.start();
            assert_ne!(of_container(&bundle, file), ns("self", file), "{kind}");
        }
    });
}

#[test]
fn ns_10_every_namespace_can_be_the_hosts() {
    isolated(|| {
        for (kind, file) in KINDS {
            let bundle = Bundle::new().script("sleep 1000").with(|spec| {
                remove(spec, kind);
                if *kind == "pid" {
                    // The host's processes are not to be signalled by a script.
                    spec["process"]["args"] = json!(["sleep", "1000"]);
                }
            });
            if *kind == "network" {
                // sysfs shows the host's network then; that is allowed for its owner.
            }
            bundle.start();
            assert_eq!(of_container(&bundle, file), ns("self", file), "{kind}");
        }
    });
}

#[test]
fn ns_10_every_namespace_can_be_joined() {
    isolated(|| {
        let donor = Donor::new();
        let pid = donor.pid();
        for (kind, file) in KINDS {
            if *kind == "user" {
                continue; // Has a test of its own: it owns the others.
            }
            let path = format!("/proc/{pid}/ns/{file}");
            let bundle = Bundle::new().with(|spec| {
                remove(spec, kind);
                add(spec, json!({ "type": kind, "path": path }));
                spec["process"]["args"] = json!(["sleep", "1000"]);
            });
            bundle.start();
            assert_eq!(of_container(&bundle, file), ns(&pid, file), "{kind}");
            for (other, file) in
                KINDS.iter().filter(|(other, _)| other != kind && *other != "user" && *other != "time")
            {
                assert_ne!(of_container(&bundle, file), ns(&pid, file), "{kind} joined, {other} too");
            }
        }
    });
}

/// The root is that of config.json also where no mount namespace is made, for `exec` too.
#[test]
fn ns_10_without_a_mount_namespace_of_its_own_a_container_has_its_root() {
    isolated(|| {
        let donor = Donor::new();
        let joined = json!({ "type": "mount", "path": format!("/proc/{}/ns/mnt", donor.pid()) });
        for namespace in [None, Some(&joined)] {
            let bundle = Bundle::new().script("ls /; sleep 1000").with(|spec| {
                remove(spec, "mount");
                namespace.into_iter().for_each(|entry| add(spec, entry.clone()));
            });
            std::fs::write(bundle.in_root("only-here"), "").unwrap();
            bundle.start();
            assert!(wait_until(std::time::Duration::from_secs(5), || bundle.printed().contains("only-here")));
            assert!(bundle.runtime(&["exec", "c", "ls", "/"]).ok().contains("only-here"));
            assert_eq!(bundle.runtime(&["exec", "c", "pwd"]).ok(), "/");
        }
        let elsewhere = Bundle::new().with(|spec| {
            remove(spec, "mount");
            add(spec, joined.clone());
        });
        let root = elsewhere.dir.join("rootfs").display().to_string();
        let hide = ["--target", donor.pid().as_str(), "--mount", "mount", "-t", "tmpfs", "t", &root]
            .map(str::to_owned);
        testkit::run(Command::new("nsenter").args(hide)).ok();
        elsewhere.run().exits(1).says("true");
        elsewhere.assert_nothing_left();
    });
}

/// What is mounted in the runtime's own mount namespace is there for the container's life.
#[test]
fn ns_10_mounts_in_the_hosts_namespace_go_with_the_container() {
    isolated(|| {
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = mounts();
        let without = |spec: &mut Value| {
            remove(spec, "mount");
            spec["root"]["readonly"] = json!(true);
            spec["mounts"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "destination": "/tmp", "type": "tmpfs", "options": ["size=64k"] }));
        };
        let script = "echo x > /tmp/x && stat -f -c %T /tmp /proc /dev; touch /etc/x 2>/dev/null || echo kept; echo x > /dev/null; sleep 1000";
        let bundle = Bundle::new().script(script).with(without);
        bundle.start();
        let seen = || bundle.printed().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(wait_until(std::time::Duration::from_secs(5), || seen().len() == 4), "{:?}", seen());
        assert_eq!(seen(), ["tmpfs", "proc", "tmpfs", "kept"]);
        assert_ne!(mounts(), before);
        bundle.runtime(&["delete", "--force", "c"]).ok();
        assert_eq!(mounts(), before);
        let fails = json!([{ "path": "/bin/false" }]);
        let bundle =
            Bundle::new().with(without).with(|spec| spec["hooks"] = json!({ "createRuntime": fails }));
        bundle.run().exits(1).says("createRuntime");
        assert_eq!(mounts(), before);
        bundle.assert_nothing_left();
    });
}

#[test]
fn ns_10_a_joined_user_namespace_owns_what_is_made() {
    isolated(|| {
        let donor = Donor::new();
        let pid = donor.pid();
        let bundle = Bundle::new().script("id -u; sleep 1000").with(|spec| {
            add(spec, json!({ "type": "user", "path": format!("/proc/{pid}/ns/user") }));
            for mount in spec["mounts"].as_array_mut().unwrap() {
                if mount["type"] == "devpts" {
                    mount["options"] = json!(["nosuid"]);
                }
            }
        });
        bundle.start();
        assert_eq!(of_container(&bundle, "user"), ns(&pid, "user"));
        for kind in ["net", "pid", "mnt", "uts", "ipc"] {
            let fd = sys::namespace::open_of(Some(bundle.pid()), kind_of(kind)).unwrap();
            let owner = sys::namespace::id(sys::namespace::owner(&fd).unwrap()).unwrap();
            let user = sys::namespace::id_of(Some(bundle.pid()), sys::Namespace::User).unwrap();
            assert_eq!(owner, user, "{kind}");
        }
    });
}

fn kind_of(name: &str) -> sys::Namespace {
    sys::Namespace::ALL.into_iter().find(|kind| kind.proc_name() == name).unwrap()
}

#[test]
fn a_path_of_another_kind_is_refused() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| {
            remove(spec, "network");
            add(spec, json!({ "type": "network", "path": "/proc/self/ns/uts" }));
        });
        bundle.run().exits(1).says("namespace of another type");
        bundle.assert_nothing_left();
    });
}

#[test]
fn ns_01_the_program_is_pid_1_inside_and_another_outside() {
    isolated(|| {
        let bundle = Bundle::new().script("echo $$; ls -d /proc/[0-9]* | wc -l; sleep 1000");
        bundle.start();
        assert!(wait_until(std::time::Duration::from_secs(5), || bundle.printed().lines().count() == 2));
        let lines: Vec<String> = bundle.printed().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "1");
        // ls and wc are its only company: NS-02.
        assert!(lines[1].parse::<u32>().unwrap() <= 4, "{lines:?}");
        let status = std::fs::read_to_string(format!("/proc/{}/status", bundle.pid())).unwrap();
        let nspid = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
        assert!(nspid.ends_with("\t1"), "{nspid}");
    });
}

#[test]
fn ns_03_loopback_is_up_in_a_network_namespace_of_its_own() {
    isolated(|| {
        let ping = "ping -c 1 -W 5 127.0.0.1 | grep -c '1 packets received'";
        assert_eq!(Bundle::new().script(ping).run().ok(), "1");
        let of_a_user = Bundle::new().script(ping).with(|spec| {
            add(spec, json!({ "type": "user" }));
            maps(spec);
            spec["process"]["capabilities"]["effective"] = json!(["CAP_NET_RAW"]);
            spec["process"]["capabilities"]["permitted"] = json!(["CAP_NET_RAW"]);
            spec["process"]["capabilities"]["bounding"] = json!(["CAP_NET_RAW"]);
        });
        assert_eq!(of_a_user.run().ok(), "1");
    });
}

#[test]
fn ns_06_host_and_domain_name_are_private() {
    isolated(|| {
        let before = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let bundle = Bundle::new().script("hostname; cat /proc/sys/kernel/domainname").with(|spec| {
            spec["hostname"] = json!("inner");
            spec["domainname"] = json!("example.test");
        });
        assert_eq!(bundle.run().ok(), "inner\nexample.test");
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
    });
}

#[test]
fn ns_05_root_inside_is_an_ordinary_user_outside() {
    isolated(|| {
        let bundle = Bundle::new()
            .script("id -u; cat /proc/self/uid_map; touch /tmp/made; ls -l /dev/null | head -c 10; echo; echo x > /dev/null; sleep 1000")
            .with(|spec| {
                add(spec, json!({ "type": "user" }));
                maps(spec);
            });
        std::fs::set_permissions(bundle.in_root("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
            .unwrap();
        bundle.start();
        assert!(wait_until(std::time::Duration::from_secs(5), || bundle.printed().lines().count() >= 3));
        let printed = bundle.printed();
        let words: Vec<&str> = printed.split_whitespace().collect();
        assert_eq!(&words[..5], ["0", "0", "10000", "65536", "crw-rw-rw-"], "{printed}");
        let made = std::fs::metadata(bundle.in_root("tmp/made")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 10_000);
    });
}

#[test]
fn ns_08_the_cgroup_namespace_shows_the_container_as_root() {
    isolated(|| {
        let bundle = Bundle::new().script("cat /proc/self/cgroup");
        let output = bundle.run();
        for line in output.ok().lines() {
            assert!(line.ends_with(":/"), "{line}");
        }
    });
}

#[test]
fn ns_09_clocks_are_shifted() {
    isolated(|| {
        let bundle = Bundle::new().script("cat /proc/uptime; cat /proc/self/timens_offsets").with(|spec| {
            add(spec, json!({ "type": "time" }));
            spec["linux"]["timeOffsets"] =
                json!({ "boottime": { "secs": 7_000_000 }, "monotonic": { "secs": 5 } });
        });
        let output = bundle.run();
        let uptime: f64 = output.ok().split_whitespace().next().unwrap().parse().unwrap();
        assert!(uptime > 7_000_000.0, "{uptime}");
        // Our own clock is as it was: another container has no offset.
        let plain = Bundle::new().script("cat /proc/uptime");
        let uptime: f64 = plain.run().ok().split_whitespace().next().unwrap().parse().unwrap();
        assert!(uptime < 7_000_000.0, "{uptime}");
    });
}

/// Shifted or not: otherwise its root could not go into it, and CRIU not save it.
#[test]
fn ns_09_a_time_namespace_belongs_to_the_containers_users() {
    isolated(|| {
        let owner_of = |bundle: &Bundle| {
            let time = std::fs::File::open(format!("/proc/{}/ns/time", bundle.pid())).unwrap();
            let owner = sys::namespace::owner(time).and_then(sys::namespace::id).unwrap();
            format!("user:[{}]", owner.ino)
        };
        let container = |user: Value, offsets: Value| {
            let bundle = Bundle::new().script("cat /proc/uptime; sleep 1000").with(|spec| {
                add(spec, json!({ "type": "time" }));
                add(spec, user);
                maps(spec);
                spec["linux"]["timeOffsets"] = offsets;
            });
            bundle.start();
            bundle
        };
        let shifted = json!({ "boottime": { "secs": 7_000_000 } });
        let first = container(json!({ "type": "user" }), json!({}));
        assert_eq!(owner_of(&first), of_container(&first, "user"));
        let users = format!("/proc/{}/ns/user", first.pid());
        for user in [json!({ "type": "user" }), json!({ "type": "user", "path": users })] {
            let second = container(user, shifted.clone());
            assert_eq!(owner_of(&second), of_container(&second, "user"));
            assert!(wait_until(std::time::Duration::from_secs(5), || second.printed().contains('.')));
            let uptime: f64 = second.printed().split_whitespace().next().unwrap().parse().unwrap();
            assert!(uptime > 7_000_000.0, "{uptime}");
        }
    });
}

#[test]
fn sysctls_are_set_in_the_containers_namespaces_only() {
    isolated(|| {
        let before = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
        let bundle = Bundle::new()
            .script(
                "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/kernel/msgmax",
            )
            .with(|spec| {
                spec["linux"]["sysctl"] = json!({ "kernel.msgmax": "12345", "net.ipv4.ip_forward": "1" });
            });
        let output = bundle.run();
        assert_eq!(output.stdout.trim(), "12345\n1");
        assert!(output.stderr.contains("Read-only"), "{}", output.stderr);
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
    });
}

#[test]
fn ns_07_queues_and_segments_are_private() {
    isolated(|| {
        let bundle = Bundle::new().script("ipcmk -Q >/dev/null; grep -c . /proc/sysvipc/msg; sleep 1000");
        bundle.start();
        assert!(wait_until(std::time::Duration::from_secs(5), || bundle.printed().trim() == "2"
            || bundle.printed().contains("ipcmk")));
        let ours = std::fs::read_to_string("/proc/sysvipc/msg").unwrap();
        assert_eq!(ours.lines().count(), 1, "{ours}");
    });
}

#[test]
fn a_sysctl_does_not_change_our_own_namespace_under_another_name() {
    isolated(|| {
        for (kind, path, key) in [
            ("network", "/proc/self/ns/net", "net.ipv4.ip_forward"),
            ("ipc", "/proc/1/ns/ipc", "kernel.shmmax"),
        ] {
            let bundle = Bundle::new().with(|spec| {
                for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
                    if namespace["type"] == kind {
                        namespace["path"] = json!(path);
                    }
                }
                spec["linux"]["sysctl"] = json!({ key: "1" });
            });
            bundle.run().exits(1).says("the runtime's own");
            bundle.assert_nothing_left();
        }
    });
}

/// Everything of another container but its mounts, which those who join it cannot share a root with.
#[test]
fn ns_10_all_namespaces_of_another_container_are_joined_at_once() {
    isolated(|| {
        let first = Bundle::new().with(|spec| {
            for kind in ["user", "time"] {
                add(spec, json!({ "type": kind }));
            }
            maps(spec);
            spec["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 7_000_000 } });
            spec["process"]["args"] = json!(["sleep", "1000"]);
        });
        first.start();
        let pid = first.pid().to_string();
        let second = Bundle::new().script("cat /proc/uptime; sleep 1000").with(|spec| {
            spec["linux"]["namespaces"] = KINDS
                .iter()
                .map(|(kind, file)| match *kind {
                    "mount" => json!({ "type": kind }),
                    _ => json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") }),
                })
                .collect();
        });
        second.start();
        for (kind, file) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
            assert_eq!(of_container(&second, file), ns(&pid, file), "{kind}");
        }
        assert!(wait_until(std::time::Duration::from_secs(5), || second.printed().contains('.')));
        let uptime: f64 = second.printed().split_whitespace().next().unwrap().parse().unwrap();
        assert!(uptime > 7_000_000.0, "{uptime}");
        assert_eq!(second.runtime(&["exec", "c", "id", "-u"]).ok(), "0");
    });
}

/// What the user namespace does not own is joined with the rights that the runtime has outside of it.
#[test]
fn ns_10_the_hosts_namespaces_are_joined_beside_a_user_namespace() {
    isolated(|| {
        let owner = Bundle::new().with(|spec| {
            add(spec, json!({ "type": "user" }));
            maps(spec);
            spec["process"]["args"] = json!(["sleep", "1000"]);
        });
        owner.start();
        let user = format!("/proc/{}/ns/user", owner.pid());
        let donor = Command::new("unshare")
            .args(["--net", "--ipc", "--uts", "--time", "--", "sleep", "1000"])
            .spawn()
            .map(Donor)
            .unwrap();
        let pid = donor.0.id().to_string();
        assert!(wait_until(std::time::Duration::from_secs(5), || ns(&pid, "uts") != ns("self", "uts")));
        let joined = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")];
        for user in [Some(user.as_str()), None] {
            let bundle = Bundle::new().with(|spec| {
                for (kind, file) in joined {
                    remove(spec, kind);
                    add(spec, json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") }));
                }
                match user {
                    Some(path) => add(spec, json!({ "type": "user", "path": path })),
                    None => {
                        add(spec, json!({ "type": "user" }));
                        maps(spec);
                    }
                }
                spec["process"]["args"] = json!(["sleep", "1000"]);
            });
            bundle.start();
            for (kind, file) in joined {
                assert_eq!(of_container(&bundle, file), ns(&pid, file), "{kind}, user {user:?}");
            }
            match user {
                Some(_) => assert_eq!(of_container(&bundle, "user"), ns(&owner.pid().to_string(), "user")),
                None => assert_ne!(of_container(&bundle, "user"), ns("self", "user")),
            }
            assert_eq!(bundle.runtime(&["exec", "c", "id", "-u"]).ok(), "0");
        }
    });
}
