//! What readers, watches and the writer share, and how a reader reads.
//!
//! Lock order: index, then tail, table, waste. A reader takes the table while it holds the index, so
//! that no record can go elsewhere between the two; segments that it holds stay readable.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::copy::Frozen;
use super::log::segment::{Table, Waste};
use super::log::{Changes, is_no_space};
use crate::error::Error;
use crate::machine::{Machine, Values, fill};
use crate::record::Record;
use crate::txn::{RangeRequest, RangeResponse, Want};
use crate::types::{LeaseId, Place, Position, Revision};

#[derive(Debug)]
pub(crate) struct Shared {
    pub index: RwLock<Machine>,
    pub tail: RwLock<Tail>,
    pub signal: Signal,
    pub waste: Mutex<Waste>,
    /// Those that are durable, with the time they were granted for.
    leases: Mutex<BTreeMap<LeaseId, Duration>>,
    /// Set when nothing is to be begun any more.
    pub closing: AtomicBool,
    published: AtomicU64,
    /// Empty when the store is closed.
    table: RwLock<Arc<Table>>,
    slots: AtomicU32,
    path: PathBuf,
    failed: RwLock<Option<Failure>>,
}

/// Why no write is taken.
#[derive(Clone, Debug)]
struct Failure {
    cause: Arc<io::Error>,
    /// Whether space would make up for it.
    mends: bool,
}

impl Shared {
    pub(crate) fn new(
        machine: Machine,
        table: Table,
        waste: Waste,
        path: &Path,
        options: &super::Options,
    ) -> Self {
        let published = machine.revision();
        let leases = machine.granted().into_iter().collect();
        let slots = table.order().iter().map(|segment| segment.slot + 1).max().unwrap_or_default();
        Self {
            tail: RwLock::new(Tail::new(published.0 + 1, options.tail_bytes)),
            index: RwLock::new(machine),
            signal: Signal::default(),
            waste: Mutex::new(waste),
            leases: Mutex::new(leases),
            closing: AtomicBool::new(false),
            published: AtomicU64::new(published.0),
            table: RwLock::new(Arc::new(table)),
            slots: AtomicU32::new(slots),
            path: path.to_owned(),
            failed: RwLock::default(),
        }
    }

    pub(crate) fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::Acquire))
    }

    /// Lets readers see what is durable now, all of it at once.
    pub(crate) fn take_in(&self, changes: Changes, places: &[Place], newest: Revision) {
        let mut machine = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for ((at, record), place) in changes.records.iter().zip(places) {
            machine.place(&record.key, *at, *place);
        }
        self.tail.write().unwrap_or_else(PoisonError::into_inner).extend(changes.records);
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, ttl) in changes.leases {
            match ttl {
                Some(ttl) => drop(leases.insert(id, ttl)),
                None => drop(leases.remove(&id)),
            }
        }
        debug_assert!(newest >= self.published(), "the revision never goes back");
        self.published.store(newest.0, Ordering::Release);
    }

    /// What is durable now, for as long as it is held.
    pub(crate) fn frozen(&self) -> Result<Frozen, Error> {
        let index = self.index();
        let table = self.snapshot()?.table;
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let leases = leases.iter().map(|(id, ttl)| (*id, *ttl)).collect();
        Ok(Frozen::new(&index, table, self.published(), leases))
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Machine> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the table for those that take it from now on.
    pub(crate) fn change_table(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Table::clone(&table);
        change(&mut changed);
        *table = Arc::new(changed);
    }

    /// A name for one more segment.
    pub(crate) fn new_slot(&self) -> u32 {
        self.slots.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        let Failure { cause, mends } = self.failed.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(if mends { Error::Full { path: self.path.clone(), cause } } else { Error::ReadOnly { cause } })
    }

    /// Ends writing; reads go on. After a failed sync nobody knows what the disk has: no space
    /// later makes up for that.
    pub(crate) fn fail(&self, cause: io::Error, sync: bool) -> Error {
        let mends = is_no_space(&cause) && !sync;
        let cause = Arc::new(cause);
        let failure = Failure { cause: Arc::clone(&cause), mends };
        *self.failed.write().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        self.failure().unwrap_or(Error::ReadOnly { cause })
    }

    /// There is space again.
    pub(crate) fn mended(&self) {
        *self.failed.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn close(&self) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// The durable records; call it while holding the index.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, Error> {
        let table = self.table();
        if table.order().is_empty() {
            return Err(Error::Closed);
        }
        Ok(Snapshot { shared: self, table })
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
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
    pub(crate) fn load(&self, at: Position, place: Place) -> Result<Record, Error> {
        Snapshot { shared: self, table: self.table() }.load(at, place)
    }
}

/// The durable records at one moment.
pub(crate) struct Snapshot<'a> {
    shared: &'a Shared,
    pub table: Arc<Table>,
}

impl Values for Snapshot<'_> {
    fn load(&self, at: Position, place: Place) -> Result<Record, Error> {
        let recent = self.shared.tail.read().unwrap_or_else(PoisonError::into_inner).record(at);
        recent.map_or_else(|| self.table.record(at, place), Ok)
    }
}

/// For answers that need no values.
struct Nothing;

impl Values for Nothing {
    fn load(&self, at: Position, _place: Place) -> Result<Record, Error> {
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

    pub(crate) fn notify(&self) {
        let wakers: Vec<Waker> = self.lock().drain().map(|(_, waker)| waker).collect();
        self.condition.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
