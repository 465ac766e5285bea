//! Stopping: a signal, and SIGKILL when the grace time is over.

use std::io;
use std::os::fd::OwnedFd;

use base::Classified;
use rustix::event::epoll::EventFlags;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use sys::Signal;

use super::calls::signal_of;
use super::cause::StopRequest;
use super::handler;
use super::poller::Source;
use super::supervisor::Supervisor;
use crate::protocol::{Failure, Phase};

impl Supervisor {
    /// Sends the stop signal and sets the timer. A second request replaces the first one's
    /// grace time, so that an impatient user can shorten it.
    pub(super) fn request_stop(
        &mut self,
        index: u32,
        number: i32,
        grace_ms: Option<u64>,
    ) -> Result<(), Failure> {
        let signal = signal_of(number)?;
        let by = self.connections.get(&index).map(super::connection::Connection::requester);
        self.deaf = handler::is_deaf_init(self.state.pid, number);
        self.stop = Some(StopRequest { signal: number, grace_ms, by, ran_out: false });
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
            Some(grace_ms) => self.set_grace(grace_ms).map_err(|e| {
                Failure::new(
                    e.class(),
                    format!("set the grace timer of container {}: {e}", self.container.id),
                )
            })?,
            None => self.grace = None,
        }
        Ok(())
    }

    fn set_grace(&mut self, grace_ms: u64) -> io::Result<()> {
        let timer: OwnedFd =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let seconds = i64::try_from(grace_ms / 1000).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: seconds, tv_nsec: (grace_ms % 1000) as i64 * 1_000_000 };
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        )?;
        self.poller.add(&timer, Source::Grace, EventFlags::IN)?;
        self.grace = Some(timer);
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
