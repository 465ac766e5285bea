//! A container of the low-level runtime, with a bundle and a cgroup of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{CgroupSubtree, Output, TempDir, bin, images, run};

/// A container that is not created yet, or is.
pub(crate) struct Container {
    dir: TempDir,
    subtree: CgroupSubtree,
    /// The directory of its cgroup.
    cgroup: PathBuf,
    pub(crate) spec: Value,
}

impl Container {
    /// Runs `script` with no limits, no capabilities beyond root's usual ones, and all namespaces but user and time.
    pub(crate) fn new(script: &str) -> Self {
        let dir = TempDir::new();
        images::busybox_rootfs(&dir.join("rootfs"));
        let subtree = CgroupSubtree::new("guest");
        let capabilities =
            ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_SETUID"];
        let spec = json!({
            "ociVersion": "1.2.0",
            "root": { "path": "rootfs" },
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": ["sh", "-c", script],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities
                },
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            ],
            "linux": {
                "cgroupsPath": format!("{}/c", subtree.path()),
                "resources": {},
                "namespaces": [
                    { "type": "pid" }, { "type": "network" }, { "type": "ipc" },
                    { "type": "uts" }, { "type": "mount" }, { "type": "cgroup" }
                ],
            }
        });
        let cgroup = subtree.dir("unified").join("c");
        Self { dir, subtree, cgroup, spec }
    }

    /// Its cgroup has the other one's parent: they share what that has.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.spec["linux"]["cgroupsPath"] = json!(format!("{}/beside", other.subtree.path()));
        self.cgroup = other.subtree.dir("unified").join("beside");
        self
    }

    /// Changes the spec.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Sets one of `linux.resources`.
    pub(crate) fn limited(self, resource: &str, value: Value) -> Self {
        self.with(|spec| spec["linux"]["resources"][resource] = value)
    }

    /// Adds a mount.
    pub(crate) fn mount(self, mount: Value) -> Self {
        self.with(|spec| spec["mounts"].as_array_mut().unwrap().push(mount))
    }

    /// A path in its root, from outside.
    pub(crate) fn in_root(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// The directory with all that is its own.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory of its cgroup.
    pub(crate) fn cgroup(&self) -> PathBuf {
        self.cgroup.clone()
    }

    /// A file of its cgroup.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.cgroup().join(name);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    }

    /// The number behind `key` in a file of its cgroup with `key value` lines.
    pub(crate) fn count(&self, name: &str, key: &str) -> u64 {
        let text = self.file(name);
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {key} in {name}:\n{text}"))
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Output {
        let bundle = self.bundle();
        self.runtime(&["run", "--bundle", &bundle, "c"])
    }

    /// Creates and starts it; it keeps nothing of ours open.
    pub(crate) fn start(&self) {
        let bundle = self.bundle();
        let log = self.dir.join("log");
        let mut create = self.command(&["--log", &log.to_string_lossy(), "create", "--bundle", &bundle, "c"]);
        let out = fs::File::create(self.dir.join("out")).unwrap();
        let status = create.stdout(out).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "create: {}", fs::read_to_string(log).unwrap_or_default());
        self.runtime(&["start", "c"]).ok();
    }

    /// What a started one has printed so far.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.dir.join("out")).unwrap_or_default()
    }

    /// Runs a command of the runtime.
    pub(crate) fn runtime(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(bin("strake-runtime"));
        command.arg("--root").arg(self.dir.join("state")).args(args).stdin(Stdio::null());
        command
    }

    /// Writes `config.json`; the bundle's path.
    pub(crate) fn bundle(&self) -> String {
        fs::write(self.dir.join("config.json"), self.spec.to_string()).unwrap();
        self.dir.path().to_string_lossy().into_owned()
    }
}

/// Looks until `find` finds something, with more patience than a machine with KVM needs.
pub(crate) fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    testkit::wait_until(Duration::from_secs(180), || {
        found = find();
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("waited in vain for {what}"))
}

impl Drop for Container {
    fn drop(&mut self) {
        self.runtime(&["delete", "--force", "c"]);
    }
}
