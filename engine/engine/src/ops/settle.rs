//! Bringing a record up to what really is: ends are noticed, lost supervisors replaced.

use std::path::Path;

use base::{ContainerId, failpoint};
use shim::{Adopt, Adopted, Client, ClientError, Exit, ExitCause, Phase, RestartPolicy, ShimExe, Timestamp};

use super::start::{StartOptions, end_unstarted};
use crate::container::{Event, Lifecycle, Locked, Record, StartFailure};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::NetworkMode;

/// How long a supervisor is given to make its container, or to remove what the runtime keeps:
/// five seconds.
const REMOVAL_ATTEMPTS: u32 = 5000;
const REMOVAL_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// Whether a start by its policy did not come to its end, and nobody has decided otherwise since.
fn is_restart_interrupted(record: &Record) -> bool {
    let may_start = record.request.restart != RestartPolicy::No && !record.stopped_by_hand;
    record.restart_interrupted && may_start && matches!(record.lifecycle, Lifecycle::Exited { .. })
}

impl Engine {
    /// A container's record as it is now. Takes its lock only when something has to be put
    /// right.
    pub fn look(&self, id: &ContainerId) -> Result<Record, Error> {
        let record = self.containers().read(id)?;
        let record = if self.needs_settling(&record) { self.settled(id)?.record } else { record };
        if self.is_restart_lost(&record) {
            let locked = self.settled(id)?;
            if self.is_restart_lost_unlocked(&locked.record) {
                // It runs the cleanup command, which starts the container.
                self.adopt(&locked)?;
            }
        }
        if is_restart_interrupted(&record) {
            let locked = self.settled(id)?;
            if is_restart_interrupted(&locked.record) {
                // Why it could not be started stands in its record.
                let _ = self.start_settled(locked, &StartOptions::default());
            }
            return Ok(self.containers().read(id)?);
        }
        Ok(record)
    }

    /// Whether the record may be behind what really is.
    fn needs_settling(&self, record: &Record) -> bool {
        match &record.lifecycle {
            Lifecycle::Created { .. } | Lifecycle::Exited { .. } | Lifecycle::Removing => false,
            Lifecycle::Starting { .. } => !self.containers().is_locked(&record.id),
            Lifecycle::Running { paused: true, .. } => true,
            Lifecycle::Running { .. } => {
                let ended = self.paths().record_dir(&record.id).join(shim::EXIT_FILE).exists();
                ended || !shim::is_alive(&self.paths().state_dir(&record.id))
            }
            Lifecycle::Restarting { .. } => {
                record.stopped_by_hand || !self.paths().state_dir(&record.id).exists()
            }
        }
    }

    /// The container, locked, with its record as it is now.
    pub(crate) fn settled(&self, id: &ContainerId) -> Result<Locked, Error> {
        let mut locked = self.lock(id)?;
        match locked.record.lifecycle.clone() {
            Lifecycle::Running { .. } => self.settle_running(&mut locked)?,
            Lifecycle::Starting { .. } => self.settle_starting(&mut locked)?,
            Lifecycle::Restarting { .. } => self.settle_restarting(&mut locked)?,
            Lifecycle::Created { .. } | Lifecycle::Exited { .. } | Lifecycle::Removing => {}
        }
        Ok(locked)
    }

    fn settle_running(&self, locked: &mut Locked) -> Result<(), Error> {
        let name = locked.record.name.clone();
        let recorded =
            Exit::read(locked.dir()).map_err(|source| Error::Exit { name: name.clone(), source })?;
        if let Some(exit) = recorded {
            self.await_removal(locked)?;
            return self.record_exit(locked, exit);
        }
        let state_dir = self.paths().state_dir(&locked.record.id);
        if shim::is_alive(&state_dir) {
            return self.settle_paused(locked);
        }
        match self.adopt(locked)? {
            Some(exit) => self.record_exit(locked, exit),
            None => Ok(()),
        }
    }

    /// One that was paused may go on though that could not be recorded: the disk was full.
    fn settle_paused(&self, locked: &mut Locked) -> Result<(), Error> {
        let Lifecycle::Running { paused: true, .. } = locked.record.lifecycle else { return Ok(()) };
        let name = locked.record.name.clone();
        let state_dir = self.paths().state_dir(&locked.record.id);
        let Some(mut client) = reach(&state_dir).map_err(Error::shim(&name))? else { return Ok(()) };
        // It may end just now: whoever looks next sees that.
        let goes_on = client.status().is_ok_and(|status| matches!(status.phase, Phase::Running));
        if goes_on {
            let lifecycle = locked.record.lifecycle.clone();
            locked.record.lifecycle = lifecycle.on(Event::Resumed).map_err(Error::transition(&name))?;
            let _ = locked.write();
        }
        Ok(())
    }

