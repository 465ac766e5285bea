//! The writer, one at a time: it applies all requests that wait to the index, makes them durable
//! with one sync, lets readers see them, and only then answers. It has a thread; a request that
//! finds nobody writing and nobody waiting is written by its own, which spares two wake-ups.

use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use base::failpoint::hit;

use super::log::{Beginning, Changes, Failed, Log, Written};
use super::shared::Shared;
use crate::error::Error;
use crate::machine::{Applied, Machine, Undo, Values};
use crate::record::Record;
use crate::txn::{Txn, TxnResponse};
use crate::types::{LeaseId, Place, Position, Revision};

/// Called once with the answer, by the writer: it must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<TxnResponse, Error>) + Send>;

pub(crate) struct Job {
    pub request: Request,
    pub done: Done,
}

pub(crate) enum Request {
    Txn(Txn),
    Grant { id: LeaseId, ttl: Duration, now: Instant },
    Revoke(LeaseId),
    Compact(Revision),
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    /// Wakes the keeper.
    keeper: SyncSender<()>,
    /// The segment after which it was asked for the next one.
    asked_at: u32,
    /// When to look again whether there is space, while there is none.
    mend_at: Instant,
    /// How long the last commit was on its way to the disk.
    took: Duration,
}

/// The writer, and the way to its thread.
pub(crate) struct Entrance {
    writer: Arc<Mutex<Writer>>,
    /// Requests, or none: a write has failed, and it is to be seen to that it can go on.
    inbox: SyncSender<Option<Job>>,
    /// Requests in the inbox.
    waiting: Arc<AtomicUsize>,
    /// Whether there is another processor for others while a caller writes.
    several: bool,
}

/// What the writer's thread has.
pub(crate) struct Queue {
    writer: Arc<Mutex<Writer>>,
    inbox: Receiver<Option<Job>>,
    waiting: Arc<AtomicUsize>,
}

/// Makes a writer: those who have the entrance write, the queue wants a thread.
pub(crate) fn writer(
    shared: Arc<Shared>,
    log: Log,
    keeper: SyncSender<()>,
    now: Instant,
) -> (Entrance, Queue) {
    let writer = Writer { shared, log, keeper, asked_at: u32::MAX, mend_at: now, took: Duration::ZERO };
    let writer = Arc::new(Mutex::new(writer));
    let (sender, inbox) = sync_channel(INBOX_MAX);
    let waiting = Arc::new(AtomicUsize::new(0));
    let queue = Queue { writer: Arc::clone(&writer), inbox, waiting: Arc::clone(&waiting) };
    let several = available_parallelism().map_or(1, NonZero::get) > 1;
    (Entrance { writer, inbox: sender, waiting, several }, queue)
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Entrance {
    /// Writes at once where nobody does and the disk is quick, or leaves it to the thread.
    pub(crate) fn write(&self, request: Request, done: Done) {
        match self.writer.try_lock() {
            Ok(mut writer)
                if self.several
                    && writer.took < QUICK
                    && self.waiting.load(Ordering::Acquire) == 0
                    && writer.shared.failure().is_none() =>
            {
                writer.write(vec![Job { request, done }]);
                if writer.shared.failure().is_some() {
                    // A full inbox wakes it as well.
                    let _ = self.inbox.try_send(None);
                }
            }
            _ => self.queue(request, done),
        }
    }

    /// Leaves it to the thread; blocks only while the inbox is full.
    pub(crate) fn queue(&self, request: Request, done: Done) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(SendError(Some(refused))) = self.inbox.send(Some(Job { request, done })) {
            (refused.done)(Err(Error::Closed));
        }
    }
}

impl Queue {
    /// Works until the entrance is gone.
    pub(crate) fn run(self) {
        while let Some(jobs) = self.next_jobs() {
            self.waiting.fetch_sub(jobs.len(), Ordering::AcqRel);
            self.writer().write(jobs);
        }
    }

    /// Waits for requests; comes back with none when it is time to look at a full disk.
    fn next_jobs(&self) -> Option<Vec<Job>> {
        let left = self.writer().time_to_mend();
        let first = match left {
            Some(left) => match self.inbox.recv_timeout(left) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            },
            None => self.inbox.recv().ok()?,
        };
        let mut jobs: Vec<Job> = first.into_iter().collect();
        let mut bytes = 0;
        while !jobs.is_empty() && jobs.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(Some(job)) = self.inbox.try_recv() else { break };
            bytes += if let Request::Txn(txn) = &job.request { txn.bytes() } else { 0 };
            jobs.push(job);
        }
        Some(jobs)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What requests have done to the index that is not durable yet.
#[derive(Default)]
struct Pending {
    changes: Changes,
    undo: Vec<Undo>,
}

impl Writer {
    /// After a failed write it only refuses; when that was for want of space, until there is some.
    fn write(&mut self, jobs: Vec<Job>) {
        self.mend_in_time();
        if let Some(error) = self.shared.failure() {
            return jobs.into_iter().for_each(|job| (job.done)(Err(error.clone())));
        }
        hit("store.batch.taken");
        self.work(jobs);
    }

    /// How long until it is to be looked whether a full disk has space.
    fn time_to_mend(&self) -> Option<Duration> {
        let full = matches!(self.shared.failure(), Some(Error::Full { .. }));
        full.then(|| self.mend_at.saturating_duration_since(Instant::now()))
    }

