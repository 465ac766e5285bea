//! What readers, watches and the writer share, and how a reader reads.
//!
//! Lock order: index, then database. A reader takes its snapshot of the database while it
//! holds the index, so that no compaction can delete between the two.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use base::failpoint::hit;
use redb::{Database, ReadOnlyTable};

use super::disk::{Frozen, Through};
use super::file::{Changes, RECORDS, State, begin_read, commit, database, file_error};
use super::scan::{Loaded, scan};
use crate::error::Error;
use crate::machine::{Machine, Values, fill};
use crate::record::Record;
use crate::txn::{RangeRequest, RangeResponse, Want};
use crate::types::{Position, Revision};

#[derive(Debug)]
pub(crate) struct Shared {
    pub index: RwLock<Machine>,
    pub tail: RwLock<Tail>,
    pub signal: Signal,
    published: AtomicU64,
    db: RwLock<Option<Database>>,
    through: Through,
    path: PathBuf,
    cache_bytes: usize,
    failed: RwLock<Option<Arc<redb::Error>>>,
}

impl Shared {
    pub(crate) fn new(
        machine: Machine,
        db: Database,
        through: Through,
        path: &Path,
        options: &super::Options,
    ) -> Self {
        let published = machine.revision();
        Self {
            tail: RwLock::new(Tail::new(published.0 + 1, options.tail_bytes)),
            index: RwLock::new(machine),
            signal: Signal::default(),
            published: AtomicU64::new(published.0),
            db: RwLock::new(Some(db)),
            through,
            path: path.to_owned(),
            cache_bytes: options.cache_bytes,
            failed: RwLock::default(),
        }
    }

    pub(crate) fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::Acquire))
    }

    /// Lets readers and watches see what is durable now.
    pub(crate) fn publish(&self, revision: Revision) {
        debug_assert!(revision >= self.published(), "the revision never goes back");
        self.published.store(revision.0, Ordering::Release);
        self.signal.notify();
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Machine> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn db(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        let cause = self.failed.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        // After a failed sync nobody knows what the disk has: no space later makes up for that.
        let mends = no_space(&cause) && !self.through.sync_failed.load(Ordering::Acquire);
        Some(if mends { Error::Full { path: self.path.clone(), cause } } else { Error::ReadOnly { cause } })
    }

    /// Ends writing. Reads go on from a frozen view: redb itself serves nothing after an error.
    pub(crate) fn fail(&self, cause: redb::Error) -> Error {
        let cause = Arc::new(cause);
        *self.failed.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&cause));
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        drop(db.take());
        *db = Frozen::new(Arc::clone(&self.through.disk))
            .ok()
            .and_then(|frozen| database(frozen, self.cache_bytes).ok());
        drop(db);
        self.failure().unwrap_or(Error::ReadOnly { cause })
    }

    /// Opens the file anew after there was no space in it, and commits once to see that there is
    /// some again. Returns what the file holds and vouches for then: a batch that failed may be in
    /// it or not, and nobody was told.
    ///
    /// Reads go on meanwhile: this commit takes no page away from the last one, which they look at.
    pub(crate) fn mend(&self, now: Instant) -> Result<Mended, Error> {
        let db = database(self.through.clone(), self.cache_bytes)
            .map_err(|cause| file_error("open store", &self.path, cause))?;
        let Loaded { machine, state, garbage } = scan(&begin_read(&db)?, now)?;
        hit("store.mend.opened");
        let state = commit(&db, state, &Changes::default())
            .map_err(|cause| file_error("write to store", &self.path, cause))?;
        hit("store.mend.committed");
        let newest = machine.revision();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let frozen = self.db.write().unwrap_or_else(PoisonError::into_inner).replace(db);
        *index = machine;
        if newest > self.published() {
            self.tail.write().unwrap_or_else(PoisonError::into_inner).restart(newest.0 + 1);
        }
        *self.failed.write().unwrap_or_else(PoisonError::into_inner) = None;
        drop(index);
        drop(frozen);
        hit("store.mend.swapped");
        if newest > self.published() {
            self.publish(newest);
        }
        Ok(Mended { state, garbage })
    }

    pub(crate) fn close(&self) {
        drop(self.db.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The committed records; call it while holding the index.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, Error> {
        let db = self.db();
        let db = db.as_ref().ok_or_else(|| self.failure().unwrap_or(Error::Closed))?;
        let table = begin_read(db)?.open_table(RECORDS).map_err(Error::read)?;
        Ok(Snapshot { shared: self, table })
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        let writes_ended = self.failure().is_some();
        let answer = self.range_once(request);
        // The write that failed meanwhile took the file from under this read: the view is there now.
        let again = matches!(answer, Err(Error::Read { .. })) && !writes_ended && self.failure().is_some();
        if again { self.range_once(request) } else { answer }
    }

    fn range_once(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        let index = self.index();
        let newest = self.published();
        let found = index.find(request, newest)?;
        if request.want != Want::Values || found.versions.is_empty() {
            return fill(found, request.want, newest, &Nothing);
        }
        let snapshot = self.snapshot()?;
        drop(index);
        fill(found, request.want, newest, &snapshot)
    }

    /// One record, from memory or the disk.
    pub(crate) fn load(&self, at: Position) -> Result<Record, Error> {
        let recent = self.tail.read().unwrap_or_else(PoisonError::into_inner).record(at);
        recent.map_or_else(|| self.snapshot()?.read(at), Ok)
    }
}

/// What the writer goes on from.
pub(crate) struct Mended {
    pub state: State,
    pub garbage: Vec<Position>,
}

/// Whether a write failed for want of space alone.
fn no_space(cause: &redb::Error) -> bool {
    let redb::Error::Io(error) = cause else { return false };
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The committed records at one moment.
pub(crate) struct Snapshot<'a> {
    shared: &'a Shared,
    pub table: ReadOnlyTable<(u64, u32), &'static [u8]>,
}

impl Snapshot<'_> {
    fn read(&self, at: Position) -> Result<Record, Error> {
        let row = self.table.get((at.revision, at.sub)).map_err(Error::read)?;
        let row = row.ok_or(Error::Damaged { what: "a record is missing", at })?;
        Record::decode(at, row.value()).map(|(record, _)| record)
    }
}

