//! Row CG-15: cgroups made by systemd, the machine's and a user's. It runs as the first process of a container of
//! ours, with a cgroup of its own; containers in it ask it for theirs.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testkit::{Output, bin, run};

use crate::container::{Container, wait_for};

/// `app` in the container's `/etc/passwd`.
const USER: u32 = 1000;

/// What systemd and the runtime in it need of root's rights.
const CAPABILITIES: [&str; 20] = [
    "CAP_AUDIT_WRITE",
    "CAP_BPF",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
];

/// Units of both managers: nothing but a bus.
const TARGET: &str = "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket dbus.service\n";
const SERVICE: &str = "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\n\
                       ExecStart=/usr/bin/dbus-daemon --config-file=/etc/bus.conf --address=systemd: --nofork \
                       --nopidfile\n";
const BUS: &str = "<busconfig><listen>systemd:</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
                   <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/></policy></busconfig>\n";

fn socket(path: &str) -> String {
    format!("[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream={path}\n")
}

/// A systemd that is up, and a container that is not made yet.
struct Systemd {
    outer: Container,
    inner: Container,
}

impl Systemd {
    fn start(inner: Container) -> Self {
        let outer = Container::new("").with(|spec| {
            let process = &mut spec["process"];
            process["args"] = json!([
                "/lib/systemd/systemd",
                "--system",
                "--unit=test.target",
                "--show-status=false",
                "--log-target=console"
            ]);
            process["env"] = json!(["PATH=/bin:/usr/bin", "container=test"]);
            process["noNewPrivileges"] = json!(false);
            process["capabilities"] =
                json!({ "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES });
        });
        let outer = outer
            .limited("devices", json!([{ "allow": true, "access": "rwm" }]))
            .mount(json!({ "destination": "/sys", "type": "tmpfs", "source": "tmpfs" }))
            .mount(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"] }))
            .mount(json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] }));
        let outer = ["/lib", "/lib64", "/usr", "/guest/bin"].iter().fold(outer, |outer, path| {
            outer.mount(
                json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"] }),
            )
        });
        let console = outer.dir().join("console");
        fs::write(&console, "").unwrap();
        let outer = outer.mount(
            json!({ "destination": "/dev/console", "type": "bind", "source": console, "options": ["bind"] }),
        );
        let bundle = inner.bundle();
        let outer = outer.mount(
            json!({ "destination": bundle, "type": "bind", "source": bundle, "options": ["rbind", "rw"] }),
        );
        let of_system = "etc/systemd/system";
        let write = |path: &str, text: &str| {
            let path = outer.in_root(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(&format!("{of_system}/test.target"), TARGET);
        write(&format!("{of_system}/dbus.socket"), &socket("/run/dbus/system_bus_socket"));
        write(&format!("{of_system}/dbus.service"), SERVICE);
        write(&format!("{of_system}/user.service"), &user_manager());
        write("etc/bus.conf", BUS);
        write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        for (file, text) in [
            ("test.target", TARGET.to_owned()),
            ("dbus.socket", socket("%t/bus")),
            ("dbus.service", SERVICE.to_owned()),
            ("job.service", job(&bundle)),
        ] {
            write(&format!("etc/systemd/user/{file}"), &text);
        }
        outer.start();
        // What is executed in it before is in its cgroup itself, which then cannot have controllers for others.
        let given = outer.cgroup().join("cgroup.subtree_control");
        wait_for("systemd's first unit", || {
            fs::read_to_string(&given).ok()?.contains("memory").then_some(())
        });
        let systemd = Self { outer, inner };
        systemd.wait_for(&["systemctl", "is-active", "dbus.service"], "active");
        systemd
    }

    fn inside(&self, command: &[&str]) -> Output {
        self.outer.runtime(&[&["exec", "c"], command].concat())
    }

    /// Waits until it is up.
    fn wait_for(&self, command: &[&str], answer: &str) {
        let mut said = self.inside(command);
        let up = testkit::wait_until(Duration::from_secs(120), || {
            said = self.inside(command);
            said.stdout.trim() == answer
        });
        let console = fs::read_to_string(self.outer.dir().join("console")).unwrap_or_default();
        assert!(
            up,
            "{command:?}: {}{}{}; systemd says:\n{console}",
            said.stdout,
            said.stderr,
            self.outer.printed()
        );
    }

    /// Runs the runtime in it; nothing of ours is held open by a container.
    fn runtime(&self, args: &[&str]) -> Output {
        let said = format!("{}/said", self.inner.dir().display());
        let script = format!(
            "\"$@\" </dev/null >{said} 2>&1 || {{ status=$?; cat {said} >&2; exit $status; }}; cat {said}"
        );
        let program = bin("strake-runtime");
        let head = ["sh", "-c", &script, "sh", &*program.to_string_lossy(), "--root", "/run/nested"];
        self.inside(&[&head[..], args].concat())
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.inside(&["systemctl", "show", "--value", "-p", name, unit]).ok().to_owned()
    }

    /// A file of a cgroup in its subtree.
    fn file(&self, path: &str) -> String {
        let path: PathBuf = self.outer.cgroup().join(path);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim().to_owned()
    }
}

/// The systemd of a user, with the subtree that it may divide.
fn user_manager() -> String {
    format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nUser={USER}\nType=notify\nDelegate=yes\nRuntimeDirectory=user\n\
         Environment=XDG_RUNTIME_DIR=/run/user HOME=/home/app\n\
         ExecStart=/lib/systemd/systemd --user --unit=test.target --log-target=null\n"
    )
}

/// The runtime as that user, as root of a user namespace: as engines run it without root.
fn job(bundle: &str) -> String {
    let program = bin("strake-runtime");
    format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nEnvironment=PATH=/bin:/usr/bin\n\
         ExecStart=/bin/sh -c 'exec busybox unshare -U -r -m {} --root {bundle}/state --systemd-cgroup run \
         --bundle {bundle} c >{bundle}/said 2>&1'\n",
        program.display()
    )
}

