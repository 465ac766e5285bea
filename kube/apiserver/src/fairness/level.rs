//! A priority level at work: its seats and queues behind a short lock, and what holds a seat.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_control::Nanos;
use flow_control::borrow::Need;
use flow_control::config::Shape;
use flow_control::demand::Report;
use flow_control::queue_set::{Arrival, Place, QueueSet, Refusal, Ticket, Woken};
use flow_control::retry::Refusals;
use flow_control::shares::Seats;
use flow_control::work::Work;
use tokio::sync::oneshot;

use super::Shared;
use super::active::Flow;
use crate::metrics::InFlight;

/// A level.
pub(super) struct Level {
    pub(super) name: String,
    /// Whether nobody waits here.
    pub(super) exempt: bool,
    state: Mutex<State>,
    shared: Arc<Shared>,
    pub(super) counts: Counts,
}

/// What became of requests.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) dispatched: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) timed_out: AtomicU64,
}

/// What a level's lock is about.
pub(super) struct State {
    pub(super) set: QueueSet<Waiter>,
    refusals: Refusals,
    pub(super) seats: Seats,
    /// More need than this may change who has which seats.
    busy_above: usize,
    /// Whether it was said that there is.
    said_busy: bool,
    /// Whether it was said that somebody waits for seats that are free then.
    said_wake: Option<Nanos>,
    /// Whether it is not configured any more, and ends when it has nothing to do.
    pub(super) ends: bool,
}

/// A request that waits.
pub(super) struct Waiter {
    pub(super) tell: oneshot::Sender<Ticket>,
    pub(super) flow: Arc<Flow>,
    pub(super) distinguisher: Box<str>,
}

/// How a level is set up.
pub(super) struct Setup {
    pub(super) shape: Shape,
    pub(super) seats: Seats,
    pub(super) limit: usize,
    pub(super) busy_above: usize,
    pub(super) ends: bool,
}