impl Values for Snapshot<'_> {
    fn load(&self, at: Position) -> Result<Record, Error> {
        let recent = self.shared.tail.read().unwrap_or_else(PoisonError::into_inner).record(at);
        recent.map_or_else(|| self.read(at), Ok)
    }
}

/// For answers that need no values.
struct Nothing;

impl Values for Nothing {
    fn load(&self, at: Position) -> Result<Record, Error> {
        Err(Error::Damaged { what: "a value was not expected", at })
    }
}

/// The newest durable revisions, in memory up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Tail {
    first: u64,
    revisions: VecDeque<Vec<(Position, Record)>>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    fn new(first: u64, bytes_max: usize) -> Self {
        Self { first, revisions: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Forgets everything; goes on at `first`.
    fn restart(&mut self, first: u64) {
        *self = Self::new(first, self.bytes_max);
    }

    /// Adds durable records, ascending.
    pub(crate) fn extend(&mut self, records: Vec<(Position, Record)>) {
        for (at, record) in records {
            self.bytes += weight(&record);
            if at.revision == self.first + self.revisions.len() as u64 {
                self.revisions.push_back(Vec::new());
            }
            assert_eq!(at.revision + 1, self.first + self.revisions.len() as u64, "revisions have no gaps");
            if let Some(revision) = self.revisions.back_mut() {
                revision.push((at, record));
            }
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.revisions.pop_front()
        {
            self.first += 1;
            self.bytes -= oldest.iter().map(|(_, record)| weight(record)).sum::<usize>();
        }
    }

    /// The revisions from `from` on; `None` when they begin later.
    pub(crate) fn since(&self, from: u64) -> Option<impl Iterator<Item = &Vec<(Position, Record)>>> {
        let skip = from.checked_sub(self.first)?;
        Some(self.revisions.iter().skip(usize::try_from(skip).ok()?))
    }

    fn record(&self, at: Position) -> Option<Record> {
        let revision = usize::try_from(at.revision.checked_sub(self.first)?).ok()?;
        Some(self.revisions.get(revision)?.get(at.sub as usize)?.1.clone())
    }
}

fn weight(record: &Record) -> usize {
    record.key.len() + record.value.len() + size_of::<(Position, Record)>()
}

/// Wakes those that wait for a new revision.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    wakers: Mutex<HashMap<u64, Waker>>,
    condition: Condvar,
    watches: AtomicU64,
}

impl Signal {
    pub(crate) fn name(&self) -> u64 {
        self.watches.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn register(&self, name: u64, waker: &Waker) {
        self.lock().insert(name, waker.clone());
    }

    pub(crate) fn forget(&self, name: u64) {
        self.lock().remove(&name);
    }

    /// Waits until `ready` or the deadline.
    pub(crate) fn wait(&self, deadline: Instant, ready: impl Fn() -> bool) {
        let mut guard = self.lock();
        while !ready() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            guard = self.condition.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn notify(&self) {
        let wakers: Vec<Waker> = self.lock().drain().map(|(_, waker)| waker).collect();
        self.condition.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
