//! `epoll(7)` with a typed token for each source.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// What may wake the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A client connects.
    Listener,
    /// SIGCHLD, and signals that we note and ignore.
    Signals,
    /// Init has ended.
    Init,
    /// The grace time of a stop has run out.
    Grace,
    /// The container wrote: 0 stdout or the terminal, 1 stderr.
    Output(u32),
    /// The container's stdin takes more.
    Stdin,
    /// A client's connection.
    Connection(u32),
    /// A client's output pipe takes more, or was closed: twice the attachment and the stream.
    ClientOutput(u32),
    /// A client's input pipe has more, or was closed.
    ClientInput(u32),
    /// The terminal of an exec process to which nobody listens.
    ExecConsole(u32),
    /// The time of a restart.
    Restart,
    /// The time of a health check, or the end of its time.
    Probe,
    /// A health check wrote something.
    ProbeOutput,
    /// The container is out of memory, or its memory cgroup is gone.
    Memory,
    /// The time of another look at that.
    MemoryAgain,
}

impl Source {
    fn token(self) -> u64 {
        let (kind, index) = match self {
            Self::Listener => (0, 0),
            Self::Signals => (1, 0),
            Self::Init => (2, 0),
            Self::Grace => (3, 0),
            Self::Output(index) => (4, index),
            Self::Stdin => (5, 0),
            Self::Connection(index) => (6, index),
            Self::ClientOutput(index) => (7, index),
            Self::ClientInput(index) => (8, index),
            Self::ExecConsole(index) => (9, index),
            Self::Restart => (10, 0),
            Self::Probe => (11, 0),
            Self::ProbeOutput => (12, 0),
            Self::Memory => (13, 0),
            Self::MemoryAgain => (14, 0),
        };
        (kind << 32) | u64::from(index)
    }

    fn of_token(token: u64) -> Option<Self> {
        let index = token as u32;
        Some(match token >> 32 {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Init,
            3 => Self::Grace,
            4 => Self::Output(index),
            5 => Self::Stdin,
            6 => Self::Connection(index),
            7 => Self::ClientOutput(index),
            8 => Self::ClientInput(index),
            9 => Self::ExecConsole(index),
            10 => Self::Restart,
            11 => Self::Probe,
            12 => Self::ProbeOutput,
            13 => Self::Memory,
            14 => Self::MemoryAgain,
            _ => return None,
        })
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) source: Source,
    pub(super) flags: EventFlags,
}

/// The epoll instance.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    pub(super) fn add(&self, fd: impl AsFd, source: Source, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(source.token()), flags)?)
    }

    pub(super) fn change(&self, fd: impl AsFd, source: Source, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(source.token()), flags)?)
    }

    /// Forgets a source; one that is not there is fine.
    pub(super) fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits until something happens, or the time has passed. A few at a time: handling one
    /// may make another moot.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<Vec<Ready>> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        let mut space = [const { MaybeUninit::<Event>::uninit() }; 8];
        let (events, _) = loop {
            match epoll::wait(&self.epoll, &mut space, limit.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        let ready = |event: &Event| {
            Source::of_token(event.data.u64()).map(|source| Ready { source, flags: event.flags })
        };
        Ok(events.iter().filter_map(ready).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let all = [
            Source::Listener,
            Source::Signals,
            Source::Init,
            Source::Grace,
            Source::Output(1),
            Source::Stdin,
            Source::Connection(7),
            Source::ClientOutput(u32::MAX),
            Source::ClientInput(0),
            Source::ExecConsole(4),
            Source::Restart,
            Source::Probe,
            Source::ProbeOutput,
            Source::Memory,
            Source::MemoryAgain,
        ];
        for source in all {
            assert_eq!(Source::of_token(source.token()), Some(source));
        }
        assert_eq!(Source::of_token(u64::MAX), None);
    }
}