impl Level {
    pub(super) fn new(name: &str, shape: Shape, shared: &Arc<Shared>) -> Arc<Self> {
        let state = State {
            set: QueueSet::new(shared.now(), shape, 0),
            refusals: Refusals::default(),
            seats: Seats::default(),
            busy_above: 0,
            said_busy: false,
            said_wake: None,
            ends: false,
        };
        Arc::new(Self {
            name: name.to_owned(),
            exempt: shape == Shape::Exempt,
            state: Mutex::new(state),
            shared: Arc::clone(shared),
            counts: Counts::default(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request comes.
    pub(super) fn arrive(
        &self,
        now: Nanos,
        work: Work,
        hash: u64,
        waiter: impl FnOnce() -> Waiter,
    ) -> Arrival {
        let mut woken = Vec::new();
        let arrival = {
            let mut state = self.lock();
            let arrival = state.set.arrive(now, work, hash, waiter, &mut woken);
            self.nudge(&mut state);
            arrival
        };
        hand_out(woken);
        arrival
    }

    /// A seat is free.
    fn finish(&self, ticket: Ticket) -> Woken<Waiter> {
        let mut woken = Vec::new();
        let now = self.shared.now();
        let mut state = self.lock();
        state.set.finish(now, ticket, &mut woken);
        self.nudge(&mut state);
        woken
    }

    /// Sets it up anew.
    pub(super) fn configure(&self, setup: &Setup) {
        let mut woken = Vec::new();
        {
            let mut state = self.lock();
            (state.seats, state.ends) = (setup.seats, setup.ends);
            state.busy_above = setup.busy_above;
            state.said_busy = false;
            state.set.configure(self.shared.now(), setup.shape, setup.limit, &mut woken);
            self.nudge(&mut state);
        }
        hand_out(woken);
    }

    /// What it has needed since it was last asked.
    pub(super) fn need(&self, seats: Seats) -> (Need, Report) {
        let now = self.shared.now();
        let report = self.lock().set.demand().report(now);
        let need = Need { seats, exempt: self.exempt, high: report.high, smoothed: report.smoothed };
        (need, report)
    }

    /// Whether it needs what others could lend, by a report.
    pub(super) fn is_busy(&self, report: &Report) -> bool {
        let above = self.lock().busy_above;
        report.high > above || report.smoothed > above as f64
    }

    /// Gives away what is free by now; when there is more, and whether more is needed than there is.
    pub(super) fn wake(&self) -> (Option<Nanos>, bool) {
        let mut woken = Vec::new();
        let result = {
            let mut state = self.lock();
            state.set.wake(self.shared.now(), &mut woken);
            state.said_wake = state.set.wakes_at();
            (state.said_wake, state.said_busy)
        };
        hand_out(woken);
        result
    }

    /// Refuses; how many seconds the client is to stay away.
    pub(super) fn refuse(&self, why: Refusal, second: u64) -> u32 {
        self.counts.rejected.fetch_add(1, Ordering::Relaxed);
        if why == Refusal::TimeOut {
            self.counts.timed_out.fetch_add(1, Ordering::Relaxed);
        }
        self.lock().refusals.refuse(second)
    }

    /// Says what others have to know of a change.
    fn nudge(&self, state: &mut State) {
        if !state.said_busy && state.set.demand().now() > state.busy_above {
            state.said_busy = true;
            self.shared.seats.notify_one();
        }
        if let Some(at) = state.set.wakes_at()
            && state.said_wake.is_none_or(|said| at < said)
        {
            state.said_wake = Some(at);
            self.shared.seats.notify_one();
        }
        if state.ends && state.set.is_idle() {
            self.shared.levels.notify_one();
        }
    }
}

/// Tells those that no longer wait. Whoever has gone meanwhile gives the seats back.
pub(super) fn hand_out(mut woken: Woken<Waiter>) {
    while !woken.is_empty() {
        for (waiter, ticket) in std::mem::take(&mut woken) {
            if let Err(ticket) = waiter.tell.send(ticket) {
                woken.extend(waiter.flow.level.finish(ticket));
            }
        }
    }
}

/// A place in a queue; it is given up when this is dropped.
pub(super) struct Waiting<'a> {
    flow: &'a Arc<Flow>,
    place: Option<Place>,
    told: oneshot::Receiver<Ticket>,
    seats: usize,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(
        flow: &'a Arc<Flow>,
        place: Place,
        told: oneshot::Receiver<Ticket>,
        seats: usize,
    ) -> Self {
        flow.stats.waiting(1, seats as i64);
        Self { flow, place: Some(place), told, seats }
    }

    /// Waits; none if it takes too long.
    pub(super) async fn up_to(mut self, limit: Duration) -> Option<Ticket> {
        match tokio::time::timeout(limit, &mut self.told).await {
            Ok(Ok(ticket)) => {
                self.place = None;
                Some(ticket)
            }
            _ => self.give_up(),
        }
    }

    /// Leaves the queue; the seats, if they were given just now.
    fn give_up(&mut self) -> Option<Ticket> {
        let place = self.place.take()?;
        let level = &self.flow.level;
        let mut woken = Vec::new();
        let gone = level.lock().set.cancel(level.shared.now(), place, &mut woken);
        hand_out(woken);
        if gone.is_some() {
            return None;
        }
        self.told.close();
        self.told.try_recv().ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.flow.stats.waiting(-1, -(self.seats as i64));
        if let Some(ticket) = self.give_up() {
            hand_out(self.flow.level.finish(ticket));
        }
    }
}

/// A request's seats; they are free again when this is dropped.
pub(crate) struct Seat {
    flow: Arc<Flow>,
    ticket: Option<Ticket>,
    kind: InFlight,
    watch: bool,
}

impl Seat {
    pub(super) fn new(flow: Arc<Flow>, ticket: Ticket, kind: InFlight, watch: bool) -> Self {
        flow.level.counts.dispatched.fetch_add(1, Ordering::Relaxed);
        flow.level.shared.metrics.in_flight(kind, 1);
        flow.stats.begun(ticket.seats());
        Self { flow, ticket: Some(ticket), kind, watch }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let level = &self.flow.level;
        level.shared.metrics.in_flight(self.kind, -1);
        let took = level.shared.now().saturating_sub(ticket.since());
        self.flow.stats.ended(ticket.seats(), took, self.watch);
        hand_out(level.finish(ticket));
    }
}
