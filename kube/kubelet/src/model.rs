//! What is known of a pod on this node: the runtime's answer and what the worker remembers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::read::{flag, items, text};

/// A pod's sandbox, as the runtime tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: String,
    /// How many were there before it.
    pub attempt: u32,
    /// Whether it runs.
    pub is_ready: bool,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: i64,
    /// Its addresses; none with the node's network.
    pub addresses: Vec<String>,
}

/// Where a container is in its life, as the runtime tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Made, not started.
    Created,
    /// Its process runs.
    Running,
    /// Its process has ended.
    Exited,
    /// The runtime does not know.
    #[default]
    Unknown,
}

/// A container, as the runtime tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// How many of this name were there before it.
    pub attempt: u32,
    /// The sandbox that it is in.
    pub sandbox: String,
    /// Where it is in its life.
    pub life: Life,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: i64,
    /// When it was started, likewise; 0 for not yet.
    pub started_at: i64,
    /// When it ended, likewise; 0 for not yet.
    pub finished_at: i64,
    /// How its process ended.
    pub exit_code: i32,
    /// Why it ended, in a word: `Completed`, `Error`, `OOMKilled`.
    pub reason: String,
    /// What it said at its end.
    pub message: String,
    /// The image that was asked for.
    pub image: String,
    /// The image that it has, by digest.
    pub image_id: String,
    /// What of the specification cannot change without a restart, hashed.
    pub hash: String,
    /// What it may use.
    pub resources: Option<Limits>,
    /// The user that its first process has, if the runtime tells.
    pub user: Option<User>,
    /// The signal that asks it to stop, if the runtime tells.
    pub stop_signal: Option<String>,
}

/// The user of a container's first process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: i64,
    /// Group id.
    pub gid: i64,
    /// Further groups.
    pub groups: Vec<i64>,
}

/// Limits of a container as the kernel counts them; 0 is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The weight against others.
    pub cpu_shares: i64,
    /// Microseconds of processor time in a period.
    pub cpu_quota: i64,
    /// The period in microseconds.
    pub cpu_period: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// How soon the kernel ends it when memory is short.
    pub oom_score_adj: i64,
}

/// What a container of a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs to its end before the next starts.
    Init,
    /// An init container that stays: `restartPolicy: Always`.
    Sidecar,
    /// One of `spec.containers`.
    Main,
    /// Joined later, for looking around.
    Ephemeral,
}

/// A container in the pod's specification.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What is written.
    pub spec: &'a Value,
    /// What it is for.
    pub role: Role,
}

impl<'a> Wanted<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        text(self.spec, &["name"])
    }

    /// The init containers in their order.
    pub fn init(pod: &'a Value) -> impl DoubleEndedIterator<Item = Self> {
        items(pod, &["spec", "initContainers"]).iter().map(|spec| {
            let stays = text(spec, &["restartPolicy"]) == "Always";
            Self { spec, role: if stays { Role::Sidecar } else { Role::Init } }
        })
    }

    /// The main containers.
    pub fn main(pod: &'a Value) -> impl DoubleEndedIterator<Item = Self> {
        items(pod, &["spec", "containers"]).iter().map(|spec| Self { spec, role: Role::Main })
    }

    /// The ephemeral containers.
    pub fn ephemeral(pod: &'a Value) -> impl DoubleEndedIterator<Item = Self> {
        items(pod, &["spec", "ephemeralContainers"]).iter().map(|spec| Self { spec, role: Role::Ephemeral })
    }

    /// All of them.
    pub fn all(pod: &'a Value) -> impl Iterator<Item = Self> {
        Self::init(pod).chain(Self::main(pod)).chain(Self::ephemeral(pod))
    }

    /// Whether a probe of this kind (`startupProbe` …) is asked for.
    pub fn has(&self, probe: &str) -> bool {
        self.spec.get(probe).is_some_and(|probe| !probe.is_null())
    }

    /// Whether it has a terminal.
    pub fn has_terminal(&self) -> bool {
        flag(self.spec, &["tty"])
    }
}

/// Work that takes time and is under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Volumes are being made.
    Volumes,
    /// A sandbox is being made.
    Sandbox,
    /// A sandbox is being stopped.
    StopSandbox(String),
    /// A container of this name is being started, with all that comes before.
    Start(String),
    /// The container of this id is being stopped.
    Kill(String),
    /// The container of this id is being removed.
    Remove(String),
    /// Containers, and the pod around them, get other limits.
    Resize,
    /// Traffic is being led away.
    Drain,
    /// Volumes and cgroups are being removed.
    Cleanup,
    /// Nothing of the pod is needed any more.
    Purge,
}

/// Why a container could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// In a word, as it is shown: `ErrImagePull`, `CreateContainerConfigError` …
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

/// How long a container that crashes has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// How long.
    pub seconds: i64,
    /// When it was last made longer.
    pub at: Timestamp,
}

