//! A container as kernel and engine would describe it, and its explanation as text.

use std::time::{Duration, SystemTime};

use inspect::cgroups::{Cpu, Freezer, Memory, Mode, Pids, Placement, Resources, Version};
use inspect::elf::Linkage;
use inspect::identity::Ancestor;
use inspect::idmap::IdMap;
use inspect::kernel::Kernel;
use inspect::net::{Interface, Link, parse_routes, parse_sockets};
use inspect::rootfs::{Libc, OsRelease};
use inspect::system::SystemSize;
use inspect::upper::{Upper, UpperFile};
use inspect::{Namespace, NamespaceKind, Sourced, Status, mounts};

use crate::facts::*;
use crate::view::{NamespaceView, Relation, View, Who};
use crate::{Style, explain, render};

fn at<T>(value: T, file: &str) -> Sourced<T> {
    Sourced::new(value, format!("/proc/4711/{file}"))
}

fn status() -> Status {
    let text = "Name:\tnginx\nState:\tS (sleeping)\nPid:\t4711\nPPid:\t4700\nUid:\t100000\t100000\t100000\t100000\n\
        Gid:\t100000\t100000\t100000\t100000\nGroups:\t\nNSpid:\t4711\t1\nVmRSS:\t 7168 kB\nThreads:\t1\n\
        SigBlk:\t0000000000000000\nSigIgn:\t0000000040001000\nSigCgt:\t0000000018016a07\n\
        CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
        CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n";
    Status::parse(text).unwrap()
}

fn namespaces() -> Vec<NamespaceView> {
    let worker = Who { pid: 4712, name: "nginx".to_owned() };
    let view = |(index, kind): (usize, NamespaceKind)| {
        let (relation, insiders, outsiders) = match kind {
            NamespaceKind::Time => {
                (Relation::Hosts, vec![worker.clone()], vec![Who { pid: 1, name: "init".into() }])
            }
            NamespaceKind::Net => {
                (Relation::Shared, vec![worker.clone()], vec![Who { pid: 5000, name: "sidecar".into() }])
            }
            _ => (Relation::Private, vec![worker.clone()], vec![]),
        };
        let namespace = Namespace { kind, inode: 4_026_532_300 + index as u64 };
        NamespaceView { namespace: at(namespace, kind.link()), relation, insiders, outsiders }
    };
    NamespaceKind::ALL.into_iter().enumerate().map(view).collect()
}

fn resources() -> Resources {
    let memory = |file: &str| format!("/sys/fs/cgroup/memory/strake/w/{file}");
    let cpu = |file: &str| format!("/sys/fs/cgroup/cpu/strake/w/{file}");
    let pids = |file: &str| format!("/sys/fs/cgroup/pids/strake/w/{file}");
    Resources {
        memory: Some(Memory {
            limit_bytes: Some(Sourced::new(Some(64 << 20), memory("memory.limit_in_bytes"))),
            effective_limit_bytes: Some(Sourced::new(Some(32 << 20), memory("memory.stat"))),
            used_bytes: Some(Sourced::new(9 << 20, memory("memory.usage_in_bytes"))),
            peak_bytes: Some(Sourced::new(12 << 20, memory("memory.max_usage_in_bytes"))),
            swap_limit_bytes: None,
            limit_hits: Some(Sourced::new(3, memory("memory.failcnt"))),
            oom_kills: Some(Sourced::new(0, memory("memory.oom_control"))),
        }),
        cpu: Some(Cpu {
            quota_micros: Some(Sourced::new(Some(50_000), cpu("cpu.cfs_quota_us"))),
            period_micros: Some(Sourced::new(100_000, cpu("cpu.cfs_period_us"))),
            weight: Some(Sourced::new(1024, cpu("cpu.shares"))),
            periods: Some(Sourced::new(100, cpu("cpu.stat"))),
            throttled_periods: Some(Sourced::new(25, cpu("cpu.stat"))),
            throttled_micros: Some(Sourced::new(1_250_000, cpu("cpu.stat"))),
            used_micros: Some(Sourced::new(4_000_000, "/sys/fs/cgroup/cpuacct/strake/w/cpuacct.usage")),
        }),
        pids: Some(Pids {
            limit: Some(Sourced::new(None, pids("pids.max"))),
            used: Some(Sourced::new(2, pids("pids.current"))),
            peak: None,
            refused: Some(Sourced::new(0, pids("pids.events"))),
        }),
        cpus: Some(Sourced::new("0-1".to_owned(), "/sys/fs/cgroup/cpuset/strake/w/cpuset.cpus")),
        freezer: Some(Freezer {
            frozen: Sourced::new(false, "/sys/fs/cgroup/freezer/strake/w/freezer.state"),
        }),
    }
}

