//! The shell: one task owns the queues, one follows each resource, and one a key acts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use client::{Api, Call, Change as Seen, Mirror};
use controllers::{Ask, Change, Failure, Key, Loop, Observed, Plan, Settings, View, Watches, known};
use futures_util::StreamExt;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::act::{Acted, Actor, MANAGER, Paths, Signer};
use crate::clock::Clock;
use crate::discovery;
use crate::elect::{Elector, ElectorStep};
use crate::events::Teller;
use crate::index::{Index, Step};
use crate::queue::{Done, Queue};
use crate::record::{Record, Records};

/// Gives the API as a user sees it.
pub trait Clients: Send + Sync {
    /// The API in the name of a user; requests carry this user agent.
    fn of(&self, user: User, user_agent: &str) -> Arc<dyn Api>;
}

impl<F: Fn(User, &str) -> Arc<dyn Api> + Send + Sync> Clients for F {
    fn of(&self, user: User, user_agent: &str) -> Arc<dyn Api> {
        self(user, user_agent)
    }
}

/// What a runtime runs, and with what.
pub struct Config {
    /// The loops.
    pub loops: &'static [Loop],
    /// Whom they act as.
    pub clients: Arc<dyn Clients>,
    /// What they see.
    pub mirror: Arc<dyn Mirror>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What the operator set.
    pub settings: Settings,
    /// Who signs certificates, if anybody does.
    pub signer: Option<Arc<dyn Signer>>,
    /// Who answers to paths that are no resources of the API's own, such as those of metrics.
    pub paths: Option<Arc<dyn Paths>>,
    /// How this runtime gets to act beside others; alone it acts at once.
    pub election: Option<Election>,
}

/// The Lease that the acting runtime holds.
#[derive(Clone, Debug)]
pub struct Election {
    /// Who this one is: different for each process.
    pub identity: String,
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
}

/// Runs loops.
pub struct Runtime {
    config: Config,
    index: Arc<Index>,
    records: Arc<Records>,
}

impl Runtime {
    /// A runtime that does nothing yet.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { config, index: Arc::default(), records: Arc::default() })
    }

    /// What the loops see.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// What the loops decided.
    pub fn records(&self) -> &Arc<Records> {
        &self.records
    }

    /// Runs until the signal says `true` or its sender is gone. Work that began is carried to its end.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            () = self.config.mirror.synced() => {}
            () = client::asked_to_end(&mut shutdown) => return,
        }
        let mut state = State::new(Arc::clone(&self));
        state.follow_what_is_served();
        loop {
            state.dispatch();
            let deadline = state.next_deadline();
            tokio::select! {
                () = client::asked_to_end(&mut shutdown) => break,
                Some(seen) = state.inbox.recv() => {
                    state.see(seen);
                    while let Ok(seen) = state.inbox.try_recv() {
                        state.see(seen);
                    }
                }
                Some(worked) = state.jobs.join_next() => state.worked(worked),
                () = sleep_until(&*self.config.clock, deadline) => state.tick().await,
            }
        }
        state.stop().await;
    }
}

/// A follower's word.
struct Message {
    resource: GroupVersionResource,
    seen: Seen,
}

/// A job's end.
struct Worked {
    at: usize,
    key: Key,
    plan: Plan,
    acted: Acted,
}

/// A key, and what is left of its last plan.
struct Past<'a> {
    key: &'a Key,
    failure: Option<&'a Failure>,
    memory: &'a Value,
}

/// What the one task owns.
struct State {
    runtime: Arc<Runtime>,
    lanes: Vec<Lane>,
    sender: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    followers: JoinSet<()>,
    followed: HashMap<GroupVersionResource, AbortHandle>,
    /// Resources whose objects have been seen once.
    known: HashSet<GroupVersionResource>,
    jobs: JoinSet<Worked>,
    elector: Option<(Elector, Arc<dyn Api>)>,
}

/// One loop, its queue and its way to act.
struct Lane {
    of: &'static Loop,
    queue: Queue,
    actor: Actor,
    failures: HashMap<Key, Failure>,
    /// What plans remembered.
    memories: HashMap<Key, Value>,
    /// Whether all that it watches has been seen once.
    ready: bool,
}

