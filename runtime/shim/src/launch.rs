//! Starting a shim, for a new container or for one whose shim is gone.
//!
//! The shim is executed by path or from a sealed descriptor, gets a socket as its stdin
//! and everything else as messages on it, so nothing is inherited by accident. It forks
//! once and leaves our session; the socket then serves as the first client connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base::{Classified, ContainerId, ErrorClass};

use crate::Exit;
use crate::client::{Client, ClientError};
use crate::health::HealthCheck;
use crate::protocol::{AdoptSetup, Call, LogConfig, Setup, Started, StdinMode};
use crate::restart::Restarts;

/// Where the shim's program is.
#[derive(Debug)]
pub enum ShimExe {
    /// At a path.
    Path(PathBuf),
    /// In a descriptor that nobody can write through: from a read-only mount, or a sealed memfd.
    Fd(OwnedFd),
}

/// A container to make.
#[derive(Debug)]
pub struct Launch {
    /// The container.
    pub id: ContainerId,
    /// The shim's program.
    pub exe: ShimExe,
    /// Where socket, FIFOs and `shim.json` go: `<state>/containers/<id>`. Made if missing (0700).
    pub state_dir: PathBuf,
    /// Where `exit.json` goes: `<root>/containers/<id>`. Must exist.
    pub record_dir: PathBuf,
    /// Where the runtime keeps its state, one directory a container.
    pub runtime_root: PathBuf,
    /// Directory with `config.json`. `process.terminal` there decides about a terminal.
    pub bundle: PathBuf,
    /// The root filesystem as a detached mount; `None`: the bundle's `root.path`.
    pub rootfs: Option<OwnedFd>,
    /// What the container's stdin is.
    pub stdin: StdinMode,
    /// Where output goes.
    pub log: LogConfig,
    /// Command and arguments to run after the end, unless a client holds the cleanup.
    pub exit_command: Vec<String>,
    /// When the exit command is to start it again.
    pub restarts: Option<Restarts>,
    /// How its health is checked; `probe.json` in the state directory has the process.
    pub health: Option<HealthCheck>,
    /// Use `MS_MOVE` instead of `pivot_root(2)`.
    pub no_pivot: bool,
    /// Cgroups by systemd.
    pub systemd_cgroup: bool,
    /// For tests: the failpoint that the shim arms (`name` or `name:skip`).
    pub failpoint: Option<String>,
}

/// A container whose shim is gone.
#[derive(Debug)]
pub struct Adopt {
    /// The shim's program.
    pub exe: ShimExe,
    /// The state directory given at launch.
    pub state_dir: PathBuf,
    /// For tests: the failpoint that the shim arms.
    pub failpoint: Option<String>,
}

/// A shim could not be started, or could not make its container.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program does not run.
    #[error("start the shim {exe}")]
    Spawn {
        /// The program.
        exe: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket to it could not be made.
    #[error("make the launch socket")]
    Socket(#[source] io::Error),
    /// The shim refused, or died.
    #[error(transparent)]
    Shim(ClientError),
}

impl LaunchError {
    /// docker's exit status for it: 126 or 127 when the command was at fault, otherwise 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Shim(error) => error.exit_code().unwrap_or(125),
            _ => 125,
        }
    }
}

impl Classified for LaunchError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Spawn { source, .. } | Self::Socket(source) => ErrorClass::of_io(source),
            Self::Shim(error) => error.class(),
        }
    }
}

/// Starts a shim and has it create the container. Init then waits at the start gate
/// (attach the network now), and [`Client::start`] opens it.
pub fn launch(launch: Launch) -> Result<(Client, Started), LaunchError> {
    let mut client = spawn(&launch.exe, launch.failpoint.as_deref())?;
    let setup = Setup {
        id: launch.id,
        state_dir: launch.state_dir,
        record_dir: launch.record_dir,
        runtime_root: launch.runtime_root,
        bundle: launch.bundle,
        rootfs_sent: launch.rootfs.is_some(),
        stdin: launch.stdin,
        log: launch.log,
        exit_command: launch.exit_command,
        no_pivot: launch.no_pivot,
        systemd_cgroup: launch.systemd_cgroup,
        restarts: launch.restarts,
        health: launch.health,
    };
    let fds: Vec<BorrowedFd<'_>> = launch.rootfs.iter().map(AsFd::as_fd).collect();
    let started = client.ready(Call::Setup(Box::new(setup)), &fds).map_err(LaunchError::Shim)?;
    Ok((client, started))
}

/// What became of a container whose shim was killed.
#[derive(Debug)]
pub enum Adopted {
    /// It lives, and has a shim again.
    Alive(Client, Started),
    /// It has ended. The record is written and the runtime's remains are gone; the exit
    /// command was not run, and the caller cleans up, unless a restart follows: then it was.
    Ended(Exit),
}

/// Starts a shim for a container whose own was killed: it takes over log, signals and exit.
/// Fails with class `conflict` while the old shim lives, and with `not_found` when the state
/// directory has no record of a shim.
pub fn adopt(adopt: Adopt) -> Result<Adopted, LaunchError> {
    let mut client = spawn(&adopt.exe, adopt.failpoint.as_deref())?;
    let call = Call::Adopt(AdoptSetup { state_dir: adopt.state_dir });
    match client.adopted(call).map_err(LaunchError::Shim)? {
        Ok(started) => Ok(Adopted::Alive(client, started)),
        Err(exit) => Ok(Adopted::Ended(exit)),
    }
}

/// Whether a shim lives for this state directory. Free of races only for the holder of
/// the container's own lock.
pub fn is_alive(state_dir: &Path) -> bool {
    use rustix::fs::{Mode, OFlags};
    let path = state_dir.join(crate::paths::LOCK);
    let Ok(lock) = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
}

fn spawn(exe: &ShimExe, failpoint: Option<&str>) -> Result<Client, LaunchError> {
    let (ours, theirs) = sys::fdpass::stream_pair().map_err(LaunchError::Socket)?;
    let program = match exe {
        ShimExe::Path(path) => path.clone(),
        // Closed by the exec itself: the kernel has opened the program by then.
        ShimExe::Fd(fd) => PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
    };
    let mut command = Command::new(&program);
    command.arg0("strake-shim").arg("serve").env_clear();
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("STRAKE_FAILPOINT", failpoint);
    }
    let failed = |source| LaunchError::Spawn { exe: program.display().to_string(), source };
    let mut child = command.spawn().map_err(failed)?;
    drop(command); // our copy of their end
    // It forks at once and its first process ends, so this does not wait for the container.
    child.wait().map_err(failed)?;
    Ok(Client::over(ours))
}
