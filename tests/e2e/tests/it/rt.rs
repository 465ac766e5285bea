//! Rows RT-01, RT-07, RT-11: the runtime and the engine on their own.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{CgroupSubtree, Strake, TempDir, bin, isolated, run, wait_for};

use crate::{pid, proc_file, sleeper, status};

/// A bundle for `strake-runtime` with a busybox root; its container goes with it.
pub(crate) struct Bundle {
    dir: TempDir,
    _cgroup: CgroupSubtree,
    id: String,
}

impl Bundle {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new();
        testkit::images::busybox_rootfs(&dir.join("rootfs"));
        let cgroup = CgroupSubtree::new("bundle");
        let id = dir.path().file_name().unwrap().to_string_lossy().into_owned();
        let bundle = Self { dir, _cgroup: cgroup, id };
        run(bundle.runtime("spec").arg("--bundle").arg(bundle.dir.path())).ok();
        let cgroups_path = format!("{}/container", bundle._cgroup.path());
        bundle.edit(|spec| {
            spec["process"]["terminal"] = json!(false);
            spec["linux"]["cgroupsPath"] = json!(cgroups_path);
            spec["root"]["readonly"] = json!(false);
        });
        bundle
    }

    /// Changes config.json.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Value)) {
        let path = self.dir.join("config.json");
        let mut spec = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut spec);
        std::fs::write(path, serde_json::to_vec(&spec).unwrap()).unwrap();
    }

    /// `strake-runtime --root … VERB`.
    pub(crate) fn runtime(&self, verb: &str) -> Command {
        let mut command = Command::new(bin("strake-runtime"));
        command.arg("--root").arg(self.dir.join("state")).arg(verb);
        command
    }

    /// Creates and starts; the PID of init.
    pub(crate) fn start(&self) -> i64 {
        let pid_file = self.dir.join("pid");
        let log = std::fs::File::create(self.log()).unwrap();
        let mut create = self.runtime("create");
        create.arg("--bundle").arg(self.dir.path()).arg("--pid-file").arg(&pid_file).arg(&self.id);
        create.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let status = create.status().unwrap();
        assert!(status.success(), "create: {}", std::fs::read_to_string(self.log()).unwrap());
        run(self.runtime("start").arg(&self.id)).ok();
        std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap()
    }

    /// Starts, waits for the end; all that was printed.
    pub(crate) fn run_to_end(&self) -> String {
        self.start();
        wait_for("the container's end", || (self.state()["status"] == "stopped").then_some(()));
        std::fs::read_to_string(self.log()).unwrap()
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(run(self.runtime("state").arg(&self.id)).ok()).unwrap()
    }

    pub(crate) fn exec(&self, args: &[&str]) -> String {
        run(self.runtime("exec").arg(&self.id).args(args)).ok().to_owned()
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        run(self.runtime("delete").arg("--force").arg(&self.id));
    }
}

/// Replaces the sysfs mount by a bind of the host's, which a container in the host's network
/// namespace needs.
pub(crate) fn bind_host_sysfs(spec: &mut Value) {
    for mount in spec["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "sysfs" {
            *mount = json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"] });
        }
    }
}

#[test]
fn rt_01_the_runtime_is_gone_after_start_and_the_shim_is_the_parent() {
    isolated(|| {
        let bundle = Bundle::new();
        bundle.edit(|spec| spec["process"]["args"] = json!(["sleep", "3600"]));
        let init = bundle.start();
        assert_eq!(bundle.state()["status"], "running");
        assert_eq!(status(init, "PPid"), "1", "the runtime has gone; we are PID 1 here");
        assert_eq!(processes_named("strake-runtime"), 0);

        let strake = Strake::new().with_busybox();
        sleeper(&strake, "shimmed", &["--network", "none"]);
        let init = pid(&strake, "shimmed");
        let parent: i64 = status(init, "PPid").parse().unwrap();
        assert!(proc_file(parent, "cmdline").contains("shim"), "{}", proc_file(parent, "cmdline"));
        assert_eq!(processes_named("strake"), 0, "only the shim stays");
    });
}

