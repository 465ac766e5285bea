//! The one task that owns the world and the queue, and the jobs that it starts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use client::Change as Seen;
use controller::Clock;
use controllers::object;
use futures_util::StreamExt as _;
use kube_object::status::Status;
use scheduler::{Decision, Diagnosis, Pod, Preemption, Queue, VolumeStep, preempt, schedule};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::Config;
use crate::act::{self, Done, Verdict};
use crate::lead::Lead;
use crate::pods::Pending;
use crate::tell::{About, Event, Teller};
use crate::volumes::{self, Awaited, BOUND_WITHIN, Claims};
use crate::world::{Kind, World};

/// Places pods until the signal says `true` or its sender is gone. What was begun is carried to its end.
pub async fn run(config: Config, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        () = config.mirror.synced() => {}
        () = client::asked_to_end(&mut shutdown) => return,
    }
    let mut lead = config
        .election
        .clone()
        .map(|election| Lead::new(election, Arc::clone(&config.api), Arc::clone(&config.clock)));
    let mut state = State::new(config);
    loop {
        let acts = state.known.len() == Kind::ALL.len() && lead.as_ref().is_none_or(Lead::is_mine);
        if acts {
            state.dispatch();
        }
        let more = acts && state.queue.has_ready() && state.has_room();
        let queue = acts.then(|| state.next_deadline()).flatten();
        let deadline = queue.into_iter().chain(lead.as_ref().map(Lead::next_at)).min();
        let clock = Arc::clone(&state.config.clock);
        tokio::select! {
            biased;
            () = client::asked_to_end(&mut shutdown) => break,
            Some((kind, seen)) = state.inbox.recv() => state.see_all(kind, seen),
            Some(done) = state.jobs.join_next() => {
                // A job only ends early when it is aborted, and nobody aborts one.
                if let Ok(done) = done {
                    state.done(done);
                }
            }
            () = tokio::task::yield_now(), if more => {}
            () = sleep_until(&*clock, deadline) => {
                state.give_up_late_volumes();
                if let Some(lead) = lead.as_mut().filter(|lead| clock.elapsed() >= lead.next_at()) {
                    lead.tick().await;
                }
            }
        }
    }
    state.stop().await;
    if let Some(lead) = lead {
        lead.release().await;
    }
}

/// What the task owns.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) world: World,
    pub(crate) queue: Queue,
    /// Pods without a node that are ours, by key.
    pub(crate) pending: HashMap<String, Pending>,
    /// Identities of all pods that have not ended, by key.
    pub(crate) pods: HashMap<Arc<str>, Arc<str>>,
    /// Pods that count on their node though the API has not shown it, by identity.
    pub(crate) assumed: HashMap<Arc<str>, Arc<Pod>>,
    /// Pods for which others are being ended, on the node where, by identity.
    pub(crate) nominated: HashMap<Arc<str>, Arc<Pod>>,
    /// Pods whose volumes are on their way, by key.
    pub(crate) awaited: HashMap<String, Awaited>,
    /// Keys and identities of everything else.
    others: HashMap<Kind, HashMap<Arc<str>, Arc<str>>>,
    /// Kinds that have been seen once.
    known: HashSet<Kind>,
    /// Where the search for a node begins.
    turn: usize,
    inbox: mpsc::Receiver<(Kind, Seen)>,
    followers: JoinSet<()>,
    jobs: JoinSet<Done>,
    teller: Teller,
    telling: JoinSet<()>,
}

impl State {
    fn new(config: Config) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let mut followers = JoinSet::new();
        for kind in Kind::ALL {
            let mut changes = config.mirror.changes(&kind.resource().group_resource());
            let sender = sender.clone();
            followers.spawn(async move {
                while let Some(seen) = changes.next().await {
                    if sender.send((kind, seen)).await.is_err() {
                        return;
                    }
                }
            });
        }
        let (teller, task) =
            Teller::new(Arc::clone(&config.api), Arc::clone(&config.clock), config.instance.clone());
        let mut telling = JoinSet::new();
        telling.spawn(task);
        Self {
            config,
            world: World::default(),
            queue: Queue::default(),
            pending: HashMap::new(),
            pods: HashMap::new(),
            assumed: HashMap::new(),
            nominated: HashMap::new(),
            awaited: HashMap::new(),
            others: HashMap::new(),
            known: HashSet::new(),
            turn: 0,
            inbox,
            followers,
            jobs: JoinSet::new(),
            teller,
            telling,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.config.clock.elapsed()
    }

    fn has_room(&self) -> bool {
        self.jobs.len() < JOBS_MAX
    }

