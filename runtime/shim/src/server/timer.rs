//! One wake-up after a time: `timerfd_create(2)`.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::poller::{Poller, Source};

/// A timer that wakes `source` once; dropping it stops it.
pub(super) fn after(time: Duration, source: Source, poller: &Poller) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    // Zero would mean never.
    let time = time.max(Duration::from_nanos(1));
    let value = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value: value })?;
    poller.add(&timer, source, EventFlags::IN)?;
    Ok(timer)
}
