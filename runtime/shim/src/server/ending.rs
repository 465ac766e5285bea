//! The container's end: the record first, then everybody who waits, then the remains.

use std::os::fd::OwnedFd;
use std::path::Path;

use sys::ExitStatus;

use super::again::plan;
use super::cause::{Memory, Observed, cause};
use super::execs::Ended;
use super::state_file;
use super::stdio;
use super::supervisor::Supervisor;
use crate::protocol::{ExecEnd, Phase, Reply};
use crate::{Exit, ExitCause, HealthAtEnd, Stopped, Timestamp, paths};

impl Supervisor {
    /// Init has ended: with this status, or nobody knows how, for the reason given.
    ///
    /// Init stays a zombie until the record is written. `waitid(2)` with `WNOWAIT` showed
    /// its status; should we be killed before the record is there, its new parent reaps it.
    pub(super) fn on_end(&mut self, status: Option<ExitStatus>, why_unknown: &str) {
        base::failpoint::hit("shim.exit-seen");
        let at = Timestamp::now();
        self.phase = Phase::Exited;
        self.grace = None;
        let health = self.monitor.as_ref().map(|monitor| HealthAtEnd::from(&monitor.health));
        self.pause_monitor();
        self.container.kill_left_over();
        self.streams.finish(&self.poller);
        let memory = self.end_memory();
        let observed = self.observe(status, why_unknown, memory);
        let mut exit = self.exit_of(&observed, at);
        exit.health = health;
        exit.restart = plan(&self.state.setup, &exit);
        if let Err(error) = exit.write(&self.state.setup.record_dir) {
            self.note(&format!("container {} ended with {:?}, but: {error}", self.container.id, exit.code));
        }
        base::failpoint::hit("shim.exit-recorded");
        self.exit = Some(exit.clone());
        if self.container.is_child {
            let _ = sys::process::try_wait_pidfd(&self.container.pidfd);
        }
        self.answer_waits(&exit);
        base::failpoint::hit("shim.waiters-answered");
        match self.container.delete() {
            Ok(warnings) => warnings.iter().for_each(|warning| self.note(warning)),
            Err(failure) => self.note(&format!(
                "remove what the runtime keeps of container {}: {failure}",
                self.container.id
            )),
        }
        base::failpoint::hit("shim.deleted");
        self.deleted = true;
        self.await_restart();
        self.settle();
    }

    /// An adopted init has ended.
    pub(super) fn on_adopted_end(&mut self) {
        if self.exit.is_some() {
            return;
        }
        let ended = self.container.ended();
        match ended {
            Ok(None) => return,
            Ok(Some(status)) => self.on_end(Some(status), ""),
            Err(_) => self.on_end(None, UNLEARNED),
        }
        self.poller.remove(&self.container.pidfd);
    }

    fn observe(&self, status: Option<ExitStatus>, why_unknown: &str, memory: Memory) -> Observed {
        let pid = self.container.pid;
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Observed {
            pid,
            command: command.trim_end().to_owned(),
            oom_score_adj: read_oom_score_adj(pid),
            status,
            why_unknown: why_unknown.to_owned(),
            not_executed: self.not_executed.as_ref().map(|failure| failure.message.clone()),
            stop: self.stop.clone(),
            kill: self.kill.clone(),
            memory,
        }
    }

    fn exit_of(&self, observed: &Observed, at: Timestamp) -> Exit {
        let cause = cause(observed);
        let mut code = observed.status.map(ExitStatus::shell_code);
        let mut signal = observed.status.and_then(ExitStatus::signal).map(sys::Signal::number);
        if let (ExitCause::NotExecuted { .. }, Some(failure)) = (&cause, &self.not_executed) {
            code = failure.exit_code.map(i32::from);
            signal = None;
        }
        let stopped = self.stop.as_ref().map(|stop| Stopped {
            took_ms: u64::try_from(at.since(stop.asked_at).as_millis()).unwrap_or(u64::MAX),
            grace_ms: stop.grace_ms,
        });
        Exit {
            code,
            signal,
            core_dumped: observed.status.is_some_and(ExitStatus::dumped_core),
            oom_killed: observed.memory.oom_kills > 0,
            pid1_no_sigterm_handler: self.deaf,
            started_at: self.state.started_at,
            adopted: self.adopted,
            by_hand: self.by_hand,
            restarts: self.state.setup.restarts.map_or(0, |restarts| restarts.history.restarts),
            stopped,
            oom_kills: observed.memory.kills.clone(),
            ..Exit::of(cause, at)
        }
    }