    fn see_all(&mut self, kind: Kind, seen: Seen) {
        self.see(kind, seen);
        // Decisions are better, and cheaper, when all that is known is taken in first.
        for _ in 0..INBOX_MAX {
            let Ok((kind, seen)) = self.inbox.try_recv() else { break };
            self.see(kind, seen);
        }
    }

    fn see(&mut self, kind: Kind, seen: Seen) {
        match seen {
            Seen::Set { new, .. } => self.set(kind, &new),
            Seen::Gone { old } => self.gone(kind, old.key(), old.uid()),
            Seen::Resync => self.resync(kind),
        }
    }

    fn set(&mut self, kind: Kind, item: &client::Item) {
        if kind == Kind::Pod {
            return self.pod_set(item);
        }
        let known = self.others.entry(kind).or_default();
        if let Some(before) = known.insert(Arc::clone(item.key()), item.uid().into())
            && *before != *item.uid()
        {
            self.world.remove(kind, item.key(), &before);
        }
        let now = self.now();
        for change in self.world.set(kind, item) {
            self.queue.happened(change, now);
        }
        if kind == Kind::Claim {
            self.look_at_awaited();
        }
    }

    fn gone(&mut self, kind: Kind, key: &str, uid: &str) {
        if kind == Kind::Pod {
            if self.pods.get(key).is_some_and(|known| **known == *uid) {
                self.pod_gone(key);
            }
            return;
        }
        if let Some(known) = self.others.get_mut(&kind) {
            known.remove(key);
        }
        let now = self.now();
        for change in self.world.remove(kind, key, uid) {
            self.queue.happened(change, now);
        }
        if kind == Kind::Claim {
            self.look_at_awaited();
        }
    }

    /// Looks at everything of a kind anew.
    fn resync(&mut self, kind: Kind) {
        let items = self.config.mirror.items(&kind.resource().group_resource(), None);
        let there: HashSet<&str> = items.iter().map(|item| &**item.key()).collect();
        let known = if kind == Kind::Pod { Some(&self.pods) } else { self.others.get(&kind) };
        let lost = known.into_iter().flatten().filter(|(key, _)| !there.contains(&***key));
        let lost: Vec<_> = lost.map(|(key, uid)| (Arc::clone(key), Arc::clone(uid))).collect();
        for (key, uid) in lost {
            self.gone(kind, &key, &uid);
        }
        for item in &items {
            self.set(kind, item);
        }
        self.known.insert(kind);
    }

    /// Decides about some pods.
    fn dispatch(&mut self) {
        for _ in 0..TURN_MAX {
            if !self.has_room() {
                return;
            }
            let now = self.now();
            let Some(key) = self.queue.next(now) else { return };
            self.decide(&key);
        }
    }

    fn decide(&mut self, key: &str) {
        let Some(pending) = self.pending.get(key) else { return self.queue.remove(key) };
        let peers = self.world.peers(&pending.pod, pending.owner.as_deref());
        let pod = Pod { peers, ..pending.pod.clone() };
        let reserved = self.reserve_for_nominated(&pod);
        let decision = schedule(&mut self.world.snapshot, &pod, self.turn);
        for uid in reserved {
            self.world.snapshot.remove_pod(&uid);
        }
        match decision {
            Decision::Place(placement) => {
                self.turn = self.turn.wrapping_add(placement.looked_at);
                self.place(key, pod, placement.node);
            }
            Decision::Unschedulable(diagnosis) => self.refuse(key, &pod, &diagnosis),
        }
    }

    /// Pods at least as important that wait for others' ends have their place already.
    fn reserve_for_nominated(&mut self, pod: &Pod) -> Vec<Arc<str>> {
        let others = self.nominated.values();
        let before_it = others.filter(|other| other.priority >= pod.priority && other.uid != pod.uid);
        let before_it: Vec<Arc<Pod>> =
            before_it.filter(|other| !self.assumed.contains_key(&other.uid)).cloned().collect();
        before_it.iter().for_each(|other| self.world.snapshot.set_pod(Arc::clone(other)));
        before_it.into_iter().map(|other| Arc::clone(&other.uid)).collect()
    }