impl State {
    fn new(runtime: Arc<Runtime>) -> Self {
        let config = &runtime.config;
        let teller = Arc::new(Teller::new(Arc::clone(&config.clock)));
        let lane = |one: &'static Loop| Lane {
            of: one,
            queue: Queue::new(one.concurrency),
            actor: Actor {
                api: config.clients.of(one.user(), MANAGER),
                signer: config.signer.clone(),
                paths: config.paths.clone(),
                teller: Arc::clone(&teller),
                name: one.name,
            },
            failures: HashMap::new(),
            memories: HashMap::new(),
            ready: false,
        };
        let lanes = config.loops.iter().map(lane).collect();
        let elector = config.election.as_ref().map(|election| {
            let user = User { name: "system:kube-controller-manager".to_owned(), ..authenticated() };
            let elector = Elector::new(&election.identity, &election.namespace, &election.name);
            (elector, config.clients.of(user, MANAGER))
        });
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        Self {
            lanes,
            sender,
            inbox,
            followers: JoinSet::new(),
            followed: HashMap::new(),
            known: HashSet::new(),
            jobs: JoinSet::new(),
            elector,
            runtime,
        }
    }

    /// Follows the resources that loops watch, and no others. Called again when definitions change.
    fn follow_what_is_served(&mut self) {
        let index = Arc::clone(&self.runtime.index);
        let definitions = index.list(known::definitions(), None);
        let resources =
            discovery::with_definitions(discovery::builtin(), definitions.iter().map(|found| &**found));
        let mut wanted: HashSet<GroupVersionResource> = HashSet::new();
        for lane in &self.lanes {
            match lane.of.watches {
                Watches::These(list) => wanted.extend(list.iter().map(|resource| resource().clone())),
                Watches::Everything => {
                    wanted.extend(resources.iter().map(|resource| resource.gvr.clone()));
                    wanted.insert(known::definitions().clone());
                }
            }
        }
        index.set_resources(resources);
        let lost: Vec<_> =
            self.followed.keys().filter(|resource| !wanted.contains(*resource)).cloned().collect();
        for resource in lost {
            if let Some(follower) = self.followed.remove(&resource) {
                follower.abort();
            }
            self.known.remove(&resource);
            for step in index.forget(&resource) {
                self.changed(&resource, &step);
            }
        }
        for resource in wanted {
            if !self.followed.contains_key(&resource) {
                self.follow(resource);
            }
        }
    }

    fn follow(&mut self, resource: GroupVersionResource) {
        self.runtime.config.mirror.follow(&resource);
        let mut changes = self.runtime.config.mirror.changes(&resource.group_resource());
        let (sender, of) = (self.sender.clone(), resource.clone());
        let follower = self.followers.spawn(async move {
            while let Some(seen) = changes.next().await {
                if sender.send(Message { resource: of.clone(), seen }).await.is_err() {
                    return;
                }
            }
        });
        self.followed.insert(resource, follower);
    }

    fn see(&mut self, message: Message) {
        let Message { resource, seen } = message;
        if !self.followed.contains_key(&resource) {
            return;
        }
        let index = Arc::clone(&self.runtime.index);
        let steps = match seen {
            Seen::Resync => {
                let mirror = &self.runtime.config.mirror;
                let group = resource.group_resource();
                // The revision first: what is listed then is at least as new.
                let revision = mirror.changed(&group);
                let steps = index.replace(&resource, mirror.items(&group, None), revision);
                self.known.insert(resource.clone());
                steps
            }
            seen => index.apply(&resource, seen).into_iter().collect(),
        };
        for step in &steps {
            self.changed(&resource, step);
        }
        if resource == *known::definitions() && !steps.is_empty() {
            self.follow_what_is_served();
        }
        for lane in &mut self.lanes {
            lane.queue.moved(|barrier| index.is_reached(barrier));
            lane.ready = lane.ready || lane.is_ready(&self.known, &self.followed);
        }
    }

    /// Puts the keys that a change concerns into the queues.
    fn changed(&mut self, resource: &GroupVersionResource, step: &Step) {
        let watching = self.lanes.iter().any(|lane| lane.watches(resource));
        if !watching {
            return;
        }
        let (old, new) = (step.0.as_ref().map(|item| item.lean()), step.1.as_ref().map(|item| item.lean()));
        let change = Change { resource, old: old.as_deref(), new: new.as_deref() };
        let view: &dyn View = &*self.runtime.index;
        for lane in self.lanes.iter_mut().filter(|lane| lane.watches(resource)) {
            for key in (lane.of.keys)(&change, view) {
                lane.queue.add(&key);
            }
        }
    }

    /// Starts work on keys, if this runtime is the one that acts.
    fn dispatch(&mut self) {
        let now = self.runtime.config.clock.elapsed();
        if !self.acts(now) {
            return;
        }
        let index = Arc::clone(&self.runtime.index);
        for (at, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.ready) {
            while let Some(key) = lane.queue.take(now, |barrier| index.is_reached(barrier)) {
                let failure = lane.failures.remove(&key);
                let memory = lane.memories.remove(&key).unwrap_or_default();
                let (runtime, actor, one) = (Arc::clone(&self.runtime), lane.actor.clone(), lane.of);
                self.jobs.spawn(async move {
                    let past = Past { key: &key, failure: failure.as_ref(), memory: &memory };
                    let mut answers = Vec::new();
                    let mut plan = runtime.decide(one, &past, &answers);
                    for _ in 0..ASK_ROUNDS_MAX {
                        if plan.asks.is_empty() {
                            break;
                        }
                        answers.extend(actor.ask(&plan.asks).await);
                        plan = runtime.decide(one, &past, &answers);
                    }
                    // What is gone is forgotten, unless the loop says otherwise.
                    if plan.remember.is_none() && runtime.has(&key) {
                        plan.remember = Some(memory);
                    }
                    let acted = actor.act(&plan.actions).await;
                    Worked { at, key, plan, acted }
                });
            }
        }
    }

    fn worked(&mut self, worked: Result<Worked, tokio::task::JoinError>) {
        // A job only ends early when it is aborted, and that is at the very end.
        let Ok(Worked { at, key, plan, acted }) = worked else { return };
        let now = self.runtime.config.clock.elapsed();
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let record = Record {
            by: lane.of.name,
            at: self.runtime.config.clock.now(),
            why: plan.why,
            actions: plan.actions.iter().map(controllers::Action::summary).collect(),
            failure: acted.failure.as_ref().map(|failure| format!("{}: {}", failure.action, failure.status)),
        };
        self.runtime.records.keep(&key, record);
        let done =
            Done { failed: acted.stopped, look_again_after: plan.look_again_after, barriers: acted.barriers };
        if let Some(memory) = plan.remember.filter(|memory| !memory.is_null()) {
            lane.memories.insert(key.clone(), memory);
        }
        if let Some(failure) = acted.failure {
            lane.failures.insert(key.clone(), failure);
        }
        lane.queue.done(&key, now, done);
    }

    /// Whether this runtime is the one that acts.
    fn acts(&self, now: Duration) -> bool {
        self.elector.as_ref().is_none_or(|(elector, _)| elector.is_leader(now))
    }

    fn next_deadline(&self) -> Option<Duration> {
        let acts = self.acts(self.runtime.config.clock.elapsed());
        let lanes = self.lanes.iter().filter(|lane| acts && lane.ready);
        let queues = lanes.filter_map(|lane| lane.queue.next_deadline());
        let election = self.elector.as_ref().map(|(elector, _)| elector.next_at());
        queues.chain(election).min()
    }

    /// Time has come for something: for keys [`Self::dispatch`] sees to that, so here it is the Lease.
    async fn tick(&mut self) {
        let clock = &self.runtime.config.clock;
        let Some((elector, api)) = &mut self.elector else { return };
        if clock.elapsed() < elector.next_at() {
            return;
        }
        let Some(election) = &self.runtime.config.election else { return };
        let call = Call::get(known::leases(), &election.namespace, &election.name);
        let asked = clock.elapsed();
        let lease = match api.call(call).await {
            Ok(lease) => Some(lease),
            Err(status) if status.code == 404 => None,
            Err(_) => {
                elector.missed(asked);
                return;
            }
        };
        let is_new = lease.is_none();
        if let ElectorStep::Write(lease) = elector.step(lease, asked, clock.now()) {
            let call = if is_new {
                Call::create(known::leases(), &election.namespace, lease)
            } else {
                Call::update(known::leases(), lease)
            };
            let done = api.call(call).await.is_ok();
            elector.written(done, asked);
        }
    }

    /// Lets work that began end, then gives the Lease back.
    async fn stop(mut self) {
        self.followers.abort_all();
        while self.jobs.join_next().await.is_some() {}
        let (Some((elector, api)), Some(election)) = (&self.elector, &self.runtime.config.election) else {
            return;
        };
        let call = Call::get(known::leases(), &election.namespace, &election.name);
        if let Ok(lease) = api.call(call).await
            && let Some(given) = elector.released(&lease, self.runtime.config.clock.now())
        {
            // Who cannot give it back lets it run out.
            drop(api.call(Call::update(known::leases(), given)).await);
        }
    }
}