    /// Waits until the supervisor of a container that has ended has removed what the runtime
    /// keeps of it: a new start finds the place free, and nobody removes what that makes. If
    /// the supervisor was killed before, another one does it.
    fn await_removal(&self, locked: &Locked) -> Result<(), Error> {
        let record = &locked.record;
        if record.request.auto_remove {
            return Ok(());
        }
        let (kept, state_dir) = (self.paths().runtime().join(&record.id), self.paths().state_dir(&record.id));
        for _ in 0..REMOVAL_ATTEMPTS {
            let alive = shim::is_alive(&state_dir);
            match kept.exists() {
                false => return Ok(()),
                true if alive => std::thread::sleep(REMOVAL_PAUSE),
                true => return self.adopt(locked).map(drop),
            }
        }
        Ok(())
    }

    /// Gives a container whose shim is dead a new one; or its end, when init is dead too.
    fn adopt(&self, locked: &Locked) -> Result<Option<Exit>, Error> {
        let record = &locked.record;
        let state_dir = self.paths().state_dir(&record.id);
        if !state_dir.exists() {
            // The state root goes with the host's end, and so did the container.
            let why = "the host was restarted, or the state directory removed, while it ran";
            return Ok(Some(unknown_exit(&record.lifecycle, why)));
        }
        let companions = self.companions()?;
        let exe = ShimExe::Fd(companions.shim(&self.paths().state).map_err(Error::Companion)?);
        let adopted = shim::adopt(Adopt { exe, state_dir, failpoint: self.shim_failpoint() });
        match adopted {
            Ok(Adopted::Alive(..)) => Ok(None),
            Ok(Adopted::Ended(exit)) => Ok(Some(exit)),
            Err(error) if base::Classified::class(&error) == base::ErrorClass::NotFound => Ok(Some(
                unknown_exit(&record.lifecycle, "nothing was left of its supervisor to learn it from"),
            )),
            Err(source) => Err(Error::Launch { name: record.name.clone(), source }),
        }
    }

    /// The creator died in the middle of a start: what came of it counts.
    fn settle_starting(&self, locked: &mut Locked) -> Result<(), Error> {
        let name = locked.record.name.clone();
        let state_dir = self.paths().state_dir(&locked.record.id);
        if let Some(mut client) = reach(&state_dir).map_err(Error::shim(&name))? {
            let status = match client.status() {
                // It has ended while it was asked.
                Err(error) if error.is_gone() => None,
                status => Some(status.map_err(Error::shim(&name))?),
            };
            match status {
                Some(status) if matches!(status.phase, Phase::Running | Phase::Paused) => {
                    let at = status.started_at.unwrap_or_else(Timestamp::now);
                    let event = Event::Started { pid: status.pid, start_time: status.start_time, at };
                    return self.advance(locked, event);
                }
                // Killed before it was held it would be gone with its supervisor while we ask.
                Some(status) if matches!(status.phase, Phase::Created) => end_unstarted(client),
                _ => {}
            }
        }
        // An end that was recorded after the gate was opened is the end of a run; that of the run
        // before may not have been forgotten yet.
        let recorded = Exit::read(locked.dir()).map_err(|source| Error::Exit { name, source })?;
        let before = locked.record.lifecycle.exit().map(|exit| exit.at);
        match recorded.filter(|exit| exit.started_at.is_some() && Some(exit.at) != before) {
            Some(exit) => self.record_exit(locked, exit),
            None => {
                let message = "the process that was starting it ended in the middle".to_owned();
                locked.record.restart_interrupted = locked.record.restarts > 0;
                self.undo_start(locked, StartFailure { message, code: 125, at: Timestamp::now() })
            }
        }
    }

