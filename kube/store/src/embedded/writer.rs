//! The one thread that writes: it takes all requests that wait, applies them to the index,
//! makes them durable with one sync, lets readers see them, and only then answers.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use base::failpoint::hit;

use super::file::{Changes, State, commit};
use super::shared::Shared;
use crate::error::Error;
use crate::machine::{Applied, Machine, Values};
use crate::record::Record;
use crate::txn::{Txn, TxnResponse};
use crate::types::{LeaseId, Position, Revision};

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
    pub state: State,
    pub garbage: VecDeque<Position>,
    /// When to look again whether there is space, while there is none.
    pub mend_at: Instant,
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
        let began = Instant::now();
        if !matches!(self.shared.failure(), Some(Error::Full { .. })) || began < self.mend_at {
            return;
        }
        if let Ok(mended) = self.shared.mend(began) {
            self.state = mended.state;
            self.garbage = mended.garbage.into();
        }
        // A large store takes a while to look at: that must not be all it does.
        self.mend_at = Instant::now() + MEND_EVERY.max(began.elapsed());
    }

    /// Waits for requests; comes back with none when there is something else to do meanwhile.
    fn next_jobs(&mut self) -> Option<Vec<Job>> {
        let failure = self.shared.failure();
        let first = if let Some(Error::Full { .. }) = failure {
            let left = self.mend_at.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        } else if self.garbage.is_empty() || failure.is_some() {
            Some(self.inbox.recv().ok()?)
        } else {
            match self.inbox.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return None,
            }
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
        let mut changes = Changes::default();
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            let answer = self.apply(job.request, &mut changes);
            answers.push((job.done, answer));
        }
        hit("store.batch.applied");
        changes.dropped = self.garbage.drain(..self.garbage.len().min(DROP_MAX)).collect();
        if !changes.is_empty()
            && let Err(error) = self.commit(changes)
        {
            answers.into_iter().for_each(|(done, _)| done(Err(error.clone())));
            return;
        }
        for (done, answer) in answers {
            done(answer);
            hit("store.batch.answered");
        }
    }

    fn apply(&self, request: Request, changes: &mut Changes) -> Result<TxnResponse, Error> {
        let mut machine = self.shared.index.write().unwrap_or_else(PoisonError::into_inner);
        let values = Ahead { records: &changes.records, shared: &self.shared };
        let applied = match request {
            Request::Txn(txn) => machine.apply(&txn, &values)?,
            Request::Grant { id, ttl, now } => {
                machine.grant(id, ttl, now)?;
                changes.leases.push((id, Some(ttl)));
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
        Ok(applied.response)
    }

    fn commit(&mut self, changes: Changes) -> Result<(), Error> {
        let compacts = changes.compact.is_some();
        let drops = !changes.dropped.is_empty();
        hit(if compacts { "store.compact.before-mark" } else { "store.commit.before" });
        let committed = match &*self.shared.db() {
            Some(db) => commit(db, self.state, &changes),
            None => return Err(Error::Closed),
        };
        self.state = committed.map_err(|cause| {
            self.mend_at = Instant::now() + MEND_EVERY;
            self.shared.fail(cause)
        })?;
        hit(if compacts { "store.compact.marked" } else { "store.commit.after" });
        if drops {
            hit("store.compact.dropped");
        }
        let newest = Revision(self.state.revision);
        self.shared.tail.write().unwrap_or_else(PoisonError::into_inner).extend(changes.records);
        hit("store.batch.remembered");
        if newest > self.shared.published() {
            self.shared.publish(newest);
            hit("store.batch.published");
        }
        if let Some(revision) = changes.compact {
            let mut machine = self.shared.index.write().unwrap_or_else(PoisonError::into_inner);
            self.garbage.extend(machine.compact(Revision(revision)));
            hit("store.compact.forgotten");
        }
        Ok(())
    }
}

/// A request that writes no records.
fn nothing(machine: &Machine) -> Applied {
    let response = TxnResponse { revision: machine.revision(), succeeded: true, responses: Vec::new() };
    Applied { response, records: Vec::new() }
}

/// What is durable and what this batch has applied before it.
struct Ahead<'a> {
    records: &'a [(Position, Record)],
    shared: &'a Shared,
}

impl Values for Ahead<'_> {
    fn load(&self, at: Position) -> Result<Record, Error> {
        match self.records.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(found) => Ok(self.records[found].1.clone()),
            Err(_) => self.shared.load(at),
        }
    }
}

/// Requests that share a sync; bounds how long the first waits for the last.
const BATCH_JOBS_MAX: usize = 1024;
/// Bytes that share a sync.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Between two looks whether a full disk has space again.
const MEND_EVERY: Duration = Duration::from_secs(1);
/// Old records that one commit deletes: a few milliseconds of work.
const DROP_MAX: usize = 512;
