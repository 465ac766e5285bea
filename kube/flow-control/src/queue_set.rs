//! One level's seats and queues: who runs, who waits, who is refused, and whose turn is next.
//!
//! Fairness is that of queues, in *virtual time*: a meter runs as fast as seats are given to each queue
//! that has anything to do. A request is reckoned to begin where the meter stood when it came, or where
//! its queue's last one ends, whichever is later, and to end after the work it is estimated at. The
//! request that would end first goes first. What it really took is settled when it ends.
//!
//! A request that finds a free seat and nobody waiting costs no allocation.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::Nanos;
use crate::config::{Queuing, Shape};
use crate::demand::Demand;
use crate::shard::HAND_MAX;
use crate::work::Work;

/// What a request is reckoned to take before it is known.
const SERVICE: Nanos = 3_000_000;

/// The seats and queues of a level. `T` stands for a request that waits.
#[derive(Debug)]
pub struct QueueSet<T> {
    shape: Shape,
    limit: usize,
    queues: Vec<Queue<T>>,
    /// The meter, in seat-nanoseconds for each queue, and when it was read.
    meter: i128,
    read: Nanos,
    /// The queue that was served last.
    served: usize,
    /// How many requests were given a queue: so that overlapping hands do not all begin with the same one.
    dealt: usize,
    /// Queues with anything to do.
    active: usize,
    waiting: Sum,
    executing: usize,
    seats: usize,
    lingering: BinaryHeap<Reverse<Lingering>>,
    demand: Demand,
    ids: u64,
}

/// A request has a seat, or more; [`QueueSet::finish`] takes it back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Ticket {
    work: Work,
    queue: Option<usize>,
    since: Nanos,
}

/// Where a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    queue: usize,
    id: u64,
}

/// What becomes of a request that comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has a seat.
    Run(Ticket),
    /// It has to wait, behind so many of its queue.
    Wait(Place, usize),
    /// There is no place for it.
    Refused(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Nobody waits at this level.
    ConcurrencyLimit,
    /// The queue is full.
    QueueFull,
    /// It has waited too long.
    TimeOut,
}

/// Requests that no longer wait.
pub type Woken<T> = Vec<(T, Ticket)>;

/// How many requests, and how many seats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Requests.
    pub requests: usize,
    /// Their seats.
    pub seats: usize,
}

/// A queue, for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that run.
    pub executing: usize,
    /// Their seats.
    pub seats: usize,
    /// The meter's reading at which its next request begins, in seat-nanoseconds.
    pub next: i128,
    /// Seats of those that wait while they are answered.
    pub first_seats: usize,
    /// Seats of those that wait at their widest.
    pub most_seats: usize,
    /// What those that wait are reckoned to take, in seat-nanoseconds.
    pub work: i128,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// What those that wait are reckoned to take.
    work: i128,
    /// The meter's reading at which the next request begins.
    next: i128,
    executing: usize,
    seats: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    id: u64,
    work: Work,
    came: Nanos,
    /// The meter's reading then.
    came_at: i128,
    token: T,
}

/// Seats that are free at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lingering {
    until: Nanos,
    seats: usize,
    queue: Option<usize>,
}

impl<T> QueueSet<T> {
    /// With so many seats.
    pub fn new(now: Nanos, shape: Shape, limit: usize) -> Self {
        let mut set = Self {
            shape,
            limit,
            queues: Vec::new(),
            meter: 0,
            read: now,
            served: 0,
            dealt: 0,
            active: 0,
            waiting: Sum::default(),
            executing: 0,
            seats: 0,
            lingering: BinaryHeap::new(),
            demand: Demand::default(),
            ids: 0,
        };
        set.demand.set(now, 0);
        set.configure(now, shape, limit, &mut Vec::new());
        set
    }

    /// Another shape or number of seats. Requests that wait stay where they are.
    pub fn configure(&mut self, now: Nanos, shape: Shape, limit: usize, woken: &mut Woken<T>) {
        self.advance(now, woken);
        (self.shape, self.limit) = (shape, limit);
        let wanted = self.queues_wanted();
        if self.queues.len() < wanted {
            self.queues.resize_with(wanted, Queue::new);
        }
        self.tidy();
        self.dispatch_all(now, woken);
    }

    /// A request comes; `token` is made if it has to wait.
    pub fn arrive(
        &mut self,
        now: Nanos,
        work: Work,
        flow: u64,
        token: impl FnOnce() -> T,
        woken: &mut Woken<T>,
    ) -> Arrival {
        self.advance(now, woken);
        let Shape::Queue(queuing) = self.shape else {
            if !self.has_seats(&work) {
                return Arrival::Refused(Refusal::ConcurrencyLimit);
            }
            return Arrival::Run(self.start(now, work, None));
        };
        let at = self.choose(queuing, flow);
        let runs = self.waiting.requests == 0 && self.seats < self.limit && self.has_seats(&work);
        let Some(queue) = self.queues.get_mut(at) else {
            return Arrival::Refused(Refusal::QueueFull);
        };
        let before = queue.waiting.len();
        if self.seats >= self.limit && before >= queuing.length_max {
            return Arrival::Refused(Refusal::QueueFull);
        }
        if queue.is_idle() {
            queue.next = self.meter;
            self.active += 1;
        }
        if runs {
            return Arrival::Run(self.start_queued(now, work, at));
        }
        self.ids += 1;
        let id = self.ids;
        let waiting = Waiting { id, work, came: now, came_at: self.meter, token: token() };
        queue.work += waiting.reckoned();
        queue.waiting.push_back(waiting);
        queue.bound();
        self.waiting.requests += 1;
        self.waiting.seats += work.most_seats();
        self.note(now);
        self.dispatch_all(now, woken);
        Arrival::Wait(Place { queue: at, id }, before)
    }