    /// Looks from time to time whether a full disk has space again.
    fn mend_in_time(&mut self) {
        if !matches!(self.shared.failure(), Some(Error::Full { .. })) || Instant::now() < self.mend_at {
            return;
        }
        match self.log.mend() {
            Ok(()) => {
                self.shared.mended();
                hit("store.mend.done");
            }
            Err(failed) => drop(self.fail(failed)),
        }
    }

    fn fail(&mut self, failed: Failed) -> Error {
        self.mend_at = Instant::now() + MEND_EVERY;
        match failed {
            Failed::Write(cause) => self.shared.fail(cause, false),
            Failed::Sync(cause) => self.shared.fail(cause, true),
        }
    }

    fn work(&mut self, jobs: Vec<Job>) {
        let mut pending = Pending::default();
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            let answer = self.apply(job.request, &mut pending);
            answers.push((job.done, answer));
        }
        hit("store.batch.applied");
        if !pending.changes.is_empty()
            && let Err(error) = self.commit(pending)
        {
            answers.into_iter().for_each(|(done, _)| done(Err(error.clone())));
            return;
        }
        for (done, answer) in answers {
            done(answer);
            hit("store.batch.answered");
        }
    }

    fn apply(&self, request: Request, pending: &mut Pending) -> Result<TxnResponse, Error> {
        let mut machine = self.shared.index.write().unwrap_or_else(PoisonError::into_inner);
        let Pending { changes, undo } = pending;
        let values = Ahead { records: &changes.records, shared: &self.shared };
        let applied = match request {
            Request::Txn(txn) => machine.apply(&txn, &values)?,
            Request::Grant { id, ttl, now } => {
                machine.grant(id, ttl, now)?;
                changes.leases.push((id, Some(ttl)));
                undo.push(Undo::Granted(id));
                hit("store.lease.granted");
                nothing(&machine)
            }
            Request::Revoke(id) => {
                let applied = machine.revoke(id, &values)?;
                changes.leases.push((id, None));
                hit("store.lease.revoked");
                applied
            }
            Request::Compact(revision) => {
                machine.check_compact(revision)?;
                let already = changes.compact.map(Revision).filter(|already| *already >= revision);
                if let Some(compacted) = already {
                    return Err(Error::Compacted { requested: revision, compacted });
                }
                changes.compact = Some(revision.0);
                nothing(&machine)
            }
        };
        changes.records.extend(applied.records);
        undo.extend(applied.undo);
        Ok(applied.response)
    }

    fn commit(&mut self, pending: Pending) -> Result<(), Error> {
        let Pending { changes, undo } = pending;
        let compacts = changes.compact.is_some();
        hit(if compacts { "store.compact.before-mark" } else { "store.commit.before" });
        let before = Revision(self.log.tip().revision);
        let shared = Arc::clone(&self.shared);
        let begun = Instant::now();
        let written = self
            .log
            .append(&changes, || Beginning { slot: shared.new_slot(), leases: shared.index().granted() });
        self.took = begun.elapsed();
        let Written { places, begun } = match written {
            Ok(written) => written,
            Err(failed) => {
                let mut machine = shared.index.write().unwrap_or_else(PoisonError::into_inner);
                machine.take_back(undo, before);
                drop(machine);
                return Err(self.fail(failed));
            }
        };
        hit(if compacts { "store.compact.marked" } else { "store.commit.after" });
        if let Some(segment) = begun {
            shared.change_table(|table| table.push(segment));
            hit("store.roll.switched");
        }
        let compact = changes.compact;
        let newest = Revision(self.log.tip().revision);
        let news = newest > shared.published();
        shared.take_in(changes, &places, newest);
        hit("store.batch.remembered");
        if news {
            shared.signal.notify();
            hit("store.batch.published");
        }
        compact.into_iter().for_each(|revision| self.forget(Revision(revision)));
        let active = &self.log.tip().active;
        let half = active.end() > active.head.len / 2 && self.asked_at != active.slot;
        if half {
            self.asked_at = active.slot;
        }
        if compacts || half {
            // When it is awake already that is as good.
            let _ = self.keeper.try_send(());
        }
        Ok(())
    }

    /// Drops the history before `revision`. Whoever sees the index without it also sees what of it
    /// is waste: a merge relies on that.
    fn forget(&self, revision: Revision) {
        let mut machine = self.shared.index.write().unwrap_or_else(PoisonError::into_inner);
        let dropped = machine.compact(revision);
        hit("store.compact.forgotten");
        let mut waste = self.shared.waste.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.table().bury(&dropped, &mut waste);
        hit("store.compact.dropped");
    }
}

/// A request that writes no records.
fn nothing(machine: &Machine) -> Applied {
    let response = TxnResponse { revision: machine.revision(), succeeded: true, responses: Vec::new() };
    Applied { response, records: Vec::new(), undo: Vec::new() }
}

/// What is durable and what this batch has applied before it.
struct Ahead<'a> {
    records: &'a [(Position, Record)],
    shared: &'a Shared,
}

impl Values for Ahead<'_> {
    fn load(&self, at: Position, place: Place) -> Result<Record, Error> {
        match self.records.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(found) => Ok(self.records[found].1.clone()),
            Err(_) => self.shared.load(at, place),
        }
    }
}

/// A commit that is as short as the way to another thread and back may hold up its caller's.
const QUICK: Duration = Duration::from_millis(2);
/// Requests that may wait for the writer: two full batches, then callers wait to hand over.
const INBOX_MAX: usize = 2048;
/// Requests that share a sync; bounds how long the first waits for the last.
const BATCH_JOBS_MAX: usize = 1024;
/// Bytes that share a sync.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Between two looks whether a full disk has space again.
const MEND_EVERY: Duration = Duration::from_secs(1);