const MOUNTS: &str = "\
40 36 0:41 / / rw,relatime - overlay overlay rw,lowerdir=/d/layers/2/fs:/d/layers/1/fs,upperdir=/d/active/w/fs,workdir=/d/active/w/work
41 40 0:42 / /proc rw,nosuid - proc proc rw
42 40 0:43 / /data rw - ext4 /dev/vda rw
43 41 0:44 / /proc/kcore rw - tmpfs tmpfs rw
44 41 0:42 /sys /proc/sys ro,nosuid - proc proc rw
";

fn interfaces() -> Vec<Interface> {
    let link = |index, kind: Option<&str>, mac: &str, mtu| {
        Some(Link {
            index,
            up: true,
            mtu,
            mac: Some(mac.to_owned()),
            kind: kind.map(str::to_owned),
            peer_elsewhere: kind.is_some(),
        })
    };
    vec![
        Interface {
            name: "lo".into(),
            addresses: vec!["127.0.0.1/8".into()],
            received_bytes: 0,
            sent_bytes: 0,
            link: link(1, None, "00:00:00:00:00:00", 65536),
        },
        Interface {
            name: "eth0".into(),
            addresses: vec!["172.30.0.2/16".into()],
            received_bytes: 2048,
            sent_bytes: 4096,
            link: link(2, Some("veth"), "02:42:ac:1e:00:02", 1500),
        },
    ]
}

fn upper() -> Upper {
    Upper {
        files: 3,
        bytes: 70_000,
        limit_bytes: None,
        whiteouts: 1,
        biggest: vec![
            UpperFile { path: "/etc/nginx/nginx.conf".into(), bytes: 60_000, copied_up: Some(true) },
            UpperFile { path: "/run/nginx.pid".into(), bytes: 2, copied_up: Some(false) },
        ],
        incomplete: false,
    }
}

pub(crate) fn view() -> View {
    let root_owner = IdMap::parse("0 100000 65536").unwrap();
    let os = |name: &str, file: &str| {
        let release = OsRelease { pretty_name: Some(name.to_owned()), ..OsRelease::default() };
        Ok(Some(Sourced::new(release, file.to_owned())))
    };
    let tcp = "head\n 0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0 7\n";
    let route = "head\neth0\t00000000\t01001EAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
    View {
        pid: 4711,
        proc_path: "/proc/4711".into(),
        status: Ok(at(status(), "status")),
        command: Ok(at(vec!["nginx".into(), "-g".into(), "daemon off;".into()], "cmdline")),
        executable: Ok(at("/usr/sbin/nginx".into(), "exe")),
        linkage: Ok(at(Linkage::Dynamic("/lib64/ld-linux-x86-64.so.2".into()), "exe")),
        started: Ok(at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_246_200), "stat")),
        start_ticks: Some(1234),
        ancestors: Ok(at(
            vec![
                Ancestor { pid: 4700, name: "strake-shim".into(), command: vec![] },
                Ancestor { pid: 1, name: "init".into(), command: vec![] },
            ],
            "stat",
        )),
        namespaces: Ok(namespaces()),
        unreadable_processes: 0,
        uid_map: Ok(at(root_owner.clone(), "uid_map")),
        gid_map: Ok(at(root_owner, "gid_map")),
        filter: None,
        label: Ok(None),
        security_modules: None,
        cgroup_mode: Mode::Hybrid,
        cgroups: Ok(at(
            ["memory", "cpu", "pids"]
                .map(|name| Placement {
                    version: Version::V1,
                    controllers: vec![name.to_owned()],
                    path: "/strake/w".to_owned(),
                    directory: None,
                })
                .to_vec(),
            "cgroup",
        )),
        resources: resources(),
        oom_kills: None,
        mounts: Ok(at(mounts::parse(MOUNTS).unwrap(), "mountinfo")),
        root_is_hosts: Ok(false),
        upper: Some(Ok(Sourced::new(upper(), "/d/active/w/fs"))),
        kernel: Sourced::new(
            Kernel { release: "6.18.0".into(), version: "#1".into(), machine: "x86_64".into() },
            "uname(2)",
        ),
        system_size: Ok(SystemSize {
            disk_used_bytes: Sourced::new(9 << 30, "statfs(2) of /"),
            kernel_image_bytes: Some(Sourced::new(8 << 20, "/boot/vmlinuz-6.18.0")),
        }),
        os: os("Debian GNU/Linux 13 (trixie)", "/proc/4711/root/etc/os-release"),
        host_os: os("Debian GNU/Linux 12 (bookworm)", "/proc/1/root/etc/os-release"),
        libc: Ok(Some(at(
            Libc { kind: "glibc".into(), version: Some("2.41".into()) },
            "root/lib64/libc.so.6",
        ))),
        interfaces: Ok(at(interfaces(), "net/dev")),
        routes: Ok(at(parse_routes(route), "net/route")),
        sockets: Ok(at(parse_sockets(tcp, inspect::net::Protocol::Tcp), "net/tcp")),
    }
}

