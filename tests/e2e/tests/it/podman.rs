//! Debian's podman runs containers through `strake-runtime`.

use std::process::Command;

use testkit::{CgroupSubtree, Output, TempDir, bin, images, isolated, run};

struct Podman {
    home: TempDir,
    cgroup: CgroupSubtree,
}

impl Podman {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.home.join("root")).arg("--runroot").arg(self.home.join("run"));
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime"]);
        command.arg(bin("strake-runtime")).args(["--tmpdir"]).arg(self.home.join("tmp"));
        run(command.args(args))
    }
}

#[test]
fn podman_runs_execs_and_stops_containers_through_our_runtime() {
    isolated(|| {
        let podman = Podman { home: TempDir::new(), cgroup: CgroupSubtree::new("podman") };
        let tar = images::busybox_tar();
        podman.run(&["import", &tar.to_string_lossy(), "localhost/busybox"]).ok();
        let parent = podman.cgroup.path().to_owned();
        let options = ["--network", "none", "--cgroup-parent", &parent];
        let run = |args: &[&str]| podman.run(&[&["run"], &options[..], args].concat());
        assert_eq!(run(&["--rm", "localhost/busybox", "echo", "hello"]).ok(), "hello");
        run(&["--rm", "localhost/busybox", "sh", "-c", "exit 7"]).exits(7);
        run(&["--rm", "localhost/busybox", "/no/such/command"]).exits(127);
        run(&["-d", "--name", "long", "--memory", "64m", "localhost/busybox", "sleep", "3600"]).ok();
        assert_eq!(podman.run(&["exec", "long", "id", "-u"]).ok(), "0");
        assert!(podman.run(&["top", "long"]).ok().contains("sleep"));
        podman.run(&["pause", "long"]).ok();
        podman.run(&["unpause", "long"]).ok();
        podman.run(&["stop", "--time", "1", "long"]).ok();
        podman.run(&["rm", "long"]).ok();
    });
}
