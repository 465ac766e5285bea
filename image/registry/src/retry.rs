//! When to try again: pure arithmetic over attempt, `Retry-After` and a random number.

use std::time::{Duration, SystemTime};

/// How often and how patiently a request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times a request is sent at most.
    pub attempts_max: u32,
    /// The longest wait before the second attempt; it doubles with each one.
    pub delay_first: Duration,
    /// No computed wait is longer than this.
    pub delay_max: Duration,
    /// The longest `Retry-After` that is obeyed; a registry that asks for more fails the request.
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    /// Five attempts within about ten seconds, so that a person who waits learns soon.
    fn default() -> Self {
        Self {
            attempts_max: 5,
            delay_first: Duration::from_millis(500),
            delay_max: Duration::from_secs(15),
            retry_after_max: Duration::from_secs(90),
        }
    }
}

impl RetryPolicy {
    /// How long to wait before the next attempt; `None` when the last one was the last.
    ///
    /// `attempt` counts from 1. Without `retry_after` the wait is exponential with
    /// jitter: half fixed, half drawn by `random`, so that clients that failed
    /// together do not come back together.
    pub fn delay(&self, attempt: u32, retry_after: Option<Duration>, random: u64) -> Option<Duration> {
        if attempt >= self.attempts_max {
            return None;
        }
        if let Some(asked) = retry_after {
            return (asked <= self.retry_after_max).then_some(asked);
        }
        let doublings = attempt.saturating_sub(1).min(16);
        let full = self.delay_first.saturating_mul(1 << doublings).min(self.delay_max);
        let half = full / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let drawn = if nanos == 0 { 0 } else { random % (nanos + 1) };
        Some(half + Duration::from_nanos(drawn))
    }
}

/// Reads a `Retry-After` header: seconds or an HTTP date (RFC 9110, section 10.2.3).
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?;
    let at = SystemTime::from(at.timestamp());
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts_max: 4,
        delay_first: Duration::from_secs(1),
        delay_max: Duration::from_secs(3),
        retry_after_max: Duration::from_secs(60),
    };

    #[track_caller]
    fn check(attempt: u32, asked: Option<u64>, random: u64, wait_ms: Option<u64>) {
        let delay = POLICY.delay(attempt, asked.map(Duration::from_secs), random);
        assert_eq!(delay, wait_ms.map(Duration::from_millis));
    }

    #[test]
    fn doubles_up_to_the_limit_with_jitter() {
        check(1, None, 0, Some(500));
        check(1, None, 500_000_000, Some(1000));
        check(2, None, 0, Some(1000));
        check(3, None, 0, Some(1500));
        check(3, None, 1_500_000_000, Some(3000));
    }

    #[test]
    fn obeys_retry_after_within_reason() {
        check(1, Some(0), 7, Some(0));
        check(2, Some(60), 7, Some(60_000));
        check(2, Some(61), 7, None);
    }

    #[test]
    fn gives_up_after_the_last_attempt() {
        check(4, None, 0, None);
        check(4, Some(1), 0, None);
    }

    #[test]
    fn stays_within_the_bounds_for_any_draw() {
        for attempt in 1..4 {
            for random in (0..2000u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
                let delay = POLICY.delay(attempt, None, random).unwrap();
                assert!(delay >= Duration::from_millis(500));
                assert!(delay <= POLICY.delay_max);
            }
        }
    }

    #[test]
    fn reads_seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        for (value, wait) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, now), wait.map(Duration::from_secs), "{value}");
        }
    }
}
