//! A bundle, its directories, and short ways to run it.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use shim::{
    Adopt, Adopted, Attached, Client, Exit, HealthCheck, Launch, LaunchError, LogConfig, LogEntry,
    LogOptions, LogReader, Restarts, ShimExe, Started, StdinMode, StreamSet,
};
use testkit::{CgroupSubtree, TempDir, wait_until};

pub const ID: &str = "c0ffee";

/// One container's surroundings. Dropping it removes them, whatever state they are in.
pub struct Rig {
    pub dir: TempDir,
    pub cgroup: CgroupSubtree,
    pub config: Value,
    pub stdin: StdinMode,
    pub log: LogConfig,
    pub exit_command: Vec<String>,
    pub restarts: Option<Restarts>,
    pub health: Option<HealthCheck>,
    pub failpoint: Option<String>,
    /// Hands the root filesystem over as a detached mount and the program as a descriptor.
    pub sealed: bool,
}

impl Rig {
    /// For a container that runs `script` in a shell.
    pub fn shell(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    /// For a container that runs `args`.
    pub fn new(args: &[&str]) -> Self {
        let dir = TempDir::new();
        for name in ["record", "bundle/rootfs"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        testkit::images::busybox_rootfs(&dir.join("bundle/rootfs"));
        let cgroup = CgroupSubtree::new("shim");
        let config = config(args, &format!("{}/{ID}", cgroup.path()));
        let log = LogConfig::json_file(dir.join("record/log.json"));
        Self {
            dir,
            cgroup,
            config,
            stdin: StdinMode::Closed,
            log,
            exit_command: Vec::new(),
            restarts: None,
            health: None,
            failpoint: None,
            sealed: false,
        }
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub fn record_dir(&self) -> PathBuf {
        self.dir.join("record")
    }

    pub fn launch(&self) -> Result<(Client, Started), LaunchError> {
        fs::write(self.dir.join("bundle/config.json"), self.config.to_string()).unwrap();
        shim::launch(Launch {
            id: base::ContainerId::parse(ID).unwrap(),
            exe: self.exe(),
            state_dir: self.state_dir(),
            record_dir: self.record_dir(),
            runtime_root: self.dir.join("runtime"),
            bundle: self.dir.join("bundle"),
            rootfs: self
                .sealed
                .then(|| sys::mount::clone_path(&self.dir.join("bundle/rootfs"), true).unwrap()),
            stdin: self.stdin,
            log: self.log.clone(),
            exit_command: self.exit_command.clone(),
            restarts: self.restarts,
            health: self.health,
            no_pivot: false,
            systemd_cgroup: false,
            failpoint: self.failpoint.clone(),
        })
    }

    fn exe(&self) -> ShimExe {
        let path = testkit::bin("strake-shim");
        if self.sealed { ShimExe::Fd(sys::exe::sealed_of(&path).unwrap()) } else { ShimExe::Path(path) }
    }

    /// Launched and started.
    pub fn run(&self) -> (Client, Started) {
        let (mut client, started) = self.launch().unwrap();
        client.start().unwrap();
        (client, started)
    }

    /// Runs to its end.
    pub fn finish(&self) -> Exit {
        self.run().0.wait().unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.state_dir()).unwrap()
    }

    pub fn adopt(&self) -> Result<Adopted, LaunchError> {
        shim::adopt(Adopt { exe: self.exe(), state_dir: self.state_dir(), failpoint: None })
    }

    pub fn adopt_alive(&self) -> (Client, Started) {
        match self.adopt().unwrap() {
            Adopted::Alive(client, started) => (client, started),
            Adopted::Ended(exit) => panic!("should live, but ended: {exit:?}"),
        }
    }

    pub fn log_entries(&self) -> Vec<LogEntry> {
        let mut reader = LogReader::open(&self.log.path, &self.record_dir(), LogOptions::default()).unwrap();
        std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
    }

    /// All text of the log, both streams.
    pub fn log_text(&self) -> String {
        self.log_entries().into_iter().map(|entry| entry.text).collect()
    }

    pub fn wait_for_log(&self, text: &str) {
        let found = wait_until(Duration::from_secs(20), || self.log_text().contains(text));
        assert!(found, "log never had {text:?}: {:?}", self.log_text());
    }

    /// The record, as soon as it is there.
    pub fn wait_for_record(&self) -> Exit {
        testkit::wait_for("the exit record", || Exit::read(&self.record_dir()).unwrap())
    }

    /// Nothing of the container is left but record and log.
    pub fn assert_clean(&self) {
        let clean = wait_until(Duration::from_secs(10), || self.left_over().is_empty());
        assert!(clean, "left over: {:?}", self.left_over());
    }

    fn left_over(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for name in ["state", "runtime"] {
            let entries = fs::read_dir(self.dir.join(name)).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| format!("{name}/{}", entry.file_name().display())));
        }
        found.retain(|name| name != "state/shim.lock" && name != "state/shim.json");
        for controller in ["memory", "pids"] {
            let dir = self.cgroup.dir(controller).join(ID);
            found.extend(dir.exists().then(|| dir.display().to_string()));
        }
        found
    }
}

/// A small configuration of docker's kind.
fn config(args: &[&str], cgroup: &str) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "ship",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "uts" }, { "type": "ipc" },
            ],
            "resources": {},
        },
    })
}

/// Kills a process and waits until it holds nothing more: it is a zombie, or gone.
pub fn kill(pid: i32) {
    sys::signal::kill(pid, sys::Signal::KILL).unwrap();
    let ended = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    };
    assert!(wait_until(Duration::from_secs(10), ended), "{pid} lives");
}

/// Kills a shim and waits until it is dead: its connections are closed, its lock is free.
pub fn kill_shim(rig: &Rig, started: &Started) {
    kill(started.shim_pid);
    assert!(wait_until(Duration::from_secs(10), || !shim::is_alive(&rig.state_dir())), "the shim lives");
}

pub fn read_all(fd: Option<OwnedFd>) -> String {
    let mut text = Vec::new();
    fs::File::from(fd.unwrap()).read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

pub fn outputs() -> StreamSet {
    StreamSet { stdin: false, ..StreamSet::ALL }
}

pub fn output_of(attached: Attached) -> String {
    read_all(attached.stdout)
}

/// Whether a process is there and not a zombie.
pub fn is_running(pid: i32) -> bool {
    sys::process::ProcStat::read(pid).is_ok_and(|stat| !stat.is_zombie())
}
