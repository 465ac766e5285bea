//! Exec processes: our children too, but their stdio goes straight to the client.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use base::ErrorClass;
use rustix::event::epoll::EventFlags;
use sys::{ExitStatus, Signal};

use super::container::Container;
use super::poller::{Poller, Source};
use super::stdio::{TheirEnds, set_nonblocking};
use crate::protocol::{Exec, ExecEnd, Failure, StreamSet};

/// Ends that are kept for a late question.
const ENDED_KEPT: usize = 64;

#[derive(Debug)]
struct Running {
    pid: i32,
    pidfd: OwnedFd,
    /// The terminal of one to which nobody listens.
    console: Option<OwnedFd>,
    /// What it is called in events.
    exec_id: Option<String>,
}

/// The end of one.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) session: u64,
    pub(super) end: ExecEnd,
    /// What it is called in events.
    pub(super) exec_id: Option<String>,
}

/// All exec processes of the container.
#[derive(Debug, Default)]
pub(super) struct Execs {
    running: BTreeMap<u64, Running>,
    ended: BTreeMap<u64, ExecEnd>,
    last: u64,
}

impl Execs {
    /// Runs a process: its number, its id, and its terminal's master for the client.
    pub(super) fn run(
        &mut self,
        container: &Container,
        exec: Exec,
        fds: Vec<OwnedFd>,
        poller: &Poller,
    ) -> Result<(u64, i32, Option<OwnedFd>), Failure> {
        let (detached, exec_id) = (exec.detached, exec.exec_id.clone());
        let terminal = exec.process["terminal"].as_bool().unwrap_or(false);
        let stdio = if terminal { None } else { Some(ends(exec.streams, fds)?) };
        let created = container.exec(exec, stdio)?;
        self.last += 1;
        let session = self.last;
        let (mut ours, mut theirs) = (None, None);
        match created.console {
            Some(console) if detached => {
                let _ = set_nonblocking(&console);
                let _ = poller.add(&console, Source::ExecConsole(session as u32), EventFlags::IN);
                ours = Some(console);
            }
            console => theirs = console,
        }
        let running = Running { pid: created.pid, pidfd: created.pidfd, console: ours, exec_id };
        self.running.insert(session, running);
        Ok((session, created.pid, theirs))
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether none runs.
    pub(super) fn all_ended(&self) -> bool {
        self.running.is_empty()
    }

    /// The end of a process, if it has come. A failure: there is no such process.
    pub(super) fn end_of(&self, session: u64) -> Result<Option<ExecEnd>, Failure> {
        match self.ended.get(&session) {
            Some(end) => Ok(Some(*end)),
            None if self.running.contains_key(&session) => Ok(None),
            None => Err(unknown(session)),
        }
    }

    pub(super) fn kill(&self, session: u64, signal: Signal) -> Result<(), Failure> {
        let running = self.running.get(&session).ok_or_else(|| unknown(session))?;
        sys::pidfd::send_signal(&running.pidfd, signal).map_err(|e| {
            Failure::new(ErrorClass::of_io(&e), format!("send {signal} to exec process {session}: {e}"))
        })
    }

    /// Reaps those that have ended.
    pub(super) fn reap(&mut self) -> Vec<Ended> {
        let status = |running: &Running| sys::process::try_wait_pidfd(&running.pidfd).ok().flatten();
        let ended: Vec<_> =
            self.running.iter().filter_map(|(session, running)| Some((*session, status(running)?))).collect();
        ended.into_iter().map(|(session, status)| self.note_end(session, status)).collect()
    }

    /// Takes note of an end that was met while reaping orphans.
    pub(super) fn ended(&mut self, pid: i32, status: ExitStatus) -> Option<Ended> {
        let session = *self.running.iter().find(|(_, running)| running.pid == pid)?.0;
        Some(self.note_end(session, status))
    }

    fn note_end(&mut self, session: u64, status: ExitStatus) -> Ended {
        let exec_id = self.running.remove(&session).and_then(|running| running.exec_id);
        let end = ExecEnd { code: status.shell_code(), signal: status.signal().map(Signal::number) };
        self.ended.insert(session, end);
        if self.ended.len() > ENDED_KEPT {
            self.ended.pop_first();
        }
        Ended { session, end, exec_id }
    }

    /// Throws away what a process without a listener writes to its terminal.
    pub(super) fn drain_console(&mut self, session: u32, poller: &Poller) {
        let Some(running) = self.running.get_mut(&u64::from(session)) else { return };
        let Some(console) = &running.console else { return };
        let mut bytes = [0u8; 4096];
        match rustix::io::read(console, &mut bytes[..]) {
            Ok(count) if count > 0 => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            _ => poller.remove(console),
        }
    }
}

/// The descriptors sent along, and `/dev/null` for the others.
fn ends(streams: StreamSet, fds: Vec<OwnedFd>) -> Result<TheirEnds, Failure> {
    let mut fds = fds.into_iter();
    let mut take = |wanted: bool| -> Result<OwnedFd, Failure> {
        if let Some(fd) = wanted.then(|| fds.next()).flatten() {
            return Ok(fd);
        }
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        null.map(OwnedFd::from)
            .map_err(|e| Failure::new(ErrorClass::of_io(&e), format!("open /dev/null: {e}")))
    };
    Ok(TheirEnds {
        stdin: take(streams.stdin)?,
        stdout: take(streams.stdout)?,
        stderr: take(streams.stderr)?,
    })
}

fn unknown(session: u64) -> Failure {
    Failure::new(ErrorClass::NotFound, format!("exec process {session} does not exist (any more)"))
}
