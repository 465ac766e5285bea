//! The processes in a cgroup: which they are, freezing, thawing and killing them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::error::Error;

/// Whether the processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FreezerState {
    /// They run.
    Thawed,
    /// They stand still.
    Frozen,
    /// On their way to stand still.
    Freezing,
}

/// How a cgroup is frozen.
enum Freezer<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

impl Cgroup {
    /// Every process in it and in the cgroups below it, in order.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        // All hierarchies hold the same processes, unless somebody moved one in one of them.
        let Some(dir) = self.primary() else { return Ok(Vec::new()) };
        let mut pids = BTreeSet::new();
        collect(dir, &mut pids).map_err(|source| Error::Read { path: dir.join("cgroup.procs"), source })?;
        Ok(pids.into_iter().collect())
    }

    /// The hierarchy that is asked for processes.
    fn primary(&self) -> Option<&Path> {
        ["pids", "freezer", "memory", "name=systemd"]
            .iter()
            .find_map(|controller| self.v1_dir(controller))
            .or_else(|| self.v2_dir())
            .or_else(|| self.dirs().next())
    }

    fn freezer(&self) -> Result<Freezer<'_>, Error> {
        if let Some(dir) = self.v1_dir("freezer") {
            return Ok(Freezer::V1(dir));
        }
        // Since Linux 5.2; it needs no controller.
        match self.v2_dir() {
            Some(dir) => Ok(Freezer::V2(dir)),
            None => Err(Error::NoFreezer { cgroup: self.path().to_owned() }),
        }
    }

    /// Stops every process, and returns when they stand still.
    pub fn freeze(&self) -> Result<(), Error> {
        let deadline = Instant::now() + FREEZE_LIMIT;
        let frozen = match self.freezer()? {
            Freezer::V1(dir) => freeze_v1(dir, deadline)?,
            Freezer::V2(dir) => {
                write(&dir.join("cgroup.freeze"), "1")?;
                wait_for_event(dir, "frozen 1", deadline)?
            }
        };
        if frozen {
            return Ok(());
        }
        self.thaw()?;
        let dir = self.primary().unwrap_or(Path::new("")).to_owned();
        Err(Error::FreezeTimeout { path: dir, seconds: FREEZE_LIMIT.as_secs() })
    }

    /// Lets every process go on.
    pub fn thaw(&self) -> Result<(), Error> {
        match self.freezer()? {
            Freezer::V1(dir) => write(&dir.join("freezer.state"), "THAWED"),
            Freezer::V2(dir) => write(&dir.join("cgroup.freeze"), "0"),
        }
    }

    /// Whether its processes stand still.
    pub fn freezer_state(&self) -> Result<FreezerState, Error> {
        match self.freezer()? {
            Freezer::V1(dir) => state_v1(dir),
            Freezer::V2(dir) => {
                let asked = read(&dir.join("cgroup.freeze"))?.trim() == "1";
                let events = read(&dir.join("cgroup.events"))?;
                Ok(match (asked, events.lines().any(|line| line == "frozen 1")) {
                    (false, _) => FreezerState::Thawed,
                    (true, true) => FreezerState::Frozen,
                    (true, false) => FreezerState::Freezing,
                })
            }
        }
    }

    /// Kills every process in it and below it, also frozen ones, and those that are forked
    /// meanwhile. They may still be dying when it returns; [`Cgroup::remove`] waits.
    pub fn kill_all(&self) -> Result<(), Error> {
        // Since Linux 5.14, atomic; in hybrid, too, since v2 has the same processes.
        let killed_v2 = self.v2_dir().is_some_and(|dir| fs::write(dir.join("cgroup.kill"), "1").is_ok());
        if killed_v2 && self.v1().is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + KILL_LIMIT;
        // A pass sees what the pass before has not killed: processes that forked, or that
        // are only in v1. After cgroup.kill there is usually nothing.
        loop {
            let pids = self.pids().or_else(ignore_missing)?;
            if pids.into_iter().all(is_dying) || Instant::now() > deadline {
                // v1's frozen processes die when they thaw.
                self.thaw_v1();
                return Ok(());
            }
            self.kill_pass()?;
        }
    }

    /// Freezes, kills and thaws. Frozen processes cannot fork, and their ids cannot be
    /// given to others.
    fn kill_pass(&self) -> Result<(), Error> {
        let frozen = match self.v1_dir("freezer") {
            Some(dir) => freeze_v1(dir, Instant::now() + KILL_FREEZE_LIMIT)?,
            None => false,
        };
        let killed = self.pids().or_else(ignore_missing)?.into_iter().try_for_each(|pid| self.kill(pid));
        if frozen {
            self.thaw_v1();
        }
        killed
    }

    fn kill(&self, pid: i32) -> Result<(), Error> {
        // 0 is a process of a pid namespace that we cannot see.
        let Some(target) = Pid::from_raw(pid) else { return Ok(()) };
        match kill_process(target, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::Kill { pid, cgroup: self.path().to_owned(), source: errno.into() }),
        }
    }

    fn thaw_v1(&self) {
        if let Some(dir) = self.v1_dir("freezer") {
            // Without freezer.state it is gone, and nothing is frozen.
            let _ = fs::write(dir.join("freezer.state"), "THAWED");
        }
    }
}

