//! The store on a log: segments of it below, the pure [`Machine`] above, a writer
//! and a thread that tidies up behind it.
//!
//! ```text
//! callers ─ submit ─▶ writer, or its inbox ─▶ apply batch ─▶ one frame, one sync ─▶ publish ─▶ answer
//! readers ─ range ──▶ index at the published revision ─▶ recent records, or a segment
//! watches ─ poll ───▶ the same, by revision
//! keeper: the next segment ahead of time ─ what is needed of old ones into new ones
//! ```

pub(crate) mod copy;
mod disk;
mod keeper;
pub(crate) mod log;
mod shared;
mod watch;
mod writer;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::copy::Frozen;
pub use self::copy::{Change, Report, check, history, restore};
pub use self::disk::{Disk, Storage, StorageFile};
use self::keeper::Keeper;
use self::log::build::Builder;
use self::log::recover::{Recovered, recover};
use self::log::{Ahead, Log};
use self::shared::Shared;
use self::writer::{Entrance, Request};
use crate::api::{Store, Watch, WatchRequest};
use crate::error::Error;
use crate::lease::LeaseInfo;
use crate::reply::{BoxFuture, reply};
use crate::retention::Retention;
use crate::txn::{RangeRequest, RangeResponse, Txn, TxnResponse};
use crate::types::{LeaseId, Revision};

/// The places where the process may die and nothing acknowledged is lost.
pub const FAILPOINTS: &[&str] = &[
    "store.disk.create.before",
    "store.disk.create.after",
    "store.disk.write.before",
    "store.disk.write.after",
    "store.disk.sync.before",
    "store.disk.sync.after",
    "store.disk.rename.before",
    "store.disk.rename.after",
    "store.disk.remove.before",
    "store.disk.remove.after",
    "store.create.begun",
    "store.create.filled",
    "store.create.renamed",
    "store.build.filled",
    "store.build.synced",
    "store.build.renamed",
    "store.open.locked",
    "store.open.recovered",
    "store.open.repaired",
    "store.open.running",
    "store.batch.taken",
    "store.batch.applied",
    "store.commit.before",
    "store.commit.encoded",
    "store.commit.written",
    "store.commit.synced",
    "store.commit.after",
    "store.batch.remembered",
    "store.batch.published",
    "store.batch.answered",
    "store.ahead.begun",
    "store.ahead.allocated",
    "store.ahead.filled",
    "store.ahead.renamed",
    "store.ahead.made",
    "store.roll.begun",
    "store.roll.taken",
    "store.roll.headed",
    "store.roll.synced",
    "store.roll.sealed",
    "store.roll.switched",
    "store.lease.granted",
    "store.lease.revoked",
    "store.mend.begun",
    "store.mend.cleared",
    "store.mend.synced",
    "store.mend.done",
    "store.compact.before-mark",
    "store.compact.marked",
    "store.compact.forgotten",
    "store.compact.dropped",
    "store.merge.begun",
    "store.merge.copied",
    "store.merge.synced",
    "store.merge.renamed",
    "store.merge.named",
    "store.merge.installed",
    "store.merge.removed",
    "store.backup.begun",
    "store.backup.opened",
    "store.backup.filled",
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
    /// How long a file of the log becomes; a transaction that is longer has one of its own.
    pub segment_bytes: u32,
    /// How long old revisions stay readable; `None` keeps them until [`Store::compact`].
    pub retention: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tail_bytes: 8 << 20, segment_bytes: 16 << 20, retention: Some(Duration::from_secs(300)) }
    }
}

