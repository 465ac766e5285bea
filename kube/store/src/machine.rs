//! The store as a pure machine: index, leases and revision; requests in, records out.
//!
//! It does no I/O: values that it must look at come through [`Values`], records that must
//! become durable go out in [`Applied`], and time is an argument. What is applied is ahead
//! of what is durable by at most one batch; reads name the revision that they may see.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::Error;
use crate::index::{Dropped, Entry, Index, Version};
use crate::lease::{Granted, LeaseInfo, Leases};
use crate::record::Record;
use crate::txn::{
    Compare, Is, Op, OpResponse, Put, PutLease, RangeRequest, RangeResponse, TXN_BYTES_MAX, TXN_OPS_MAX,
    Target, Txn, TxnResponse, Want,
};
use crate::types::{KeyRange, KeyValue, LeaseId, Place, Position, Revision};

/// Where the machine reads records that it only knows the place of.
pub trait Values {
    /// The record at `at`, whose bytes lie at `place`.
    fn load(&self, at: Position, place: Place) -> Result<Record, Error>;
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    index: Index,
    leases: Leases,
    revision: u64,
    compacted: u64,
}

/// What a transaction did.
#[derive(Debug)]
pub struct Applied {
    /// For the caller, once the records are durable.
    pub response: TxnResponse,
    /// To be made durable, all or none.
    pub records: Vec<(Position, Record)>,
    /// How to take it back when they cannot be.
    pub(crate) undo: Vec<Undo>,
}

/// One step back.
#[derive(Debug)]
pub(crate) enum Undo {
    /// A version of this key was added.
    Wrote { key: Bytes, old_lease: i64, new_lease: i64 },
    /// A lease was granted.
    Granted(LeaseId),
    /// A lease was removed.
    Removed(LeaseId, Granted),
}

/// The places that answer a range.
pub(crate) struct Found {
    pub versions: Vec<(Bytes, Version)>,
    pub more: bool,
    pub count: usize,
}

impl Default for Machine {
    fn default() -> Self {
        let revision = Revision::FIRST.0;
        Self { index: Index::default(), leases: Leases::default(), revision, compacted: 0 }
    }
}

impl Machine {
    /// The revision of the newest applied transaction.
    pub fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// The oldest revision that can be read, 0 before the first compaction.
    pub fn compacted(&self) -> Revision {
        Revision(self.compacted)
    }

    /// Takes in a version from the disk; they must come in ascending order.
    pub(crate) fn replay(&mut self, entry: Entry) {
        let version = entry.version();
        if version.lease != 0 || self.leases.any_attached() {
            let key = Bytes::copy_from_slice(entry.key());
            let old = self.index.live(&key).map_or(0, |version| version.lease);
            self.leases.attach(&key, old, version.lease);
        }
        self.index.put(entry);
    }

    /// Takes in where the disk says that the store stands; returns what is not needed any more.
    pub(crate) fn replayed(&mut self, revision: u64, compacted: u64) -> Vec<Dropped> {
        self.revision = revision;
        self.compacted = compacted;
        let dropped = self.index.compact(compacted);
        self.index.tighten();
        dropped
    }

