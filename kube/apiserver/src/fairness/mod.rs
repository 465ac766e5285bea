//! Priority and fairness of requests: each belongs to a level with seats of its own, waits there in
//! a queue of its flow's, or is refused. What `flow-control` decides is carried out here.
//!
//! ```text
//! chain ──▶ enter ──▶ Active (who belongs where) ──▶ Level (seats, queues) ──▶ Seat, until answered
//!                       ▲                              ▲
//!   keep: objects ──────┘             seats: who borrows, what is free with time
//! ```
//!
//! Callers in this process ask the registry and not the front: nothing keeps them waiting. A watch has
//! its seat until it stands; requests that lead elsewhere (exec, logs, proxies) have none.

mod active;
mod dump;
mod keep;
mod level;
mod seats;
mod stats;
mod watches;

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use flow_control::config::Config;
use flow_control::queue_set::{Arrival, Refusal};
use flow_control::rules::{Asked, Resource};
use flow_control::shard::flow_hash;
use flow_control::work::{self, Collection, Listing, Work};
use kube_object::status::Status;
use kube_object::user::User;
use tokio::sync::Notify;

use crate::http::path::RequestInfo;
use crate::http::query::Query;
use crate::metrics::{InFlight, Metrics};
use crate::registry::Registry;
use active::{Active, Flow};
use level::{Waiter, Waiting};

pub(crate) use active::Uids;
pub(crate) use keep::bootstrap;
pub use keep::run;
pub(crate) use level::Seat;
pub(crate) use watches::{Watched, Watches};

/// A request waits for a quarter of the time that it has; one without an end for so long.
const WAIT: Duration = Duration::from_secs(15);
/// And never longer than this.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// More seats than any server has a use for.
const SEATS_MAX: usize = 1 << 20;

/// Gives requests their seats.
pub struct Fairness {
    /// All seats of the server.
    total: usize,
    registry: Arc<Registry>,
    active: RwLock<Arc<Active>>,
    /// Held by whoever divides the seats.
    dividing: Mutex<()>,
    watches: Arc<Watches>,
    shared: Arc<Shared>,
}

/// What levels have in common.
struct Shared {
    began: Instant,
    metrics: Arc<Metrics>,
    /// Somebody needs more seats, or waits for some that are free soon.
    seats: Notify,
    /// A level that is not configured any more has nothing left to do.
    levels: Notify,
}

impl Shared {
    fn now(&self) -> flow_control::Nanos {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What a request is, as far as it decides on its seat.
pub(crate) struct Asking<'a> {
    pub(crate) user: &'a User,
    pub(crate) info: &'a RequestInfo,
    pub(crate) query: &'a Query,
    /// When nobody waits for the answer any more.
    pub(crate) deadline: Option<Instant>,
}

impl Fairness {
    /// With so many seats, and what is configured without any objects.
    pub(crate) fn new(total: usize, registry: &Arc<Registry>, metrics: &Arc<Metrics>) -> Arc<Self> {
        let shared = Shared {
            began: Instant::now(),
            metrics: Arc::clone(metrics),
            seats: Notify::new(),
            levels: Notify::new(),
        };
        let fairness = Self {
            total: total.min(SEATS_MAX),
            registry: Arc::clone(registry),
            active: RwLock::default(),
            dividing: Mutex::default(),
            watches: Arc::default(),
            shared: Arc::new(shared),
        };
        fairness.configure(Config::new([], []));
        Arc::new(fairness)
    }