/// The embedded store. Dropping it finishes what was submitted and closes the files.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    writer: Option<Entrance>,
    threads: Vec<JoinHandle<()>>,
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
    /// Opens or makes the store in the directory `path`; checks all of it. Leases start anew at `now`.
    pub fn open(path: &Path, options: &Options, now: Instant) -> Result<Self, Error> {
        let exists = fs::exists(path).map_err(|error| Error::io("look for", path, error))?;
        let disk = if exists { Disk::open(path)? } else { copy::create(path, options.segment_bytes)? };
        base::failpoint::hit("store.open.locked");
        let names = disk.list().map_err(|error| Error::io("list", path, error))?;
        if !names.iter().any(|name| log::is_segment(name)) {
            // It was made as a whole: somebody has emptied it.
            let (what, file) = ("it holds no segment", path.display().to_string());
            return Err(Error::DamagedFile { what, file, offset: 0 });
        }
        Self::open_on(Arc::new(disk), path, options, now)
    }

    /// Opens the store on any files; `path` only names them in errors.
    ///
    /// Where there are none it makes a store, and a crash meanwhile leaves something that is none.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        path: &Path,
        options: &Options,
        now: Instant,
    ) -> Result<Self, Error> {
        let mut found = recover(&*storage, now)?;
        if found.is_none() {
            let made = Builder::new(copy::identity(), options.segment_bytes).finish(&*storage, 1, 0, &[]);
            made.map_err(|error| Error::io("make store", path, error))?;
            found = recover(&*storage, now)?;
        }
        let mut found = found.ok_or(Error::Closed)?;
        base::failpoint::hit("store.open.recovered");
        found.repair(&*storage)?;
        base::failpoint::hit("store.open.repaired");
        let Recovered { machine, table, waste, tip, .. } = found;
        let ahead = Arc::new(Ahead::new(storage, options.segment_bytes, tip.active.head.last));
        let shared = Arc::new(Shared::new(machine, table, waste, path, options));
        // One wake that is not taken yet stands for all.
        let (wake, wakes) = sync_channel(1);
        let _ = wake.try_send(());
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            ahead: Arc::clone(&ahead),
            wakes,
            segment_bytes: options.segment_bytes,
        };
        let log = Log::new(tip, ahead);
        let (entrance, queue) = writer::writer(Arc::clone(&shared), log, wake, now);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
            spawned.map_err(|error| Error::io("start a thread for", path, error))
        };
        let threads = vec![
            spawn("store-writer", Box::new(move || queue.run()))?,
            spawn("store-keeper", Box::new(move || keeper.run()))?,
        ];
        base::failpoint::hit("store.open.running");
        let retention = options.retention.map(|window| Mutex::new(Retention::new(window)));
        Ok(Self { shared, writer: Some(entrance), threads, retention })
    }

    /// Hands over a transaction; `done` is called on the writer's thread when it is durable or
    /// refused, and must not block. Blocks only while the inbox is full.
    pub fn submit(&self, txn: Txn, done: impl FnOnce(Result<TxnResponse, Error>) + Send + 'static) {
        match &self.writer {
            Some(writer) => writer.queue(Request::Txn(txn), Box::new(done)),
            None => done(Err(Error::Closed)),
        }
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

    /// What is durable now, for as long as it is held.
    pub(crate) fn frozen(&self) -> Result<Frozen, Error> {
        self.shared.frozen()
    }

    /// Checks every record while the store goes on.
    pub fn check(&self) -> Result<Report, Error> {
        self.frozen()?.check()
    }

    /// Copies the store as it is now to a new directory, while it goes on.
    pub fn backup(&self, target: &Path) -> Result<Report, Error> {
        self.frozen()?.copy(target)
    }

    /// Every kept version of a key, oldest first.
    pub fn history(&self, key: &[u8]) -> Result<Vec<Change>, Error> {
        let index = self.shared.index();
        let newest = self.shared.published().0;
        let versions: Vec<_> =
            index.history(key).into_iter().filter(|version| version.revision <= newest).collect();
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
        match &self.writer {
            Some(writer) => writer.write(request, done),
            None => done(Err(Error::Closed)),
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
        self.writer = None;
        let mut threads = self.threads.drain(..);
        // A panic of a thread has already been reported; there is nothing to add.
        drop(threads.next().map(JoinHandle::join));
        self.shared.closing.store(true, Ordering::Relaxed);
        threads.for_each(|thread| drop(thread.join()));
        base::failpoint::hit("store.close.written");
        self.shared.close();
        base::failpoint::hit("store.close.closed");
    }
}
