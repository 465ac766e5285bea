//! The store on one file: redb below, the pure [`Machine`] above, one thread that writes.
//!
//! ```text
//! callers ─ submit ─▶ inbox ─▶ writer: apply batch ─▶ one commit, one sync ─▶ publish ─▶ answer
//! readers ─ range ──▶ index at the published revision ─▶ recent records, or the file
//! watches ─ poll ───▶ the same, by revision
//! ```

pub(crate) mod copy;
mod disk;
pub(crate) mod file;
mod ready;
mod scan;
mod shared;
mod watch;
mod writer;

use std::fs;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redb::StorageBackend;

pub use self::copy::{Change, Report, check, history, restore};
pub use self::disk::Disk;
use self::scan::{Loaded, scan};
use self::shared::Shared;
use self::writer::{Job, Request, Writer};
use crate::api::{Store, Watch, WatchRequest};
use crate::error::Error;
use crate::lease::LeaseInfo;
use crate::reply::{BoxFuture, reply};
use crate::retention::Retention;
use crate::txn::{RangeRequest, RangeResponse, Txn, TxnResponse};
use crate::types::{LeaseId, Revision};

/// The places where the process may die and nothing acknowledged is lost.
pub const FAILPOINTS: &[&str] = &[
    "store.disk.write.before",
    "store.disk.write.after",
    "store.disk.sync.before",
    "store.disk.sync.after",
    "store.disk.set-len.before",
    "store.disk.set-len.after",
    "store.disk.ready.before",
    "store.disk.ready.after",
    "store.create.begun",
    "store.create.filled",
    "store.create.linked",
    "store.create.removed",
    "store.open.locked",
    "store.open.repaired",
    "store.open.scanned",
    "store.open.running",
    "store.batch.taken",
    "store.batch.applied",
    "store.commit.before",
    "store.commit.recorded",
    "store.commit.filled",
    "store.commit.after",
    "store.batch.remembered",
    "store.batch.published",
    "store.batch.answered",
    "store.lease.granted",
    "store.lease.revoked",
    "store.mend.opened",
    "store.mend.committed",
    "store.mend.swapped",
    "store.compact.before-mark",
    "store.compact.marked",
    "store.compact.forgotten",
    "store.compact.dropped",
    "store.backup.begun",
    "store.backup.opened",
    "store.backup.filled",
    "store.backup.committed",
    "store.backup.synced",
    "store.backup.renamed",
    "store.online.asked",
    "store.online.checked",
    "store.close.written",
    "store.close.closed",
];

/// How a store is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for recent revisions, which serve reads and watches without the disk.
    pub tail_bytes: usize,
    /// Memory for pages of the file.
    pub cache_bytes: usize,
    /// How long old revisions stay readable; `None` keeps them until [`Store::compact`].
    pub retention: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tail_bytes: 8 << 20, cache_bytes: 16 << 20, retention: Some(Duration::from_secs(300)) }
    }
}

/// The embedded store. Dropping it finishes what was submitted and closes the file.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    inbox: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    retention: Option<Mutex<Retention>>,
}

/// What [`Embedded::maintain`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Leases that ended.
    pub expired: Vec<LeaseId>,
    /// History went up to here.
    pub compacted: Option<Revision>,
    /// When the next lease ends: maintain again then.
    pub next_expiry: Option<Instant>,
}

impl Embedded {
    /// Opens or makes the store in the file `path`; checks all of it. Leases start anew at `now`.
    pub fn open(path: &Path, options: &Options, now: Instant) -> Result<Self, Error> {
        if !fs::exists(path).map_err(|error| Error::io("look for", path, error))? {
            copy::create(path)?;
        }
        let disk = Disk::open(path)?;
        base::failpoint::hit("store.open.locked");
        Self::open_on(Arc::new(disk), path, options, now)
    }

