//! Signals to a container: stop, kill, pause, wait.

use std::time::Duration;

use base::ContainerId;
use shim::events::Teller;
use shim::{Client, Exit};

use super::restart::chosen_stop_signal;
use super::{StartOptions, Started};
use crate::container::{Event, Lifecycle, Locked, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::Signal;

/// How long a container is given after its stop signal; `None` is for ever.
pub(super) fn grace(record: &Record, seconds: Option<i64>) -> Option<Duration> {
    let seconds = seconds.or(record.request.process.stop_timeout_seconds).unwrap_or(GRACE_DEFAULT);
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// Docker's grace time.
const GRACE_DEFAULT: i64 = 10;
/// How often a lost supervisor is looked for again, and how long in between.
const GONE_ATTEMPTS: u32 = 40;
const GONE_PAUSE: Duration = Duration::from_millis(5);

impl Engine {
    /// A connection to the supervisor of a running container.
    pub fn connect(&self, record: &Record) -> Result<Client, Error> {
        if !record.lifecycle.is_running() {
            return Err(Error::NotRunning { name: record.name.clone() });
        }
        Client::connect(&self.paths().state_dir(&record.id)).map_err(Error::shim(&record.name))
    }

    /// Does `act` through the supervisor of a running container. When the supervisor was
    /// killed just now, the container gets another one and `act` is done there.
    pub(crate) fn through_shim<T>(
        &self,
        id: &ContainerId,
        mut act: impl FnMut(&Record, &mut Client) -> Result<T, Error>,
    ) -> Result<(Record, Client, T), Error> {
        let mut attempt = 0;
        loop {
            let record = self.look(id)?;
            let done = self
                .connect(&record)
                .and_then(|mut client| act(&record, &mut client).map(|done| (client, done)));
            match done {
                Ok((client, done)) => return Ok((record, client, done)),
                Err(Error::Shim { source, .. }) if source.is_gone() && attempt < GONE_ATTEMPTS => {
                    // The kernel may not have ended it fully: its lock goes with its last descriptor.
                    std::thread::sleep(GONE_PAUSE);
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks a container to end, and kills it after the grace time; `None` for its own
    /// signal and time. One that does not run is left alone.
    pub fn stop(&self, id: &ContainerId, signal: Option<Signal>, seconds: Option<i64>) -> Result<(), Error> {
        let record = self.begun(id)?;
        if !record.lifecycle.is_up() {
            return Ok(());
        }
        // First: what is marked is no longer seen to wait.
        if record.lifecycle.is_restarting() && self.cancel_restart(id)? {
            return Ok(());
        }
        self.mark_by_hand(&record, None)?;
        self.resume_if_paused(&record)?;
        let signal = signal.or_else(|| chosen_stop_signal(&record)).unwrap_or(Signal::TERM);
        let grace = grace(&record, seconds);
        self.tell(&record, "kill", &[("signal", signal.0.to_string())]);
        self.end(&record, |client| client.stop(signal.0, grace))?;
        self.tell(&record, "stop", &[]);
        Ok(())
    }

    /// Stops a container as [`Engine::stop`] does, and starts it again.
    pub fn restart(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        seconds: Option<i64>,
    ) -> Result<Started, Error> {
        self.stop(id, signal, seconds)?;
        let started = self.start(id, &StartOptions::default())?;
        self.tell(&started.record, "restart", &[]);
        Ok(started)
    }

    /// Kills a container and waits for its end.
    pub(crate) fn kill_and_wait(&self, record: &Record) -> Result<(), Error> {
        self.resume_if_paused(record)?;
        self.tell(record, "kill", &[("signal", Signal::KILL.0.to_string())]);
        self.end(record, |client| {
            match client.kill(Signal::KILL.0) {
                Err(error) if error.is_gone() => Err(error),
                // Refused when it has ended just now: then there is nothing to wait for either.
                _ => client.wait(),
            }
        })
    }

    /// The record, after a start that is being made: whoever makes it has the lock.
    fn begun(&self, id: &ContainerId) -> Result<Record, Error> {
        match self.look(id)? {
            record if matches!(record.lifecycle, Lifecycle::Starting { .. }) => Ok(self.settled(id)?.record),
            record => Ok(record),
        }
    }

    /// Ends a running container in a way that gives its exit, then cleans up.
    fn end(
        &self,
        record: &Record,
        how: impl Fn(&mut Client) -> Result<Exit, shim::ClientError>,
    ) -> Result<(), Error> {
        let ended = self.through_shim(&record.id, |record, client| {
            let exit = client.hold_cleanup().and_then(|()| how(client));
            // It may end before any of the two is asked.
            let exit = exit.or_else(|error| match error {
                shim::ClientError::Ended(exit) => Ok(*exit),
                error => Err(error),
            });
            exit.map_err(Error::shim(&record.name))
        });
        let client = match ended {
            Ok((_, client, _)) => Some(client),
            // It ended by itself while we looked, and may be gone with that.
            Err(Error::NotRunning { .. }) => None,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        self.after_exit(&record.id)?;
        // The shim may be gone already.
        let _ = client.map(Client::cleaned_up);
        Ok(())
    }

    fn resume_if_paused(&self, record: &Record) -> Result<(), Error> {
        match record.lifecycle {
            Lifecycle::Running { paused: true, .. } => self.unpause(&record.id),
            _ => Ok(()),
        }
    }

    /// Sends a signal to a container's init.
    pub fn kill(&self, id: &ContainerId, signal: Signal) -> Result<(), Error> {
        let record = self.begun(id)?;
        // As docker: nothing runs that a signal could go to, and no more is to.
        if record.lifecycle.is_restarting() && self.cancel_restart(id)? {
            return Ok(());
        }
        self.mark_by_hand(&record, Some(signal))?;
        let (record, mut client, ()) =
            self.through_shim(id, |record, client| client.kill(signal.0).map_err(Error::shim(&record.name)))?;
        self.tell(&record, "kill", &[("signal", signal.0.to_string())]);
        if signal != Signal::KILL {
            return Ok(());
        }
        // A frozen process dies only when it thaws; its supervisor may have thought of that.
        match self.resume_if_paused(&record) {
            Ok(()) | Err(Error::Shim { .. } | Error::Transition { .. } | Error::NotRunning { .. }) => {}
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
        // As docker: after `kill` the container is seen as ended.
        match client.wait() {
            Ok(_) => Ok(()),
            Err(error) if error.is_gone() => Ok(()),
            Err(source) => Err(Error::Shim { name: record.name, source }),
        }
    }

    /// Freezes all processes of a container.
    pub fn pause(&self, id: &ContainerId) -> Result<(), Error> {
        self.change_pause(id, Event::Paused, Client::pause)
    }

    /// Lets them go on.
    pub fn unpause(&self, id: &ContainerId) -> Result<(), Error> {
        self.change_pause(id, Event::Resumed, Client::resume)
    }

    fn change_pause(
        &self,
        id: &ContainerId,
        event: Event,
        act: impl FnOnce(&mut Client) -> Result<(), shim::ClientError>,
    ) -> Result<(), Error> {
        let mut locked: Locked = self.settled(id)?;
        let name = locked.record.name.clone();
        super::resources::need_cgroups("pause or unpause", &locked.record)?;
        let mut client = self.connect(&locked.record)?;
        if let (Lifecycle::Running { paused: true, .. }, Event::Paused) = (&locked.record.lifecycle, &event) {
            return Err(Error::Paused { name });
        }
        // Refused before anything is done when the state does not allow it.
        locked.record.lifecycle.clone().on(event.clone()).map_err(Error::transition(&name))?;
        act(&mut client).map_err(Error::shim(&name))?;
        let pauses = matches!(event, Event::Paused);
        self.advance(&mut locked, event).inspect_err(|_| {
            // Nobody would know that it stands still.
            if pauses {
                let _ = client.resume();
            }
        })
    }

    /// Waits until a container does not run; how it ended. `None`: it does not run and never has.
    /// As docker: one that is to be started again does not run.
    pub fn wait(&self, id: &ContainerId) -> Result<Option<Exit>, Error> {
        self.wait_until(id, |_, _| true)
    }

    /// Waits until a container has ended and is not to be started again.
    pub fn wait_for_good(&self, id: &ContainerId) -> Result<Option<Exit>, Error> {
        self.wait_until(id, |record, exit| !Self::follows(record, exit))
    }

    fn wait_until(
        &self,
        id: &ContainerId,
        is_over: impl Fn(&Record, &Exit) -> bool,
    ) -> Result<Option<Exit>, Error> {
        loop {
            let record = self.look(id)?;
            match &record.lifecycle {
                Lifecycle::Exited { exit } => return Ok(Some((**exit).clone())),
                Lifecycle::Running { .. } => {}
                Lifecycle::Starting { .. } => {
                    // Whoever starts it has the lock.
                    self.settled(id)?;
                    continue;
                }
                Lifecycle::Restarting { exit } if is_over(&record, exit) => {
                    return Ok(Some((**exit).clone()));
                }
                Lifecycle::Restarting { .. } => {
                    match Client::connect(&self.paths().state_dir(id)) {
                        Ok(client) => client.wait_gone(),
                        // The restart is on its way.
                        Err(_) => std::thread::sleep(GONE_PAUSE),
                    }
                    continue;
                }
                Lifecycle::Created { .. } | Lifecycle::Removing => return Ok(None),
            }
            match self.connect(&record).map(|mut client| client.wait()) {
                Ok(Ok(exit)) if is_over(&record, &exit) => return Ok(Some(exit)),
                Ok(Ok(_)) => {}
                // Ended, or the shim was killed: looking again tells.
                Ok(Err(source)) | Err(Error::Shim { source, .. }) if source.is_gone() => {}
                Ok(Err(source)) => return Err(Error::Shim { name: record.name, source }),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives a container another name.
    pub fn rename(&self, id: &ContainerId, name: &str) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::NoName);
        }
        let name = crate::container::validate_name(name)?;
        let mut locked = self.settled(id)?;
        if name == locked.record.name {
            return Err(Error::SameName { name: name.to_owned() });
        }
        let old = format!("/{}", locked.record.name);
        self.containers().rename(&mut locked, name)?;
        if locked.record.request.network.mode.is_bridged() {
            // Members of its networks know it by the new name from now on.
            self.networks()?.rename(id, name).map_err(Error::network(name))?;
        }
        if Teller::is_there(locked.dir()) {
            self.let_tell(&locked.record);
        }
        self.tell(&locked.record, "rename", &[("oldName", old)]);
        Ok(())
    }
}
