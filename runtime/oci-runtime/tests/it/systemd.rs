//! Cgroups made by systemd. The client itself is tested in `kernel/cgroup`; here a real systemd runs as
//! PID 1 of namespaces of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::{CgroupSubtree, Output, TempDir, isolated, run, wait_until};

use crate::bundle::Bundle;

/// A systemd with a bus, in cgroups of its own.
struct Systemd {
    child: Child,
    dir: TempDir,
    _cgroup: CgroupSubtree,
}

/// What systemd's files have to be for no more than a bus: no unit of the machine's is pulled in.
const SCRIPT: &str = r#"
set -e
cd /sys/fs/cgroup
for dir in */; do
    name=${dir%/}
    [ -f "$name$SUBTREE/cgroup.procs" ] || continue
    if [ "$name" = cpuset ]; then
        for file in cpus mems; do cat "cpuset/cpuset.$file" > "cpuset$SUBTREE/cpuset.$file"; done
    fi
    echo $$ > "$name$SUBTREE/cgroup.procs"
done
exec unshare --cgroup --pid --mount --fork --kill-child --propagation private sh -c '
set -e
mount -t proc proc /proc
hierarchies=$(ls /sys/fs/cgroup)
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for name in $hierarchies; do
    case $name in
        systemd) options=none,name=systemd kind=cgroup ;;
        unified) options=rw kind=cgroup2 ;;
        *) options=$name kind=cgroup ;;
    esac
    mkdir /sys/fs/cgroup/$name
    mount -t $kind -o $options cgroup /sys/fs/cgroup/$name 2>/dev/null || rmdir /sys/fs/cgroup/$name
done
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/dbus /run/systemd/system
cd /run/systemd/system
printf "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket dbus.service\n" > test.target
printf "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n" > dbus.socket
printf "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n" > dbus.service
container=test exec /lib/systemd/systemd --system --unit=test.target --show-status=false --log-target=null
'
"#;

impl Systemd {
    /// None where cgroups are not v1 with its hierarchy.
    fn start() -> Option<Self> {
        if !Path::new("/sys/fs/cgroup/systemd/cgroup.procs").exists() {
            return None;
        }
        for program in ["/lib/systemd/systemd", "/usr/bin/dbus-daemon"] {
            assert!(Path::new(program).exists(), "{program} is missing: apt-get install systemd dbus");
        }
        let (dir, cgroup) = (TempDir::new(), CgroupSubtree::new("systemd"));
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("sh")
            .args(["-c", SCRIPT])
            .env("SUBTREE", cgroup.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let systemd = Self { child, dir, _cgroup: cgroup };
        let answers = || {
            systemd.pid().is_some()
                && systemd.inside(&["systemctl", "is-active", "dbus.service"]).stdout.trim() == "active"
        };
        let up = wait_until(Duration::from_secs(60), answers);
        assert!(up, "systemd did not come up: {}", fs::read_to_string(systemd.dir.join("log")).unwrap());
        Some(systemd)
    }

    /// PID 1 of its namespaces, from outside.
    fn pid(&self) -> Option<String> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    fn inside(&self, command: &[&str]) -> Output {
        let pid = self.pid().unwrap_or_default();
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["-t", &pid, "-m", "-p", "-C", "--"]).args(command);
        run(nsenter.stdin(Stdio::null()).env_remove("DBUS_SYSTEM_BUS_ADDRESS"))
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.inside(&["systemctl", "show", "--value", "-p", name, unit]).stdout.trim().to_owned()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn cg_15_systemd_makes_changes_and_stops_the_scope() {
    isolated(|| {
        let Some(systemd) = Systemd::start() else { return };
        let bundle = Bundle::new().with(|spec| {
            spec["process"]["args"] = json!(["sleep", "1000"]);
            spec["linux"]["cgroupsPath"] = json!("a-b.slice:cri:web");
            spec["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 20 },
                "cpu": { "quota": 50_000, "period": 100_000 } });
            spec["annotations"] = json!({ "org.systemd.property.TimeoutStopSec": "2" });
        });
        bundle.write_config();
        let state = bundle.dir.join("state");
        let program = testkit::bin("strake-runtime");
        let (program, state) = (program.to_str().unwrap(), state.to_str().unwrap());
        let path = bundle.dir.path().to_str().unwrap();
        let runtime = |args: &[&str]| systemd.inside(&[&[program, "--root", state], args].concat());
        let log = format!("{path}/log");
        let create = ["--log", &log, "--systemd-cgroup", "create", "--bundle", path, "c"];
        // Nothing of ours is held open by the container.
        let script = ["sh", "-c", "\"$@\" </dev/null >/dev/null 2>&1", "sh", program, "--root", state];
        let created = systemd.inside(&[&script[..], &create].concat());
        assert_eq!(created.code, 0, "{}", fs::read_to_string(&log).unwrap());
        runtime(&["start", "c"]).ok();
        let unit = "cri-web.scope";
        for (name, value) in [
            ("ControlGroup", "/a.slice/a-b.slice/cri-web.scope"),
            ("Delegate", "yes"),
            ("MemoryLimit", "67108864"),
            ("TasksMax", "20"),
            ("CPUQuotaPerSecUSec", "500ms"),
            ("DevicePolicy", "strict"),
            ("TimeoutStopUSec", "2s"),
            ("ActiveState", "active"),
        ] {
            assert_eq!(systemd.property(unit, name), value, "{name}");
        }
        let inside = runtime(&["exec", "c", "cat", "/proc/self/cgroup"]);
        assert!(inside.ok().lines().all(|line| line.ends_with(":/")), "{}", inside.stdout);
        runtime(&["update", "--pids-limit", "33", "c"]).ok();
        assert_eq!(systemd.property(unit, "TasksMax"), "33");
        // A second one of that name would be in the same scope.
        let again = runtime(&["--systemd-cgroup", "create", "--bundle", path, "d"]);
        again.exits(1).says("container's cgroup is not empty");
        assert_eq!(systemd.property(unit, "ActiveState"), "active");
        runtime(&["delete", "--force", "c"]).ok();
        assert_eq!(systemd.property(unit, "LoadState"), "not-found");
    });
}

#[test]
fn cg_15_without_systemd_its_driver_says_so() {
    isolated(|| {
        let bundle = Bundle::new();
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap();
        for flags in [&["--systemd-cgroup"][..], &["--cgroup-manager", "systemd"]] {
            let run_in = |cgroup: &str| {
                let mut spec = bundle.spec.clone();
                spec["linux"]["cgroupsPath"] = json!(cgroup);
                fs::write(bundle.dir.join("config.json"), spec.to_string()).unwrap();
                let args = [flags, &["run", "--bundle", path, "c"]].concat();
                run(bundle.command(&args).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus"))
            };
            run_in("a.slice:p:n")
                .exits(1)
                .says("connect to the D-Bus of systemd at unix:path=/nonexistent/bus");
            run_in("/a/b").exits(1).says("slice:prefix:name");
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn without_a_manager_of_cgroups_the_container_stays_in_the_callers() {
    isolated(|| {
        let bundle = Bundle::new().script("cat /proc/self/cgroup").with(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "cgroup");
            spec["linux"]["resources"]["pids"] = json!({ "limit": 3 });
        });
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap();
        let said = bundle.runtime(&["--cgroup-manager", "disabled", "run", "--bundle", path, "c"]);
        assert_eq!(said.ok(), fs::read_to_string("/proc/self/cgroup").unwrap().trim());
        assert!(!bundle.cgroup.dir("pids").join("c").exists());
    });
}
