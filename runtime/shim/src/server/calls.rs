//! What clients may ask, and what comes of it.

use std::io;
use std::os::fd::OwnedFd;

use base::{Classified, ErrorClass};
use serde::Deserialize;
use sys::Signal;

use super::cause::KillRequest;
use super::connection::Connection;
use super::supervisor::Supervisor;
use crate::Timestamp;
use crate::protocol::{
    Attach, Call, Exec, Failure, PROTOCOL_VERSION, Phase, Reply, Request, Spawned, Status,
};

/// What a call gives.
enum Outcome {
    /// This answer.
    Now(Reply),
    /// This answer, with descriptors.
    With(Reply, Vec<OwnedFd>),
    /// An answer later.
    Later,
}

/// The part of a request that every version has.
#[derive(Deserialize)]
struct Header {
    v: u32,
    id: u64,
}

impl Supervisor {
    /// Serves one frame. An error: this is no client of ours, drop it.
    pub(super) fn handle(&mut self, index: u32, frame: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
        let header: Header = serde_json::from_slice(frame)?;
        let result = if header.v > PROTOCOL_VERSION {
            let text = format!(
                "this container's shim speaks protocol {PROTOCOL_VERSION}, not {}: ask in the older form",
                header.v
            );
            Err(Failure::new(ErrorClass::Unsupported, text))
        } else {
            match serde_json::from_slice::<Request>(frame) {
                Ok(request) => self.call(index, header.id, request.call, fds),
                Err(e) => {
                    let text = format!("this container's shim does not know the call: {e}");
                    Err(Failure::new(ErrorClass::Unsupported, text))
                }
            }
        };
        match result {
            Ok(Outcome::Now(reply)) => self.answer(index, header.id, Ok(reply), Vec::new()),
            Ok(Outcome::With(reply, fds)) => self.answer(index, header.id, Ok(reply), fds),
            Ok(Outcome::Later) => {}
            Err(failure) => self.answer(index, header.id, Err(failure), Vec::new()),
        }
        Ok(())
    }

    fn call(&mut self, index: u32, id: u64, call: Call, fds: Vec<OwnedFd>) -> Result<Outcome, Failure> {
        let done = |()| Outcome::Now(Reply::Done);
        match call {
            Call::Setup(_) | Call::Adopt(_) => {
                Err(Failure::new(ErrorClass::Conflict, "this shim has its container already"))
            }
            Call::Start => self.start().map(done),
            Call::Kill { signal, all } => self.kill_by_client(index, signal, all).map(done),
            Call::Stop { signal, grace_ms } => {
                self.may_wait(index)?;
                match self.exit {
                    None => self.request_stop(index, signal, grace_ms)?,
                    Some(_) => self.cancel_restart(),
                }
                self.wait(index, id)
            }
            Call::Wait => self.wait(index, id),
            Call::Attach(attach) => self.attach(index, attach, fds).map(done),
            Call::Detach => {
                self.streams.detach(index, &self.poller);
                Ok(Outcome::Now(Reply::Done))
            }
            Call::Exec(exec) => self.exec(*exec, fds),
            Call::ExecWait { session } => self.exec_wait(index, id, session),
            Call::ExecKill { session, signal } => self.execs.kill(session, signal_of(signal)?).map(done),
            Call::Resize { columns, rows } => self.resize(columns, rows).map(done),
            Call::Pause => self.pause().map(done),
            Call::Resume => self.resume().map(done),
            Call::Status => Ok(Outcome::Now(Reply::Status(Box::new(self.status())))),
            Call::HoldCleanup => {
                if let Some(connection) = self.connections.get_mut(&index) {
                    connection.holds_cleanup = true;
                }
                Ok(Outcome::Now(Reply::Done))
            }
            Call::HoldRestart => {
                if let Some(connection) = self.connections.get_mut(&index) {
                    connection.holds_restart = true;
                }
                Ok(Outcome::Now(Reply::Done))
            }
            Call::ReopenLog => self.reopen_log().map(done),
            Call::SetRestarts(restarts) => self.set_restarts(restarts).map(done),
            Call::CleanedUp => {
                self.cleaned_up = true;
                self.settle();
                Ok(Outcome::Now(Reply::Done))
            }
        }
    }

    fn start(&mut self) -> Result<(), Failure> {
        if self.phase != Phase::Created {
            let text = format!("container {} was started already", self.container.id);
            return Err(Failure::new(ErrorClass::Conflict, text));
        }
        let started_at = Timestamp::now();
        if let Err(failure) = self.container.start() {
            // An init that was killed at its gate has an end of its own; any other is ended,
            // and this failure is why.
            let was_killed = failure.exit_code == Some(125) && matches!(self.container.ended(), Ok(Some(_)));
            if !was_killed {
                self.not_executed = Some(failure.clone());
                let _ = self.container.kill_hard();
            }
            return Err(failure);
        }
        self.phase = Phase::Running;
        self.state.started_at = Some(started_at);
        if let Err(e) = self.state.write() {
            self.note(&format!("record the start: {e}"));
        }
        base::failpoint::hit("shim.started");
        self.begin_monitor();
        Ok(())
    }