    /// Writes the record after `event`.
    pub(crate) fn advance(&self, locked: &mut Locked, event: Event) -> Result<(), Error> {
        let record = &mut locked.record;
        match &event {
            Event::Starting => {
                record.start_failure = None;
                record.restart_interrupted = false;
            }
            Event::StartFailed(failure) => record.start_failure = Some(failure.clone()),
            Event::Exited(exit) if !record.lifecycle.is_restarting() => record.note_exit(exit),
            _ => {}
        }
        let action = match &event {
            Event::Started { .. } => Some("start"),
            Event::Paused => Some("pause"),
            Event::Resumed => Some("unpause"),
            _ => None,
        };
        record.lifecycle = record.lifecycle.clone().on(event).map_err(Error::transition(&record.name))?;
        locked.write()?;
        if let Some(action) = action {
            self.tell(&locked.record, action, &[]);
        }
        Ok(())
    }

    /// A start that came to nothing: everything of it goes.
    pub(crate) fn undo_start(&self, locked: &mut Locked, failure: StartFailure) -> Result<(), Error> {
        self.release(locked)?;
        self.advance(locked, Event::StartFailed(failure))
    }

    /// The container has ended: what it held is released, and how it ended is recorded. Where
    /// a restart follows it keeps that until then: its shim waits in its state directory.
    pub(crate) fn record_exit(&self, locked: &mut Locked, mut exit: Exit) -> Result<(), Error> {
        if !locked.record.lifecycle.is_restarting() {
            self.tell_end(&locked.record, &exit);
        }
        if Self::follows(&locked.record, &exit) && !locked.record.lifecycle.is_restarting() {
            return self.advance(locked, Event::Exited(Box::new(exit)));
        }
        exit.restart = None;
        exit.by_hand |= locked.record.stopped_by_hand;
        self.release(locked)?;
        failpoint::hit("settle.detached");
        self.advance(locked, Event::Exited(Box::new(exit)))?;
        failpoint::hit("settle.recorded");
        Ok(())
    }

    /// Gives back what only a running container holds: its network, what the runtime keeps,
    /// its state directory.
    pub(crate) fn release(&self, locked: &Locked) -> Result<(), Error> {
        let record = &locked.record;
        match (&record.request.network.mode, self.pod_network()) {
            (mode, _) if mode.is_bridged() => {
                let networks = self.networks()?;
                let attached = networks.describe_all(&record.id).unwrap_or_default();
                networks.detach(&record.id).map_err(Error::network(&record.name))?;
                for attachment in attached.iter().filter(|_| record.lifecycle.is_running()) {
                    self.tell_left(record, attachment);
                }
            }
            // Without the network at hand, whoever has it next finds what is left there.
            (NetworkMode::Pod, Some(pods)) => {
                pods.remove(&record.id).map_err(Error::network(&record.name))?;
            }
            _ => {}
        }
        self.close_outside(&record.id);
        // Before the directory goes that shows whether its shim lives.
        self.remove_remains(&record.id)?;
        let state_dir = self.paths().state_dir(&record.id);
        match std::fs::remove_dir_all(&state_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &state_dir)(error))
            }
            _ => Ok(()),
        }
    }

    /// Run when a container has ended: by whoever waited for it, or by its shim's exit
    /// command. Does nothing when somebody else has done it.
    pub fn after_exit(&self, id: &ContainerId) -> Result<(), Error> {
        let locked = match self.settled(id) {
            Ok(locked) => locked,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        if locked.record.lifecycle.is_restarting() {
            return self.restart_due(locked);
        }
        if locked.record.request.auto_remove && matches!(locked.record.lifecycle, Lifecycle::Exited { .. }) {
            return self.remove_locked(locked, true);
        }
        Ok(())
    }
}

/// The supervisor that a dead creator began with, once it has made its container; `None` when
/// none lives. It goes on by itself, so nothing below its directory may go meanwhile.
fn reach(state_dir: &Path) -> Result<Option<Client>, ClientError> {
    let mut attempts = REMOVAL_ATTEMPTS;
    loop {
        // Asked first: one that ends in between is not to be taken for one that begins.
        let alive = shim::is_alive(state_dir);
        match Client::connect(state_dir) {
            Ok(client) => return Ok(Some(client)),
            Err(_) if !alive => return Ok(None),
            Err(error) if attempts == 0 => return Err(error),
            Err(_) => std::thread::sleep(REMOVAL_PAUSE),
        }
        attempts -= 1;
    }
}

/// The end of a container that nobody saw.
fn unknown_exit(lifecycle: &Lifecycle, why: &str) -> Exit {
    let started_at = match lifecycle {
        Lifecycle::Running { started_at, .. } => Some(*started_at),
        _ => None,
    };
    Exit { started_at, ..Exit::of(ExitCause::Unknown { why: why.to_owned() }, Timestamp::now()) }
}
