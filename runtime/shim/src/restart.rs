//! Whether a container that has ended is started again, and when. Pure; the rules are docker's.
//!
//! ```text
//! ended ──stopped by hand──▶ stays            the 1st wait 100 ms, each further one twice
//!   │                                         the last, 1 min at most; a run of 10 s or more
//!   └──the policy wants it──▶ waits ──▶ runs  begins with 100 ms again
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

/// When a container that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When it failed, so many times at most; 0 knows no limit.
    OnFailure {
        /// How many times.
        max: u32,
    },
    /// Unless it was stopped by hand; after a boot in any case.
    Always,
    /// Unless it was stopped by hand, also after a boot.
    UnlessStopped,
    /// When it failed; and one that its health check calls unhealthy is stopped for that.
    OnUnhealthy,
}

/// The text is not a restart policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRestartPolicy {
    /// No such word.
    #[error("use no, on-failure[:N], always, unless-stopped or on-unhealthy")]
    Unknown,
    /// What is behind the colon is no number.
    #[error("the number of restarts must be a whole number that is not negative, as in on-failure:3")]
    Count,
    /// Only `on-failure` counts.
    #[error("a number of restarts goes with on-failure only")]
    NotCounted,
}

impl RestartPolicy {
    /// Reads docker's text; an empty one means `no`.
    pub fn parse(text: &str) -> Result<Self, InvalidRestartPolicy> {
        let (word, count) = text.split_once(':').unwrap_or((text, ""));
        let max = match count {
            "" => 0,
            count => count.parse().map_err(|_| InvalidRestartPolicy::Count)?,
        };
        let policy = match word {
            "" if text.is_empty() => Self::No,
            "no" => Self::No,
            "on-failure" => return Ok(Self::OnFailure { max }),
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            "on-unhealthy" => Self::OnUnhealthy,
            _ => return Err(InvalidRestartPolicy::Unknown),
        };
        if max == 0 { Ok(policy) } else { Err(InvalidRestartPolicy::NotCounted) }
    }

    /// Docker's word, without a number.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure { .. } => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnUnhealthy => "on-unhealthy",
        }
    }

    /// How many restarts there may be; 0 for any number.
    pub fn max(self) -> u32 {
        match self {
            Self::OnFailure { max } => max,
            _ => 0,
        }
    }

    /// Whether a container that ran, or has ended, is brought back when the host has booted.
    pub fn after_boot(self, stopped_by_hand: bool) -> bool {
        match self {
            Self::Always => true,
            Self::UnlessStopped => !stopped_by_hand,
            Self::No | Self::OnFailure { .. } | Self::OnUnhealthy => false,
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure { max } if *max > 0 => write!(f, "on-failure:{max}"),
            policy => f.write_str(policy.word()),
        }
    }
}

impl Serialize for RestartPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RestartPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How a run ended, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Its program was not successful, or nobody knows.
    pub failed: bool,
    /// Somebody stopped or killed it.
    pub by_hand: bool,
    /// The health check found it unhealthy, and it was stopped for that.
    pub unhealthy: bool,
    /// How long it ran.
    pub ran: Duration,
}

/// What happened since somebody started the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// How often it was started again.
    pub restarts: u32,
    /// How long the last of these waited, in milliseconds; 0 before the first.
    pub waited_ms: u64,
}

/// What comes after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays ended.
    Stay,
    /// It is started again.
    Restart {
        /// After so long.
        after: Duration,
    },
}

/// What comes after this end.
pub fn next(policy: RestartPolicy, ending: &Ending, history: &History) -> Next {
    let wanted = match policy {
        RestartPolicy::No => false,
        RestartPolicy::OnFailure { max } => ending.failed && (max == 0 || history.restarts < max),
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnUnhealthy => ending.failed || ending.unhealthy,
    };
    if !wanted || ending.by_hand {
        return Next::Stay;
    }
    let last = if ending.ran >= RESET_AFTER { 0 } else { history.waited_ms };
    let after = match Duration::from_millis(last) {
        Duration::ZERO => WAIT_FIRST,
        last => last.saturating_mul(2).min(WAIT_MAX),
    };
    Next::Restart { after }
}

/// A restart that is to come, in the record of the end before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPlan {
    /// Milliseconds between the end and the restart.
    pub after_ms: u64,
    /// When that is, by the host's clock.
    pub at: Timestamp,
}