impl Runtime {
    fn has(&self, key: &Key) -> bool {
        View::get(&*self.index, &key.resource, &key.namespace, &key.name).is_some()
    }

    fn decide(&self, one: &Loop, past: &Past<'_>, answers: &[(Ask, Result<Value, Status>)]) -> Plan {
        (one.reconcile)(&Observed {
            key: past.key,
            view: &*self.index,
            now: self.config.clock.now(),
            failure: past.failure,
            settings: &self.config.settings,
            memory: past.memory,
            answers,
        })
    }
}

impl Lane {
    fn watches(&self, resource: &GroupVersionResource) -> bool {
        match self.of.watches {
            Watches::These(list) => list.iter().any(|one| one() == resource),
            Watches::Everything => true,
        }
    }

    fn is_ready(
        &self,
        known: &HashSet<GroupVersionResource>,
        followed: &HashMap<GroupVersionResource, AbortHandle>,
    ) -> bool {
        match self.of.watches {
            Watches::These(list) => list.iter().all(|resource| known.contains(resource())),
            Watches::Everything => followed.keys().all(|resource| known.contains(resource)),
        }
    }
}

fn authenticated() -> User {
    User { groups: vec!["system:authenticated".to_owned()], ..User::default() }
}

async fn sleep_until(clock: &dyn Clock, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Changes that followers may be ahead of the owner.
const INBOX_MAX: usize = 1024;
/// Rounds of questions of one look; a loop that asks on would never act.
const ASK_ROUNDS_MAX: usize = 8;
