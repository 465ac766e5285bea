//! The life of a container, as an enum that consumes itself.
//!
//! ```text
//! Created ──Starting──▶ Starting ──Started──▶ Running ◀─Paused/Resumed─▶ Running (paused)
//!    ▲                     │                     │
//!    └────StartFailed──────┘                     │ Exited
//!                          Exited ◀──────────────┘──▶ Starting (again)
//!                          Restarting ◀──┘ (its policy wants it) ──▶ Starting, or Exited when stopped
//! Created | Exited ──Removing──▶ Removing (and then there is nothing)
//! ```

use serde::{Deserialize, Serialize};
use shim::{Exit, Timestamp};

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Lifecycle {
    /// It was made and has not run; or its start failed, and why.
    Created {
        /// Why the last start failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<StartFailure>,
    },
    /// A shim is being started for it.
    Starting {
        /// How it ended before, if it ran before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Box<Exit>>,
    },
    /// Its init runs.
    Running {
        /// Init's process id on the host.
        pid: i32,
        /// Field 22 of `/proc/PID/stat`: with the id it names the process for good.
        start_time: u64,
        /// When it was started.
        started_at: Timestamp,
        /// Whether all its processes are frozen.
        #[serde(default)]
        paused: bool,
    },
    /// Its init has ended.
    Exited {
        /// How.
        exit: Box<Exit>,
    },
    /// Its init has ended, and its shim waits to have it started again.
    Restarting {
        /// How it ended.
        exit: Box<Exit>,
    },
    /// It is going away.
    Removing,
}

/// Why a container could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// The message.
    pub message: String,
    /// Docker's exit status for it.
    pub code: u8,
    /// When.
    pub at: Timestamp,
}

/// What happens to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A shim is going to be started.
    Starting,
    /// That failed.
    StartFailed(StartFailure),
    /// Its init runs.
    Started {
        /// Init's process id on the host.
        pid: i32,
        /// Its start time.
        start_time: u64,
        /// When.
        at: Timestamp,
    },
    /// Its processes were frozen.
    Paused,
    /// They go on.
    Resumed,
    /// Its init has ended.
    Exited(Box<Exit>),
    /// It is going away.
    Removing,
}

/// The state does not allow the event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the container is {state}, so it cannot be {event}{hint}")]
pub struct InvalidTransition {
    /// The state in docker's word.
    pub state: &'static str,
    /// What was to happen.
    pub event: &'static str,
    /// What to do, or nothing.
    pub hint: &'static str,
}

impl Lifecycle {
    /// The state after `event`.
    pub fn on(self, event: Event) -> Result<Self, InvalidTransition> {
        match (self, event) {
            (Self::Created { .. }, Event::Starting) => Ok(Self::Starting { previous: None }),
            (Self::Exited { exit } | Self::Restarting { exit }, Event::Starting) => {
                Ok(Self::Starting { previous: Some(staying(exit)) })
            }
            (Self::Starting { previous: None }, Event::StartFailed(failure)) => {
                Ok(Self::Created { failure: Some(failure) })
            }
            (Self::Starting { previous: Some(exit) }, Event::StartFailed(_)) => Ok(Self::Exited { exit }),
            (Self::Starting { .. }, Event::Started { pid, start_time, at }) => {
                Ok(Self::Running { pid, start_time, started_at: at, paused: false })
            }
            (Self::Running { pid, start_time, started_at, paused: false }, Event::Paused) => {
                Ok(Self::Running { pid, start_time, started_at, paused: true })
            }
            (Self::Running { pid, start_time, started_at, paused: true }, Event::Resumed) => {
                Ok(Self::Running { pid, start_time, started_at, paused: false })
            }
            // An init that dies before the gate is opened is an end too, not a failure to start.
            (Self::Running { .. } | Self::Starting { .. }, Event::Exited(exit)) => {
                Ok(if exit.restart.is_some() { Self::Restarting { exit } } else { Self::Exited { exit } })
            }
            (Self::Restarting { .. }, Event::Exited(exit)) => Ok(Self::Exited { exit: staying(exit) }),
            (Self::Created { .. } | Self::Exited { .. } | Self::Removing, Event::Removing) => {
                Ok(Self::Removing)
            }
            // The creator died in the middle: what it began is undone with the container.
            (Self::Starting { .. }, Event::Removing) => Ok(Self::Removing),
            (state, event) => Err(InvalidTransition {
                state: state.docker_status(),
                event: event.participle(),
                hint: state.hint(&event),
            }),
        }
    }