/// Something failed and is tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// In a sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

impl Retry {
    /// When it may be tried again.
    pub fn next_at(&self, first_seconds: i64, most_seconds: i64) -> Timestamp {
        let seconds = doubled(first_seconds, self.times.saturating_sub(1), most_seconds);
        self.at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(self.at)
    }
}

/// `first` doubled so often, at most `most`.
pub(crate) fn doubled(first: i64, times: u32, most: i64) -> i64 {
    first.checked_shl(times.min(30)).unwrap_or(most).min(most)
}

/// Where the pod's volumes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Volumes {
    /// Not yet looked at.
    #[default]
    Unknown,
    /// There.
    Ready,
    /// Some could not be made.
    Failed(Retry),
    /// Taken away.
    Removed,
}

/// What probes say of one container (by its runtime id).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Of the startup probe; none for no answer yet.
    pub started: Option<bool>,
    /// Of the readiness probe.
    pub ready: Option<bool>,
    /// Of the liveness probe.
    pub alive: Option<bool>,
}

/// Why a pod is being ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its object is deleted.
    Deleted,
    /// Its containers have ended and none is to be started again.
    Finished,
    /// The node ends it: the pod has failed for this reason.
    Failed {
        /// In a word: `Evicted`, `DeadlineExceeded`, `Terminated` …
        reason: String,
        /// In a sentence.
        message: String,
        /// The reason of the `DisruptionTarget` condition, if it gets one.
        disruption: Option<String>,
    },
}

/// The disruption by the node itself.
pub(crate) const TERMINATION_BY_KUBELET: &str = "TerminationByKubelet";

/// A pod that is being ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Since when.
    pub since: Timestamp,
    /// How long its containers have, in seconds.
    pub grace: i64,
    /// Why.
    pub cause: Cause,
}

/// What the worker remembers of a pod; a restart begins with nothing of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// What is under way.
    pub jobs: BTreeSet<Job>,
    /// By container.
    pub failures: BTreeMap<String, StartFailure>,
    /// By container.
    pub backoffs: BTreeMap<String, Backoff>,
    /// The sandbox's last failure.
    pub sandbox_failure: Option<Retry>,
    /// The volumes.
    pub volumes: Volumes,
    /// By the container's id.
    pub health: BTreeMap<String, Health>,
    /// Limits that running containers were given, by their ids.
    pub resized: BTreeMap<String, Limits>,
    /// Ids of containers that were stopped because another one of their name is wanted, whatever the policy.
    pub replaced: BTreeSet<String>,
    /// Why running containers could not be given their limits.
    pub resize_failure: Option<String>,
    /// If it is being ended.
    pub ending: Option<Ending>,
    /// Whether traffic has been led away, or no longer matters.
    pub is_drained: bool,
    /// Whether the API no longer has the object.
    pub is_gone: bool,
    /// Whether all of it but logs is cleaned up.
    pub is_clean: bool,
    /// Whether the node may run it at all; a reason and a sentence where not.
    pub refused: Option<(String, String)>,
}

/// What a plan looks at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Newest first.
    pub sandboxes: &'a [Sandbox],
    /// Newest first.
    pub containers: &'a [Container],
    /// What the worker remembers.
    pub memory: &'a Memory,
}

impl<'a> Observed<'a> {
    /// The newest container of a name.
    pub fn newest(&self, name: &str) -> Option<&'a Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The newest sandbox, if it runs.
    pub fn sandbox(&self) -> Option<&'a Sandbox> {
        self.sandboxes.first().filter(|sandbox| sandbox.is_ready)
    }

    /// Whether a container that has ended is to be started again: by policy, or because it had to make place.
    pub fn restarts(&self, pod: &Value, wanted: &Wanted<'_>, ended: &Container) -> bool {
        self.memory.replaced.contains(&ended.id) || crate::plan::restarts(pod, wanted, ended.exit_code)
    }

    /// What probes say of a container.
    pub fn health(&self, id: &str) -> Health {
        self.memory.health.get(id).copied().unwrap_or_default()
    }

    /// What a running container may use. What the runtime was told last counts more than what it
    /// tells: some round.
    pub fn has(&self, container: &Container) -> Option<Limits> {
        self.memory.resized.get(&container.id).copied().or(container.resources)
    }

    /// Whether a running container counts as started: its startup probe has passed, or there is none.
    pub fn is_started(&self, wanted: &Wanted<'_>, container: &Container) -> bool {
        container.life == Life::Running
            && (!wanted.has("startupProbe") || self.health(&container.id).started == Some(true))
    }

    /// Whether a started container counts as ready.
    pub fn is_ready(&self, wanted: &Wanted<'_>, container: &Container) -> bool {
        self.is_started(wanted, container)
            && (!wanted.has("readinessProbe") || self.health(&container.id).ready == Some(true))
    }
}
