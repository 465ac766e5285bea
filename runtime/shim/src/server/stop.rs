//! Stopping: a signal, and SIGKILL when the grace time is over.

use std::time::Duration;

use base::Classified;
use sys::Signal;

use super::calls::signal_of;
use super::cause::StopRequest;
use super::handler;
use super::poller::Source;
use super::supervisor::Supervisor;
use super::timer;
use crate::protocol::{Failure, Phase};
use crate::{Requester, Timestamp};

impl Supervisor {
    /// Sends the stop signal and sets the timer. A second request replaces the first one's
    /// grace time, so that an impatient user can shorten it.
    pub(super) fn request_stop(
        &mut self,
        index: u32,
        number: i32,
        grace_ms: Option<u64>,
    ) -> Result<(), Failure> {
        let by = self.connections.get(&index).map(super::connection::Connection::requester);
        // Noted first: the end may be seen before this call returns.
        let before = std::mem::replace(&mut self.by_hand, true);
        self.stop_for(number, grace_ms, by, None).inspect_err(|_| self.by_hand = before)
    }

    /// The same for anybody: a client, or the health check that failed so often.
    pub(super) fn stop_for(
        &mut self,
        number: i32,
        grace_ms: Option<u64>,
        by: Option<Requester>,
        failures: Option<u32>,
    ) -> Result<(), Failure> {
        let signal = signal_of(number)?;
        self.deaf = handler::is_deaf_init(self.state.pid, number);
        self.stop = Some(StopRequest {
            signal: number,
            grace_ms,
            by,
            ran_out: false,
            failures,
            asked_at: Timestamp::now(),
        });
        // An init at its start gate has no handlers: do not wait for it.
        let sent = if self.phase == Phase::Created {
            self.container.kill_hard()
        } else {
            self.container.kill(signal, false)
        };
        sent.inspect_err(|_| self.stop = None)?;
        self.thaw();
        match grace_ms {
            Some(0) => self.on_grace_over(),
            Some(grace_ms) => {
                let timer = timer::after(Duration::from_millis(grace_ms), Source::Grace, &self.poller);
                self.grace = Some(timer.map_err(|e| {
                    Failure::new(
                        e.class(),
                        format!("set the grace timer of container {}: {e}", self.container.id),
                    )
                })?);
            }
            None => self.grace = None,
        }
        Ok(())
    }

    /// The grace time is over.
    pub(super) fn on_grace_over(&mut self) {
        self.grace = None;
        if self.exit.is_some() {
            return;
        }
        if let Some(stop) = &mut self.stop {
            stop.ran_out = true;
        }
        if let Err(failure) = self.container.kill_hard() {
            self.note(&format!("send {} after the grace time: {failure}", Signal::KILL));
        }
        self.thaw();
    }
}
