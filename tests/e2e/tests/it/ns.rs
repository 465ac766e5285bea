//! Rows NS-01…14: namespaces.

use std::process::Command;

use testkit::{Strake, isolated, run, wait_for};

use crate::rt::Bundle;
use crate::{inspect, ns_inode, pid, proc_file, sleeper, status};

const KINDS: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

#[test]
fn ns_01_app_is_pid_1_inside_and_an_ordinary_pid_outside() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        assert_eq!(strake.ok(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo $$"]), "1");
        sleeper(&strake, "one", &["--network", "none"]);
        let outside = pid(&strake, "one");
        let both = status(outside, "NSpid");
        let both: Vec<&str> = both.split_whitespace().collect();
        assert_eq!(both, [outside.to_string().as_str(), "1"]);
    });
}

#[test]
fn ns_02_only_its_own_process_tree_is_seen_inside() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "sleep 60 & ls /proc > /all; grep -c '^[0-9]*$' /all";
        let seen = strake.run(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", script]);
        // sh, sleep, ls; and nothing of ours.
        assert_eq!(seen.stdout.trim(), "3", "{seen:?}");
        let comm = strake.ok(&["run", "--rm", "--network", "none", "busybox", "cat", "/proc/1/comm"]);
        assert_eq!(comm, "cat");
    });
}

#[test]
fn ns_03_own_interfaces_routes_firewall_and_localhost() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "net", &[]);
        let listen = ["exec", "-d", "net", "httpd", "-f", "-p", "127.0.0.1:7777", "-h", "/etc"];
        strake.ok(&listen);
        let pid = pid(&strake, "net");
        wait_for("the listener inside", || proc_file(pid, "net/tcp").contains("0100007F:1E61").then_some(()));
        assert!(
            std::net::TcpStream::connect("127.0.0.1:7777").is_err(),
            "the host's localhost is another one"
        );
        let inside = strake.ok(&["exec", "net", "ip", "route"]);
        let outside = run(Command::new("ip").arg("route")).stdout;
        assert!(inside.contains("default via"), "{inside}");
        assert!(!outside.contains("default via"), "{outside}");
        let ruleset = format!("--net=/proc/{pid}/ns/net");
        let inside = run(Command::new("nsenter").arg(ruleset).args(["nft", "list", "ruleset"]));
        assert_eq!(inside.ok(), "", "the host's rules are not seen inside");
        let outside = run(Command::new("nft").args(["list", "ruleset"]));
        assert!(outside.ok().contains("table ip strake"));
    });
}

#[test]
fn ns_04_root_is_pivoted_and_the_hosts_files_are_out_of_sight() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let marker = strake.home().join("marker-on-the-host");
        std::fs::write(&marker, "x").unwrap();
        let marker = marker.to_string_lossy().into_owned();
        let run =
            |args: &[&str]| strake.run(&[&["run", "--rm", "--network", "none", "busybox"], args].concat());
        run(&["test", "-e", &marker]).exits(1);
        let mounts = run(&["cat", "/proc/self/mountinfo"]);
        let roots: Vec<&str> =
            mounts.ok().lines().filter(|line| line.split(' ').nth(4) == Some("/")).collect();
        assert_eq!(roots.len(), 1, "{roots:?}");
        assert!(roots[0].contains(" - overlay "), "{roots:?}");
        let of_a_disk =
            mounts.stdout.lines().filter(|line| !line.contains(" - overlay ") && line.contains(" /dev/"));
        let points: Vec<&str> =
            of_a_disk.filter(|line| line.contains("rw,")).filter_map(|line| line.split(' ').nth(4)).collect();
        let own = ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"];
        let foreign = points.iter().filter(|point| !own.contains(point) && !point.starts_with("/dev"));
        assert_eq!(foreign.count(), 0, "only what belongs to it:\n{}", mounts.stdout);
    });
}

#[test]
fn ns_05_root_inside_is_an_unprivileged_user_outside() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let shared = strake.home().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let volume = format!("{}:/shared", shared.display());
        sleeper(&strake, "mapped", &["--network", "none", "--userns", "private:10005", "-v", &volume]);
        assert_eq!(strake.ok(&["exec", "mapped", "id", "-u"]), "0");
        let pid = pid(&strake, "mapped");
        let map = proc_file(pid, "uid_map");
        assert_eq!(map.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "10005"]);
        assert_eq!(status(pid, "Uid").split_whitespace().next(), Some("10005"));
        strake.ok(&["exec", "mapped", "touch", "/shared/made", "/made"]);
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(shared.join("made")).unwrap());
        assert_eq!(owner, 10005);
        assert_eq!(strake.ok(&["exec", "mapped", "stat", "-c", "%u", "/bin/busybox", "/made"]), "0\n0");
    });
}

