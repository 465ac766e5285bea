//! One pod's worker: looks, plans, acts, tells, waits.

mod outcome;
mod resizing;
mod writing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::events::warning;
use crate::jobs::Task;
use crate::kubelet::Shared;
use crate::model::{Cause, Ending, Job, Life, Memory, Observed, Volumes};
use crate::plan::{self, Action, Plan};
use crate::pods::State;
use crate::probes::Probes;
use crate::read::{self, text, uid};
use crate::spec::Mounted;

use outcome::Done;

/// What others want of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desired {
    /// The pod as the API (or its file) has it.
    pub(crate) pod: Arc<Value>,
    /// The object that stands for a static pod in the API.
    pub(crate) mirror: Option<Arc<Value>>,
    /// Whether the pod comes from a file.
    pub(crate) is_static: bool,
    /// Whether the API no longer has it.
    pub(crate) is_gone: bool,
    /// That the node wants it to end: why, and in how many seconds.
    pub(crate) stop: Option<(Cause, i64)>,
    /// Why the node does not take it.
    pub(crate) refused: Option<(String, String)>,
}

/// A pod's worker.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    desired: watch::Receiver<Desired>,
    wake: Arc<Notify>,
    objects_wake: Arc<Notify>,
    /// The pod, with the newest status that is known.
    pod: Arc<Value>,
    /// The same with the resources that the node has given it.
    effective: Arc<Value>,
    /// Why it has not been given those that it wants.
    resize_pending: Option<(String, String)>,
    /// The generation whose limits containers are being given.
    resizing: Option<i64>,
    state: Arc<State>,
    memory: Memory,
    mounts: Arc<BTreeMap<String, Mounted>>,
    probes: Probes,
    jobs: JoinSet<Done>,
    aborts: HashMap<Job, AbortHandle>,
    ends: watch::Sender<bool>,
    writing: writing::Writing,
    /// Whether the runtime has been asked once, so that what is not seen is not there.
    has_seen: bool,
    /// Whether the runtime must be asked again.
    is_dirty: bool,
    observe_failures: u32,
    /// Whether what volumes hold may have changed.
    is_stale: bool,
    refresh_at: Option<Instant>,
    is_purged: bool,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, desired: watch::Receiver<Desired>, wake: Arc<Notify>) -> Self {
        let pod = Arc::clone(&desired.borrow().pod);
        let probes = Probes::new(Arc::clone(&wake));
        Self {
            shared,
            desired,
            effective: Arc::clone(&pod),
            resize_pending: None,
            resizing: None,
            wake,
            objects_wake: Arc::default(),
            pod,
            state: Arc::default(),
            memory: Memory::default(),
            mounts: Arc::default(),
            probes,
            jobs: JoinSet::new(),
            aborts: HashMap::new(),
            ends: watch::Sender::new(false),
            writing: writing::Writing::default(),
            has_seen: false,
            is_dirty: true,
            observe_failures: 0,
            is_stale: false,
            refresh_at: None,
            is_purged: false,
        }
    }

    /// Works until nothing of the pod is left.
    pub(crate) async fn run(mut self) {
        loop {
            self.take_desired();
            if self.is_dirty {
                self.observe().await;
            }
            let mut look_again = None;
            // What was seen before a job ended does not show what the job made.
            if self.has_seen && !self.is_dirty && !self.is_purged {
                look_again = self.step();
            }
            if self.is_purged && (self.memory.is_gone || self.desired.borrow().is_static) {
                return;
            }
            self.wait(look_again).await;
        }
    }

    /// Takes over what others want.
    fn take_desired(&mut self) {
        let desired = self.desired.borrow_and_update().clone();
        let newer = revision(&desired.pod) >= revision(&self.pod) || desired.is_static;
        if newer && !Arc::ptr_eq(&desired.pod, &self.pod) {
            let changed = |path: &[&str]| read::at(&self.pod, path) != read::at(&desired.pod, path);
            self.is_stale |= changed(&["metadata", "labels"]) || changed(&["metadata", "annotations"]);
            self.pod = Arc::clone(&desired.pod);
        }
        if desired.is_static {
            self.pod = with_status_of(&self.pod, desired.mirror.as_deref());
        }
        self.memory.is_gone |= desired.is_gone;
        self.memory.refused = desired.refused;
        if let (Some((cause, grace)), None) = (desired.stop, &self.memory.ending) {
            self.memory.ending = Some(Ending { since: self.shared.now(), grace, cause });
            self.ends.send_replace(true);
        }
    }

    /// Asks the runtime what it has of the pod.
    async fn observe(&mut self) {
        let runtime = &*self.shared.config.runtime;
        let logs = self.shared.config.paths.pod_logs(&self.pod);
        match crate::runtime::observe(runtime, uid(&self.pod), &logs, &self.state).await {
            Ok(state) => {
                self.is_dirty = false;
                self.observe_failures = 0;
                if !self.has_seen {
                    self.adopt(&state);
                }
                self.has_seen = true;
                if *self.state != state {
                    self.state = Arc::new(state);
                    self.shared.pods.set_state(uid(&self.pod), Arc::clone(&self.state));
                }
            }
            Err(_) => self.observe_failures += 1,
        }
    }

    /// Containers that ran before this kubelet did are as well as they were until a probe says otherwise.
    fn adopt(&mut self, state: &State) {
        for found in state.containers.iter().filter(|found| found.life == Life::Running) {
            let Some(status) = crate::status::written(&self.pod, &found.name) else { continue };
            if text(status, &["containerID"]).ends_with(&found.id) {
                let health = crate::model::Health {
                    started: read::flag(status, &["started"]).then_some(true),
                    ready: read::flag(status, &["ready"]).then_some(true),
                    alive: None,
                };
                self.probes.seed(&found.id, health);
            }
        }
    }

    /// One look, one plan, its actions, and the status. Tells when to look again.
    fn step(&mut self) -> Option<Duration> {
        let now = self.shared.now();
        self.try_volumes_again();
        (self.effective, self.resize_pending) = crate::node::allocate(&self.shared, &self.pod);
        self.memory.health = self.probes.health();
        let seen = Observed {
            sandboxes: &self.state.sandboxes,
            containers: &self.state.containers,
            memory: &self.memory,
        };
        let Plan { actions, look_again_after, why, ending } = plan::plan(&self.effective, seen, now);
        self.shared.note(uid(&self.pod), why);
        self.remember(ending);
        let wanted = crate::objects::references(&self.pod);
        if self.memory.ending.is_none() {
            self.shared.objects.need(uid(&self.pod), &wanted, &self.objects_wake);
            self.refresh();
        }
        let (last, actions): (Vec<_>, Vec<_>) =
            actions.into_iter().partition(|action| matches!(action, Action::Purge));
        for action in actions {
            self.act(action);
        }
        let ends = self.memory.ending.is_some();
        self.probes.sync(&self.shared, &self.pod, &self.state, &self.addresses(), ends);
        self.tell_resize();
        self.write_status(now);
        // The last word has to be with the API before: only now is known whether there is one to be said. Nothing
        // else may wake us when it has come.
        for action in last {
            self.act(action);
        }
        let resize = self.resize_pending.as_ref().map(|_| RESIZE_AGAIN);
        [look_again_after, resize].into_iter().flatten().min()
    }

    fn addresses(&self) -> Vec<String> {
        self.task().addresses()
    }

    fn task(&self) -> Task {
        Task {
            shared: Arc::clone(&self.shared),
            pod: Arc::clone(&self.effective),
            state: Arc::clone(&self.state),
            mounts: Arc::clone(&self.mounts),
            ends: self.ends.subscribe(),
        }
    }

    /// Keeps that the pod is being ended. Whoever has less time now is asked again.
    fn remember(&mut self, ending: Option<Ending>) {
        let Some(ending) = ending else { return };
        let before = self.memory.ending.as_ref().map(|before| before.grace);
        if before.is_none() {
            self.ends.send_replace(true);
        }
        if before.is_some_and(|before| before > ending.grace) {
            let kills: Vec<Job> = self
                .memory
                .jobs
                .iter()
                .filter(|job| matches!(job, Job::Kill(_) | Job::Drain))
                .cloned()
                .collect();
            for job in kills {
                if let Some(abort) = self.aborts.remove(&job) {
                    abort.abort();
                }
                self.memory.jobs.remove(&job);
                self.memory.is_drained |= job == Job::Drain;
            }
            self.wake.notify_one();
        }
        self.memory.ending = Some(ending);
    }

    /// What was missing may have come: that is not waited for any longer.
    fn try_volumes_again(&mut self) {
        let failed = matches!(self.memory.volumes, Volumes::Failed(_));
        if self.is_stale && failed && !self.memory.jobs.contains(&Job::Volumes) {
            self.is_stale = false;
            self.memory.volumes = Volumes::Unknown;
        }
    }

    /// Makes volumes anew whose content may have changed.
    fn refresh(&mut self) {
        let due = self.refresh_at.is_some_and(|at| at <= Instant::now());
        if !(self.is_stale || due)
            || self.memory.volumes != Volumes::Ready
            || self.memory.jobs.contains(&Job::Volumes)
        {
            return;
        }
        self.is_stale = false;
        self.refresh_at = None;
        let volumes = read::items(&self.pod, &["spec", "volumes"]);
        if volumes.iter().any(crate::objects::follows_changes) {
            self.act(Action::MakeVolumes);
        }
    }

    /// Begins one action.
    fn act(&mut self, action: Action) {
        if let Action::TellBackoff { name, .. } = &action {
            self.tell_backoff(name);
        }
        if matches!(action, Action::Purge)
            && (self.writing.is_busy() || self.memory.jobs.contains(&Job::Cleanup))
        {
            return;
        }
        if let Action::Start { name, backoff: Some(backoff), .. } = &action {
            self.memory.backoffs.insert(name.clone(), *backoff);
        }
        if let Action::Kill { id, replaced: true, .. } = &action {
            self.memory.replaced.insert(id.clone());
        }
        let Some(job) = action.job() else { return };
        let work = outcome::work(self.task(), action, &self.desired.borrow());
        let Some(work) = work else { return };
        let of = job.clone();
        let abort = self.jobs.spawn(async move { Done::Job(of, work.await) });
        self.memory.jobs.insert(job.clone());
        self.aborts.insert(job, abort);
    }

    fn tell_backoff(&self, name: &str) {
        let newest = self.state.containers.iter().find(|found| found.name == name);
        let id = newest.map(|newest| newest.id.as_str()).unwrap_or_default();
        if self.shared.once.is_news(&format!("backoff {} {name}", uid(&self.pod)), id) {
            let pod = read::long_name(&self.pod);
            let message = format!("Back-off restarting failed container {name} in pod {pod}");
            self.shared.recorder.container(&self.pod, name, self.shared.now(), warning("BackOff", message));
        }
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, look_again: Option<Duration>) {
        let retry = self.is_dirty.then(|| Duration::from_millis(500 << self.observe_failures.min(6)));
        let refresh = self.refresh_at.map(|at| at.saturating_duration_since(Instant::now()));
        let stale = self.stale_failure();
        let least =
            [look_again, retry, refresh, stale, self.writing.retry_after()].into_iter().flatten().min();
        let timer = async {
            match least {
                // A little later than asked, so that what is waited for has come.
                Some(least) => tokio::time::sleep(least + SLACK).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.desired.changed() => {
                // Who starts workers is gone: the kubelet ends.
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            () = self.wake.notified() => self.is_dirty = true,
            () = self.objects_wake.notified() => self.is_stale = true,
            Some(done) = self.jobs.join_next() => self.done(done),
            // What is waited for may be the runtime's.
            () = timer => self.is_dirty = true,
        }
        while let Some(done) = self.jobs.try_join_next() {
            self.done(done);
        }
    }

    /// When a fresh failure is to be shown as waiting.
    fn stale_failure(&self) -> Option<Duration> {
        let now = self.shared.now();
        let fresh = self.memory.failures.values().filter_map(|failure| {
            let age = now.duration_since(failure.at);
            let left = jiff::SignedDuration::from_secs(crate::status::FRESH) - age;
            Duration::try_from(left).ok().filter(|left| !left.is_zero())
        });
        fresh.min()
    }
}

/// A static pod with the status that its mirror has.
fn with_status_of(pod: &Arc<Value>, mirror: Option<&Value>) -> Arc<Value> {
    let status = mirror.and_then(|mirror| mirror.get("status"));
    match status {
        Some(status) if pod.get("status") != Some(status) => {
            let mut copy = (**pod).clone();
            copy["status"] = status.clone();
            Arc::new(copy)
        }
        _ => Arc::clone(pod),
    }
}

/// The pod's revision as a number.
pub(crate) fn revision(pod: &Value) -> u64 {
    text(pod, &["metadata", "resourceVersion"]).parse().unwrap_or_default()
}

/// Timers of plans count whole seconds of a coarse clock.
const SLACK: Duration = Duration::from_millis(5);
/// Before it is looked again whether a larger pod fits.
const RESIZE_AGAIN: Duration = Duration::from_secs(10);
