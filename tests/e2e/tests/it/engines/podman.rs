//! Debian's podman.

use std::fs;
use std::process::Command;

use testkit::{CgroupSubtree, Output, TempDir, bin, images, isolated, run};

use super::{Limits, assert_gone, own_places};

struct Podman {
    home: TempDir,
    cgroup: CgroupSubtree,
}

impl Podman {
    fn new() -> Self {
        own_places();
        let podman = Self { home: TempDir::new(), cgroup: CgroupSubtree::new("podman") };
        // Of itself it wants more than a process without CAP_SYS_RESOURCE can give.
        let ulimits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        fs::write(podman.home.join("containers.conf"), ulimits).unwrap();
        podman
    }

    fn run(&self, args: &[&str]) -> Output {
        podman(&self.home, args)
    }
}

/// Debian's podman with `containers.conf` and everything else of its own below `home`, over our
/// runtime.
pub(crate) fn podman(home: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", home.join("containers.conf"));
    command.arg("--root").arg(home.join("root")).arg("--runroot").arg(home.join("run"));
    command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime"]);
    command.arg(bin("strake-runtime")).args(["--tmpdir"]).arg(home.join("tmp"));
    run(command.args(args))
}

#[test]
fn podman_runs_execs_limits_and_stops_containers_through_our_runtime() {
    isolated(|| {
        let podman = Podman::new();
        let tar = images::busybox_tar();
        podman.run(&["import", &tar.to_string_lossy(), "localhost/busybox"]).ok();
        let parent = podman.cgroup.path().to_owned();
        let options = ["--network", "none", "--cgroup-parent", &parent];
        let run = |args: &[&str]| podman.run(&[&["run"], &options[..], args].concat());
        assert_eq!(run(&["--rm", "localhost/busybox", "echo", "hello"]).ok(), "hello");
        run(&["--rm", "localhost/busybox", "sh", "-c", "exit 7"]).exits(7);
        run(&["--rm", "localhost/busybox", "/no/such/command"]).exits(127);

        let limits = ["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50", "--cpus", "0.5"];
        let long = [&["-d", "--name", "long"], &limits[..], &["localhost/busybox", "sleep", "3600"]].concat();
        let cgroup = format!("libpod-{}", run(&long).ok());
        assert_eq!(Limits::of(&podman.cgroup, &cgroup), Limits::new("67108864", "50", "50000"));
        podman.run(&["update", "--memory", "48m", "--cpus", "0.25", "long"]).ok();
        assert_eq!(Limits::of(&podman.cgroup, &cgroup), Limits::new("50331648", "50", "25000"));

        assert_eq!(podman.run(&["exec", "long", "id", "-u"]).ok(), "0");
        podman.run(&["exec", "long", "sh", "-c", "exit 9"]).exits(9);
        assert!(podman.run(&["top", "long"]).ok().contains("sleep"));
        podman.run(&["pause", "long"]).ok();
        podman.run(&["unpause", "long"]).ok();
        podman.run(&["stop", "--time", "1", "long"]).ok();
        assert_eq!(podman.run(&["inspect", "--format", "{{.State.ExitCode}}", "long"]).ok(), "137");
        podman.run(&["rm", "long"]).ok();
        assert_eq!(podman.run(&["ps", "--all", "--quiet"]).ok(), "");
        assert_gone(&podman.cgroup, &cgroup);
    });
}