    /// Waits for a seat, or refuses with 429. `told` gets where the request belongs. Long-running
    /// requests need no seat, but for watches, which need one to begin.
    pub(crate) async fn enter(
        &self,
        asking: &Asking<'_>,
        told: &OnceLock<Uids>,
    ) -> Result<Option<Seat>, Status> {
        if asking.info.is_long_running() && asking.info.verb != "watch" {
            return Ok(None);
        }
        let asked = asked(asking);
        let flow = self.classify(&asked);
        // Only this request has the cell.
        let _ = told.set(flow.uids.clone());
        let kind = if asking.info.is_read_only() { InFlight::ReadOnly } else { InFlight::Mutating };
        let work = self.work(asking, &flow);
        let hash =
            if flow.hashed { flow_hash(&flow.schema.name, flow.schema.distinguisher_of(&asked)) } else { 0 };
        let mut receiver = None;
        let waiter = || {
            let (tell, told) = tokio::sync::oneshot::channel();
            receiver = Some(told);
            let distinguisher = flow.schema.distinguisher_of(&asked).into();
            Waiter { tell, flow: Arc::clone(&flow), distinguisher }
        };
        let came = self.shared.now();
        let arrival = flow.level.arrive(came, work, hash, waiter);
        let ticket = match (arrival, receiver) {
            (Arrival::Run(ticket), _) => ticket,
            (Arrival::Wait(place, _), Some(receiver)) => {
                let limit = asking.deadline.map_or(WAIT, |deadline| (deadline - Instant::now()) / 4);
                let waiting = Waiting::new(&flow, place, receiver, work.most_seats());
                match waiting.up_to(limit.min(WAIT_MAX)).await {
                    Some(ticket) => ticket,
                    None => return Err(self.refuse(&flow, kind, Refusal::TimeOut, came)),
                }
            }
            (Arrival::Refused(why), _) => return Err(self.refuse(&flow, kind, why, came)),
            (Arrival::Wait(..), None) => return Err(Status::internal("a request waits for nothing")),
        };
        if !flow.level.exempt {
            flow.stats.waited(true, ticket.since().saturating_sub(came));
        }
        Ok(Some(Seat::new(flow, ticket, kind, asking.info.verb == "watch")))
    }

    /// Says what watches there are.
    pub(crate) fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn classify(&self, asked: &Asked<'_>) -> Arc<Flow> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(active.classify(asked))
    }

    fn refuse(&self, flow: &Flow, kind: InFlight, why: Refusal, came: flow_control::Nanos) -> Status {
        let now = self.shared.now();
        flow.stats.refused(why);
        if !flow.level.exempt {
            flow.stats.waited(false, now.saturating_sub(came));
        }
        self.shared.metrics.dropped(kind);
        let seconds = flow.level.refuse(why, now / 1_000_000_000);
        Status::too_many_requests("Too many requests, please try again later.", seconds)
    }

    /// How much a request takes.
    fn work(&self, asking: &Asking<'_>, flow: &Flow) -> Work {
        let info = asking.info;
        match info.verb.as_str() {
            _ if !info.is_resource => Work::ONE,
            "list" | "watch" => work::list(&listing(asking), self.collection(info), flow.request_max),
            // A token is made for an account without changing it.
            "create" if info.resource == "serviceaccounts" && info.subresource == "token" => Work::ONE,
            "create" | "update" | "patch" | "delete" => {
                work::write(self.watches.interested(info), flow.request_max)
            }
            _ => Work::ONE,
        }
    }

    fn collection(&self, info: &RequestInfo) -> Option<Collection> {
        let resource = self.registry.kinds().resolve(&info.group, &info.version, &info.resource)?;
        let (count, bytes) = self.registry.core.cache.collection(&resource.stored_as).size();
        Some(Collection { count, object_bytes: bytes.checked_div(count).unwrap_or(0) })
    }
}

fn asked<'a>(asking: &Asking<'a>) -> Asked<'a> {
    let info = asking.info;
    let resource = Resource {
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
    };
    Asked {
        user: asking.user,
        verb: &info.verb,
        path: &info.path,
        resource: info.is_resource.then_some(resource),
    }
}

fn listing<'a>(asking: &Asking<'a>) -> Listing<'a> {
    let query = asking.query;
    let text = |name| query.text(name).unwrap_or_default();
    Listing {
        watch: asking.info.verb == "watch",
        one: !asking.info.name.is_empty(),
        limit: text("limit").parse().unwrap_or(0),
        selects: query.has("fieldSelector") || query.has("labelSelector"),
        continues: !text("continue").is_empty(),
        version: text("resourceVersion"),
        version_match: text("resourceVersionMatch"),
        initial_events: query.flag("sendInitialEvents").unwrap_or(false),
    }
}

#[cfg(test)]
mod tests;