#[test]
fn ns_06_hostname_and_domain_are_private() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let before = run(Command::new("uname").arg("-n")).stdout;
        let options = ["run", "--rm", "--network", "none", "--hostname", "inside", "--cap-add", "SYS_ADMIN"];
        let script = "hostname; hostname changed; hostname; cat /etc/hostname; \
                      echo home.arpa > /proc/sys/kernel/domainname; cat /proc/sys/kernel/domainname";
        let command = ["--privileged", "busybox", "sh", "-c", script];
        assert_eq!(strake.ok(&[&options[..], &command].concat()), "inside\nchanged\ninside\nhome.arpa");
        assert_eq!(run(Command::new("uname").arg("-n")).stdout, before);
        assert!(!std::fs::read_to_string("/proc/sys/kernel/domainname").unwrap().contains("home.arpa"));
    });
}

#[test]
fn ns_07_posix_queues_and_shared_memory_are_private() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "first", &["--network", "none", "--ipc", "shareable"]);
        sleeper(&strake, "second", &["--network", "none"]);
        let join = ["run", "--rm", "--network", "none", "--ipc", "container:second", "busybox", "true"];
        strake.run(&join).exits(125).says("cannot join IPC of container second: non-shareable IPC");
        sleeper(&strake, "joined", &["--network", "none", "--ipc", "container:first"]);
        run(Command::new("ipcmk").args(["--shmem", "4096"])).ok();
        let host = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
        assert_eq!(host.lines().count(), 2, "{host}");
        assert_eq!(strake.ok(&["exec", "first", "wc", "-l", "/proc/sysvipc/shm"]), "1 /proc/sysvipc/shm");
        strake.ok(&["exec", "first", "touch", "/dev/mqueue/queue", "/dev/shm/segment"]);
        strake.run(&["exec", "second", "test", "-e", "/dev/mqueue/queue"]).exits(1);
        strake.run(&["exec", "second", "test", "-e", "/dev/shm/segment"]).exits(1);
        strake.ok(&["exec", "joined", "test", "-e", "/dev/mqueue/queue"]);
        strake.ok(&["exec", "joined", "test", "-e", "/dev/shm/segment"]);
    });
}

#[test]
fn ns_08_cgroup_root_is_virtual_inside() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "cg", &["--network", "none", "--cgroupns", "private"]);
        let inside = strake.ok(&["exec", "cg", "cat", "/proc/1/cgroup"]);
        assert!(inside.lines().all(|line| line.ends_with(":/")), "{inside}");
        let id = inspect(&strake, "cg")["Id"].as_str().unwrap().to_owned();
        let outside = proc_file(pid(&strake, "cg"), "cgroup");
        assert!(outside.lines().any(|line| line.contains(":memory:") && line.ends_with(&id)), "{outside}");
    });
}

#[test]
fn ns_09_clocks_are_offset_but_the_wall_clock_is_not() {
    isolated(|| {
        let runtime = Bundle::new();
        runtime.edit(|spec| {
            let offset = serde_json::json!({ "secs": 1_000_000, "nanosecs": 0 });
            spec["linux"]["timeOffsets"] = serde_json::json!({ "monotonic": offset, "boottime": offset });
            let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.push(serde_json::json!({ "type": "time" }));
            spec["process"]["args"] = serde_json::json!(["sh", "-c", "cat /proc/uptime; date +%s"]);
        });
        let said = runtime.run_to_end();
        let up: f64 = said.split_whitespace().next().unwrap().parse().unwrap();
        let host = std::fs::read_to_string("/proc/uptime").unwrap();
        let host: f64 = host.split_whitespace().next().unwrap().parse().unwrap();
        assert!((up - host - 1_000_000.0).abs() < 60.0, "{up} inside, {host} outside");
        let wall: u64 = said.lines().last().unwrap().trim().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(wall) < 60, "the wall clock is the host's");
    });
}

/// `linux.namespaces` of a specification: all kinds, new, or joined where `of` names a process.
fn entries(of: Option<i64>) -> Vec<serde_json::Value> {
    let entry = |kind: &&str| {
        let name = match *kind {
            "mnt" => "mount",
            "net" => "network",
            other => other,
        };
        match of {
            None => serde_json::json!({ "type": name }),
            Some(pid) => serde_json::json!({ "type": name, "path": format!("/proc/{pid}/ns/{kind}") }),
        }
    };
    KINDS.iter().map(entry).collect()
}

