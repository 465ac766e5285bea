//! The one trait that the API server and later the etcd front talk to.
//!
//! Calls block until the answer is there: a range reads memory and a page or two, a write
//! waits for the sync of its batch. An async caller uses [`Store::submit`], [`Store::fetch`] and
//! [`Store::latest`], and polls watches with a `Waker`; these block no thread of its runtime.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::lease::LeaseInfo;
use crate::reply::BoxFuture;
use crate::txn::{RangeRequest, RangeResponse, Txn, TxnResponse};
use crate::types::{Event, KeyRange, LeaseId, Revision};

/// Revisioned keys with transactions, watches, leases and compaction.
pub trait Store: Send + Sync {
    /// The newest revision that is durable.
    fn revision(&self) -> Revision;

    /// The oldest revision that can be read, 0 before the first compaction.
    fn compacted(&self) -> Revision;

    /// Reads keys at one revision.
    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error>;

    /// Applies a transaction; returns when it is durable.
    ///
    /// On [`Error::ReadOnly`] it is unknown whether a restart finds it, on [`Error::Full`] whether it
    /// comes when there is space; nobody has seen it.
    fn txn(&self, txn: Txn) -> Result<TxnResponse, Error>;

    /// Follows the changes of a range.
    fn watch(&self, request: WatchRequest) -> Result<Box<dyn Watch>, Error>;

    /// Grants a lease; returns when it is durable.
    fn lease_grant(&self, id: LeaseId, ttl: Duration, now: Instant) -> Result<(), Error>;

    /// Starts a lease's time anew; returns that time. A restart does the same for all leases.
    fn lease_keep_alive(&self, id: LeaseId, now: Instant) -> Result<Duration, Error>;

    /// Ends a lease and deletes its keys in one revision.
    fn lease_revoke(&self, id: LeaseId) -> Result<Revision, Error>;

    /// What is known of a lease.
    fn lease(&self, id: LeaseId, now: Instant) -> Result<LeaseInfo, Error>;

    /// All leases, ascending.
    fn leases(&self) -> Result<Vec<LeaseId>, Error>;

    /// Why no write is taken, while that is so and known without asking anybody.
    fn failure(&self) -> Option<Error> {
        None
    }

    /// Drops history before `revision`; space comes back in the background.
    fn compact(&self, revision: Revision) -> Result<(), Error>;

    /// [`Store::txn`] for asynchronous callers: the transaction is under way when this returns, also if
    /// nobody waits for the future. It blocks for one short sync at most.
    fn submit(&self, txn: Txn) -> BoxFuture<'static, Result<TxnResponse, Error>>;

    /// [`Store::range`] without blocking for longer than a few pages of a local file take.
    fn fetch(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>>;

    /// A revision that is at least that of every transaction acknowledged, to anybody, before the call.
    fn latest(&self) -> BoxFuture<'_, Result<Revision, Error>>;
}

/// What to follow.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// Which keys.
    pub range: KeyRange,
    /// The first revision to deliver; `None` is the next one.
    pub from: Option<Revision>,
    /// Whether events carry the key as it was before.
    pub prev_kv: bool,
}

impl WatchRequest {
    /// Follows `range` from now on.
    pub fn new(range: KeyRange) -> Self {
        Self { range, from: None, prev_kv: false }
    }

    /// Follows from an older revision.
    #[must_use]
    pub fn from(mut self, revision: Revision) -> Self {
        self.from = Some(revision);
        self
    }

    /// With the key as it was before.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.prev_kv = true;
        self
    }
}

/// All changes of one revision that a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The revision; it is never split.
    pub revision: Revision,
    /// In the order of the transaction.
    pub events: Vec<Event>,
}

/// A place in the history that moves forward.
///
/// It holds no events: what it is asked for it reads from the recent revisions in memory, or
/// from the disk when it is far behind. So a stalled watch costs nothing, until a compaction
/// passes it and it ends with [`Error::Compacted`].
pub trait Watch: Send {
    /// The next batch, if there is one.
    fn poll(&mut self) -> Result<Option<Batch>, Error>;

    /// The next batch, or the waker is woken when it is worth asking again.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Batch, Error>>;

    /// The next batch; `None` when there was none for `timeout`.
    fn wait(&mut self, timeout: Duration) -> Result<Option<Batch>, Error>;

    /// Everything up to here is delivered: go on from the next one after a break.
    /// This is also what a progress notification or a bookmark says.
    fn progress(&self) -> Revision;
}
