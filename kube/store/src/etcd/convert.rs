//! Our words ⇄ etcd's messages. Pure.

use std::collections::HashSet;
use std::time::Duration;

use rpc::etcd::compare::{CompareResult, CompareTarget, TargetUnion};
use rpc::etcd::request_op::Request;
use rpc::etcd::response_op::Response;
use rpc::etcd::{self as wire, event::EventType};

use crate::api::Batch;
use crate::error::Error;
use crate::txn::{
    Compare, Is, Op, OpResponse, Put, PutLease, RangeRequest, RangeResponse, TXN_BYTES_MAX, TXN_OPS_MAX,
    Target, Txn, TxnResponse, Want,
};
use crate::types::{Event, EventKind, KeyRange, KeyValue, LeaseId, Revision};

/// etcd counts with a sign, and never below 0.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

pub(super) fn signed(revision: Revision) -> i64 {
    number(revision.0)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(unsigned(seconds))
}

/// Rounded up, so that no lease ends early.
pub(super) fn whole_seconds(time: Duration) -> i64 {
    number(time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// What etcd refuses with a sentence that does not name the key.
pub(super) fn check(txn: &Txn) -> Result<(), Error> {
    for ops in [&txn.success, &txn.failure] {
        let counts = [("operations", ops.len()), ("comparisons", txn.compare.len())];
        for (what, given) in counts {
            if given > TXN_OPS_MAX {
                return Err(Error::TooLarge { what, given, max: TXN_OPS_MAX });
            }
        }
        let mut written = HashSet::new();
        for op in ops {
            if let Op::Put(put) = op {
                if put.key.is_empty() {
                    return Err(Error::EmptyKey);
                }
                if !written.insert(&put.key) {
                    return Err(Error::DuplicateKey { key: put.key.clone() });
                }
            }
        }
        let deleted =
            ops.iter().filter_map(|op| if let Op::Delete { range, .. } = op { Some(range) } else { None });
        for range in deleted {
            if let Some(key) = written.iter().find(|key| range.contains(key)) {
                return Err(Error::DuplicateKey { key: (*key).clone() });
            }
        }
    }
    let given = txn.bytes();
    if given > TXN_BYTES_MAX {
        return Err(Error::TooLarge { what: "bytes", given, max: TXN_BYTES_MAX });
    }
    Ok(())
}

/// `key` and `range_end` of etcd's requests.
pub(super) fn bounds(range: &KeyRange) -> (bytes::Bytes, bytes::Bytes) {
    let (start, end) = range.wire();
    // For etcd no key is empty: the first possible one stands for "from the beginning".
    let start = if start.is_empty() && end.is_some() { bytes::Bytes::from_static(b"\0") } else { start };
    (start, end.unwrap_or_default())
}

pub(super) fn range(request: &RangeRequest) -> wire::RangeRequest {
    let (key, range_end) = bounds(&request.range);
    wire::RangeRequest {
        key,
        range_end,
        limit: request.limit.map_or(0, |limit| number(limit as u64)),
        revision: request.revision.map_or(0, signed),
        serializable: false,
        keys_only: request.want == Want::Keys,
        count_only: request.want == Want::Count,
    }
}

pub(super) fn range_response(response: wire::RangeResponse, revision: Revision) -> RangeResponse {
    RangeResponse {
        revision,
        kvs: response.kvs.into_iter().map(key_value).collect(),
        more: response.more,
        count: usize::try_from(response.count).unwrap_or_default(),
    }
}

fn key_value(kv: wire::KeyValue) -> KeyValue {
    KeyValue {
        key: kv.key,
        value: kv.value,
        create_revision: Revision(unsigned(kv.create_revision)),
        mod_revision: Revision(unsigned(kv.mod_revision)),
        version: unsigned(kv.version),
        lease: Some(LeaseId(kv.lease)).filter(|lease| lease.0 != 0),
    }
}

pub(super) fn txn(txn: &Txn) -> wire::TxnRequest {
    wire::TxnRequest {
        compare: txn.compare.iter().map(compare).collect(),
        success: txn.success.iter().map(op).collect(),
        failure: txn.failure.iter().map(op).collect(),
    }
}

fn compare(compare: &Compare) -> wire::Compare {
    let (target, union) = match &compare.target {
        Target::ModRevision(revision) => (CompareTarget::Mod, TargetUnion::ModRevision(signed(*revision))),
        Target::CreateRevision(revision) => {
            (CompareTarget::Create, TargetUnion::CreateRevision(signed(*revision)))
        }
        Target::Version(version) => (CompareTarget::Version, TargetUnion::Version(number(*version))),
        Target::Value(value) => (CompareTarget::Value, TargetUnion::Value(value.clone())),
        Target::Lease(lease) => (CompareTarget::Lease, TargetUnion::Lease(*lease)),
    };
    let result = match compare.is {
        Is::Equal => CompareResult::Equal,
        Is::NotEqual => CompareResult::NotEqual,
        Is::Greater => CompareResult::Greater,
        Is::Less => CompareResult::Less,
    };
    let key = compare.key.clone();
    wire::Compare { result: result.into(), target: target.into(), key, target_union: Some(union) }
}

fn op(op: &Op) -> wire::RequestOp {
    let request = match op {
        Op::Put(put) => Request::RequestPut(self::put(put)),
        Op::Delete { range, prev_kv } => {
            let (key, range_end) = bounds(range);
            Request::RequestDeleteRange(wire::DeleteRangeRequest { key, range_end, prev_kv: *prev_kv })
        }
        Op::Range(request) => Request::RequestRange(range(request)),
    };
    wire::RequestOp { request: Some(request) }
}

fn put(put: &Put) -> wire::PutRequest {
    wire::PutRequest {
        key: put.key.clone(),
        value: put.value.clone().unwrap_or_default(),
        lease: if let PutLease::Set(lease) = put.lease { lease.0 } else { 0 },
        prev_kv: put.prev_kv,
        ignore_value: put.value.is_none(),
        ignore_lease: put.lease == PutLease::Keep,
    }
}

pub(super) fn txn_response(response: wire::TxnResponse, revision: Revision) -> TxnResponse {
    let one = |response: wire::ResponseOp| match response.response {
        Some(Response::ResponsePut(put)) => OpResponse::Put { prev: put.prev_kv.map(key_value) },
        Some(Response::ResponseDeleteRange(delete)) => OpResponse::Delete {
            deleted: usize::try_from(delete.deleted).unwrap_or_default(),
            prev: delete.prev_kvs.into_iter().map(key_value).collect(),
        },
        Some(Response::ResponseRange(range)) => OpResponse::Range(range_response(range, revision)),
        None => OpResponse::Put { prev: None },
    };
    let responses = response.responses.into_iter().map(one).collect();
    TxnResponse { revision, succeeded: response.succeeded, responses }
}

/// Events of one answer, which may be of several revisions, as whole revisions.
pub(super) fn batches(events: Vec<wire::Event>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for event in events {
        let kind = if event.r#type() == EventType::Delete { EventKind::Delete } else { EventKind::Put };
        let Some(kv) = event.kv.map(key_value) else { continue };
        let revision = kv.mod_revision;
        let event = Event { kind, kv, prev: event.prev_kv.map(key_value) };
        match batches.last_mut().filter(|batch| batch.revision == revision) {
            Some(batch) => batch.events.push(event),
            None => batches.push(Batch { revision, events: vec![event] }),
        }
    }
    batches
}