/// A sleeping container of the bare runtime in the namespaces `entries`.
fn bare(entries: Vec<serde_json::Value>, change: impl FnOnce(&mut serde_json::Value)) -> Bundle {
    let bundle = Bundle::new();
    bundle.edit(|spec| {
        spec["linux"]["namespaces"] = entries.into();
        spec["process"]["args"] = serde_json::json!(["sleep", "3600"]);
        change(spec);
    });
    bundle
}

#[test]
fn ns_10_every_kind_can_be_private_the_hosts_or_joined() {
    isolated(|| {
        let first = bare(entries(None), |spec| {
            let map = serde_json::json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
            spec["linux"]["uidMappings"] = map.clone();
            spec["linux"]["gidMappings"] = map;
        });
        let owner = first.start();
        for kind in KINDS {
            assert_ne!(ns_inode(owner, kind), ns_inode("self", kind), "{kind} is private");
        }
        let of_owner = entries(Some(owner));
        // A second root filesystem cannot be set up in another's; user and mount are joined by exec, below.
        for (index, kind) in KINDS.iter().enumerate().filter(|(_, kind)| !matches!(**kind, "mnt" | "user")) {
            let wanted = &of_owner[index];
            let mut others = entries(None);
            others.retain(|entry| entry["type"] != "user" && entry["type"] != wanted["type"]);
            let second = bare([&others[..], std::slice::from_ref(wanted)].concat(), |_| {});
            assert_eq!(ns_inode(second.start(), kind), ns_inode(owner, kind), "{kind} is joined");
            let hosts = bare(others, |spec| match *kind {
                "uts" => drop(spec.as_object_mut().unwrap().remove("hostname")),
                // A fresh sysfs belongs to the owner of the network namespace: the host's is bound.
                "net" => crate::rt::bind_host_sysfs(spec),
                _ => {}
            });
            assert_eq!(ns_inode(hosts.start(), kind), ns_inode("self", kind), "{kind} is the host's");
        }
        for kind in ["user", "mnt"] {
            let inside = first.exec(&["readlink", &format!("/proc/self/ns/{kind}")]);
            assert_eq!(inside.trim(), ns_inode(owner, kind), "exec joins {kind}");
        }
    });
}

/// How a cell of the matrix is shown.
enum Cell {
    /// By docker's flags.
    Flags(&'static [&'static str]),
    /// By a specification for the bare runtime: docker has no flag for it.
    Runtime,
    /// By `exec`: a container with a root of its own cannot begin in another's.
    Exec,
}

/// Kind; how it is private, the host's, and another container's.
const MATRIX: [(&str, [Cell; 3]); 8] = {
    use Cell::{Exec, Flags, Runtime};
    [
        ("cgroup", [Flags(&["--cgroupns", "private"]), Flags(&["--cgroupns", "host"]), Runtime]),
        ("ipc", [Flags(&[]), Flags(&["--ipc", "host"]), Flags(&["--ipc", "container:owner"])]),
        ("mnt", [Flags(&[]), Runtime, Exec]),
        (
            "net",
            [
                Flags(&["--network", "none"]),
                Flags(&["--network", "host"]),
                Flags(&["--network", "container:owner"]),
            ],
        ),
        ("pid", [Flags(&[]), Flags(&["--pid", "host"]), Flags(&["--pid", "container:owner"])]),
        ("time", [Runtime, Flags(&[]), Runtime]),
        ("user", [Flags(&["--userns", "private"]), Flags(&["--userns", "host"]), Exec]),
        ("uts", [Flags(&[]), Flags(&["--uts", "host"]), Runtime]),
    ]
};

