//! Debian's containerd: its own client here; its CRI server is driven in `cri::theirs` and by a kubelet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{CgroupSubtree, Output, Strake, TempDir, bin, images, isolated, run, wait_until};

use super::{assert_gone, own_places};

/// The daemon with all its state in a directory of the test's own; killed on drop.
pub(crate) struct Containerd {
    child: Child,
    home: TempDir,
}

impl Containerd {
    /// Starts it with this configuration of its plugins; `HOME` in it is its directory.
    pub(crate) fn start(plugins: &str) -> Self {
        Self::start_in(TempDir::new(), plugins)
    }

    /// The same, in a directory that has something already.
    pub(crate) fn start_in(home: TempDir, plugins: &str) -> Self {
        own_places();
        let at = |name: &str| home.join(name).display().to_string();
        let config = format!("{CONFIG}{plugins}").replace("HOME", &home.path().display().to_string());
        fs::write(home.join("config.toml"), config).unwrap();
        let log = fs::File::create(home.join("log")).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &at("config.toml"), "--root", &at("root"), "--state", &at("state")]);
        command.args(["--address", &at("containerd.sock")]);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("containerd");
        let containerd = Self { child, home };
        let up = wait_until(Duration::from_secs(60), || containerd.ctr("k8s.io", &["version"]).code == 0);
        assert!(up, "{}", containerd.log());
        containerd
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.join("containerd.sock")
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// `ctr ARGS` in one of its namespaces.
    pub(crate) fn ctr(&self, namespace: &str, args: &[&str]) -> Output {
        let mut command = Command::new("ctr");
        run(command.arg("--address").arg(self.socket()).args(["--namespace", namespace]).args(args))
    }

    /// Brings it an image from our engine, for pods.
    pub(crate) fn import(&self, strake: &Strake, name: &str) {
        let archive = self.home.join("image.tar");
        strake.ok(&["save", "-o", &archive.to_string_lossy(), name]);
        self.ctr("k8s.io", &["images", "import", &archive.to_string_lossy()]).ok();
    }

    /// Brings it the images `busybox` and `pause`, the first process of its pods.
    pub(crate) fn import_for_pods(&self, strake: &Strake) {
        let (rootfs, sleeps) = (images::busybox_tar(), "CMD [\"/bin/sleep\", \"infinity\"]");
        strake.ok(&["import", "--change", sleeps, &rootfs.to_string_lossy(), "pause"]);
        for image in ["busybox", "pause"] {
            self.import(strake, image);
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CONFIG: &str = r#"version = 2
[grpc]
  address = "HOME/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "HOME/opt"
"#;

#[test]
fn containerd_runs_execs_limits_and_stops_containers_through_our_runtime() {
    isolated(|| {
        let containerd = Containerd::start("");
        let cgroup = CgroupSubtree::new("ctr");
        let ctr = |args: &[&str]| containerd.ctr("default", args);
        let rootfs = containerd.home().join("rootfs").display().to_string();
        images::busybox_rootfs(Path::new(&rootfs));
        let (runtime, parent) = (bin("strake-runtime"), cgroup.path().to_owned());
        let run = |options: &[&str], id: &str, command: &[&str]| {
            let path = format!("{parent}/{id}");
            let own = ["run", "--runc-binary", &runtime.to_string_lossy(), "--cgroup", &path, "--rootfs"];
            containerd.ctr("default", &[&own[..], options, &[&rootfs, id], command].concat())
        };
        assert_eq!(run(&["--rm"], "short", &["echo", "hello"]).ok(), "hello");
        run(&["--rm"], "short", &["sh", "-c", "exit 7"]).exits(7);
        run(&["--rm"], "short", &["/no/such/command"]).exits(1).says("no such file or directory");

        let limits = ["--detach", "--memory-limit", "67108864", "--cpus", "0.5"];
        run(&limits, "long", &["sleep", "3600"]).ok();
        let of = |controller: &str, file: &str| {
            fs::read_to_string(cgroup.dir(controller).join("long").join(file)).unwrap_or_default()
        };
        let memory = of("memory", "memory.limit_in_bytes") + &of("memory", "memory.max");
        assert_eq!(memory.trim(), "67108864");
        let cpu = of("cpu", "cpu.cfs_quota_us") + &of("cpu", "cpu.max");
        assert!(cpu.starts_with("50000"), "{cpu}");

        let exec = |id: &str, command: &[&str]| {
            ctr(&[&["tasks", "exec", "--exec-id", id, "long"], command].concat())
        };
        assert_eq!(exec("first", &["id", "-u"]).ok(), "0");
        exec("second", &["sh", "-c", "exit 9"]).exits(9);
        assert!(ctr(&["tasks", "metrics", "long"]).ok().contains("67108864"));
        let is = |status: &str| ctr(&["tasks", "ls"]).ok().contains(status);
        assert!(is("RUNNING"));
        ctr(&["tasks", "pause", "long"]).ok();
        assert!(is("PAUSED"));
        ctr(&["tasks", "resume", "long"]).ok();
        ctr(&["tasks", "kill", "--signal", "KILL", "long"]).ok();
        testkit::wait_for("its end", || is("STOPPED").then_some(()));
        ctr(&["tasks", "rm", "long"]).says("exit code 137");
        ctr(&["containers", "rm", "long"]).ok();
        assert_eq!(ctr(&["containers", "ls", "--quiet"]).ok(), "");
        assert_gone(&cgroup, "long");
    });
}
