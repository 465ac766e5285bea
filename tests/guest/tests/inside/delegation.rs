//! A subtree that belongs to an ordinary user, as systemd gives one to each.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use testkit::{Output, bin, run};

use crate::container::Container;

/// `app` in the guest's `/etc/passwd`.
const USER: u32 = 1000;

struct Delegated {
    dir: PathBuf,
}

impl Delegated {
    fn new(name: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        fs::write(root.join("cgroup.subtree_control"), "+memory +pids +cpu").unwrap();
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        fs::create_dir(dir.join("session")).unwrap();
        for file in [
            "",
            "cgroup.procs",
            "cgroup.subtree_control",
            "cgroup.threads",
            "session",
            "session/cgroup.procs",
        ] {
            chown(dir.join(file), Some(USER), Some(USER)).unwrap();
        }
        Self { dir }
    }

    /// Runs a program as the user, in the subtree, as root of a user namespace: as engines run a runtime without root.
    fn run(&self, program: &Path, args: &str) -> Output {
        let join = format!("echo $$ > {}/session/cgroup.procs", self.dir.display());
        let command = format!("exec busybox unshare -U -r -m {} {args}", program.display());
        run(Command::new("sh")
            .args(["-c", &format!("{join} && exec busybox su app -s /bin/sh -c '{command}'")]))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.dir.join("cgroup.kill"), "1");
        testkit::wait_until(std::time::Duration::from_secs(5), || {
            let below = fs::read_dir(&self.dir).into_iter().flatten().flatten();
            for dir in below.filter(|entry| entry.path().is_dir()) {
                let _ = fs::remove_dir(dir.path());
            }
            fs::remove_dir(&self.dir).is_ok()
        });
    }
}

/// A rootless container in `user`'s subtree, its files the user's.
fn rootless(script: &str, delegated: &Delegated) -> Container {
    let name = delegated.dir.file_name().unwrap().to_string_lossy().into_owned();
    let container = Container::new(script).with(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("/{name}/c"));
    });
    chown(container.dir(), Some(USER), Some(USER)).unwrap();
    run(Command::new("busybox").args(["chown", "-R", "1000:1000"]).arg(container.in_root("/"))).ok();
    container
}

fn run_rootless(container: &Container, delegated: &Delegated) -> Output {
    let bundle = container.bundle();
    let args = format!("--root {bundle}/user-state run --bundle {bundle} c");
    delegated.run(&bin("strake-runtime"), &args)
}

#[test]
fn cg_14_an_ordinary_user_sets_a_memory_limit() {
    let delegated = Delegated::new("user-limit");
    let script = "id -u; cat /proc/self/cgroup; tail -c 200m /dev/zero >/dev/null; echo $?";
    let container = rootless(script, &delegated).limited("memory", json!({ "limit": 33_554_432 }));
    let said = run_rootless(&container, &delegated);
    assert_eq!(said.ok(), "0\n0::/\n137", "{}", said.stderr);
}

#[test]
fn cg_14_an_ordinary_user_limits_processes_and_cpu() {
    let delegated = Delegated::new("user-pids");
    let script = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max";
    let container = rootless(script, &delegated)
        .limited("pids", json!({ "limit": 9 }))
        .limited("cpu", json!({ "quota": 20_000, "period": 100_000 }))
        .mount(json!({ "destination": "/sys", "type": "tmpfs", "source": "tmpfs" }))
        .mount(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] }));
    let said = run_rootless(&container, &delegated);
    assert_eq!(said.ok(), "9\n20000 100000", "{}", said.stderr);
}

#[test]
fn outside_the_subtree_a_limit_is_refused() {
    let delegated = Delegated::new("user-outside");
    let container = rootless("true", &delegated)
        .with(|spec| spec["linux"]["cgroupsPath"] = json!("/not-delegated/c"))
        .limited("memory", json!({ "limit": 33_554_432 }));
    let said = run_rootless(&container, &delegated);
    assert_ne!(said.code, 0, "a limit that cannot be had is not left out silently");
    assert!(said.stderr.contains("ermission denied"), "{}", said.stderr);
}