    fn place(&mut self, key: &str, pod: Pod, node: Arc<str>) {
        let volumes = &self.world.snapshot.volumes;
        let steps = self.world.snapshot.node(&node).and_then(|node| volumes.steps(&pod, node));
        let Some(steps) = steps else {
            // Two claims of the pod fit the same volume only.
            let now = self.now();
            return self.queue.failed(key, now);
        };
        let pod = Arc::new(Pod { node: Some(node), ..pod });
        self.world.snapshot.set_pod(Arc::clone(&pod));
        self.assumed.insert(Arc::clone(&pod.uid), Arc::clone(&pod));
        let api = Arc::clone(&self.config.api);
        if steps.is_empty() {
            self.jobs.spawn(act::bind(api, pod));
            return;
        }
        let own = |claim: &str| format!("{}/{claim}", pod.namespace);
        for step in &steps {
            if let VolumeStep::Bind { claim, volume } = step {
                self.world.snapshot.volumes.assume(volume, &own(claim));
            }
        }
        let claims = steps.iter().map(|step| own(step.claim())).collect();
        let until = self.now() + BOUND_WITHIN;
        let awaited = Awaited { pod: Arc::clone(&pod), claims, until, asked: false };
        self.awaited.insert(key.to_owned(), awaited);
        self.jobs.spawn(volumes::ask(api, Arc::clone(&self.config.mirror), pod, steps));
    }

    fn refuse(&mut self, key: &str, pod: &Pod, diagnosis: &Diagnosis) {
        let now = self.now();
        self.queue.unschedulable(key, diagnosis, now);
        if diagnosis.nodes == 0 {
            let message = "no nodes available to schedule pods".to_owned();
            let verdict = Verdict { reason: "Unschedulable", message, nominated: None };
            return self.tell_refusal(key, pod, verdict, None);
        }
        let budgets = self.world.budgets();
        let (mut message, mut nominated, mut found) = (diagnosis.message(), None, None);
        match preempt(&mut self.world.snapshot, pod, diagnosis, &budgets) {
            Ok(preemption) => {
                nominated = Some(Some(Arc::clone(&preemption.node)));
                found = Some(preemption);
            }
            Err(why) => {
                if pod.nominated.is_some() && why != scheduler::WAITS_FOR_VICTIMS {
                    nominated = Some(None);
                }
                message = format!("{message} preemption: {why}");
            }
        }
        if let Some(pending) = self.pending.get_mut(key)
            && let Some(node) = &nominated
        {
            pending.pod.nominated.clone_from(node);
            let pod = pending.pod.clone();
            self.nominated.remove(&pod.uid);
            if let Some(node) = node {
                let there = Pod { node: Some(Arc::clone(node)), ..pod };
                self.nominated.insert(Arc::clone(&there.uid), Arc::new(there));
            }
        }
        if let Some(preemption) = &found {
            self.take_nominations_back(pod, &preemption.node);
        }
        self.tell_refusal(key, pod, Verdict { reason: "Unschedulable", message, nominated }, found);
    }

    /// Less important pods that waited for this place look for another.
    fn take_nominations_back(&mut self, pod: &Pod, node: &str) {
        let less = |other: &&Arc<Pod>| other.priority < pod.priority && other.node.as_deref() == Some(node);
        let less: Vec<Arc<Pod>> = self.nominated.values().filter(less).cloned().collect();
        for other in less {
            self.nominated.remove(&other.uid);
            self.jobs.spawn(act::forget_nomination(Arc::clone(&self.config.api), other));
        }
    }

