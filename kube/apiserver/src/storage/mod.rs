//! Objects in the store: their keys, their bytes, and writes that go through or say what is there.

mod encode;
mod keys;

use std::sync::Arc;

use bytes::Bytes;
use kube_object::status::Status;
use store::{Compare, KeyRange, KeyValue, LeaseId, Op, OpResponse, RangeRequest, Revision, Store, Txn};

pub(crate) use encode::encode;
pub(crate) use keys::{PREFIX, key, place, prefix};

/// The store, as the registry writes to it.
#[derive(Clone)]
pub(crate) struct Storage {
    store: Arc<dyn Store>,
}

/// One change that holds only if the key is as expected.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// The key.
    pub key: Bytes,
    /// The revision that the key must have been written at, 0 if it must not exist; none for any.
    pub expect: Option<u64>,
    /// The new value; none deletes.
    pub value: Option<Bytes>,
    /// What the key goes with.
    pub lease: Option<LeaseId>,
}

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Committed {
    /// All of it is done, at this revision.
    Done(u64),
    /// Nothing is done; this is what the keys hold, in the order of the writes.
    Stale(Vec<Option<Stored>>),
}

/// A value as the store has it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The object's JSON without its revision.
    pub value: Bytes,
    /// The revision that wrote it.
    pub revision: u64,
}

impl Write {
    pub(crate) fn put(key: Bytes, expect: u64, value: Bytes) -> Self {
        Self { key, expect: Some(expect), value: Some(value), lease: None }
    }

    pub(crate) fn delete(key: Bytes, expect: u64) -> Self {
        Self { key, expect: Some(expect), value: None, lease: None }
    }

    /// Deletes the key, whatever it holds.
    pub(crate) fn clear(key: Bytes) -> Self {
        Self { key, expect: None, value: None, lease: None }
    }
}

impl Storage {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A revision at or after every write that was acknowledged before.
    pub(crate) async fn latest(&self) -> Result<u64, Status> {
        self.store.latest().await.map(|revision| revision.0).map_err(|error| refusal(&error))
    }

    /// Says in words why the store takes no writes. With `for_good` only if no waiting helps.
    pub(crate) fn writable(&self, for_good: bool) -> Result<(), String> {
        match self.store.failure() {
            None => Ok(()),
            Some(store::Error::Full { .. }) if for_good => Ok(()),
            Some(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                Err(format!("{error}{}", cause.unwrap_or_default()))
            }
        }
    }

    /// Writes all or nothing.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<Committed, Status> {
        let compare: Vec<_> = writes
            .iter()
            .filter_map(|write| Some(Compare::mod_revision(write.key.clone(), Revision(write.expect?))))
            .collect();
        let reads: Vec<_> = writes
            .iter()
            .map(|write| Op::Range(RangeRequest::new(KeyRange::one(write.key.clone()))))
            .collect();
        let changes: Vec<_> = writes.into_iter().map(operation).collect();
        let txn = Txn::when(compare, changes).otherwise(reads);
        let answer = self.store.submit(txn).await.map_err(|error| refusal(&error))?;
        if answer.succeeded {
            return Ok(Committed::Done(answer.revision.0));
        }
        let found = answer.responses.into_iter().map(|response| match response {
            OpResponse::Range(range) => range.kvs.into_iter().next().map(Stored::from),
            OpResponse::Put { .. } | OpResponse::Delete { .. } => None,
        });
        Ok(Committed::Stale(found.collect()))
    }

    /// The newest durable value of a key.
    pub(crate) async fn read(&self, key: Bytes) -> Result<Option<Stored>, Status> {
        let range =
            self.fetch(RangeRequest::new(KeyRange::one(key))).await.map_err(|error| refusal(&error))?;
        Ok(range.kvs.into_iter().next().map(Stored::from))
    }

    pub(crate) async fn fetch(&self, request: RangeRequest) -> Result<store::RangeResponse, store::Error> {
        self.store.fetch(request).await
    }
}

impl From<KeyValue> for Stored {
    fn from(kv: KeyValue) -> Self {
        Self { value: kv.value, revision: kv.mod_revision.0 }
    }
}

fn operation(write: Write) -> Op {
    match (write.value, write.lease) {
        (None, _) => Op::delete(KeyRange::one(write.key)),
        (Some(value), None) => Op::put(write.key, value),
        (Some(value), Some(lease)) => Op::put_leased(write.key, value, lease),
    }
}

/// What a client is told when the store refuses.
pub(crate) fn refusal(error: &store::Error) -> Status {
    use base::{Classified, ErrorClass};
    match error {
        store::Error::TooLarge { .. } => Status::too_large(format!("Request entity too large: {error}")),
        // Who tries again later may have more luck.
        store::Error::Full { .. } => Status::unavailable(error.to_string()),
        error if error.class() == ErrorClass::Unavailable => Status::unavailable(error.to_string()),
        error => Status::internal(error),
    }
}
