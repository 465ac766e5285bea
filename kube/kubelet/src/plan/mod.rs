//! What is to be done for a pod, from what is known of it: pure.
//!
//! ```text
//! sandbox ─▶ init containers, in order ─▶ main containers     ephemeral ones at any time
//!              (sidecars stay)
//! ending: traffic away ─▶ main containers ─▶ sidecars, last first ─▶ sandbox ─▶ volumes ─▶ gone
//! ```
//!
//! A plan depends on the state, never on what woke the worker. Work that takes time is a job: the
//! plan sees which are under way and does not ask for them again.

mod ending;
mod init;
mod restart;
mod running;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub(crate) use restart::{CRASH_FIRST, backoff_message, crash_backoff, is_image_failure};
pub use restart::{restarts, start_backoff};

use crate::model::{Backoff, Container, Ending, Job, Life, Observed, Volumes, Wanted};
use crate::read::{at, host_network};

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In this order; none waits for another.
    pub actions: Vec<Action>,
    /// When to look again though nothing has happened.
    pub look_again_after: Option<Duration>,
    /// In words, what decided.
    pub why: Vec<String>,
    /// That the pod is being ended, if it is.
    pub ending: Option<Ending>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make its volumes.
    MakeVolumes,
    /// Make a sandbox; first stop what is left of the one before.
    RunSandbox {
        /// Its number.
        attempt: u32,
        /// The one before.
        replaces: Option<String>,
    },
    /// Stop a sandbox.
    StopSandbox {
        /// Its id.
        id: String,
    },
    /// Start a container: pull its image, make it, start it, run its hook.
    Start {
        /// Its name.
        name: String,
        /// Its number.
        attempt: u32,
        /// How long the next start will have to wait if this one crashes.
        backoff: Option<Backoff>,
    },
    /// A container that crashes has to wait; said once per crash.
    TellBackoff {
        /// Its name.
        name: String,
        /// What `state.waiting.message` says.
        message: String,
    },
    /// Stop a container: run its hook, ask, and end it after so long.
    Kill {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Seconds.
        grace: i64,
        /// Whether its hook is to be run.
        hook: bool,
        /// What people are told.
        message: String,
        /// Whether another one takes its place, whatever the policy.
        replaced: bool,
    },
    /// Remove a container that has ended.
    Remove {
        /// Its id.
        id: String,
    },
    /// Give running containers, and the pod around them, other limits.
    Resize {
        /// Their names.
        names: Vec<String>,
    },
    /// Have traffic led away.
    Drain {
        /// Wait no longer than so many seconds.
        most: i64,
    },
    /// Take away volumes and cgroups.
    Cleanup,
    /// Remove what the runtime still has of the pod, and let go of the object.
    Purge,
}

impl Action {
    /// The job that it begins, if it takes time.
    pub fn job(&self) -> Option<Job> {
        Some(match self {
            Self::MakeVolumes => Job::Volumes,
            Self::RunSandbox { .. } => Job::Sandbox,
            Self::StopSandbox { id } => Job::StopSandbox(id.clone()),
            Self::Start { name, .. } => Job::Start(name.clone()),
            Self::Kill { id, .. } => Job::Kill(id.clone()),
            Self::Remove { id } => Job::Remove(id.clone()),
            Self::Resize { .. } => Job::Resize,
            Self::Drain { .. } => Job::Drain,
            Self::Cleanup => Job::Cleanup,
            Self::Purge => Job::Purge,
            Self::TellBackoff { .. } => return None,
        })
    }
}

/// Between two looks for addresses.
const ADDRESSES_AGAIN: SignedDuration = SignedDuration::from_millis(200);

/// A plan that is being made.
struct Maker<'a> {
    pod: &'a Value,
    seen: Observed<'a>,
    now: Timestamp,
    plan: Plan,
    /// Containers whose limits are not those that they are to have.
    resized: Vec<String>,
}

/// What is to be done for a pod.
pub fn plan(pod: &Value, seen: Observed<'_>, now: Timestamp) -> Plan {
    let mut maker = Maker { pod, seen, now, plan: Plan::default(), resized: Vec::new() };
    maker.decide();
    maker.plan
}

