//! Out-of-memory events of a cgroup, as a descriptor that can be polled.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::stats::table;

/// A subscription. The descriptor is readable when something happened; then
/// [`OomWatch::events`] says what.
#[derive(Debug)]
pub struct OomWatch {
    descriptor: OwnedFd,
    /// The file with the `oom_kill` counter.
    counter: PathBuf,
    /// v2 tells of any change in that file, as of a limit that was met.
    tells_all: bool,
    kills_told: u64,
}

/// What happened since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomEvents {
    /// Processes killed. v1 tells about the lack of memory *before* it kills, so this may
    /// still be 0 at the first event: [`OomWatch::kills`] has the truth when the container
    /// has ended.
    pub kills: u64,
    /// Memory is short: on v1 something was killed or may be next, on v2 something was killed.
    pub out_of_memory: bool,
    /// The cgroup has been removed: there will be no more events.
    pub gone: bool,
}

impl Cgroup {
    /// Subscribes to out-of-memory events: v1 by an eventfd, v2 by inotify(7) on
    /// `memory.events`. Events before this count as told.
    pub fn watch_oom(&self) -> Result<OomWatch, Error> {
        if let Some(dir) = self.v1_dir("memory") {
            let counter = dir.join("memory.oom_control");
            let descriptor = subscribe_v1(dir.join("cgroup.event_control"), &counter)
                .map_err(|source| Error::Watch { path: counter.clone(), source })?;
            return Ok(OomWatch::new(descriptor, counter, false));
        }
        let counter = self.v2_dir().map(|dir| dir.join("memory.events")).filter(|path| path.exists());
        let Some(counter) = counter else { return Err(Error::NoMemory { cgroup: self.path().to_owned() }) };
        let descriptor =
            subscribe_v2(&counter).map_err(|source| Error::Watch { path: counter.clone(), source })?;
        Ok(OomWatch::new(descriptor, counter, true))
    }
}

impl OomWatch {
    fn new(descriptor: OwnedFd, counter: PathBuf, tells_all: bool) -> Self {
        let mut watch = Self { descriptor, counter, tells_all, kills_told: 0 };
        watch.kills_told = watch.kills().unwrap_or(0);
        watch
    }

    /// Empties the descriptor and says what happened. Does not block.
    pub fn events(&mut self) -> OomEvents {
        let mut buffer = [0u8; 1024];
        // An eventfd gives one number and then EAGAIN, inotify as many records as fit.
        let mut told = false;
        while rustix::io::read(&self.descriptor, &mut buffer).is_ok_and(|length| length > 0) {
            told = true;
        }
        let Some(kills) = self.kills() else { return OomEvents { gone: true, ..OomEvents::default() } };
        let new = kills.saturating_sub(self.kills_told);
        self.kills_told = kills;
        OomEvents { kills: new, out_of_memory: new > 0 || (told && !self.tells_all), gone: false }
    }

    /// All kills since the cgroup was made, `None` when it is gone.
    pub fn kills(&self) -> Option<u64> {
        self.counter.exists().then(|| table(&self.counter).get("oom_kill").copied().unwrap_or(0))
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control".
fn subscribe_v1(event_control: PathBuf, oom_control: &PathBuf) -> io::Result<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = rustix::fs::open(oom_control, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    fs::write(event_control, format!("{} {}", event.as_raw_fd(), control.as_raw_fd()))?;
    Ok(event)
}

fn subscribe_v2(events: &PathBuf) -> io::Result<OwnedFd> {
    let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&descriptor, events, WatchFlags::MODIFY | WatchFlags::DELETE_SELF)
        .map_err(|errno: Errno| io::Error::from(errno))?;
    Ok(descriptor)
}
