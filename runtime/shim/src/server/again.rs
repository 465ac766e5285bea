//! What follows an end: the container stays ended, or waits to be started again.
//!
//! The restart itself is the exit command's: mounts, network and log are made anew by those
//! who made them first, and with them a new shim. This one only decides, waits and leaves.

use std::os::fd::OwnedFd;
use std::time::Duration;

use base::Classified;

use super::poller::Source;
use super::supervisor::Supervisor;
use super::timer;
use crate::protocol::{Failure, Setup};
use crate::restart::{Ending, Next, RestartPlan, Restarts, next};
use crate::{Exit, ExitCause, Timestamp};

/// What is to come after the end.
#[derive(Debug, Default)]
pub(super) enum Again {
    /// Nothing.
    #[default]
    No,
    /// A restart, when the timer fires.
    Waits {
        /// Held: dropping it stops it.
        _timer: OwnedFd,
    },
    /// A restart, now.
    Due,
}

impl Again {
    pub(super) fn is_due(&self) -> bool {
        matches!(self, Self::Due)
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Waits { .. })
    }
}

/// The restart that follows `exit` under the policy in `setup`. A container that did not come
/// to run is its starter's to report, and without an exit command nobody could start it.
pub(super) fn plan(setup: &Setup, exit: &Exit) -> Option<RestartPlan> {
    let restarts = setup.restarts.as_ref()?;
    if setup.exit_command.is_empty() || matches!(exit.cause, ExitCause::NotExecuted { .. }) {
        return None;
    }
    let ending = Ending {
        failed: exit.is_failure(),
        by_hand: exit.by_hand,
        unhealthy: matches!(exit.cause, ExitCause::Unhealthy { .. }),
        ran: exit.at.since(exit.started_at?),
    };
    match next(restarts.policy, &ending, &restarts.history) {
        Next::Stay => None,
        Next::Restart { after } => {
            let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            Some(RestartPlan { after_ms, at: exit.at.after(after) })
        }
    }
}

impl Supervisor {
    /// Whether a client that sends `signal` ends the container for good.
    pub(super) fn ends_by_hand(&self, signal: i32) -> bool {
        self.state.setup.restarts.unwrap_or_default().is_by_hand(signal)
    }

    /// Sets the timer of the restart that the exit record announces.
    pub(super) fn await_restart(&mut self) {
        let Some(plan) = self.exit.as_ref().and_then(|exit| exit.restart) else { return };
        let wait = Duration::from_millis(plan.after_ms);
        self.again = match timer::after(wait, Source::Restart, &self.poller) {
            Ok(timer) => Again::Waits { _timer: timer },
            Err(error) => {
                self.note(&format!("set the timer of the restart, which comes at once: {error}"));
                Again::Due
            }
        };
    }

    /// The time has come.
    pub(super) fn on_restart_due(&mut self) {
        if self.again.waits() {
            self.again = Again::Due;
            self.settle();
        }
    }

    /// A client stops a container that waits to be started again: it stays ended.
    pub(super) fn cancel_restart(&mut self) {
        if !self.again.waits() {
            return;
        }
        self.again = Again::No;
        let Some(exit) = &mut self.exit else { return };
        exit.restart = None;
        exit.by_hand = true;
        let written = exit.write(&self.state.setup.record_dir);
        if let Err(error) = written {
            self.note(&format!("record that container {} is not started again: {error}", self.container.id));
        }
        self.settle();
    }

    /// Another policy from now on; a restart that waits already comes in any case.
    pub(super) fn set_restarts(&mut self, restarts: Restarts) -> Result<(), Failure> {
        // What happened so far is ours to know.
        let history = self.state.setup.restarts.map_or(restarts.history, |known| known.history);
        self.state.setup.restarts = Some(Restarts { history, ..restarts });
        self.state.write().map_err(|e| {
            Failure::new(
                e.class(),
                format!("record the restart policy of container {}: {e}", self.container.id),
            )
        })
    }
}

/// When the container would be restarted that ended while no shim watched: at once.
pub(super) fn plan_late(setup: &Setup, exit: &Exit) -> Option<RestartPlan> {
    plan(setup, exit).map(|plan| RestartPlan { at: Timestamp::now(), ..plan })
}
