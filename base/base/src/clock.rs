//! The clock as an argument, so that decisions can be tested at any time of day.

use std::time::SystemTime;

/// Where a part that needs the time takes it from.
pub trait Clock {
    /// The wall-clock time now.
    fn now(&self) -> SystemTime;
}

/// The host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