    /// Applies a transaction, or nothing of it.
    pub fn apply(&mut self, txn: &Txn, values: &dyn Values) -> Result<Applied, Error> {
        self.check_limits(txn)?;
        let mut succeeded = true;
        for compare in &txn.compare {
            succeeded &= self.holds(compare, values)?;
        }
        let ops = if succeeded { &txn.success } else { &txn.failure };
        self.check_writes(ops)?;
        let mut step = Step { revision: self.revision + 1, records: Vec::new(), undo: Vec::new(), values };
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            match self.perform(op, &mut step) {
                Ok(response) => responses.push(response),
                Err(error) => {
                    self.undo(step.undo);
                    return Err(error);
                }
            }
        }
        if !step.records.is_empty() {
            self.revision = step.revision;
        }
        let response = TxnResponse { revision: self.revision(), succeeded, responses };
        Ok(Applied { response, records: step.records, undo: step.undo })
    }

    /// Takes back all that was applied since the store stood at `revision`; `undo` in the order in
    /// which it came.
    pub(crate) fn take_back(&mut self, undo: Vec<Undo>, revision: Revision) {
        self.undo(undo);
        self.revision = revision.0;
    }

    /// Notes where a record was written.
    pub(crate) fn place(&mut self, key: &[u8], at: Position, place: Place) {
        self.index.place(key, at, place);
    }

    /// Whether a version is kept, and its record lies there.
    pub(crate) fn lies(&self, key: &[u8], at: Position, place: Place) -> bool {
        self.index.version(key, at).is_some_and(|version| version.place == place)
    }

    /// Notes that a record was copied from one of `slots`; false when it is not kept any more.
    pub(crate) fn moved(&mut self, key: &[u8], at: Position, slots: &[u32], to: Place) -> bool {
        let kept = self.index.version(key, at).is_some_and(|version| slots.contains(&version.place.slot));
        if kept {
            self.index.place(key, at, to);
        }
        kept
    }

    /// Where the records of all kept versions up to `newest` lie.
    pub(crate) fn places(&self, newest: Revision) -> Vec<Place> {
        self.index.places(newest.0)
    }

    /// All leases with the time they were granted for.
    pub(crate) fn granted(&self) -> Vec<(LeaseId, Duration)> {
        self.leases.granted()
    }

    /// Drops history before `revision`; returns what is not needed any more.
    ///
    /// The caller must have made the new compaction revision durable before.
    pub(crate) fn compact(&mut self, revision: Revision) -> Vec<Dropped> {
        self.compacted = revision.0;
        self.index.compact(revision.0)
    }

    /// Whether history may be dropped there.
    pub fn check_compact(&self, revision: Revision) -> Result<(), Error> {
        if revision.0 <= self.compacted {
            return Err(Error::Compacted { requested: revision, compacted: self.compacted() });
        }
        if revision.0 > self.revision {
            return Err(Error::Future { requested: revision, current: self.revision() });
        }
        Ok(())
    }

    /// Grants a lease.
    pub fn grant(&mut self, id: LeaseId, ttl: Duration, now: Instant) -> Result<(), Error> {
        self.leases.grant(id, ttl, now)
    }

    /// Starts a lease's time anew.
    pub fn keep_alive(&mut self, id: LeaseId, now: Instant) -> Result<Duration, Error> {
        self.leases.keep_alive(id, now)
    }

    /// What is known of a lease.
    pub fn lease(&self, id: LeaseId, now: Instant) -> Result<LeaseInfo, Error> {
        self.leases.info(id, now)
    }

    /// All leases, ascending.
    pub fn lease_ids(&self) -> Vec<LeaseId> {
        self.leases.ids()
    }

    /// The leases whose time has run out.
    pub fn expired(&self, now: Instant) -> Vec<LeaseId> {
        self.leases.expired(now)
    }

    /// When the next lease runs out.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leases.next_deadline()
    }

    /// Ends a lease and deletes its keys in one revision.
    pub fn revoke(&mut self, id: LeaseId, values: &dyn Values) -> Result<Applied, Error> {
        if !self.leases.exists(id) {
            return Err(Error::LeaseNotFound { id });
        }
        let mut step = Step { revision: self.revision + 1, records: Vec::new(), undo: Vec::new(), values };
        for key in self.leases.keys(id) {
            self.delete_key(&key, &mut step);
        }
        step.undo.extend(self.leases.remove(id).map(|lease| Undo::Removed(id, lease)));
        if !step.records.is_empty() {
            self.revision = step.revision;
        }
        let response = TxnResponse { revision: self.revision(), succeeded: true, responses: Vec::new() };
        Ok(Applied { response, records: step.records, undo: step.undo })
    }

    /// The revision that a read sees, when `newest` is the newest it may.
    pub(crate) fn check_read(&self, wanted: Option<Revision>, newest: Revision) -> Result<u64, Error> {
        let revision = wanted.filter(|revision| revision.0 != 0).unwrap_or(newest);
        if revision > newest {
            return Err(Error::Future { requested: revision, current: newest });
        }
        if revision.0 < self.compacted {
            return Err(Error::Compacted { requested: revision, compacted: self.compacted() });
        }
        Ok(revision.0)
    }

    /// The places of the keys that answer `request`.
    pub(crate) fn find(&self, request: &RangeRequest, newest: Revision) -> Result<Found, Error> {
        let revision = self.check_read(request.revision, newest)?;
        let limit = match request.want {
            Want::Count => 0,
            Want::Keys | Want::Values => request.limit.unwrap_or(usize::MAX),
        };
        let mut found = Found { versions: Vec::new(), more: false, count: 0 };
        for (key, version) in self.index.at(&request.range, revision) {
            found.count += 1;
            if found.versions.len() < limit {
                found.versions.push((Bytes::copy_from_slice(key), version));
            }
        }
        found.more = request.want != Want::Count && found.count > found.versions.len();
        Ok(found)
    }

    /// The version of `key` just before `revision`, unless it is compacted away.
    pub(crate) fn before(&self, key: &Bytes, revision: u64) -> Option<Version> {
        if revision <= self.compacted {
            return None;
        }
        self.index.at(&KeyRange::one(key.clone()), revision - 1).next().map(|(_, version)| version)
    }

    pub(crate) fn history(&self, key: &[u8]) -> Vec<Version> {
        self.index.history(key)
    }

    /// How many keys there are at `newest`.
    pub(crate) fn keys_live(&self, newest: Revision) -> usize {
        self.index.at(&KeyRange::all(), newest.0).count()
    }

    fn check_limits(&self, txn: &Txn) -> Result<(), Error> {
        let most = [
            ("comparisons", txn.compare.len(), TXN_OPS_MAX),
            ("operations", txn.success.len().max(txn.failure.len()), TXN_OPS_MAX),
            ("bytes", txn.bytes(), TXN_BYTES_MAX),
        ];
        for (what, given, max) in most {
            if given > max {
                return Err(Error::TooLarge { what, given, max });
            }
        }
        Ok(())
    }

    /// What etcd refuses before it does anything: a key written twice, a missing lease.
    fn check_writes(&self, ops: &[Op]) -> Result<(), Error> {
        let mut puts: BTreeSet<&[u8]> = BTreeSet::new();
        for op in ops {
            let Op::Put(put) = op else { continue };
            if put.key.is_empty() {
                return Err(Error::EmptyKey);
            }
            if !puts.insert(&put.key) {
                return Err(Error::DuplicateKey { key: put.key.clone() });
            }
            if let PutLease::Set(id) = put.lease
                && !self.leases.exists(id)
            {
                return Err(Error::LeaseNotFound { id });
            }
        }
        for op in ops {
            let Op::Delete { range, .. } = op else { continue };
            let twice = range.bounds().and_then(|bounds| puts.range::<[u8], _>(bounds).next());
            if let Some(key) = twice {
                return Err(Error::DuplicateKey { key: Bytes::copy_from_slice(key) });
            }
        }
        Ok(())
    }

    fn holds(&self, compare: &Compare, values: &dyn Values) -> Result<bool, Error> {
        let live = self.index.live(&compare.key);
        let number = |of: fn(&Version) -> u64| live.as_ref().map_or(0, of);
        let order = match &compare.target {
            Target::ModRevision(wanted) => number(|v| v.revision).cmp(&wanted.0),
            Target::CreateRevision(wanted) => number(|v| v.created).cmp(&wanted.0),
            Target::Version(wanted) => number(|v| v.version).cmp(wanted),
            Target::Lease(wanted) => live.map_or(0, |v| v.lease).cmp(wanted),
            Target::Value(wanted) => match live {
                // etcd: a comparison with the value of an absent key never holds.
                None => return Ok(false),
                Some(version) => load(values, &compare.key, version)?.value.cmp(wanted),
            },
        };
        Ok(match compare.is {
            Is::Equal => order.is_eq(),
            Is::NotEqual => order.is_ne(),
            Is::Greater => order.is_gt(),
            Is::Less => order.is_lt(),
        })
    }

    fn perform(&mut self, op: &Op, step: &mut Step<'_>) -> Result<OpResponse, Error> {
        match op {
            Op::Put(put) => self.put(put, step),
            Op::Delete { range, prev_kv } => self.delete(range, *prev_kv, step),
            Op::Range(request) => {
                // A read sees the writes before it in the same transaction.
                let newest = if step.records.is_empty() { self.revision } else { step.revision };
                let found = self.find(request, Revision(newest))?;
                fill(found, request.want, Revision(newest), step).map(OpResponse::Range)
            }
        }
    }

    fn put(&mut self, put: &Put, step: &mut Step<'_>) -> Result<OpResponse, Error> {
        let old = self.index.live(&put.key);
        let keeps = put.value.is_none() || put.lease == PutLease::Keep;
        if keeps && old.is_none() {
            return Err(Error::KeyNotFound { key: put.key.clone() });
        }
        let prev = match old {
            Some(version) if put.prev_kv || put.value.is_none() => Some(load(step, &put.key, version)?),
            _ => None,
        };
        let value = put.value.clone().or_else(|| prev.as_ref().map(|prev| prev.value.clone()));
        let lease = match put.lease {
            PutLease::None => 0,
            PutLease::Set(id) => id.0,
            PutLease::Keep => old.map_or(0, |version| version.lease),
        };
        let record = Record {
            key: put.key.clone(),
            value: value.unwrap_or_default(),
            created: old.map_or(step.revision, |version| version.created),
            version: old.map_or(0, |version| version.version) + 1,
            lease,
            deleted: false,
        };
        self.write(record, step);
        Ok(OpResponse::Put { prev: prev.filter(|_| put.prev_kv) })
    }

    fn delete(&mut self, range: &KeyRange, prev_kv: bool, step: &mut Step<'_>) -> Result<OpResponse, Error> {
        let doomed = self.index.at(range, u64::MAX);
        let doomed: Vec<(Bytes, Version)> =
            doomed.map(|(key, version)| (Bytes::copy_from_slice(key), version)).collect();
        let mut prev = Vec::new();
        for (key, version) in &doomed {
            if prev_kv {
                prev.push(load(step, key, *version)?);
            }
            self.delete_key(key, step);
        }
        Ok(OpResponse::Delete { deleted: doomed.len(), prev })
    }

    fn delete_key(&mut self, key: &Bytes, step: &mut Step<'_>) {
        let record =
            Record { key: key.clone(), value: Bytes::new(), created: 0, version: 0, lease: 0, deleted: true };
        self.write(record, step);
    }

    fn write(&mut self, record: Record, step: &mut Step<'_>) {
        let at = Position { revision: step.revision, sub: step.records.len() as u32 };
        let old_lease = self.index.live(&record.key).map_or(0, |version| version.lease);
        self.leases.attach(&record.key, old_lease, record.lease);
        self.index.push(&record.key, Version::of(at, &record));
        let (key, new_lease) = (record.key.clone(), record.lease);
        step.undo.push(Undo::Wrote { key, old_lease, new_lease });
        step.records.push((at, record));
    }

    fn undo(&mut self, steps: Vec<Undo>) {
        for step in steps.into_iter().rev() {
            match step {
                Undo::Wrote { key, old_lease, new_lease } => {
                    self.index.pop(&key);
                    self.leases.attach(&key, new_lease, old_lease);
                }
                Undo::Granted(id) => drop(self.leases.remove(id)),
                Undo::Removed(id, lease) => self.leases.restore(id, lease),
            }
        }
    }
}