    /// A request has ended: its seats are free, at once or when its work after the answer is done.
    #[allow(clippy::needless_pass_by_value, reason = "a ticket is given back once")]
    pub fn finish(&mut self, now: Nanos, ticket: Ticket, woken: &mut Woken<T>) {
        self.advance(now, woken);
        let Ticket { work, queue: at, since } = ticket;
        self.executing -= 1;
        if let Some(queue) = at.and_then(|at| self.queues.get_mut(at)) {
            queue.executing -= 1;
            let took = i128::from(now.saturating_sub(since)) - i128::from(SERVICE);
            queue.next += work.seats as i128 * took;
            queue.bound();
            self.active -= usize::from(queue.is_idle());
        }
        let lingering = Lingering { until: now + work.linger, seats: work.most_seats(), queue: at };
        if work.linger == 0 {
            self.release(now, lingering);
        } else {
            self.lingering.push(Reverse(lingering));
        }
        self.dispatch_all(now, woken);
    }

    /// A request waits no longer; none if it has been given its seats already.
    pub fn cancel(&mut self, now: Nanos, place: Place, woken: &mut Woken<T>) -> Option<T> {
        self.advance(now, woken);
        let queue = self.queues.get_mut(place.queue)?;
        let at = queue.waiting.iter().position(|waiting| waiting.id == place.id)?;
        let gone = queue.waiting.remove(at)?;
        queue.work -= gone.reckoned();
        queue.bound();
        self.active -= usize::from(queue.is_idle());
        self.waiting.requests -= 1;
        self.waiting.seats -= gone.work.most_seats();
        self.note(now);
        self.tidy();
        // It may have been the one that all others had to wait for.
        self.dispatch_all(now, woken);
        Some(gone.token)
    }

    /// When seats are free for those that wait although nothing happens: call [`Self::wake`] then.
    pub fn wakes_at(&self) -> Option<Nanos> {
        let next = self.lingering.peek().map(|Reverse(lingering)| lingering.until);
        next.filter(|_| self.waiting.requests > 0)
    }

    /// Gives away what has become free with time.
    pub fn wake(&mut self, now: Nanos, woken: &mut Woken<T>) {
        self.advance(now, woken);
        self.dispatch_all(now, woken);
    }

