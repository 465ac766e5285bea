//! A bundle with busybox, its own state directory and its own cgroup.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{CgroupSubtree, Output, TempDir, bin, run};

/// A bundle.
pub(crate) struct Bundle {
    pub(crate) dir: TempDir,
    pub(crate) cgroup: CgroupSubtree,
    pub(crate) spec: Value,
    runtime: PathBuf,
}

impl Bundle {
    /// With all namespaces but user and time, the usual mounts, and docker's limits of sight.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new();
        let root = dir.join("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in [
            "sh", "cat", "ls", "id", "true", "false", "sleep", "hostname", "mount", "stat", "readlink",
            "touch", "mkdir", "echo", "grep", "wc", "head", "kill", "stty", "tty", "date", "pwd", "env",
            "umask", "ps", "awk", "test", "ipcmk", "ln", "rm", "cp", "chmod", "find", "sysctl", "nice", "dd",
            "tr", "sort",
        ] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n")
            .unwrap();
        let cgroup = CgroupSubtree::new("oci");
        let spec = json!({
            "ociVersion": "1.2.0",
            "root": { "path": "rootfs" },
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": ["true"],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": { "bounding": CAPS, "effective": CAPS, "permitted": CAPS },
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                  "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
                { "destination": "/sys", "type": "sysfs", "source": "sysfs",
                  "options": ["nosuid", "noexec", "nodev", "ro"] },
            ],
            "linux": {
                "cgroupsPath": format!("{}/c", cgroup.path()),
                "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
                "namespaces": [
                    { "type": "pid" }, { "type": "network" }, { "type": "ipc" },
                    { "type": "uts" }, { "type": "mount" }, { "type": "cgroup" }
                ],
                "maskedPaths": ["/proc/acpi", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
            }
        });
        Self { dir, cgroup, spec, runtime: bin("strake-runtime") }
    }

    /// The program is this shell script.
    pub(crate) fn script(mut self, script: &str) -> Self {
        self.spec["process"]["args"] = json!(["sh", "-c", script]);
        self
    }

    /// Changes the spec.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Adds a mount.
    pub(crate) fn mount(self, mount: Value) -> Self {
        self.with(|spec| spec["mounts"].as_array_mut().unwrap().push(mount))
    }

    /// With a user namespace whose ids are those from `base` on, and a root filesystem of theirs.
    pub(crate) fn with_users(self, base: u32) -> Self {
        let owner = format!("{base}:{base}");
        run(Command::new("chown").args(["-hR", &owner]).arg(self.in_root(""))).ok();
        self.with(|spec| {
            let map = json!([{ "containerID": 0, "hostID": base, "size": 65_536 }]);
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (map.clone(), map);
        })
    }

    /// A path in the root filesystem, from outside.
    pub(crate) fn in_root(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path)
    }

    /// The runtime's command line, for this bundle's state directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.state_root()).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Where filters are kept for other containers.
    pub(crate) fn kept(&self) -> PathBuf {
        self.state_root().join(KEPT)
    }

    pub(crate) fn write_config(&self) {
        fs::write(self.dir.join("config.json"), serde_json::to_vec(&self.spec).unwrap()).unwrap();
    }

    /// Runs a command of the runtime.
    pub(crate) fn runtime(&self, args: &[&str]) -> Output {
        let mut output = run(&mut self.command(args));
        // As the text form of the log quotes it.
        output.stderr = output.stderr.replace("\\\"", "\"");
        output
    }

    /// Runs a command whose process outlives it: nothing of ours is held open.
    pub(crate) fn detached(&self, args: &[&str]) {
        let mut command = self.command(args);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{args:?}");
    }

    /// `run`: the program's output and exit code.
    pub(crate) fn run(&self) -> Output {
        self.write_config();
        let path = self.dir.path().to_str().unwrap().to_owned();
        self.runtime(&["run", "--bundle", &path, "c"])
    }

    /// `create`, with the program's output in the file `out`.
    pub(crate) fn create(&self) -> Output {
        self.write_config();
        let path = self.dir.path().to_str().unwrap().to_owned();
        let out = fs::File::create(self.dir.join("out")).unwrap();
        let mut command = self.command(&["create", "--bundle", &path, "c"]);
        let log = self.dir.join("log");
        let _ = fs::remove_file(&log);
        let mut with_log = Command::new(command.get_program());
        with_log.args(["--log", log.to_str().unwrap()]).args(command.get_args());
        command = with_log;
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let code = command.status().unwrap().code().unwrap_or(-1);
        let stderr = fs::read_to_string(&log).unwrap_or_default();
        run(Command::new("sh").args([
            "-c",
            "printf %s \"$1\" >&2; exit $2",
            "sh",
            &stderr,
            &code.to_string(),
        ]))
    }

    /// `create` and `start`.
    pub(crate) fn start(&self) {
        self.create().ok();
        self.runtime(&["start", "c"]).ok();
    }

    /// What the program printed so far.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.dir.join("out")).unwrap_or_default()
    }

    /// The state, as `state` prints it.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(self.runtime(&["state", "c"]).ok()).unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.state()["pid"].as_i64().unwrap()).unwrap()
    }

    /// Nothing of the container is left: state, cgroups, mounts.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        assert!(!self.state_root().join("c").exists(), "state directory is left");
        for controller in ["memory", "pids", "unified"] {
            assert!(!self.cgroup.dir(controller).join("c").exists(), "cgroup in {controller} is left");
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let dir = self.dir.path().to_str().unwrap();
        assert!(!mounts.contains(dir), "mounts are left:\n{mounts}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", "c"]).status();
    }
}

/// Whether the process exists and is no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// The inode of a namespace.
pub(crate) fn ns(pid: &str, kind: &str) -> String {
    fs::read_link(Path::new("/proc").join(pid).join("ns").join(kind)).unwrap().to_str().unwrap().to_owned()
}

pub(crate) const KEPT: &str = "seccomp:kept";

pub(crate) const CAPS: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