impl Maker<'_> {
    fn decide(&mut self) {
        self.plan.ending = ending::of(self);
        if self.plan.ending.is_some() {
            self.end();
            return;
        }
        self.tidy();
        if !self.has_ground() {
            return;
        }
        self.ephemeral();
        if self.initialize() {
            self.main();
        }
        if !self.resized.is_empty() {
            let names = std::mem::take(&mut self.resized);
            self.act(Action::Resize { names });
        }
    }

    /// Volumes and a sandbox, which everything else stands on.
    fn has_ground(&mut self) -> bool {
        match &self.seen.memory.volumes {
            Volumes::Ready => {}
            Volumes::Failed(retry) if retry.next_at(VOLUMES_FIRST, VOLUMES_MOST) > self.now => {
                let (at, why) = (retry.next_at(VOLUMES_FIRST, VOLUMES_MOST), retry.message.clone());
                self.why(|| format!("waits for volumes: {why}"));
                self.look_at(at);
                return false;
            }
            Volumes::Unknown | Volumes::Failed(_) | Volumes::Removed => {
                self.act(Action::MakeVolumes);
                return false;
            }
        }
        let newest = self.seen.sandboxes.first();
        match newest {
            Some(sandbox)
                if sandbox.is_ready && (host_network(self.pod) || !sandbox.addresses.is_empty()) =>
            {
                true
            }
            // A runtime that was just started tells addresses when it has its network again.
            Some(sandbox) if sandbox.is_ready => {
                self.why(|| "waits until the runtime tells the sandbox's addresses".to_owned());
                self.look_at(self.now + ADDRESSES_AGAIN);
                false
            }
            _ => {
                self.make_sandbox();
                false
            }
        }
    }

    fn make_sandbox(&mut self) {
        if let Some(retry) = &self.seen.memory.sandbox_failure {
            let at = retry.next_at(SANDBOX_FIRST, SANDBOX_MOST);
            if at > self.now {
                let why = retry.message.clone();
                self.why(|| format!("waits before it makes a sandbox again: {why}"));
                self.look_at(at);
                return;
            }
        }
        let newest = self.seen.sandboxes.first();
        let attempt = newest.map_or(0, |sandbox| sandbox.attempt + 1);
        let replaces = newest.map(|sandbox| sandbox.id.clone());
        self.act(Action::RunSandbox { attempt, replaces });
    }

    /// Removes ended containers that are no longer shown: of each name the newest two stay.
    fn tidy(&mut self) {
        for wanted in Wanted::all(self.pod) {
            let of_name = self.seen.containers.iter().filter(|found| found.name == wanted.name());
            let old = of_name.skip(1).filter(|found| found.life == Life::Exited).skip(1);
            let ids: Vec<String> = old.map(|found| found.id.clone()).collect();
            for id in ids {
                self.act(Action::Remove { id });
            }
        }
    }

    /// Asks for something, unless it is under way.
    fn act(&mut self, action: Action) -> bool {
        if action.job().is_some_and(|job| self.seen.memory.jobs.contains(&job)) {
            return false;
        }
        self.plan.actions.push(action);
        true
    }

    fn is_under_way(&self, job: &Job) -> bool {
        self.seen.memory.jobs.contains(job)
    }

    /// Whether some container is being started: they are started one after the other.
    fn is_starting(&self) -> bool {
        let asked = self.plan.actions.iter().any(|action| matches!(action, Action::Start { .. }));
        asked || self.seen.memory.jobs.iter().any(|job| matches!(job, Job::Start(_)))
    }

    fn look_at(&mut self, at: Timestamp) {
        let after = Duration::try_from(at.duration_since(self.now)).unwrap_or_default();
        let before = self.plan.look_again_after;
        self.plan.look_again_after = Some(before.map_or(after, |before| before.min(after)));
    }

    fn why(&mut self, text: impl FnOnce() -> String) {
        self.plan.why.push(text());
    }

    /// Starts a container that has to run, if it need not wait. `ended` is its last one.
    fn start(&mut self, wanted: &Wanted<'_>, ended: Option<&Container>) {
        let name = wanted.name();
        if self.is_under_way(&Job::Start(name.to_owned())) {
            return;
        }
        if let Some(failure) = self.seen.memory.failures.get(name) {
            let at = start_backoff(failure);
            if at > self.now {
                let reason = failure.reason.clone();
                self.why(|| format!("container {name} waits after {reason}"));
                self.look_at(at);
                return;
            }
        }
        let before = self.seen.memory.backoffs.get(name).copied();
        let ended_at = ended.and_then(|ended| crate::read::from_nanos(ended.finished_at));
        let (wait, backoff) = crash_backoff(before, ended_at, self.now);
        if let Some(until) = wait {
            let seconds = before.map_or(CRASH_FIRST, |backoff| backoff.seconds);
            let message = backoff_message(self.pod, name, seconds);
            self.act(Action::TellBackoff { name: name.to_owned(), message });
            self.look_at(until);
            return;
        }
        // One after the other: the next plan comes as soon as this one has started.
        if self.is_starting() {
            return;
        }
        let attempt = self.next_attempt(name);
        self.act(Action::Start { name: name.to_owned(), attempt, backoff });
    }

    /// The number of the next container of a name. Where the runtime has forgotten, the API may know.
    fn next_attempt(&self, name: &str) -> u32 {
        if let Some(newest) = self.seen.newest(name) {
            return newest.attempt + 1;
        }
        let Some(status) = crate::status::written(self.pod, name) else { return 0 };
        let had_one = at(status, &["containerID"]).is_some();
        let count = crate::read::number(status, &["restartCount"]).unwrap_or_default();
        u32::try_from(count + i64::from(had_one)).unwrap_or_default()
    }

    fn ephemeral(&mut self) {
        for wanted in Wanted::ephemeral(self.pod) {
            let was_there = self.seen.newest(wanted.name()).is_some()
                || crate::status::written(self.pod, wanted.name())
                    .is_some_and(|status| at(status, &["containerID"]).is_some());
            if !was_there {
                self.start(&wanted, None);
            }
        }
    }
}

/// Seconds before volumes are tried again, and the most.
const VOLUMES_FIRST: i64 = 1;
const VOLUMES_MOST: i64 = 120;
/// Likewise of sandboxes.
const SANDBOX_FIRST: i64 = 1;
const SANDBOX_MOST: i64 = 60;