/// A port whose rules were not looked at.
fn published() -> PortFacts {
    PortFacts {
        host_address: "0.0.0.0".into(),
        host_port: 8080,
        container_port: 80,
        protocol: "tcp".into(),
        ways: Vec::new(),
    }
}

pub(crate) fn facts() -> ContainerFacts {
    let layer = |number: u8, bytes| LayerFacts {
        digest: format!("sha256:{:064x}", number),
        chain_id: format!("sha256:{:064x}", number),
        bytes: Some(bytes),
        path: Some(format!("/d/layers/{number}/fs")),
        record: format!("chains/{number}.json"),
    };
    ContainerFacts {
        id: "w".repeat(64),
        name: "web".into(),
        record: "container.json".into(),
        specification: "config.json".into(),
        runtime_record: format!("/run/strake/runtime/{}/state.json", "a1".repeat(32)),
        pid: Some(4711),
        start_ticks: Some(1234),
        image: Some(ImageFacts {
            reference: "docker.io/library/nginx:1.27".into(),
            digest: Some(format!("sha256:{:064x}", 7)),
            layers: vec![layer(1, 74 << 20), layer(2, 1 << 20)],
        }),
        upper: Some("/d/active/w/fs".into()),
        mounts: vec![MountFacts {
            kind: "volume".into(),
            name: Some("data".into()),
            source: "/d/volumes/data".into(),
            destination: "/data".into(),
            read_only: false,
        }],
        limits: LimitFacts {
            memory_bytes: Some(64 << 20),
            cpu_quota_micros: Some(50_000),
            cpu_period_micros: Some(100_000),
            ..LimitFacts::default()
        },
        capabilities: None,
        seccomp: SeccompFacts::Filter { denied: Some(67), conditional: Some(3), known: Some(362) },
        cgroup: Some("/strake/w".into()),
        networks: vec![NetworkFacts {
            name: "strake0".into(),
            record: "attachments/w".into(),
            bridge: Some("strake0".into()),
            address: Some("172.30.0.2/16".into()),
            gateway: Some("172.30.0.1".into()),
            mac: None,
            host_interface: Some("veth1".into()),
            ports: vec![published()],
            decisions: vec![DecisionFacts {
                what: "subnet".into(),
                value: "172.30.0.0/16".into(),
                held_in: "networks/strake0.json".into(),
                why: "no route of the host covers it".into(),
            }],
        }],
        steps: vec![StepFacts { name: "mounts".into(), micros: 830 }],
        log: Some("/d/containers/w/w-json.log".into()),
        ..ContainerFacts::default()
    }
}

/// `EXPLAIN_GOLDEN=write cargo test -p explain` writes the files anew.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
#[track_caller]
fn check_golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("EXPLAIN_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{path} differs");
}

#[test]
fn a_container_is_explained() {
    let report = explain(&view(), Some(&facts()));
    assert!(report.differences.is_empty(), "{:#?}", report.differences);
    check_golden("container", &render(&report, Style::default()));
}

#[test]
fn a_narrow_terminal_is_served() {
    check_golden(
        "narrow",
        &render(&explain(&view(), Some(&facts())), Style { width: Some(60), colour: false }),
    );
}

#[test]
fn without_a_record_the_kernel_alone_speaks() {
    let report = explain(&view(), None);
    check_golden("process", &render(&report, Style { width: Some(120), colour: false }));
}

#[test]
fn what_may_not_be_read_is_said() {
    let denied = || inspect::Error::Denied {
        path: "/proc/4711/ns/net".into(),
        needs: "root can",
        errno: std::io::Error::from_raw_os_error(13),
    };
    let view = View { namespaces: Err(denied()), mounts: Err(denied()), interfaces: Err(denied()), ..view() };
    let text = render(&explain(&view, None), Style::default());
    assert!(
        text.contains("namespaces  unknown · not read · read /proc/4711/ns/net: not allowed; root can"),
        "{text}"
    );
}