/// What a shim must know to decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// When the container is started again.
    pub policy: RestartPolicy,
    /// What happened before this run.
    #[serde(default)]
    pub history: History,
    /// The stop signal that image or user chose. Without one any signal from a client counts
    /// as a stop by hand, as docker has it; with one that and SIGKILL do.
    #[serde(default)]
    pub stop_signal: Option<i32>,
    /// Milliseconds from the stop signal to SIGKILL; none waits for ever.
    #[serde(default)]
    pub grace_ms: Option<u64>,
}

impl Restarts {
    /// Whether a client that sends `signal` wants the container to end and stay so.
    pub fn is_by_hand(&self, signal: i32) -> bool {
        self.stop_signal.is_none_or(|stop| signal == stop || signal == SIGKILL)
    }
}

const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Who ran so long was well.
const RESET_AFTER: Duration = Duration::from_secs(10);
const SIGKILL: i32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Ending = Ending { failed: true, by_hand: false, unhealthy: false, ran: Duration::ZERO };
    const DONE: Ending = Ending { failed: false, ..FAILED };
    const SICK: Ending = Ending { unhealthy: true, ..DONE };

    #[test]
    fn policies_round_trip() {
        for text in ["no", "on-failure", "on-failure:3", "always", "unless-stopped", "on-unhealthy"] {
            assert_eq!(RestartPolicy::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(RestartPolicy::parse("").unwrap(), RestartPolicy::No);
        assert_eq!(RestartPolicy::parse("on-failure:0").unwrap().to_string(), "on-failure");
        for text in ["sometimes", ":3", "on-failure:x", "on-failure:-1", "always:3", "no:1"] {
            assert!(RestartPolicy::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn who_is_started_again() {
        let again = |policy, ending: &Ending, restarts| {
            let history = History { restarts, waited_ms: 0 };
            next(policy, ending, &history) != Next::Stay
        };
        use RestartPolicy as P;
        let by_hand = Ending { by_hand: true, ..FAILED };
        for (policy, ending, restarts, expected) in [
            (P::No, FAILED, 0, false),
            (P::Always, DONE, 1000, true),
            (P::UnlessStopped, FAILED, 0, true),
            (P::OnFailure { max: 0 }, DONE, 0, false),
            (P::OnFailure { max: 0 }, FAILED, 1000, true),
            (P::OnFailure { max: 3 }, FAILED, 2, true),
            (P::OnFailure { max: 3 }, FAILED, 3, false),
            (P::OnUnhealthy, DONE, 0, false),
            (P::OnUnhealthy, SICK, 0, true),
            (P::OnUnhealthy, FAILED, 0, true),
            (P::Always, by_hand, 0, false),
            (P::UnlessStopped, by_hand, 0, false),
            (P::OnFailure { max: 0 }, by_hand, 0, false),
        ] {
            assert_eq!(again(policy, &ending, restarts), expected, "{policy} {ending:?} {restarts}");
        }
    }

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let wait = |ran, waited_ms| {
            let ending = Ending { ran: Duration::from_millis(ran), ..FAILED };
            match next(RestartPolicy::Always, &ending, &History { restarts: 1, waited_ms }) {
                Next::Restart { after } => after.as_millis(),
                Next::Stay => panic!("always restarts"),
            }
        };
        for (ran, waited, expected) in [
            (0, 0, 100),
            (0, 100, 200),
            (9_999, 200, 400),
            (0, 25_600, 51_200),
            (0, 51_200, 60_000),
            (0, 60_000, 60_000),
            (10_000, 60_000, 100),
        ] {
            assert_eq!(wait(ran, waited), expected, "{ran} {waited}");
        }
    }

    #[test]
    fn after_a_boot() {
        use RestartPolicy as P;
        for (policy, by_hand, expected) in [
            (P::Always, true, true),
            (P::Always, false, true),
            (P::UnlessStopped, false, true),
            (P::UnlessStopped, true, false),
            (P::OnFailure { max: 0 }, false, false),
            (P::No, false, false),
        ] {
            assert_eq!(policy.after_boot(by_hand), expected, "{policy} {by_hand}");
        }
    }

    #[test]
    fn which_signals_stop_by_hand() {
        let with = |stop_signal| Restarts { stop_signal, ..Restarts::default() };
        assert!(with(None).is_by_hand(1));
        assert!(with(Some(3)).is_by_hand(3) && with(Some(3)).is_by_hand(9));
        assert!(!with(Some(3)).is_by_hand(1));
    }
}
