//! From one store to another: the newest state, not the history.

use std::time::Instant;

use crate::api::Store;
use crate::error::Error;
use crate::txn::{Op, Put, PutLease, RangeRequest, Txn};
use crate::types::{KeyRange, KeyValue, Revision};

/// What was carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The revision of the source that the copy is of.
    pub from: Revision,
    /// Where the target stands after it.
    pub to: Revision,
    /// Keys.
    pub keys: usize,
    /// Leases, with the time they have left.
    pub leases: usize,
}

/// Copies all keys of `from`, as of one revision, and its leases into `to`, which must be empty.
///
/// Revisions begin anew: who watched the source has to list again. What is written to the source
/// meanwhile is not carried over: stop its writers first.
pub fn migrate(from: &dyn Store, to: &dyn Store, now: Instant) -> Result<Migrated, Error> {
    let present = to.range(&RangeRequest::new(KeyRange::all()).limit(1))?.count;
    if present > 0 {
        return Err(Error::NotEmpty { keys: present });
    }
    let leases = from.leases()?;
    for id in &leases {
        let info = from.lease(*id, now)?;
        to.lease_grant(*id, info.remaining, now)?;
    }
    let mut migrated = Migrated { from: Revision(0), to: to.revision(), keys: 0, leases: leases.len() };
    let mut range = KeyRange::all();
    loop {
        let mut request = RangeRequest::new(range).limit(PAGE_KEYS);
        request.revision = Some(migrated.from).filter(|at| at.0 > 0);
        let page = from.range(&request)?;
        if migrated.from.0 == 0 {
            migrated.from = page.revision;
        }
        let Some(last) = page.kvs.last() else { return Ok(migrated) };
        // The first key after the last one.
        range = KeyRange::from([&last.key[..], b"\0"].concat());
        migrated.keys += page.kvs.len();
        for part in parts(page.kvs) {
            migrated.to = to.txn(Txn::ops(part))?.revision;
        }
        if !page.more {
            return Ok(migrated);
        }
    }
}

/// Puts in transactions that both stores take.
fn parts(kvs: Vec<KeyValue>) -> Vec<Vec<Op>> {
    let mut parts: Vec<Vec<Op>> = Vec::new();
    let mut bytes = 0;
    for kv in kvs {
        bytes += kv.key.len() + kv.value.len();
        let lease = kv.lease.map_or(PutLease::None, PutLease::Set);
        let put = Op::Put(Put { key: kv.key, value: Some(kv.value), lease, prev_kv: false });
        match parts.last_mut().filter(|part| part.len() < PART_OPS && bytes <= PART_BYTES) {
            Some(part) => part.push(put),
            None => {
                bytes = 0;
                parts.push(vec![put]);
            }
        }
    }
    parts
}

/// Keys read at a time.
const PAGE_KEYS: usize = 500;
/// Half of what a transaction may hold.
const PART_OPS: usize = 64;
/// Two thirds of etcd's limit for a request.
const PART_BYTES: usize = 1 << 20;