    /// Docker's word: created, running, paused, exited, removing.
    pub fn docker_status(&self) -> &'static str {
        match self {
            Self::Created { .. } | Self::Starting { .. } => "created",
            Self::Running { paused: false, .. } => "running",
            Self::Running { paused: true, .. } => "paused",
            Self::Exited { .. } => "exited",
            Self::Restarting { .. } => "restarting",
            Self::Removing => "removing",
        }
    }

    /// Whether its init runs, frozen or not.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Whether it runs, or has ended and is started again by itself: docker calls both running.
    pub fn is_up(&self) -> bool {
        self.is_running() || self.is_restarting()
    }

    /// Whether it has ended and waits to be started again.
    pub fn is_restarting(&self) -> bool {
        matches!(self, Self::Restarting { .. })
    }

    /// Init's process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Running { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Exited { exit } | Self::Restarting { exit } => Some(exit),
            Self::Starting { previous } => previous.as_deref(),
            _ => None,
        }
    }

    fn hint(&self, event: &Event) -> &'static str {
        match (self, event) {
            (Self::Running { paused: true, .. }, Event::Starting | Event::Removing) => {
                "; `strake unpause` lets it go on"
            }
            (Self::Running { .. } | Self::Restarting { .. }, Event::Removing) => {
                "; stop it first, or use `strake rm -f`"
            }
            (Self::Running { .. }, Event::Starting) => "; it runs already",
            _ => "",
        }
    }
}

/// The same end, with nothing to follow.
fn staying(mut exit: Box<Exit>) -> Box<Exit> {
    exit.restart = None;
    exit
}

impl Event {
    fn participle(&self) -> &'static str {
        match self {
            Self::Starting | Self::Started { .. } | Self::StartFailed(_) => "started",
            Self::Paused => "paused",
            Self::Resumed => "unpaused",
            Self::Exited(_) => "ended",
            Self::Removing => "removed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shim::{ExitCause, RestartPlan};

    fn exit(code: i32) -> Box<Exit> {
        Box::new(Exit { code: Some(code), ..Exit::of(ExitCause::Itself, Timestamp::from_unix(1, 0)) })
    }

    fn event(word: &str) -> Event {
        match word {
            "starting" => Event::Starting,
            "started" => Event::Started { pid: 7, start_time: 1, at: Timestamp::from_unix(0, 0) },
            "failed" => Event::StartFailed(StartFailure {
                message: "x".to_owned(),
                code: 127,
                at: Timestamp::from_unix(0, 0),
            }),
            "paused" => Event::Paused,
            "resumed" => Event::Resumed,
            "exited" => Event::Exited(exit(3)),
            "crashed" => {
                let plan = RestartPlan { after_ms: 100, at: Timestamp::from_unix(1, 100_000_000) };
                Event::Exited(Box::new(Exit { restart: Some(plan), ..*exit(3) }))
            }
            "removing" => Event::Removing,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn check(events: &str, expected: &str) {
        let start = Ok(Lifecycle::Created { failure: None });
        let end = events
            .split_whitespace()
            .fold(start, |state, word| state.and_then(|state: Lifecycle| state.on(event(word))));
        let shown = end.as_ref().map_or_else(ToString::to_string, |state| state.docker_status().to_owned());
        assert_eq!(shown, expected, "{events}");
    }

    #[test]
    fn runs_and_runs_again() {
        check("starting started", "running");
        check("starting started paused", "paused");
        check("starting started paused resumed exited", "exited");
        check("starting started exited starting started", "running");
        check("starting exited removing", "removing");
        check("starting failed", "created");
        check("starting started exited starting failed", "exited");
        check("removing removing", "removing");
    }

    #[test]
    fn waits_to_be_started_again() {
        check("starting started crashed", "restarting");
        check("starting started crashed starting started", "running");
        check("starting started crashed starting failed", "exited");
        check("starting started crashed exited", "exited");
        check(
            "starting started crashed removing",
            "the container is restarting, so it cannot be removed; stop it first, or use `strake rm -f`",
        );
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        check(
            "starting started removing",
            "the container is running, so it cannot be removed; stop it first, or use `strake rm -f`",
        );
        check(
            "starting started starting",
            "the container is running, so it cannot be started; it runs already",
        );
        check("paused", "the container is created, so it cannot be paused");
        check("starting started resumed", "the container is running, so it cannot be unpaused");
        check("exited", "the container is created, so it cannot be ended");
        check("removing starting", "the container is removing, so it cannot be started");
    }

    #[test]
    fn has_a_stable_form() {
        let text = serde_json::to_string(&Lifecycle::Created { failure: None }).unwrap();
        assert_eq!(text, r#"{"state":"created"}"#);
        let running =
            Lifecycle::Created { failure: None }.on(event("starting")).unwrap().on(event("started")).unwrap();
        let text = serde_json::to_string(&running).unwrap();
        assert_eq!(serde_json::from_str::<Lifecycle>(&text).unwrap(), running);
    }
}
