//! What etcd's refusals mean. The sentences are part of its API: its own client compares them too.

use std::io;
use std::sync::Arc;

use tonic::Status;

use crate::error::Error;
use crate::txn::{Op, Put, RangeRequest, TXN_BYTES_MAX, Txn};
use crate::types::{LeaseId, Revision};

/// What is known of the cluster when it refuses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
}

/// An error that says nothing of the request.
pub(super) fn of(doing: &'static str, cause: Status) -> Error {
    Error::Etcd { doing, cause: Arc::new(cause) }
}

/// Whether no member has seen the request, because there was no connection for it.
pub(super) fn never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
            return matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable);
        }
        cause = error.source();
    }
    false
}

/// A refusal because of the revision, or anything else.
pub(super) fn of_revision(doing: &'static str, status: Status, requested: Revision, known: Known) -> Error {
    match status.message() {
        COMPACTED => Error::Compacted { requested, compacted: known.compacted.max(requested.next()) },
        FUTURE => Error::Future { requested, current: known.revision },
        _ => of(doing, status),
    }
}

pub(super) fn of_range(status: Status, request: &RangeRequest, known: Known) -> Error {
    of_revision("read from etcd", status, request.revision.unwrap_or_default(), known)
}

pub(super) fn of_lease(status: Status, id: LeaseId) -> Error {
    match status.message() {
        LEASE_NOT_FOUND => Error::LeaseNotFound { id },
        LEASE_EXISTS => Error::LeaseTaken { id },
        _ => of("use a lease on etcd", status),
    }
}

pub(super) fn of_txn(status: Status, txn: &Txn, known: Known) -> Error {
    let puts = || txn.success.iter().chain(&txn.failure).filter_map(put);
    let read = txn.success.iter().chain(&txn.failure).find_map(|op| match op {
        Op::Range(range) => range.revision,
        _ => None,
    });
    match status.message() {
        LEASE_NOT_FOUND => {
            let lease = puts().find_map(|put| match put.lease {
                crate::txn::PutLease::Set(lease) => Some(lease),
                _ => None,
            });
            Error::LeaseNotFound { id: lease.unwrap_or(LeaseId(0)) }
        }
        KEY_NOT_FOUND => {
            let key = puts().find(|put| put.value.is_none()).map(|put| put.key.clone());
            Error::KeyNotFound { key: key.unwrap_or_default() }
        }
        TOO_LARGE => Error::TooLarge { what: "bytes", given: txn.bytes(), max: TXN_BYTES_MAX / 2 },
        _ => of_revision("write to etcd", status, read.unwrap_or_default(), known),
    }
}

fn put(op: &Op) -> Option<&Put> {
    if let Op::Put(put) = op { Some(put) } else { None }
}

pub(super) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const LEASE_NOT_FOUND: &str = "etcdserver: requested lease not found";
const LEASE_EXISTS: &str = "etcdserver: lease already exists";
const KEY_NOT_FOUND: &str = "etcdserver: key not found";
const TOO_LARGE: &str = "etcdserver: request is too large";
