//! The one thread that writes: it takes all requests that wait, applies them to the index,
//! makes them durable with one sync, lets readers see them, and only then answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use base::failpoint::hit;

use super::log::{Beginning, Changes, Failed, Log, Written};
use super::shared::Shared;
use crate::error::Error;
use crate::machine::{Applied, Machine, Undo, Values};
use crate::record::Record;
use crate::txn::{Txn, TxnResponse};
use crate::types::{LeaseId, Place, Position, Revision};

/// Called once with the answer, on the writer's thread: it must not block.
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
    pub shared: Arc<Shared>,
    pub inbox: Receiver<Job>,
    pub log: Log,
    /// Wakes the keeper.
    pub keeper: SyncSender<()>,
    /// The segment after which it was asked for the next one.
    pub asked_at: u32,
    /// When to look again whether there is space, while there is none.
    pub mend_at: Instant,
}

/// What requests have done to the index that is not durable yet.
#[derive(Default)]
struct Pending {
    changes: Changes,
    undo: Vec<Undo>,
}

impl Writer {
    /// Works until all senders are gone. After a failed write it only refuses; when that was for
    /// want of space, until there is some.
    pub(crate) fn run(mut self) {
        while let Some(jobs) = self.next_jobs() {
            self.mend_in_time();
            if let Some(error) = self.shared.failure() {
                jobs.into_iter().for_each(|job| (job.done)(Err(error.clone())));
                continue;
            }
            hit("store.batch.taken");
            self.work(jobs);
        }
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

    /// Waits for requests; comes back with none when it is time to look at a full disk.
    fn next_jobs(&mut self) -> Option<Vec<Job>> {
        let first = if let Some(Error::Full { .. }) = self.shared.failure() {
            let left = self.mend_at.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        } else {
            Some(self.inbox.recv().ok()?)
        };
        let mut jobs: Vec<Job> = first.into_iter().collect();
        let mut bytes = 0;
        while !jobs.is_empty() && jobs.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(job) = self.inbox.try_recv() else { break };
            bytes += if let Request::Txn(txn) = &job.request { txn.bytes() } else { 0 };
            jobs.push(job);
        }
        Some(jobs)
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
        let written = self
            .log
            .append(&changes, || Beginning { slot: shared.new_slot(), leases: shared.index().granted() });
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

/// Requests that share a sync; bounds how long the first waits for the last.
const BATCH_JOBS_MAX: usize = 1024;
/// Bytes that share a sync.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Between two looks whether a full disk has space again.
const MEND_EVERY: Duration = Duration::from_secs(1);
