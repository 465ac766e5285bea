//! Restarts: by policy, at boot, and those that a stop prevents.
//!
//! A shim decides after an end and waits (`shim::next`); then it runs the cleanup command, and
//! with it [`Engine::after_exit`], which starts the container anew: mounts, network and log by
//! the same steps as any start. A shim that is killed while it waits leaves a record that says
//! `restarting`; whoever looks at it next has the restart done. A client that is attached takes
//! the restart on, so that it has the streams before the first byte is written.

use base::ContainerId;
use shim::{Client, Exit, History, RestartPolicy, Restarts, Timestamp};

use super::start::{StartOptions, Started};
use crate::container::{Lifecycle, Locked, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::Signal;

/// What came of bringing containers back.
#[derive(Debug, Default)]
pub struct BroughtBack {
    /// Names of those that were started.
    pub started: Vec<String>,
    /// Those that could not be, and why.
    pub failed: Vec<(String, Error)>,
}

impl Engine {
    /// What the shim of a container must know to decide about restarts.
    pub(crate) fn restarts(&self, record: &Record) -> Option<Restarts> {
        let policy = record.request.restart;
        if policy == RestartPolicy::No {
            return None;
        }
        let last = record.exits.last().filter(|_| record.restarts > 0);
        let waited_ms = last.and_then(|exit| exit.restart).map_or(0, |plan| plan.after_ms);
        Some(Restarts {
            policy,
            history: History { restarts: record.restarts, waited_ms },
            stop_signal: chosen_stop_signal(record).map(|signal| signal.0),
            grace_ms: super::signal::grace(record, None)
                .and_then(|grace| u64::try_from(grace.as_millis()).ok()),
        })
    }

    /// A client is going to send `signal`, or stops the container when `None`: with the record
    /// of it no shim's death makes a policy start again what somebody wanted to end.
    pub(crate) fn mark_by_hand(&self, record: &Record, signal: Option<Signal>) -> Result<(), Error> {
        let Some(restarts) = self.restarts(record).filter(|_| !record.stopped_by_hand) else { return Ok(()) };
        if signal.is_some_and(|signal| !restarts.is_by_hand(signal.0)) {
            return Ok(());
        }
        let mut locked = self.settled(&record.id)?;
        locked.record.stopped_by_hand = true;
        Ok(locked.write()?)
    }

    /// Whether the end of a container is followed by a restart.
    pub(super) fn follows(record: &Record, exit: &Exit) -> bool {
        exit.restart.is_some() && !record.stopped_by_hand
    }

    /// Whether a container's shim was lost while it waited, so that somebody else must see to
    /// the restart. For a moment around its time the one that the shim began may be on its way.
    pub(super) fn is_restart_lost(&self, record: &Record) -> bool {
        record.lifecycle.is_restarting()
            && !self.containers().is_locked(&record.id)
            && self.is_restart_lost_unlocked(record)
    }

    /// The same for the holder of its lock.
    pub(super) fn is_restart_lost_unlocked(&self, record: &Record) -> bool {
        let Lifecycle::Restarting { exit } = &record.lifecycle else { return false };
        if shim::is_alive(&self.paths().state_dir(&record.id)) {
            return false;
        }
        let now = Timestamp::now();
        exit.restart.is_none_or(|plan| now < plan.at || now.since(plan.at) > RESTART_BEGINS)
    }

    /// The record of a container that waits to be started again, as it is now.
    pub(super) fn settle_restarting(&self, locked: &mut Locked) -> Result<(), Error> {
        let Lifecycle::Restarting { exit } = locked.record.lifecycle.clone() else { return Ok(()) };
        let name = locked.record.name.clone();
        let recorded = Exit::read(locked.dir()).map_err(|source| Error::Exit { name, source })?;
        let cancelled = recorded.is_none_or(|exit| exit.restart.is_none()) || locked.record.stopped_by_hand;
        // The state root goes with the host's end; `start_all` brings back what is to be.
        if cancelled || !self.paths().state_dir(&locked.record.id).exists() {
            return self.record_exit(locked, *exit);
        }
        Ok(())
    }

    /// Starts a container again whose time has come. Does nothing while its shim waits.
    pub(super) fn restart_due(&self, locked: Locked) -> Result<(), Error> {
        // Why it could not be started stands in its record.
        let _ = self.restart_locked(locked, &StartOptions::default());
        Ok(())
    }

    /// The same for who is attached to it and stays so; `None` when that is not to be done, or
    /// somebody else has done it.
    pub fn restart_attached(
        &self,
        id: &ContainerId,
        options: &StartOptions,
    ) -> Result<Option<Started>, Error> {
        self.restart_locked(self.settled(id)?, options)
    }

    fn restart_locked(&self, mut locked: Locked, options: &StartOptions) -> Result<Option<Started>, Error> {
        let waits = shim::is_alive(&self.paths().state_dir(&locked.record.id));
        if waits || !locked.record.lifecycle.is_restarting() {
            return Ok(None);
        }
        self.release(&locked)?;
        locked.record.restarts += 1;
        self.start_settled(locked, options).map(Some)
    }

    /// A container that waits to be started again stays ended; `false` when it does not wait.
    pub fn cancel_restart(&self, id: &ContainerId) -> Result<bool, Error> {
        let mut locked = self.settled(id)?;
        let Lifecycle::Restarting { mut exit } = locked.record.lifecycle.clone() else { return Ok(false) };
        let mut client = Client::connect(&self.paths().state_dir(id)).ok();
        if let Some(client) = &mut client {
            // It may leave at this moment: the record alone decides.
            let _ = client.hold_cleanup();
            let _ = client.stop(Signal::TERM.0, None);
        }
        exit.by_hand = true;
        locked.record.stopped_by_hand = true;
        self.record_exit(&mut locked, *exit)?;
        drop(locked);
        let _ = client.map(Client::cleaned_up);
        Ok(true)
    }

    /// Gives a container another restart policy.
    pub fn set_restart_policy(&self, id: &ContainerId, policy: RestartPolicy) -> Result<(), Error> {
        let mut locked = self.settled(id)?;
        super::create::check_restart(policy, locked.record.request.auto_remove)?;
        locked.record.request.restart = policy;
        locked.write()?;
        self.tell(&locked.record, "update", &[]);
        if !locked.record.lifecycle.is_running() {
            return Ok(());
        }
        let restarts = self.restarts(&locked.record).unwrap_or_default();
        drop(locked);
        self.through_shim(id, |record, client| {
            client.set_restarts(restarts).map_err(Error::shim(&record.name))
        })?;
        Ok(())
    }

    /// Starts what is to run when the host has booted: the policies `always` and
    /// `unless-stopped`. One that joins another's namespaces comes after that one.
    pub fn start_all(&self) -> Result<BroughtBack, Error> {
        let mut done = BroughtBack::default();
        let mut waiting = Vec::new();
        for id in self.containers().ids()? {
            match self.settled(&id) {
                Ok(locked) if is_to_run(&locked.record) => waiting.push(locked.record.clone()),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => done.failed.push((id.short().to_owned(), error)),
            }
        }
        waiting.sort_by_key(|record| record.created);
        // Each round starts at least one, or it is the last.
        loop {
            let before = waiting.len();
            let mut failed = Vec::new();
            for record in std::mem::take(&mut waiting) {
                match self.start(&record.id, &StartOptions::default()) {
                    Ok(_) => done.started.push(record.name),
                    Err(error @ Error::NotRunning { .. }) => {
                        failed.push((record.name.clone(), error));
                        waiting.push(record);
                    }
                    Err(error) => done.failed.push((record.name, error)),
                }
            }
            if waiting.is_empty() || waiting.len() == before {
                done.failed.extend(failed);
                return Ok(done);
            }
        }
    }
}

/// Ran before, runs no more, and its policy wants it back.
fn is_to_run(record: &Record) -> bool {
    let has_ended = matches!(record.lifecycle, Lifecycle::Exited { .. });
    has_ended && record.request.restart.after_boot(record.stopped_by_hand)
}

/// The stop signal that user or image chose.
pub(super) fn chosen_stop_signal(record: &Record) -> Option<Signal> {
    record.request.process.stop_signal.or_else(|| Signal::parse(&record.config.stop_signal).ok())
}

/// How long after its time a restart may be on its way.
const RESTART_BEGINS: std::time::Duration = std::time::Duration::from_secs(1);
