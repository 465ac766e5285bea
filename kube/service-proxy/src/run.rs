//! The loop: takes what changed, commits it, tells who waits.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use client::{Change, Mirror};
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use netlink::nft::{Family, Monitor, Noticed as Heard, Subject};
use proxy_rules::{Changes, Leads, Ruleset};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::{Config, facts_of_node};
use crate::datagrams;
use crate::error::Error;
use crate::health::Health;
use crate::inputs::{self, Noticed};
use crate::sole::{self, Sole};
use crate::status::Status;
use crate::table::{Adopted, Table};

/// Changes that are taken together at most; more than a server sends at once.
const BATCH_MAX: usize = 16_384;
/// Who waits for endpoints at a time; one pod of a node each.
const WAITERS_MAX: usize = 4096;
/// After the kernel refused: it is asked again, ever more rarely.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Two that both want the table must not wear the machine out.
const VERIFY_PAUSE: Duration = Duration::from_millis(20);

/// A proxy; clones are the same one.
#[derive(Clone)]
pub struct ServiceProxy {
    config: Arc<Config>,
    asked: mpsc::Sender<Waiter>,
    inbox: Arc<Mutex<Option<mpsc::Receiver<Waiter>>>>,
    status: Arc<watch::Sender<Status>>,
}

/// Who waits until an address gets no new connections.
struct Waiter {
    address: Ipv4Addr,
    done: oneshot::Sender<()>,
}

impl ServiceProxy {
    /// A proxy that does nothing until it is [run](Self::run).
    pub fn new(config: Config) -> Self {
        let (asked, inbox) = mpsc::channel(WAITERS_MAX);
        Self {
            config: Arc::new(config),
            asked,
            inbox: Arc::new(Mutex::new(Some(inbox))),
            status: Arc::new(watch::Sender::new(Status::default())),
        }
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows how it is doing.
    pub fn follow(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Returns when no service of the cluster leads new connections to any of `addresses`: the
    /// slices say so, and the kernel holds it. An endpoint that is being ended and serves only
    /// because there is no other does not make anybody wait. Addresses of no slice, and IPv6,
    /// return at once; so does a proxy that does not run any more.
    pub async fn drained(&self, addresses: &[IpAddr]) {
        for address in addresses {
            let IpAddr::V4(address) = *address else { continue };
            let (done, waits) = oneshot::channel();
            if self.asked.send(Waiter { address, done }).await.is_ok() {
                // An error means that the proxy ended.
                drop(waits.await);
            }
        }
    }

    /// Waits until no other proxy keeps the table; `None` at the end.
    async fn be_sole(&self, shutdown: &mut watch::Receiver<bool>) -> Result<Option<Sole>, Error> {
        loop {
            if let Some(sole) = Sole::take(&self.config.table)? {
                return Ok(Some(sole));
            }
            let error = Error::Kept { table: self.config.table.clone() };
            self.status.send_modify(|status| status.error = Some(error.chain()));
            tokio::select! {
                () = client::asked_to_end(shutdown) => return Ok(None),
                () = tokio::time::sleep(sole::PAUSE) => {}
            }
        }
    }

    /// Keeps the kernel's table as the cluster demands until `shutdown` is true. The table stays
    /// then: connections go on, and the next proxy takes it over.
    ///
    /// Sockets are opened here, in the network namespace of the calling thread. After an error it
    /// may be run again. Running it twice at a time is a mistake, and the second returns at once.
    pub async fn run(&self, shutdown: watch::Receiver<bool>) -> Result<(), Error> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut inbox) = inbox else { return Ok(()) };
        let outcome = self.keep(&mut inbox, shutdown).await;
        if outcome.is_err() {
            *self.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(inbox);
        }
        outcome
    }

    async fn keep(
        &self,
        inbox: &mut mpsc::Receiver<Waiter>,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let Some(_sole) = self.be_sole(&mut shutdown).await? else { return Ok(()) };
        let mut work = Work::open(&self.config)?;
        let mut changes = subscribe(&*self.config.mirror);
        tokio::select! {
            () = self.config.mirror.synced() => {}
            () = client::asked_to_end(&mut shutdown) => return Ok(()),
        }
        work.start().await;
        loop {
            self.status.send_if_modified(|status| {
                let changed = *status != work.status;
                status.clone_from(&work.status);
                changed
            });
            tokio::select! {
                () = client::asked_to_end(&mut shutdown) => return Ok(()),
                Some(waiter) = inbox.recv() => work.wait(waiter),
                touched = work.ears.touched(work.port, &self.config.table) => {
                    if touched? {
                        tokio::time::sleep(VERIFY_PAUSE).await;
                        work.verify().await;
                    }
                }
                () = tokio::time::sleep(work.retry), if work.failed => work.verify().await,
                first = changes.next() => {
                    let Some(first) = first else { return Ok(()) };
                    let mut batch = vec![first];
                    while batch.len() < BATCH_MAX
                        && let Some(Some(next)) = changes.next().now_or_never()
                    {
                        batch.push(next);
                    }
                    work.change(batch).await;
                }
            }
        }
    }
}