    /// Opens the store on any bytes; `path` only names them in errors.
    ///
    /// On no bytes at all it makes a store, and a crash meanwhile leaves something that is none.
    pub fn open_on(
        disk: Arc<dyn StorageBackend>,
        path: &Path,
        options: &Options,
        now: Instant,
    ) -> Result<Self, Error> {
        let through = disk::Through { disk, sync_failed: Arc::default() };
        let db = file::database(through.clone(), options.cache_bytes)
            .map_err(|cause| file::file_error("open store", path, cause))?;
        base::failpoint::hit("store.open.repaired");
        let Loaded { machine, state, garbage } = scan(&file::begin_read(&db)?, now)?;
        base::failpoint::hit("store.open.scanned");
        let shared = Arc::new(Shared::new(machine, db, through, path, options));
        let (inbox, jobs) = sync_channel(INBOX_MAX);
        let garbage = garbage.into();
        let writer = Writer { shared: Arc::clone(&shared), inbox: jobs, state, garbage, mend_at: now };
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::io("start writer of", path, error))?;
        base::failpoint::hit("store.open.running");
        let retention = options.retention.map(|window| Mutex::new(Retention::new(window)));
        Ok(Self { shared, inbox: Some(inbox), writer: Some(writer), retention })
    }

    /// Hands over a transaction; `done` is called on the writer's thread when it is durable or
    /// refused, and must not block. Blocks only while the inbox is full.
    pub fn submit(&self, txn: Txn, done: impl FnOnce(Result<TxnResponse, Error>) + Send + 'static) {
        self.send(Request::Txn(txn), Box::new(done));
    }

    /// Ends leases whose time has run out, and drops history that left the retention window.
    ///
    /// The owner calls this every few seconds, and when [`Maintained::next_expiry`] comes.
    pub fn maintain(&self, now: Instant) -> Result<Maintained, Error> {
        let mut maintained = Maintained::default();
        let expired = self.shared.index().expired(now);
        for id in expired {
            match self.ask(Request::Revoke(id)) {
                Ok(_) => maintained.expired.push(id),
                Err(Error::LeaseNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let old = self.retention.as_ref().and_then(|retention| {
            retention.lock().unwrap_or_else(PoisonError::into_inner).observe(now, self.revision())
        });
        if let Some(revision) = old.filter(|revision| *revision > self.compacted()) {
            self.compact(revision)?;
            maintained.compacted = Some(revision);
        }
        maintained.next_expiry = self.shared.index().poll_timeout();
        Ok(maintained)
    }

    /// What is committed now, for as long as it is held.
    pub(crate) fn frozen(&self) -> Result<redb::ReadTransaction, Error> {
        // Not the database itself: a write that fails meanwhile has to take that away.
        file::begin_read(self.shared.db().as_ref().ok_or(Error::Closed)?)
    }

    /// Checks every record while the store goes on.
    pub fn check(&self) -> Result<Report, Error> {
        copy::verified(&self.frozen()?)
    }

    /// Copies the store as it is now to a new file, while it goes on.
    pub fn backup(&self, target: &Path) -> Result<Report, Error> {
        copy::copy(&self.frozen()?, target)
    }

    /// Every kept version of a key, oldest first.
    pub fn history(&self, key: &[u8]) -> Result<Vec<Change>, Error> {
        let index = self.shared.index();
        let newest = self.shared.published().0;
        let versions: Vec<_> =
            index.history(key).iter().filter(|version| version.at.revision <= newest).copied().collect();
        let snapshot = self.shared.snapshot()?;
        drop(index);
        copy::changes(key, &versions, &snapshot)
    }

    fn ask(&self, request: Request) -> Result<TxnResponse, Error> {
        let (reply, answer) = sync_channel(1);
        // A caller that is gone needs no answer.
        self.send(request, Box::new(move |result| drop(reply.send(result))));
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    fn send(&self, request: Request, done: writer::Done) {
        let Some(inbox) = &self.inbox else { return done(Err(Error::Closed)) };
        if let Err(refused) = inbox.send(Job { request, done }) {
            (refused.0.done)(Err(Error::Closed));
        }
    }
}

impl Store for Embedded {
    fn revision(&self) -> Revision {
        self.shared.published()
    }

    fn compacted(&self) -> Revision {
        self.shared.index().compacted()
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.shared.range(request)
    }

    fn txn(&self, txn: Txn) -> Result<TxnResponse, Error> {
        self.ask(Request::Txn(txn))
    }

    fn watch(&self, request: WatchRequest) -> Result<Box<dyn Watch>, Error> {
        Ok(Box::new(watch::Watching::new(Arc::clone(&self.shared), request)?))
    }

    fn failure(&self) -> Option<Error> {
        self.shared.failure()
    }

    fn lease_grant(&self, id: LeaseId, ttl: Duration, now: Instant) -> Result<(), Error> {
        self.ask(Request::Grant { id, ttl, now }).map(drop)
    }

    fn lease_keep_alive(&self, id: LeaseId, now: Instant) -> Result<Duration, Error> {
        self.shared.index.write().unwrap_or_else(PoisonError::into_inner).keep_alive(id, now)
    }

    fn lease_revoke(&self, id: LeaseId) -> Result<Revision, Error> {
        self.ask(Request::Revoke(id)).map(|response| response.revision)
    }

    fn lease(&self, id: LeaseId, now: Instant) -> Result<LeaseInfo, Error> {
        self.shared.index().lease(id, now)
    }

    fn leases(&self) -> Result<Vec<LeaseId>, Error> {
        Ok(self.shared.index().lease_ids())
    }

    fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.ask(Request::Compact(revision)).map(drop)
    }

    fn submit(&self, txn: Txn) -> BoxFuture<'static, Result<TxnResponse, Error>> {
        let (sender, answer) = reply();
        self.send(Request::Txn(txn), Box::new(move |result| sender.send(result)));
        Box::pin(answer)
    }

    fn fetch(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>> {
        Box::pin(async move { self.shared.range(&request) })
    }

    fn latest(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(std::future::ready(Ok(self.shared.published())))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has already been reported; there is nothing to add.
            drop(writer.join());
        }
        base::failpoint::hit("store.close.written");
        self.shared.close();
        base::failpoint::hit("store.close.closed");
    }
}

/// Requests that may wait for the writer: two full batches, then callers wait to hand over.
const INBOX_MAX: usize = 2048;