    fn kill_by_client(&mut self, index: u32, number: i32, all: bool) -> Result<(), Failure> {
        self.living()?;
        let signal = signal_of(number)?;
        let by = self.connections.get(&index).map(Connection::requester);
        // Noted first: the end may be seen before this call returns.
        let before = self.kill.replace(KillRequest { signal: number, by });
        let was_by_hand = self.by_hand;
        self.by_hand |= self.ends_by_hand(number);
        let sent = if signal == Signal::KILL {
            self.container.kill_hard()
        } else {
            self.container.kill(signal, all)
        };
        if sent.is_err() {
            self.kill = before;
            self.by_hand = was_by_hand;
        } else if signal == Signal::KILL {
            self.thaw();
        }
        sent
    }

    fn may_wait(&self, index: u32) -> Result<(), Failure> {
        self.connections.get(&index).map_or(Ok(()), Connection::may_wait)
    }

    fn wait(&mut self, index: u32, id: u64) -> Result<Outcome, Failure> {
        if let Some(exit) = &self.exit {
            return Ok(Outcome::Now(Reply::Exited(Box::new(exit.clone()))));
        }
        self.may_wait(index)?;
        if let Some(connection) = self.connections.get_mut(&index) {
            connection.waits.push(id);
        }
        Ok(Outcome::Later)
    }

    fn attach(&mut self, index: u32, attach: Attach, fds: Vec<OwnedFd>) -> Result<(), Failure> {
        self.living()?;
        expect_fds(attach.streams.count(), &fds)?;
        let attached = self.streams.attach(index, attach.streams, fds, &self.poller);
        attached
            .map_err(|e| Failure::new(e.class(), format!("attach to container {}: {e}", self.container.id)))
    }

    fn exec(&mut self, exec: Exec, fds: Vec<OwnedFd>) -> Result<Outcome, Failure> {
        self.living()?;
        if self.phase == Phase::Created {
            let text = format!("container {} is not started: start it first", self.container.id);
            return Err(Failure::new(ErrorClass::Conflict, text));
        }
        expect_fds(exec.streams.count(), &fds)?;
        let (session, pid, console) = self.execs.run(&self.container, exec, fds, &self.poller)?;
        let spawned = Spawned { session, pid, console_sent: console.is_some() };
        Ok(Outcome::With(Reply::Spawned(spawned), console.into_iter().collect()))
    }

    fn exec_wait(&mut self, index: u32, id: u64, session: u64) -> Result<Outcome, Failure> {
        if let Some(end) = self.execs.end_of(session)? {
            return Ok(Outcome::Now(Reply::ExecEnded(end)));
        }
        self.may_wait(index)?;
        if let Some(connection) = self.connections.get_mut(&index) {
            connection.exec_waits.push((id, session));
        }
        Ok(Outcome::Later)
    }

    fn resize(&self, columns: u16, rows: u16) -> Result<(), Failure> {
        self.living()?;
        self.streams.resize(columns, rows).map_err(|e| {
            let class = if self.state.terminal { e.class() } else { ErrorClass::Conflict };
            let text = format!("resize the terminal of container {}: {e}", self.container.id);
            Failure::new(class, text)
        })
    }

    fn pause(&mut self) -> Result<(), Failure> {
        if self.phase != Phase::Running {
            return Err(Failure::new(
                ErrorClass::Conflict,
                format!("container {} is not running", self.container.id),
            ));
        }
        self.container.pause()?;
        self.phase = Phase::Paused;
        self.pause_monitor();
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Failure> {
        if self.phase != Phase::Paused {
            return Err(Failure::new(
                ErrorClass::Conflict,
                format!("container {} is not paused", self.container.id),
            ));
        }
        self.container.resume()?;
        self.phase = Phase::Running;
        self.resume_monitor();
        Ok(())
    }

    /// Lets a frozen container take the signal that was sent.
    pub(super) fn thaw(&mut self) {
        if self.phase == Phase::Paused && self.container.resume().is_ok() {
            self.phase = Phase::Running;
        }
    }

    fn reopen_log(&mut self) -> Result<(), Failure> {
        self.living()?;
        self.streams.reopen_log().map_err(|e| {
            Failure::new(e.class(), format!("open the log of container {} anew: {e}", self.container.id))
        })
    }

    fn living(&self) -> Result<(), Failure> {
        if self.exit.is_none() {
            return Ok(());
        }
        Err(Failure::new(ErrorClass::Conflict, format!("container {} has ended", self.container.id)))
    }

    fn status(&self) -> Status {
        Status {
            id: self.container.id.clone(),
            phase: self.phase,
            pid: self.state.pid,
            start_time: self.state.start_time,
            started_at: self.state.started_at,
            shim_pid: self.state.shim_pid,
            adopted: self.adopted,
            attached: self.streams.attached(),
            execs: self.execs.running(),
            log_bytes_lost: self.streams.log_bytes_lost(),
            oom_kills: self.memory.count(),
            health: self.monitor.as_ref().map(|monitor| monitor.health.status),
            exit: self.exit.clone(),
        }
    }
}

pub(super) fn signal_of(number: i32) -> Result<Signal, Failure> {
    Signal::from_number(number)
        .ok_or_else(|| Failure::new(ErrorClass::Invalid, format!("{number} is not a signal: use 1 to 64")))
}

fn expect_fds(count: usize, fds: &[OwnedFd]) -> Result<(), Failure> {
    if fds.len() == count {
        return Ok(());
    }
    let text = format!("{count} descriptors belong to this call, but {} came", fds.len());
    Err(Failure::new(ErrorClass::Invalid, text))
}