/// All changes from now on, without the invitations to look at everything that come first.
fn subscribe(mirror: &dyn Mirror) -> SelectAll<BoxStream<'static, Noticed>> {
    let mut all = SelectAll::new();
    all.push(mirror.changes(&inputs::services()).skip(1).map(Noticed::Service).boxed());
    all.push(mirror.changes(&inputs::slices()).skip(1).map(Noticed::Slice).boxed());
    all.push(mirror.changes(&inputs::nodes()).skip(1).map(Noticed::Node).boxed());
    all
}

/// What the kernel tells of changes of nf_tables.
struct Ears(AsyncFd<Monitor>);

impl Ears {
    /// Waits for events; whether somebody else may have touched the table.
    async fn touched(&mut self, own: u32, table: &str) -> Result<bool, Error> {
        let mut guard = self.0.readable_mut().await.map_err(Error::Monitor)?;
        let mut touched = false;
        loop {
            let heard = guard.get_inner_mut().notice();
            match heard.map_err(|error| Error::Monitor(std::io::Error::other(error)))? {
                Heard::Nothing => break,
                Heard::Lost => touched = true,
                Heard::Events(events) => {
                    touched |= events.iter().any(|event| {
                        let ours = event.family == Family::Ip && event.table == table;
                        event.subject != Subject::Generation && ours && event.port != own
                    });
                }
            }
        }
        guard.clear_ready();
        Ok(touched)
    }
}

/// `AsyncFd::register` wants a promise in an `unsafe` block that the descriptor stays open and the
/// same, which the type of [`Monitor`] gives: it owns it and has no way to change it.
#[allow(deprecated, reason = "its replacement is unsafe, and unsafe is for kernel/sys")]
fn listen(monitor: Monitor) -> Result<AsyncFd<Monitor>, Error> {
    AsyncFd::new(monitor).map_err(Error::Monitor)
}

/// What the loop owns.
struct Work {
    config: Arc<Config>,
    rules: Ruleset,
    table: Option<Table>,
    port: u32,
    ears: Ears,
    health: Health,
    waiters: Vec<Waiter>,
    status: Status,
    failed: bool,
    retry: Duration,
}

impl Work {
    fn open(config: &Arc<Config>) -> Result<Self, Error> {
        let table = Table::open(&config.table)?;
        let monitor = Monitor::open().map_err(|error| Error::Monitor(std::io::Error::other(error)))?;
        Ok(Self {
            config: Arc::clone(config),
            rules: Ruleset::new(config.facts.clone()),
            port: table.port(),
            table: Some(table),
            ears: Ears(listen(monitor)?),
            health: Health::default(),
            waiters: Vec::new(),
            status: Status::default(),
            failed: false,
            retry: RETRY_MIN,
        })
    }

    /// Everything that is there, compared with what the kernel holds.
    async fn start(&mut self) {
        self.look_at_node();
        let mirror = &*self.config.mirror;
        let mut all = inputs::of_services(&Change::Resync, mirror, &self.rules);
        all.extend(inputs::of_slices(&Change::Resync, mirror, &self.rules));
        self.rules.change(all);
        self.verify().await;
    }