    /// Says in the pod's status and by an event why it waits, and ends those that go for it.
    fn tell_refusal(&mut self, key: &str, pod: &Pod, verdict: Verdict, preemption: Option<Preemption>) {
        self.teller.tell(event(pod, true, "FailedScheduling", "Scheduling", verdict.message.clone()));
        let Some(pending) = self.pending.get_mut(key) else { return };
        let said = Some((verdict.reason.to_owned(), verdict.message.clone()));
        if pending.said == said && verdict.nominated.is_none() {
            return;
        }
        let time = object::time_text(self.config.clock.now().as_second());
        // The condition keeps its time as long as its status stays.
        let since = if pending.said.is_some() { String::new() } else { time.clone() };
        pending.said = said;
        let generation = pending.generation;
        let (api, pod, teller) = (Arc::clone(&self.config.api), pod.clone(), self.teller.clone());
        self.jobs.spawn(async move {
            act::write_verdict(&*api, &pod, &verdict, &since, generation).await;
            for victim in preemption.iter().flat_map(|found| &found.victims).filter(|it| !it.is_ending) {
                let ended = act::evict(&*api, victim, &pod.scheduler, &time).await;
                if ended.is_ok() {
                    let node = victim.node.as_deref().unwrap_or_default();
                    let message = format!("Preempted by pod {} on node {node}", pod.uid);
                    let preempted = event(victim, false, "Preempted", "Preempting", message);
                    teller.tell(Event { scheduler: pod.scheduler.clone(), ..preempted });
                }
            }
            Done::Told
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Told => {}
            Done::Bound { pod, end: Ok(()) } => {
                let node = pod.node.as_deref().unwrap_or_default();
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                self.teller.tell(event(&pod, false, "Scheduled", "Binding", message));
            }
            Done::Bound { pod, end: Err(status) } => {
                self.take_back(&pod, &format!("running Bind plugin \"DefaultBinder\": {status}"), &status);
            }
            Done::Asked { pod, end: Ok(()) } => {
                if let Some(awaited) = self.awaited.get_mut(&key_of(&pod)) {
                    awaited.asked = true;
                }
                self.look_at_awaited();
            }
            Done::Asked { pod, end: Err(status) } => {
                self.take_back(&pod, &format!("running PreBind plugin \"VolumeBinding\": {status}"), &status);
            }
        }
    }

    /// A decision could not be carried out.
    fn take_back(&mut self, pod: &Arc<Pod>, why: &str, status: &Status) {
        let key = key_of(pod);
        self.awaited.remove(&key);
        // Somebody saw it on its node meanwhile, or it is gone.
        if self.assumed.remove(&pod.uid).is_none() {
            return;
        }
        self.world.snapshot.remove_pod(&pod.uid);
        let now = self.now();
        self.queue.failed(&key, now);
        for name in &pod.claims {
            let claim = format!("{}/{name}", pod.namespace);
            self.forget_volumes_of(&claim);
        }
        if status.code != 404 {
            let verdict = Verdict { reason: "SchedulerError", message: why.to_owned(), nominated: None };
            self.tell_refusal(&key, pod, verdict, None);
        }
    }

    /// Volumes that were meant for a claim are what the API says that they are.
    fn forget_volumes_of(&mut self, claim: &str) {
        if self.world.snapshot.volumes.is_bound(claim) == Some(true) {
            return;
        }
        let items = self.config.mirror.items(&Kind::Volume.resource().group_resource(), None);
        for item in items {
            self.world.set(Kind::Volume, &item);
        }
    }

    fn look_at_awaited(&mut self) {
        let mirror = Arc::clone(&self.config.mirror);
        let ready = self.awaited.iter().filter(|(_, awaited)| awaited.asked);
        let ready = ready.map(|(key, awaited)| (key.clone(), awaited.look(&*mirror)));
        let ready: Vec<_> = ready.filter(|(_, claims)| *claims != Claims::Open).collect();
        for (key, claims) in ready {
            let Some(awaited) = self.awaited.remove(&key) else { continue };
            match claims {
                Claims::Bound => {
                    drop(self.jobs.spawn(act::bind(Arc::clone(&self.config.api), awaited.pod)));
                }
                Claims::Open | Claims::Lost => {
                    self.volumes_lost(&awaited, "a claim changed its node or is gone");
                }
            }
        }
    }

    fn give_up_late_volumes(&mut self) {
        let now = self.now();
        let late = self.awaited.iter().filter(|(_, awaited)| awaited.until <= now);
        let late: Vec<String> = late.map(|(key, _)| key.clone()).collect();
        for key in late {
            if let Some(awaited) = self.awaited.remove(&key) {
                self.volumes_lost(&awaited, "timed out waiting for the condition");
            }
        }
    }

    fn volumes_lost(&mut self, awaited: &Awaited, why: &str) {
        let why = format!("running PreBind plugin \"VolumeBinding\": binding volumes: {why}");
        self.take_back(&awaited.pod, &why, &Status::unavailable(why.clone()));
    }

    fn next_deadline(&self) -> Option<Duration> {
        let queue = if self.has_room() { self.queue.look_again() } else { None };
        queue.into_iter().chain(self.awaited.values().map(|awaited| awaited.until)).min()
    }

    /// Lets jobs end.
    async fn stop(mut self) {
        self.followers.abort_all();
        while self.jobs.join_next().await.is_some() {}
        // The last event's teller ends with its sender.
        drop(self.teller);
        while self.telling.join_next().await.is_some() {}
    }
}

fn key_of(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

fn event(pod: &Pod, warning: bool, reason: &'static str, action: &'static str, message: String) -> Event {
    let about =
        About { namespace: pod.namespace.to_string(), name: pod.name.to_string(), uid: pod.uid.to_string() };
    Event { about, scheduler: pod.scheduler.clone(), warning, reason, action, message }
}

async fn sleep_until(clock: &dyn Clock, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Changes that followers may be ahead of the owner.
const INBOX_MAX: usize = 1024;
/// Bindings and other calls at a time.
const JOBS_MAX: usize = 256;
/// Pods that are decided about before changes are looked at again.
const TURN_MAX: usize = 32;