    /// Whether nobody runs and nobody waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.requests == 0 && self.executing == 0
    }

    /// Those that wait.
    pub fn waiting(&self) -> Sum {
        self.waiting
    }

    /// Those that run, and the seats that are taken.
    pub fn executing(&self) -> Sum {
        Sum { requests: self.executing, seats: self.seats }
    }

    /// How many seats there are.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The seats that were needed.
    pub fn demand(&mut self) -> &mut Demand {
        &mut self.demand
    }

    /// The queues.
    pub fn queues(&self) -> impl Iterator<Item = QueueView> {
        self.queues.iter().map(Queue::view)
    }

    /// Who waits: the queue, the place in it, when it came, and what it takes.
    pub fn tokens(&self) -> impl Iterator<Item = (usize, usize, Nanos, Work, &T)> {
        self.queues.iter().enumerate().flat_map(|(number, queue)| {
            let waiting = queue.waiting.iter().enumerate();
            waiting.map(move |(at, one)| (number, at, one.came, one.work, &one.token))
        })
    }

    /// Of the flow's queues the one with the least work waiting.
    fn choose(&mut self, queuing: Queuing, flow: u64) -> usize {
        let mut cards = [0; HAND_MAX];
        queuing.dealer.deal(flow, &mut cards);
        let hand = cards.get(..queuing.dealer.hand()).unwrap_or_default();
        let first = self.dealt % hand.len().max(1);
        self.dealt = self.dealt.wrapping_add(1);
        let (later, sooner) = hand.split_at(first);
        let work = |at: &usize| self.queues.get(*at).map_or(0, |queue| queue.work);
        sooner.iter().chain(later).copied().min_by_key(work).unwrap_or_default()
    }

    /// Whether there are seats for a request. One that needs more than there are runs alone.
    fn has_seats(&self, work: &Work) -> bool {
        let seats = work.most_seats();
        match self.shape {
            Shape::Exempt => true,
            _ if seats > self.limit => self.executing == 0,
            _ => self.seats + seats <= self.limit,
        }
    }

    fn dispatch_all(&mut self, now: Nanos, woken: &mut Woken<T>) {
        while self.waiting.requests > 0 && self.seats < self.limit {
            let Some(next) = self.dispatch(now) else { return };
            woken.push(next);
        }
    }

    /// Takes the request that would end first out of its queue. If there are no seats for it nobody
    /// else gets them: a wide request would wait for ever.
    fn dispatch(&mut self, now: Nanos) -> Option<(T, Ticket)> {
        let (upto, behind) = self.queues.split_at_checked(self.served + 1).unwrap_or((&self.queues, &[]));
        // Among equals it is the turn of the queue behind the one that was served last.
        let numbered = behind.iter().enumerate().map(|(at, queue)| (at + upto.len(), queue));
        let numbered = numbered.chain(upto.iter().enumerate());
        let ends =
            numbered.filter_map(|(at, queue)| Some((queue.next + queue.waiting.front()?.reckoned(), at)));
        let (_, at) = ends.min_by_key(|(end, _)| *end)?;
        let head = self.queues.get(at)?.waiting.front()?.work;
        if !self.has_seats(&head) {
            return None;
        }
        let queue = self.queues.get_mut(at)?;
        let gone = queue.waiting.pop_front()?;
        queue.work -= gone.reckoned();
        self.waiting.requests -= 1;
        self.waiting.seats -= gone.work.most_seats();
        self.served = at;
        let ticket = self.start_queued(now, gone.work, at);
        Some((gone.token, ticket))
    }

    fn start_queued(&mut self, now: Nanos, work: Work, at: usize) -> Ticket {
        let work = work.within(self.limit);
        if let Some(queue) = self.queues.get_mut(at) {
            queue.executing += 1;
            queue.seats += work.most_seats();
            queue.next += reckoned(&work);
            queue.bound();
        }
        self.start(now, work, Some(at))
    }

    fn start(&mut self, now: Nanos, work: Work, queue: Option<usize>) -> Ticket {
        self.executing += 1;
        self.seats += work.most_seats();
        self.note(now);
        Ticket { work, queue, since: now }
    }

    /// Lets time pass: the meter runs, and seats that are free by now are given away.
    fn advance(&mut self, now: Nanos, woken: &mut Woken<T>) {
        let before = self.lingering.len();
        while self.lingering.peek().is_some_and(|Reverse(next)| next.until <= now) {
            let Some(Reverse(next)) = self.lingering.pop() else { break };
            self.run_meter(next.until);
            self.release(next.until, next);
        }
        self.run_meter(now);
        if self.lingering.len() < before {
            self.dispatch_all(now, woken);
        }
    }

    fn run_meter(&mut self, now: Nanos) {
        let passed = i128::from(now.saturating_sub(self.read));
        self.read = self.read.max(now);
        if self.active > 0 {
            let seats = (self.seats + self.waiting.seats).min(self.limit);
            self.meter += passed * seats as i128 / self.active as i128;
        }
    }

    fn release(&mut self, at: Nanos, gone: Lingering) {
        self.seats -= gone.seats;
        if let Some(queue) = gone.queue.and_then(|at| self.queues.get_mut(at)) {
            queue.seats -= gone.seats;
        }
        self.note(at);
        self.tidy();
    }

    fn note(&mut self, at: Nanos) {
        self.demand.set(at, self.seats + self.waiting.seats);
    }

    fn queues_wanted(&self) -> usize {
        if let Shape::Queue(queuing) = self.shape { queuing.dealer.deck() } else { 0 }
    }

    /// Queues that are too many go when they are empty, the last one first.
    fn tidy(&mut self) {
        let wanted = self.queues_wanted();
        while self.queues.len() > wanted
            && self.queues.last().is_some_and(|last| last.is_idle() && last.seats == 0)
        {
            self.queues.pop();
        }
    }
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), work: 0, next: 0, executing: 0, seats: 0 }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.executing == 0
    }

    /// Nothing begins before it came: a queue does not save up what it did not use.
    fn bound(&mut self) {
        if let Some(head) = self.waiting.front() {
            self.next = self.next.max(head.came_at);
        }
    }

    fn view(&self) -> QueueView {
        let sum = |seats: fn(&Work) -> usize| self.waiting.iter().map(|one| seats(&one.work)).sum();
        QueueView {
            waiting: self.waiting.len(),
            executing: self.executing,
            seats: self.seats,
            next: self.next,
            first_seats: sum(|work| work.seats),
            most_seats: sum(Work::most_seats),
            work: self.work,
        }
    }
}

impl<T> Waiting<T> {
    fn reckoned(&self) -> i128 {
        reckoned(&self.work)
    }
}

impl Ticket {
    /// When it was given.
    pub fn since(&self) -> Nanos {
        self.since
    }

    /// The seats that it is for.
    pub fn seats(&self) -> usize {
        self.work.most_seats()
    }
}

impl Refusal {
    /// The word of the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::QueueFull => "queue-full",
            Self::TimeOut => "time-out",
        }
    }
}

/// What a request is reckoned to take, in seat-nanoseconds.
fn reckoned(work: &Work) -> i128 {
    work.seats as i128 * i128::from(SERVICE) + work.last()
}

#[cfg(test)]
mod tests;
