//! The built `strake` with a data root of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{CgroupSubtree, Output, TempDir, bin, run};

/// A host as a user has it: `strake` with its own data and state directories and its own parent
/// cgroup. On drop every container is removed by force.
#[derive(Debug)]
pub struct Strake {
    exe: PathBuf,
    cgroup: CgroupSubtree,
    home: TempDir,
}

impl Strake {
    /// An empty host.
    pub fn new() -> Self {
        Self { exe: bin("strake"), cgroup: CgroupSubtree::new("engine"), home: TempDir::new() }
    }

    /// The command `strake ARGS` on this host, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.exe);
        command
            .arg("--root")
            .arg(self.root())
            .arg("--state")
            .arg(self.state())
            .env("HOME", self.home.path())
            .env("DOCKER_CONFIG", self.home.join("docker"))
            .stdin(Stdio::null());
        // `ns run` and `volume create` are other verbs.
        let verb = if args.first() == Some(&"container") { 1 } else { 0 };
        for (at, arg) in args.iter().enumerate() {
            command.arg(arg);
            if at == verb && matches!(*arg, "run" | "create") {
                command.args(["--cgroup-parent", self.cgroup.path()]);
            }
        }
        command
    }

    /// Runs `strake ARGS` to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    /// Runs `strake ARGS`, which must succeed; its standard output without white space around.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok().to_owned()
    }

    /// Starts `strake ARGS` and goes on; killed on drop.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn background(&self, args: &[&str]) -> Background {
        Background::of(&mut self.command(args))
    }

    /// Persistent data (`--root`).
    pub fn root(&self) -> PathBuf {
        self.home.join("root")
    }

    /// State that a reboot clears (`--state`).
    pub fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// A directory for the test's own files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The parent of all containers' cgroups.
    pub fn cgroup(&self) -> &CgroupSubtree {
        &self.cgroup
    }

    /// The main executable.
    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// Imports the busybox image as `busybox`.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn with_busybox(self) -> Self {
        let rootfs = crate::images::busybox_tar();
        self.ok(&["import", "--change", "CMD [\"/bin/sh\"]", &rootfs.to_string_lossy(), "busybox"]);
        self
    }
}

impl Default for Strake {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Strake {
    fn drop(&mut self) {
        let ids = self.run(&["ps", "-aq"]);
        let mut rm = vec!["rm", "-f", "-v"];
        rm.extend(ids.stdout.split_whitespace());
        if rm.len() > 3 {
            self.run(&rm);
        }
    }
}

/// A command in the background; killed on drop.
#[derive(Debug)]
pub struct Background(Option<Child>);

impl Background {
    /// Starts a command with pipes for what it says.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn of(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strake starts");
        Self(Some(child))
    }

    /// Its process id on the host.
    ///
    /// # Panics
    /// Never before [`Background::wait`], which takes it.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// The process, for signals and pipes.
    ///
    /// # Panics
    /// Never: only [`Background::wait`] and drop take it.
    pub fn child(&self) -> &Child {
        self.0.as_ref().expect("taken only by wait")
    }

    /// The process, for its pipes.
    ///
    /// # Panics
    /// Never: only [`Background::wait`] and drop take it.
    pub fn child_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("taken only by wait")
    }

    /// Waits for its end and takes what it said.
    ///
    /// # Panics
    /// When its pipes cannot be read.
    pub fn wait(mut self) -> std::process::Output {
        self.0.take().expect("taken once").wait_with_output().expect("its pipes")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