#[test]
fn ns_10_the_matrix_of_eight_kinds_by_private_host_and_join() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let no_user = || {
            let mut all = entries(None);
            all.retain(|entry| entry["type"] != "user");
            all
        };
        let bare_owner = bare(no_user(), |_| {});
        let bare_pid = bare_owner.start();
        let of_bare_owner = entries(Some(bare_pid));
        sleeper(&strake, "owner", &["--network", "none", "--ipc", "shareable", "--userns", "host"]);
        let owner = pid(&strake, "owner");
        for (index, (kind, cells)) in MATRIX.iter().enumerate() {
            for (mode, cell) in ["private", "host", "join"].iter().zip(cells) {
                let what = format!("{kind} {mode}");
                let (found, donor) = match cell {
                    Cell::Flags(flags) => {
                        let name = format!("{kind}-{mode}");
                        let network: &[&str] = if *kind == "net" { &[] } else { &["--network", "none"] };
                        sleeper(&strake, &name, &[network, flags].concat());
                        (ns_inode(pid(&strake, &name), kind), owner)
                    }
                    Cell::Runtime => {
                        let wanted = &of_bare_owner[index];
                        let mut list = no_user();
                        list.retain(|entry| entry["type"] != wanted["type"]);
                        match *mode {
                            "private" => list.push(serde_json::json!({ "type": wanted["type"] })),
                            "join" => list.push(wanted.clone()),
                            _ => {}
                        }
                        (ns_inode(bare(list, |_| {}).start(), kind), bare_pid)
                    }
                    Cell::Exec => {
                        let link = format!("/proc/self/ns/{kind}");
                        (strake.ok(&["exec", "owner", "readlink", &link]), owner)
                    }
                };
                let (host, other) = (ns_inode("self", kind), ns_inode(donor, kind));
                match *mode {
                    "private" => assert!(found != host && found != other, "{what}"),
                    "host" => assert_eq!(found, host, "{what}"),
                    _ => assert_eq!(found, other, "{what}"),
                }
            }
        }
        // What docker has no flag for is refused, and said.
        for (flag, text) in [
            (["--cgroupns", "container:owner"], "invalid CGROUP mode"),
            (["--uts", "container:owner"], "invalid UTS mode"),
            (["--userns", "container:owner"], "invalid USER mode"),
            (["--pid", "container:ghost"], "no such container: ghost"),
        ] {
            let command = ["--network", "none", "busybox", "true"];
            strake.run(&[&["run", "--rm"], &flag[..], &command].concat()).exits(125).says(text);
        }
    });
}

#[test]
fn ns_11_a_namespace_is_made_by_hand_without_an_engine() {
    isolated(|| {
        let strake = Strake::new();
        let script = "echo $$; ls -d /proc/[0-9]* | wc -l; readlink /proc/self/ns/pid";
        let said = strake.ok(&["ns", "run", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", script]);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "1");
        assert!(lines[1].trim().parse::<u32>().unwrap() <= 4, "{said}");
        assert_ne!(lines[2], ns_inode("self", "pid"));
        assert!(!strake.root().join("containers").exists(), "no engine state was made");
    });
}

#[test]
fn ns_12_namespaces_are_listed_by_the_inodes_that_lsns_shows() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "listed", &["--network", "none"]);
        let pid = pid(&strake, "listed");
        let ours = strake.ok(&["ns", "ls"]);
        let theirs = run(Command::new("lsns")
            .args(["--noheadings", "--output", "NS,TYPE", "--task"])
            .arg(pid.to_string()));
        assert!(theirs.ok().lines().count() >= 7);
        for line in theirs.ok().lines() {
            let inode = line.split_whitespace().next().unwrap();
            assert!(ours.contains(inode), "{line} is missing in\n{ours}");
        }
        assert_ne!(ns_inode(pid, "net"), ns_inode("self", "net"));
    });
}

#[test]
fn ns_13_exec_joins_and_nsenter_sees_the_same() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "joined", &[]);
        let pid = pid(&strake, "joined");
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
            let inside = strake.ok(&["exec", "joined", "readlink", &format!("/proc/self/ns/{kind}")]);
            assert_eq!(inside, ns_inode(pid, kind));
        }
        let seen =
            run(Command::new("nsenter").args(["-t", &pid.to_string(), "-n", "ip", "-brief", "address"]));
        let address = inspect(&strake, "joined")["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
        assert!(seen.ok().contains(&address), "{} not in {}", address, seen.stdout);
        let ours = strake.ok(&["ns", "enter", "joined", "ip", "address"]);
        assert!(ours.contains(&address), "{ours}");
    });
}

#[test]
fn ns_14_nothing_is_left_after_rm() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--rm", "-p", "8080:80", "busybox", "true"]);
        let before = crate::chaos::Traces::settled(&strake);
        for round in 0..500 {
            let name = format!("leak{round}");
            strake
                .ok(&["run", "-d", "--name", &name, "-m", "32m", "-p", "8080:80", "busybox", "sleep", "60"]);
            strake.ok(&["rm", "-f", &name]);
        }
        before.assert_same(&strake);
    });
}