    /// Takes in a batch of changes and commits them.
    async fn change(&mut self, batch: Vec<Noticed>) {
        let start = Instant::now();
        let mirror = Arc::clone(&self.config.mirror);
        let (mut all, mut node) = (Vec::new(), false);
        let taken = batch.len() as u64;
        for noticed in batch {
            match noticed {
                Noticed::Service(change) => all.extend(inputs::of_services(&change, &*mirror, &self.rules)),
                Noticed::Slice(change) => all.extend(inputs::of_slices(&change, &*mirror, &self.rules)),
                Noticed::Node(change) => {
                    node |= change.item().is_none_or(|item| item.name() == self.rules.facts().node);
                }
            }
        }
        let mut steps = vec![self.rules.change(all)];
        if node {
            steps.extend(self.look_at_node());
        }
        steps.retain(|changes| !changes.is_empty());
        self.status.changes += taken;
        if self.failed {
            // What the kernel holds is not known: compare.
            return self.verify().await;
        }
        for changes in steps {
            let done = self.with_table(move |table| {
                table.apply(&changes)?;
                table.forget_clients(&changes.sticky)?;
                Ok((changes, Adopted::default()))
            });
            let outcome = done.await;
            self.settle(outcome, start).await;
        }
        self.finish().await;
    }

    /// Facts as this node's object has them now; what they change, if they do.
    fn look_at_node(&mut self) -> Option<Changes> {
        let node = self.config.mirror.item(&inputs::nodes(), "", &self.rules.facts().node)?;
        let facts = facts_of_node(self.rules.facts(), &node.value());
        (facts != *self.rules.facts()).then(|| self.rules.set_facts(facts))
    }

    /// Compares with what the kernel holds, and mends it.
    async fn verify(&mut self) {
        let start = Instant::now();
        // Moved to the thread that talks to the kernel, and back.
        let rules = std::mem::replace(&mut self.rules, Ruleset::new(self.config.facts.clone()));
        let rules = Arc::new(rules);
        let shared = Arc::clone(&rules);
        let outcome = self
            .with_table(move |table| {
                let adopted = table.adopt(&shared)?;
                let memories = shared.memories();
                table.forget_clients(&memories.sticky)?;
                Ok((memories, adopted))
            })
            .await;
        self.rules = Arc::try_unwrap(rules).unwrap_or_else(|shared| (*shared).clone());
        self.status.verifications += 1;
        self.settle(outcome, start).await;
        self.finish().await;
    }

    /// Lends the table to a thread that may block.
    async fn with_table(
        &mut self,
        work: impl FnOnce(&mut Table) -> Result<(Changes, Adopted), Error> + Send + 'static,
    ) -> Result<(Changes, Adopted), Error> {
        let table = match self.table.take() {
            Some(table) => table,
            None => Table::open(&self.config.table)?,
        };
        let lent = tokio::task::spawn_blocking(move || {
            let mut table = table;
            let outcome = work(&mut table);
            (table, outcome)
        });
        let (table, outcome) = lent.await.map_err(Error::Thread)?;
        self.port = table.port();
        self.table = Some(table);
        outcome
    }

    /// Notes what came of a commit, and forgets what went on with old endpoints.
    async fn settle(&mut self, outcome: Result<(Changes, Adopted), Error>, start: Instant) {
        let outcome = match outcome {
            Ok((changes, adopted)) => forget(changes.datagrams).await.map(|()| adopted),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(adopted) => {
                self.status.commits += 1;
                self.status.rewrites += u64::from(adopted.rewritten);
                self.status.last_sync = start.elapsed();
                self.status.error = None;
                (self.failed, self.retry) = (false, RETRY_MIN);
            }
            Err(error) => {
                self.status.error = Some(error.chain());
                self.retry = if self.failed { (self.retry * 2).min(RETRY_MAX) } else { RETRY_MIN };
                self.failed = true;
            }
        }
    }

    /// What follows from a state that the kernel has.
    async fn finish(&mut self) {
        let errors = self.health.serve(self.config.health_address, self.rules.health_checks()).await;
        self.status.health_errors = errors.iter().map(Error::chain).collect();
        self.status.services = self.rules.len();
        self.status.elements = self.rules.element_count();
        self.status.synced = !self.failed;
        if self.failed {
            return;
        }
        let rules = &self.rules;
        let (waiting, done): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiters).into_iter().partition(|waiter| rules.receives(waiter.address));
        self.waiters = waiting;
        for waiter in done {
            // Who does not wait any more need not be told.
            let _ = waiter.done.send(());
        }
        self.waiters.retain(|waiter| !waiter.done.is_closed());
    }

    fn wait(&mut self, waiter: Waiter) {
        if self.failed || self.rules.receives(waiter.address) {
            self.waiters.push(waiter);
        } else {
            let _ = waiter.done.send(());
        }
    }
}

async fn forget(changed: Vec<Leads>) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let forgotten = tokio::task::spawn_blocking(move || datagrams::forget(&changed)).await;
    forgotten.map_err(Error::Thread)?.map(drop)
}