    /// Tells who waits, and all others unasked: their next request may come too late.
    fn answer_waits(&mut self, exit: &Exit) {
        let indices: Vec<u32> = self.connections.keys().copied().collect();
        for index in indices {
            let waits = self.connections.get_mut(&index).map(|c| std::mem::take(&mut c.waits));
            for id in waits.unwrap_or_default() {
                self.answer(index, id, Ok(Reply::Exited(Box::new(exit.clone()))), Vec::new());
            }
            self.answer(index, 0, Ok(Reply::Exited(Box::new(exit.clone()))), Vec::new());
        }
    }

    /// Tells who waits for an exec process.
    /// Tells of an exec process's end, and answers who waits for it.
    pub(super) fn on_exec_end(&mut self, ended: Ended) {
        if let Some(exec_id) = ended.exec_id {
            self.tell("exec_die", &[("execID", exec_id), ("exitCode", ended.end.code.to_string())]);
        }
        self.answer_exec_waits(ended.session, ended.end);
    }

    fn answer_exec_waits(&mut self, session: u64, end: ExecEnd) {
        let indices: Vec<u32> = self.connections.keys().copied().collect();
        for index in indices {
            let Some(connection) = self.connections.get_mut(&index) else { continue };
            let (now, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut connection.exec_waits).into_iter().partition(|(_, of)| *of == session);
            connection.exec_waits = later;
            for (id, _) in now {
                self.answer(index, id, Ok(Reply::ExecEnded(end)), Vec::new());
            }
        }
    }

    /// Once the container has ended and nobody holds the cleanup: removes what is ours in
    /// the state directory, and runs the exit command unless a holder has cleaned up. A
    /// restart has its time; it is the exit command's to do, or that of a client which took it on.
    pub(super) fn settle(&mut self) {
        let held = self.connections.values().any(|connection| connection.holds_cleanup);
        let due = self.again.is_due();
        if !self.deleted || self.settled || self.again.waits() || (held && !self.cleaned_up && !due) {
            return;
        }
        self.settled = true;
        // Of our own directory: at its path another run of the container may have begun.
        remove_traces_in(&self.home);
        self.leave();
        let is_taken = due && self.connections.values().any(|connection| connection.holds_restart);
        if (!self.cleaned_up || due)
            && !is_taken
            && let Err(error) = crate::spawn::detached(&self.state.setup.exit_command)
        {
            self.note(&format!("run {:?}: {error}", self.state.setup.exit_command));
        }
    }
}

/// Why an adopting shim could not learn the status.
pub(super) const UNLEARNED: &str = "its shim was killed, and its end was seen by no other process of ours: \
                                    the kernel keeps a status only for a process that holds a pidfd";

/// `/proc/PID/oom_score_adj`, which a zombie still has.
fn read_oom_score_adj(pid: i32) -> Option<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok()?.trim().parse().ok()
}

/// Removes socket and FIFOs. `shim.json` stays, so that an adoption that crosses with our end
/// finds the way to the exit record; it, the lock and the directory are the engine's to remove.
pub(super) fn remove_traces(dir: &Path) {
    if let Ok(dir) = stdio::open_dir(dir) {
        remove_traces_in(&dir);
    }
}

/// The same, by descriptor.
fn remove_traces_in(dir: &OwnedFd) {
    let _ = stdio::remove_fifos_in(dir);
    for name in [paths::SOCKET, state_file::TEMP] {
        let _ = rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty());
    }
}
