//! A subtree that belongs to an ordinary user, as systemd gives one to each.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use testkit::{Output, TempDir, bin, run};

use crate::container::Container;

/// `app` in the guest's `/etc/passwd`.
const USER: u32 = 1000;

struct Delegated {
    dir: PathBuf,
}

impl Delegated {
    fn new(name: &str) -> Self {
        Self::below(Path::new("/sys/fs/cgroup"), name, "+memory +pids +cpu")
    }

    /// Below a group that gives these controllers to those in it.
    fn below(parent: &Path, name: &str, controllers: &str) -> Self {
        fs::write(parent.join("cgroup.subtree_control"), controllers).unwrap();
        let dir = parent.join(name);
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
        self.shell(&format!("exec busybox unshare -U -r -m {} {args}", program.display()))
    }

    /// What a shell of the user's says in the subtree.
    fn shell(&self, command: &str) -> Output {
        let join = format!("echo $$ > {}/session/cgroup.procs", self.dir.display());
        run(Command::new("sh")
            .args(["-c", &format!("{join} && exec busybox su app -s /bin/sh -c '{command}'")]))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.dir.join("cgroup.kill"), "1");
        testkit::wait_until(std::time::Duration::from_secs(5), || {
            remove_groups(&self.dir);
            !self.dir.exists()
        });
    }
}

fn remove_groups(dir: &Path) {
    let below = fs::read_dir(dir).into_iter().flatten().flatten();
    below.filter(|entry| entry.path().is_dir()).for_each(|entry| remove_groups(&entry.path()));
    let _ = fs::remove_dir(dir);
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

/// The user's containers, of the engine.
struct Engine {
    delegated: Delegated,
    home: TempDir,
}

impl Engine {
    fn new(delegated: Delegated) -> Self {
        let home = TempDir::new();
        chown(home.join(""), Some(USER), Some(USER)).unwrap();
        // As udev leaves it: for everybody.
        fs::set_permissions("/dev/net/tun", fs::Permissions::from_mode(0o666)).unwrap();
        let tar = home.join("busybox.tar");
        fs::copy(testkit::images::busybox_tar(), &tar).unwrap();
        let engine = Self { delegated, home };
        engine.ok(&format!("import {} busybox", tar.display()));
        engine
    }

    fn command(&self, args: &str) -> String {
        let home = self.home.join("").display().to_string();
        format!("export HOME={home} XDG_RUNTIME_DIR={home}; exec {} {args}", bin("strake").display())
    }

    fn run(&self, args: &str) -> Output {
        self.delegated.shell(&self.command(args))
    }

    fn ok(&self, args: &str) -> String {
        self.run(args).ok().to_owned()
    }

    /// A file of the control group of a container, which has to be below the user's.
    fn file(&self, container: &str, name: &str) -> String {
        let path = self.ok(&format!("inspect -f {{{{.HostConfig.CgroupPath}}}} {container}"));
        let dir = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
        assert!(dir.starts_with(self.delegated.dir.join("strake")), "{}", dir.display());
        fs::read_to_string(dir.join(name)).unwrap().trim().to_owned()
    }
}

#[test]
fn cg_14_the_engine_limits_an_ordinary_users_containers() {
    let engine = Engine::new(Delegated::new("user-engine"));
    let limits = "-m 64m --pids-limit 20 --cpus 0.5";
    let made = engine.run(&format!("run -d --name web --network none {limits} busybox sleep 1000"));
    assert!(made.code == 0 && !made.stderr.contains("left out"), "{made:?}");
    for (name, value) in [("memory.max", "67108864"), ("pids.max", "20"), ("cpu.max", "50000 100000")] {
        assert_eq!(engine.file("web", name), value, "{name}");
    }
    assert_eq!(engine.ok("exec web cat /proc/self/cgroup"), "0::/");
    engine.ok("update -m 48m --memory-swap 96m --pids-limit 30 web");
    assert_eq!(
        (engine.file("web", "memory.max"), engine.file("web", "pids.max")),
        ("50331648".into(), "30".into())
    );
    assert!(engine.ok("stats --no-stream --format {{.MemUsage}} web").ends_with("/ 48MiB"));
    engine.ok("pause web");
    assert_eq!(engine.file("web", "cgroup.freeze"), "1");
    engine.ok("unpause web");
    assert!(engine.ok("explain web").contains("48MiB"));
    // It is started again with them, and they hold.
    engine.ok("restart -t 0 web");
    assert_eq!(engine.file("web", "pids.max"), "30");
    engine.run("run --name eater --network none -m 32m busybox tail -c 300m /dev/zero").exits(137);
    assert_eq!(engine.ok("inspect -f {{.State.OOMKilled}} eater"), "true");
    let dir = engine.delegated.dir.join("strake");
    engine.ok("rm -f web eater");
    let left = fs::read_dir(&dir).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
    assert_eq!(left, 0, "groups go with their containers");
}

#[test]
fn cg_14_limits_that_cannot_be_had_are_told() {
    let part = Path::new("/sys/fs/cgroup/part");
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpu").unwrap();
    fs::create_dir(part).unwrap();
    let engine = Engine::new(Delegated::below(part, "user-part", "+memory"));
    let made =
        engine.run("run -d --name web --network none -m 64m --cpus 0.5 --pids-limit 9 busybox sleep 1000");
    assert_eq!(made.code, 0, "{made:?}");
    assert!(
        made.stderr.contains("/part/user-part that was given to you has no controller pids, cpu;"),
        "{made:?}"
    );
    assert_eq!(engine.file("web", "memory.max"), "67108864");
    engine.ok("rm -f web");
    // In a session that was given nothing: as root's, whatever lies beside it.
    let command = engine.command("run --rm --network none -m 64m busybox cat /proc/self/cgroup");
    let said = run(Command::new("busybox").args(["su", "app", "-s", "/bin/sh", "-c", &command]));
    assert!(said.code == 0 && said.stderr.contains("resource limits are left out"), "{said:?}");
    drop(engine);
    fs::remove_dir(part).unwrap();
}
