//! Making a new container.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use base::{Classified, ErrorClass};
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::Begun;
use super::container::{Bundle, Container};
use super::ending::remove_traces;
use super::keeper;
use super::state_file::ShimState;
use super::stdio::{self, OurEnds};
use super::supervisor::{Assembled, Supervisor};
use crate::Exit;
use crate::log::LogWriter;
use crate::paths;
use crate::protocol::{Failure, Setup, Started, StdinMode};

/// A lock attempt may meet a probe ([`crate::is_alive`]), which holds it for microseconds.
const LOCK_TRIES: u32 = 20;

/// Makes the container and what watches it. What fails leaves nothing in the state
/// directory but the lock's file.
pub(super) fn begin(setup: Setup, fds: Vec<OwnedFd>) -> Result<Begun, Failure> {
    let dir = setup.state_dir.clone();
    make_private_dir(&dir).map_err(failed("make state directory", &dir))?;
    let lock = lock(&dir)?;
    make(setup, fds, lock).inspect_err(|_| {
        remove_traces(&dir);
        remove_state(&dir);
    })
}

fn remove_state(dir: &Path) {
    let _ = fs::remove_file(dir.join(paths::SHIM_FILE));
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let place = format!("{what} {}", path.display());
    move |e| Failure::new(e.class(), format!("{place}: {e}"))
}

fn make(setup: Setup, fds: Vec<OwnedFd>, lock: OwnedFd) -> Result<Begun, Failure> {
    // What an earlier run has left would be taken for ours by an adoption.
    remove_state(&setup.state_dir);
    Exit::forget(&setup.record_dir).map_err(|e| Failure::of(e.class(), &e))?;
    let bundle = Bundle::read(&setup)?;
    let mut fds = fds.into_iter();
    let rootfs = if setup.rootfs_sent { Some(sent_rootfs(&mut fds)?) } else { None };
    let log = LogWriter::open(setup.log.clone()).map_err(failed("open log", &setup.log.path))?;
    let fifos = if bundle.terminal {
        None
    } else {
        let made = stdio::make_fifos(&setup.state_dir, setup.stdin);
        Some(made.map_err(failed("make FIFOs in", &setup.state_dir))?)
    };
    let (ours, theirs) = fifos.unzip();
    let (container, created) = Container::create(&setup, &bundle, rootfs, theirs)?;
    let mut state = ShimState::new(setup, container.pid, created.start_time);
    state.terminal = bundle.terminal;
    state.own_pid_namespace = container.own_pid_namespace;
    drop(bundle);
    let ends = match (ours, created.console) {
        (Some(ours), _) => Ok(ours),
        (None, Some(master)) => terminal_ends(master, state.setup.stdin),
        (None, None) => Err(io::ErrorKind::NotFound.into()),
    };
    let mut warnings = created.warnings;
    let assembled = ends.and_then(|ends| {
        if state.terminal {
            let kept = keeper::start(&ends.stdout, state.pid, state.start_time);
            state.keeper = kept.inspect_err(|e| warnings.push(format!("{NO_KEEPER}: {e}"))).ok();
        }
        state.write()?;
        base::failpoint::hit("shim.created");
        Assembled::new(ends, &state, log, lock)
    });
    match assembled {
        Ok(assembled) => {
            let started = started(&state, warnings);
            Ok(Begun::Watching(Box::new(Supervisor::new(container, state, assembled)), started))
        }
        Err(error) => {
            let _ = container.kill_hard();
            let _ = sys::process::wait_pidfd(&container.pidfd);
            let _ = container.delete();
            Err(Failure::new(error.class(), format!("prepare to watch container {}: {error}", container.id)))
        }
    }
}

const NO_KEEPER: &str = "no process keeps the terminal open should the shim be killed";

/// The answer to the launcher.
pub(super) fn started(state: &ShimState, warnings: Vec<String>) -> Started {
    Started { pid: state.pid, start_time: state.start_time, shim_pid: state.shim_pid, warnings }
}

fn sent_rootfs(fds: &mut impl Iterator<Item = OwnedFd>) -> Result<OwnedFd, Failure> {
    fds.next()
        .ok_or_else(|| Failure::new(ErrorClass::Invalid, "the root filesystem's descriptor was not sent"))
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Takes the lock that says that a shim lives.
pub(super) fn lock(state_dir: &Path) -> Result<OwnedFd, Failure> {
    let path = state_dir.join(paths::LOCK);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let failed = |e: rustix::io::Errno| {
        let e = io::Error::from(e);
        Failure::new(e.class(), format!("lock {}: {e}", path.display()))
    };
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
    let mut tries = LOCK_TRIES;
    loop {
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) if tries > 0 => {
                tries -= 1;
                let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
                let _ = rustix::event::poll(&mut [], Some(&pause));
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                let text = format!("a shim lives for {} already: use it", state_dir.display());
                return Err(Failure::new(ErrorClass::Conflict, text));
            }
            Err(errno) => return Err(failed(errno)),
        }
    }
}

/// A terminal's master as our ends.
pub(super) fn terminal_ends(master: OwnedFd, stdin: StdinMode) -> io::Result<OurEnds> {
    stdio::set_nonblocking(&master)?;
    let stdin = if stdin == StdinMode::Closed { None } else { Some(master.try_clone()?) };
    Ok(OurEnds { stdin, stdout: master, stderr: None })
}