/// A transaction while it is applied.
struct Step<'a> {
    revision: u64,
    records: Vec<(Position, Record)>,
    undo: Vec<Undo>,
    values: &'a dyn Values,
}

impl Values for Step<'_> {
    fn load(&self, at: Position, place: Place) -> Result<Record, Error> {
        if at.revision == self.revision
            && let Some((_, record)) = self.records.get(at.sub as usize)
        {
            return Ok(record.clone());
        }
        self.values.load(at, place)
    }
}

/// Loads the value of a version, and makes sure that it is the key's.
pub(crate) fn load(values: &dyn Values, key: &Bytes, version: Version) -> Result<KeyValue, Error> {
    let at = version.at();
    let record = values.load(at, version.place)?;
    if record.key != key || !version.is_of(&record) {
        return Err(Error::Damaged { what: "a record does not belong to its key", at });
    }
    Ok(record.key_value(at))
}

/// Turns places into an answer.
pub(crate) fn fill(
    found: Found,
    want: Want,
    revision: Revision,
    values: &dyn Values,
) -> Result<RangeResponse, Error> {
    let Found { versions, more, count } = found;
    let kvs = versions
        .iter()
        .map(|(key, version)| match want {
            Want::Values => load(values, key, *version),
            Want::Keys | Want::Count => Ok(version.key_only(key)),
        })
        .collect::<Result<_, _>>()?;
    Ok(RangeResponse { revision, kvs, more, count })
}