fn limited(script: &str) -> Container {
    Container::new(script)
        .with(|spec| spec["linux"]["cgroupsPath"] = json!("a-b.slice:cri:web"))
        .limited("memory", json!({ "limit": 64 << 20, "reservation": 32 << 20 }))
        .limited("pids", json!({ "limit": 20 }))
        .limited("cpu", json!({ "quota": 50_000, "period": 100_000 }))
        .limited("unified", json!({ "memory.oom.group": "1" }))
}

#[test]
fn cg_15_systemd_makes_changes_and_stops_the_scope_on_v2() {
    let systemd = Systemd::start(limited("sleep 1000"));
    let bundle = systemd.inner.bundle();
    systemd.runtime(&["--systemd-cgroup", "create", "--bundle", &bundle, "c"]).ok();
    systemd.runtime(&["start", "c"]).ok();
    let unit = "cri-web.scope";
    for (name, value) in [
        ("ControlGroup", "/a.slice/a-b.slice/cri-web.scope"),
        ("Delegate", "yes"),
        ("MemoryMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("TasksMax", "20"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("DevicePolicy", "strict"),
        ("ActiveState", "active"),
    ] {
        assert_eq!(systemd.property(unit, name), value, "{name}");
    }
    let scope = "a.slice/a-b.slice/cri-web.scope";
    for (name, value) in [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("pids.max", "20"),
        ("cpu.max", "50000 100000"),
        ("memory.oom.group", "1"),
    ] {
        assert_eq!(systemd.file(&format!("{scope}/{name}")), value, "{name}");
    }
    assert_eq!(systemd.runtime(&["exec", "c", "cat", "/proc/self/cgroup"]).ok(), "0::/");
    systemd.runtime(&["update", "--pids-limit", "33", "--memory", "128000000", "c"]).ok();
    assert_eq!(systemd.property(unit, "TasksMax"), "33");
    assert_eq!(systemd.file(&format!("{scope}/memory.max")), "128000000");
    // What systemd writes anew is what was asked for.
    systemd.inside(&["systemctl", "daemon-reload"]).ok();
    assert_eq!(systemd.file(&format!("{scope}/pids.max")), "33");
    systemd.runtime(&["pause", "c"]).ok();
    assert!(systemd.file(&format!("{scope}/cgroup.events")).contains("frozen 1"));
    systemd.runtime(&["resume", "c"]).ok();
    systemd.runtime(&["delete", "--force", "c"]).ok();
    assert_eq!(systemd.property(unit, "LoadState"), "not-found");
    assert!(!systemd.outer.cgroup().join(scope).exists());
}

#[test]
fn cg_14_cg_15_a_users_systemd_makes_the_scope_and_its_limit_holds() {
    let script = "cat /proc/self/cgroup; tail -c 200m /dev/zero >/dev/null; echo $?";
    let inner = limited(script).limited("unified", json!({ "memory.oom.group": "0" })).with(|spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "cgroup");
    });
    run(Command::new("busybox").args(["chown", "-R", "1000:1000"]).arg(inner.dir())).ok();
    let systemd = Systemd::start(inner);
    chown(systemd.inner.dir(), Some(USER), Some(USER)).unwrap();
    systemd.inside(&["systemctl", "start", "user.service"]).ok();
    let user = ["busybox", "env", "XDG_RUNTIME_DIR=/run/user", "busybox", "su", "app", "-s", "/bin/sh", "-c"];
    let said = systemd.inside(&[&user[..], &["systemctl --user start job.service"]].concat());
    let printed = fs::read_to_string(systemd.inner.dir().join("said")).unwrap_or_default();
    assert_eq!(said.code, 0, "{}{printed}", said.stderr);
    let cgroup = printed.lines().find(|line| line.starts_with("0::")).unwrap_or_default();
    assert_eq!(cgroup, "0::/system.slice/user.service/a.slice/a-b.slice/cri-web.scope", "{printed}");
    assert_eq!(printed.lines().last(), Some("137"), "the limit holds: {printed}");
}
