//! The time as an argument of the runtime: tests move it by hand.

use std::time::{Duration, Instant};

use client::BoxFuture;
use jiff::Timestamp;

/// Tells the time, and waits.
pub trait Clock: Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// Time since some moment in the past; it never goes back.
    fn elapsed(&self) -> Duration;

    /// Returns when [`Self::elapsed`] has reached a point.
    fn sleep_until(&self, elapsed: Duration) -> BoxFuture<'_, ()>;
}

/// The host's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        use base::Clock as _;
        Timestamp::try_from(base::SystemClock.now()).unwrap_or_default()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep_until(&self, elapsed: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep_until((self.start + elapsed).into()))
    }
}