/// No daemon is there to be killed: what there is are commands, and each may be.
#[test]
fn rt_03_with_all_but_shims_and_containers_killed_all_goes_on() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done";
        strake.ok(&["run", "-d", "--name", "talker", "--network", "none", "busybox", "sh", "-c", script]);
        sleeper(&strake, "quiet", &["--network", "none"]);
        let before = pid(&strake, "talker");
        let exec = ["exec", "-i", "talker", "sh", "-c", "touch /began; exec sleep 3600"];
        let mut clients = vec![
            strake.background(&["logs", "-f", "talker"]),
            strake.background(&["events"]),
            strake.background(&["attach", "--no-stdin", "talker"]),
            strake.background(&["wait", "quiet"]),
            strake.background(&["stats"]),
            strake.background(&exec),
        ];
        wait_for("the exec", || {
            (strake.run(&["exec", "talker", "test", "-e", "/began"]).code == 0).then_some(())
        });
        for client in &clients {
            let pid = rustix::process::Pid::from_raw(i32::try_from(client.pid()).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        clients.drain(..).for_each(drop);
        assert_eq!(processes_named("strake"), 0, "none of ours is left but shims");
        assert_eq!(pid(&strake, "talker"), before);
        let written = || strake.ok(&["logs", "--tail", "1", "talker"]);
        let last = written();
        wait_for("more lines", || (written() != last).then_some(()));
        // No line is lost, doubled or torn.
        let log = strake.ok(&["logs", "talker"]);
        for (at, line) in log.lines().enumerate() {
            assert_eq!(line, format!("line {}", at + 1));
        }
        strake.run(&["exec", "quiet", "sh", "-c", "exit 9"]).exits(9);
        strake.ok(&["stop", "-t", "0", "talker", "quiet"]);
        assert_eq!(strake.ok(&["inspect", "-f", "{{.State.ExitCode}}", "quiet"]), "137");
    });
}

#[test]
fn rt_07_the_engine_is_usable_without_any_api() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        assert_eq!(strake.ok(&["run", "--rm", "--network", "none", "busybox", "echo", "alone"]), "alone");
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(sockets.lines().count(), 1, "nobody listens:\n{sockets}");
    });
}

#[test]
fn rt_11_the_app_runs_on_with_every_process_of_ours_gone() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let counter = strake.home().join("count");
        std::fs::create_dir(&counter).unwrap();
        let volume = format!("{}:/count", counter.display());
        let script = "n=0; while :; do n=$((n+1)); echo $n > /count/n; echo line $n; done";
        strake.ok(&[
            "run",
            "-d",
            "--name",
            "app",
            "-v",
            &volume,
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            script,
        ]);
        let init = pid(&strake, "app");
        let shim = status(init, "PPid");
        run(Command::new("kill").args(["-9", &shim])).ok();
        let count = || std::fs::read_to_string(counter.join("n")).ok()?.trim().parse::<u64>().ok();
        // Its output pipe fills up when nobody reads: the first operation of ours adopts it.
        assert!(strake.ok(&["ps"]).contains("app"));
        let at_death = wait_for("a count", count);
        wait_for("the app to go on", || (count()? > at_death + 100).then_some(()));
        let traced = run(Command::new("timeout")
            .args(["--signal=INT", "2", "strace", "-e", "trace=write", "-p"])
            .arg(init.to_string()));
        assert!(traced.stderr.contains("write("), "direct system calls are seen: {}", traced.stderr);
    });
}

/// Living processes whose command is `name`.
fn processes_named(name: &str) -> usize {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let named = |pid: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains(&format!("({name})")) && !stat.contains(") Z ")
    };
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())).filter(named).count()
}
