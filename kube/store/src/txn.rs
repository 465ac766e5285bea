//! What a caller asks of the store and what it answers.
//!
//! The shapes are those of etcd's `RangeRequest`, `PutRequest`, `DeleteRangeRequest` and
//! `TxnRequest`, without its nesting of transactions.

use bytes::Bytes;

use crate::types::{KeyRange, KeyValue, LeaseId, Revision};

/// Most comparisons, and most operations of one branch: etcd's default.
pub const TXN_OPS_MAX: usize = 128;

/// Most bytes of keys and values in a transaction: etcd's default of 1.5 MiB, doubled so that
/// an object of that size fits beside its comparison.
pub const TXN_BYTES_MAX: usize = 3 << 20;

/// A read of a range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// At which revision; `None` is the newest one that is on disk.
    pub revision: Option<Revision>,
    /// At most that many keys.
    pub limit: Option<usize>,
    /// What to return of each key.
    pub want: Want,
}

/// How much of each key a read returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// Keys and values.
    #[default]
    Values,
    /// Keys and counters; this reads nothing from the disk.
    Keys,
    /// Only how many there are.
    Count,
}

impl RangeRequest {
    /// All of `range`, now.
    pub fn new(range: KeyRange) -> Self {
        Self { range, revision: None, limit: None, want: Want::Values }
    }

    /// As of an older revision.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// No more than `limit` keys.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only keys, or only their number.
    #[must_use]
    pub fn want(mut self, want: Want) -> Self {
        self.want = want;
        self
    }
}

/// The answer to a [`RangeRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeResponse {
    /// The store's revision when it answered.
    pub revision: Revision,
    /// The keys, ascending.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit left some out.
    pub more: bool,
    /// How many keys the range holds, limit or not.
    pub count: usize,
}

/// What a comparison looks at. A key that does not exist has counters of 0 and an empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The revision that wrote the key.
    ModRevision(Revision),
    /// The revision that created the key.
    CreateRevision(Revision),
    /// The number of puts since it was created.
    Version(u64),
    /// The value. A key that does not exist fails every comparison of its value.
    Value(Bytes),
    /// The lease, 0 for none.
    Lease(i64),
}

/// How a comparison compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
}

/// A condition of a transaction: `key.target is value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: Bytes,
    /// How.
    pub is: Is,
    /// With what.
    pub target: Target,
}

impl Compare {
    /// The key was last written at this revision.
    pub fn mod_revision(key: impl Into<Bytes>, revision: Revision) -> Self {
        Self { key: key.into(), is: Is::Equal, target: Target::ModRevision(revision) }
    }

    /// The key does not exist.
    pub fn absent(key: impl Into<Bytes>) -> Self {
        Self::mod_revision(key, Revision(0))
    }
}

/// A write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Bytes,
    /// The new value; `None` keeps the present one, and fails when there is none.
    pub value: Option<Bytes>,
    /// The lease that the key will go with.
    pub lease: PutLease,
    /// Whether to return what was there before.
    pub prev_kv: bool,
}

/// What a put does about the key's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutLease {
    /// The key lives until it is deleted.
    None,
    /// It goes with this lease, which must exist.
    Set(LeaseId),
    /// It keeps the lease it has.
    Keep,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write a key.
    Put(Put),
    /// Delete keys.
    Delete {
        /// Which.
        range: KeyRange,
        /// Whether to return what was there before.
        prev_kv: bool,
    },
    /// Read keys; sees the writes before it in the same transaction.
    Range(RangeRequest),
}

impl Op {
    /// A plain put.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        let value = Some(value.into());
        Self::Put(Put { key: key.into(), value, lease: PutLease::None, prev_kv: false })
    }

    /// A put of a key that goes with a lease.
    pub fn put_leased(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        let value = Some(value.into());
        Self::Put(Put { key: key.into(), value, lease: PutLease::Set(lease), prev_kv: false })
    }

    /// A plain delete.
    pub fn delete(range: KeyRange) -> Self {
        Self::Delete { range, prev_kv: false }
    }
}

/// If all comparisons hold then `success`, else `failure`; all of it at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions.
    pub compare: Vec<Compare>,
    /// What is done when all hold.
    pub success: Vec<Op>,
    /// What is done when one does not.
    pub failure: Vec<Op>,
}

impl Txn {
    /// Just these operations.
    pub fn ops(ops: impl Into<Vec<Op>>) -> Self {
        Self { compare: Vec::new(), success: ops.into(), failure: Vec::new() }
    }

    /// One put.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::ops([Op::put(key, value)])
    }

    /// One delete.
    pub fn delete(range: KeyRange) -> Self {
        Self::ops([Op::delete(range)])
    }

    /// These operations if the comparisons hold.
    pub fn when(compare: impl Into<Vec<Compare>>, success: impl Into<Vec<Op>>) -> Self {
        Self { compare: compare.into(), success: success.into(), failure: Vec::new() }
    }

    /// And these if they do not.
    #[must_use]
    pub fn otherwise(mut self, failure: impl Into<Vec<Op>>) -> Self {
        self.failure = failure.into();
        self
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        let compared = self.compare.iter().map(|compare| {
            compare.key.len() + if let Target::Value(value) = &compare.target { value.len() } else { 0 }
        });
        let written = self.success.iter().chain(&self.failure).map(|op| match op {
            Op::Put(put) => put.key.len() + put.value.as_ref().map_or(0, Bytes::len),
            Op::Delete { .. } | Op::Range(_) => 0,
        });
        compared.chain(written).sum()
    }
}

/// The answer to a [`Txn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResponse {
    /// The revision of its writes; without writes, the store's revision.
    pub revision: Revision,
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// One for each operation of the branch that was taken.
    pub responses: Vec<OpResponse>,
}

/// The answer to an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResponse {
    /// Of a put.
    Put {
        /// What was there before, if asked for.
        prev: Option<KeyValue>,
    },
    /// Of a delete.
    Delete {
        /// How many keys it deleted.
        deleted: usize,
        /// What they were, if asked for.
        prev: Vec<KeyValue>,
    },
    /// Of a read.
    Range(RangeResponse),
}