fn freeze_v1(dir: &Path, deadline: Instant) -> Result<bool, Error> {
    for turn in 1u32.. {
        write(&dir.join("freezer.state"), "FROZEN")?;
        if state_v1(dir)? == FreezerState::Frozen {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        // A process that forks or waits for another frozen one may need to move on before
        // all of them can stop.
        if turn.is_multiple_of(FREEZE_TURNS) {
            write(&dir.join("freezer.state"), "THAWED")?;
        }
        std::thread::sleep(FREEZE_PAUSE);
    }
    Ok(false)
}

fn state_v1(dir: &Path) -> Result<FreezerState, Error> {
    Ok(match read(&dir.join("freezer.state"))?.trim() {
        "FROZEN" => FreezerState::Frozen,
        "FREEZING" => FreezerState::Freezing,
        _ => FreezerState::Thawed,
    })
}

/// Waits until `cgroup.events` has `line`; the kernel wakes a poll for POLLPRI at every
/// change. False at the deadline.
pub(crate) fn wait_for_event(dir: &Path, line: &str, deadline: Instant) -> Result<bool, Error> {
    let path = dir.join("cgroup.events");
    let failed = |source: io::Error| Error::Read { path: path.clone(), source };
    let file = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed(e.into()))?;
    loop {
        let mut buffer = [0u8; 256];
        let length = rustix::io::pread(&file, &mut buffer, 0).map_err(|e| failed(e.into()))?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        if text.lines().any(|have| have == line) {
            return Ok(true);
        }
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(false) };
        let timeout =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) as _ };
        match poll(&mut [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

/// Processes in `dir` and below; none where it cannot be read.
pub(crate) fn count_below(dir: &Path) -> usize {
    let mut pids = BTreeSet::new();
    let _ = collect(dir, &mut pids);
    pids.len()
}

/// Processes in `dir` and below. A cgroup that goes away meanwhile has none.
pub(crate) fn collect(dir: &Path, pids: &mut BTreeSet<i32>) -> io::Result<()> {
    let gone = |error: &io::Error| {
        let errno = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        // ENODEV: the directory was removed while the file was open. EOPNOTSUPP: a threaded
        // cgroup, whose processes its domain lists.
        matches!(
            errno,
            Some(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV | rustix::io::Errno::OPNOTSUPP)
        )
    };
    match fs::read_to_string(dir.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(error) if gone(&error) => {}
        Err(error) => return Err(error),
    }
    children(dir).iter().try_for_each(|child| collect(child, pids))
}

/// The cgroups directly below.
pub(crate) fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_dir).map(|entry| entry.path()).collect()
}

/// Whether a process has been killed already and only needs time: no process any more, a
/// zombie, or SIGKILL pending.
fn is_dying(pid: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    if field("State:").starts_with(['Z', 'X']) {
        return true;
    }
    let kill_bit = 1u64 << (Signal::KILL.as_raw() - 1);
    ["SigPnd:", "ShdPnd:"]
        .iter()
        .any(|name| u64::from_str_radix(field(name), 16).is_ok_and(|pending| pending & kill_bit != 0))
}

fn ignore_missing(error: Error) -> Result<Vec<i32>, Error> {
    match error {
        Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        error => Err(error),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn write(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(|source| Error::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// How long a process in an uninterruptible wait is waited for.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);
/// How long [`Cgroup::kill_all`] goes on against processes that fork.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How long a pass waits for the processes to stand still before it kills them anyway.
const KILL_FREEZE_LIMIT: Duration = Duration::from_millis(200);
/// v1 says nothing when a cgroup is frozen: it has to be asked again.
const FREEZE_PAUSE: Duration = Duration::from_millis(1);
/// After so many questions the processes get to run a little.
const FREEZE_TURNS: u32 = 50;