#[test]
fn the_last_oom_kill_is_named() {
    let kill = |pid, group: &str| inspect::kmsg::OomKill {
        pid,
        name: "sort".into(),
        task_cgroup: Some(group.into()),
        anon_bytes: Some(60 << 20),
        ..Default::default()
    };
    let kills = vec![kill(1, "/strake/w"), kill(2, "/strake/w/sub"), kill(3, "/strake/wide")];
    let view = View { oom_kills: Some(Ok(Sourced::new(kills, "/dev/kmsg"))), ..view() };
    let text = render(&explain(&view, None), Style::default());
    assert!(text.contains("sort (PID 2) held 60MiB · /dev/kmsg"), "{text}");
}

/// The ids of sections, as `docs/reference/json-explain.md` promises them.
const SECTIONS: [&str; 9] = [
    "filesystem",
    "process_tree",
    "network",
    "users",
    "kernel_and_user_space",
    "namespaces",
    "control_groups",
    "security",
    "record",
];

#[test]
fn the_form_is_the_documented_one() {
    let mut strange = facts();
    strange.limits.memory_bytes = Some(128 << 20);
    let reports = [explain(&view(), Some(&strange)), explain(&view(), None)];
    let documents = reports.map(|report| serde_json::to_value(report).unwrap());
    testkit::Documented::read("json-explain").check_all(&documents);
    let ids: Vec<&str> =
        documents[0]["sections"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, SECTIONS);
}

#[track_caller]
fn check_difference(change: impl FnOnce(&mut ContainerFacts), name: &str, recorded: &str, found: &str) {
    let mut facts = facts();
    change(&mut facts);
    let all = explain(&view(), Some(&facts)).differences;
    let [difference] = all.as_slice() else { panic!("not one difference: {all:#?}") };
    assert_eq!((difference.name.as_str(), difference.recorded.as_str()), (name, recorded));
    assert_eq!(difference.found, found);
}

#[test]
fn differences_are_found() {
    check_difference(|f| f.limits.memory_bytes = Some(128 << 20), "memory limit", "128MiB", "64MiB");
    check_difference(|f| f.limits.pids = Some(10), "PIDs limit", "10", "no limit");
    check_difference(|f| f.limits.cpu_quota_micros = None, "CPU quota", "no limit", "50000");
    check_difference(|f| f.start_ticks = Some(1), "start time", "1", "1234");
    check_difference(|f| f.no_new_privs = Some(true), "no_new_privs", "set", "not set");
    check_difference(|f| f.read_only_root = true, "root", "read-only", "writable");
    check_difference(
        |f| f.cgroup = Some("/strake/x".into()),
        "cgroup",
        "/strake/x",
        "/strake/w, /strake/w, /strake/w",
    );
    check_difference(|f| f.mounts[0].destination = "/gone".into(), "mount /gone", "mounted", "not mounted");
    check_difference(
        |f| f.networks[0].address = Some("172.30.0.9/16".into()),
        "address",
        "172.30.0.9",
        "127.0.0.1, 172.30.0.2",
    );
    check_difference(|f| drop(f.image.as_mut().unwrap().layers.pop()), "layers", "1 layer", "2 layers");
    check_difference(
        |f| f.capabilities = Some(vec!["CAP_CHOWN".into()]),
        "capabilities",
        "CHOWN",
        "CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP",
    );
}

#[test]
fn a_specification_becomes_facts() {
    let spec = serde_json::json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs", "readonly": true },
        "process": { "user": { "uid": 0, "gid": 0 }, "cwd": "/", "args": ["x"], "noNewPrivileges": true,
                     "capabilities": { "bounding": ["CAP_KILL", "CAP_CHOWN"] } },
        "linux": {
            "cgroupsPath": "/strake/w",
            "maskedPaths": ["/proc/kcore"],
            "resources": { "memory": { "limit": 1 << 20 }, "pids": { "limit": 5 },
                           "cpu": { "quota": -1, "period": 100_000 } },
            "seccomp": { "defaultAction": "SCMP_ACT_ALLOW",
                         "syscalls": [{ "names": ["reboot", "swapoff"], "action": "SCMP_ACT_ERRNO" }] },
        },
    });
    let mut facts = ContainerFacts::default();
    facts.take_spec(&serde_json::from_value(spec).unwrap());
    assert_eq!(facts.capabilities, Some(vec!["CAP_CHOWN".to_owned(), "CAP_KILL".to_owned()]));
    assert_eq!(
        (facts.limits.memory_bytes, facts.limits.pids, facts.limits.cpu_quota_micros),
        (Some(1 << 20), Some(5), None)
    );
    assert_eq!((facts.read_only_root, facts.no_new_privs), (true, Some(true)));
    assert_eq!((facts.cgroup.as_deref(), facts.masked_paths.len()), (Some("/strake/w"), 1));
    let SeccompFacts::Filter { denied, .. } = facts.seccomp else { panic!("{:?}", facts.seccomp) };
    assert_eq!(denied, Some(2));
}
