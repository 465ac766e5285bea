//! Debian's dockerd, with our runtime added to its own.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::{CgroupSubtree, Output, TempDir, bin, images, isolated, run, wait_until};

use super::{Limits, assert_gone, own_places};

/// The daemon with all that is its in a directory of the test's own; killed on drop.
struct Dockerd {
    child: Child,
    cgroup: CgroupSubtree,
    home: TempDir,
}

impl Dockerd {
    fn start() -> Self {
        own_places();
        let home = TempDir::new();
        let cgroup = CgroupSubtree::new("dockerd");
        let at = |name: &str| home.join(name).display().to_string();
        let config = json!({
            "hosts": [format!("unix://{}", at("docker.sock"))],
            "data-root": at("data"), "exec-root": at("exec"), "pidfile": at("pid"),
            "bridge": "none", "iptables": false, "ip6tables": false,
            "exec-opts": ["native.cgroupdriver=cgroupfs"], "cgroup-parent": cgroup.path(),
            "runtimes": { "strake": { "path": bin("strake-runtime") } },
        });
        fs::write(home.join("daemon.json"), config.to_string()).unwrap();
        let log = fs::File::create(home.join("log")).unwrap();
        let mut command = Command::new("dockerd");
        command.args(["--config-file", &at("daemon.json")]).env("TMPDIR", home.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("dockerd");
        let dockerd = Self { child, cgroup, home };
        let up = wait_until(Duration::from_secs(60), || dockerd.docker(&["info"]).code == 0);
        assert!(up, "{}", fs::read_to_string(dockerd.home.join("log")).unwrap_or_default());
        dockerd
    }

    fn docker(&self, args: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.env("DOCKER_CONFIG", self.home.path()).env_remove("DOCKER_CONTEXT").arg("--host");
        run(command.arg(format!("unix://{}", self.home.join("docker.sock").display())).args(args))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn dockerd_runs_execs_limits_and_stops_containers_through_our_runtime() {
    isolated(|| {
        let dockerd = Dockerd::start();
        dockerd.docker(&["import", &images::busybox_tar().to_string_lossy(), "busybox"]).ok();
        let options = ["--network", "none", "--runtime", "strake"];
        let run = |args: &[&str]| dockerd.docker(&[&["run"], &options[..], args].concat());
        assert_eq!(run(&["--rm", "busybox", "echo", "hello"]).ok(), "hello");
        run(&["--rm", "busybox", "sh", "-c", "exit 7"]).exits(7);
        run(&["--rm", "busybox", "/no/such/command"]).exits(127);
        run(&["--rm", "--memory", "16m", "busybox", "tail", "-c", "200m", "/dev/zero"]).exits(137);

        let limits = ["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50", "--cpus", "0.5"];
        let long = [&["-d", "--name", "long"], &limits[..], &["busybox", "sleep", "3600"]].concat();
        let id = run(&long).ok().to_owned();
        assert_eq!(Limits::of(&dockerd.cgroup, &id), Limits::new("67108864", "50", "50000"));
        let update = ["update", "--memory", "128m", "--memory-swap", "128m", "--pids-limit", "40"];
        dockerd.docker(&[&update[..], &["--cpus", "0.25", "long"]].concat()).ok();
        assert_eq!(Limits::of(&dockerd.cgroup, &id), Limits::new("134217728", "40", "25000"));

        assert_eq!(dockerd.docker(&["exec", "long", "id", "-u"]).ok(), "0");
        dockerd.docker(&["exec", "long", "sh", "-c", "exit 9"]).exits(9);
        assert!(dockerd.docker(&["top", "long"]).ok().contains("sleep"));
        let status =
            || dockerd.docker(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "long"]);
        dockerd.docker(&["pause", "long"]).ok();
        assert_eq!(status().ok(), "paused 0");
        dockerd.docker(&["unpause", "long"]).ok();
        dockerd.docker(&["stop", "--time", "1", "long"]).ok();
        assert_eq!(status().ok(), "exited 137");
        dockerd.docker(&["start", "long"]).ok();
        assert_eq!(status().ok(), "running 0");
        dockerd.docker(&["rm", "--force", "long"]).ok();
        assert_eq!(dockerd.docker(&["ps", "--all", "--quiet"]).ok(), "");
        assert_gone(&dockerd.cgroup, &id);
    });
}
