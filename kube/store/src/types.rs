//! Revisions, keys, values, ranges and events: the words of etcd's data model.
//!
//! <https://etcd.io/docs/v3.6/learning/data_model/>

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

/// The store's change counter. An empty store stands at 1; each writing transaction adds one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// Where an empty store stands.
    pub const FIRST: Self = Self(1);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a lease, chosen by the caller; 0 is not a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A key with its value and the counters that transactions compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty when only keys were asked for, and in a delete event.
    pub value: Bytes,
    /// The revision that created the key.
    pub create_revision: Revision,
    /// The revision that wrote this value, or deleted the key.
    pub mod_revision: Revision,
    /// 1 at creation, one more with each put; 0 in a delete event.
    pub version: u64,
    /// The lease that the key goes with.
    pub lease: Option<LeaseId>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was created or overwritten.
    Put,
    /// It was deleted, or its lease ended.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key after it; of a deleted key only the key and `mod_revision` say something.
    pub kv: KeyValue,
    /// The key before it, when it was asked for and is not compacted away.
    pub prev: Option<KeyValue>,
}

/// A set of neighbouring keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    One,
    Before(Bytes),
    Unbounded,
}

impl KeyRange {
    /// Exactly this key.
    pub fn one(key: impl Into<Bytes>) -> Self {
        Self { start: key.into(), end: End::One }
    }

    /// From `start` up to, but without, `end`.
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: End::Before(end.into()) }
    }

    /// `start` and all keys after it.
    pub fn from(start: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: End::Unbounded }
    }

    /// Every key.
    pub fn all() -> Self {
        Self::from(Bytes::new())
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start: Bytes = prefix.into();
        let kept = start.iter().rposition(|byte| *byte != 0xff);
        let Some(last) = kept else { return Self::from(start) };
        let mut end = start[..=last].to_vec();
        end[last] += 1;
        Self { start, end: End::Before(end.into()) }
    }

    /// The key, when the range names exactly one.
    pub fn single(&self) -> Option<&Bytes> {
        matches!(self.end, End::One).then_some(&self.start)
    }

    /// The start, and the end that no longer belongs to it: absent for one key, a zero byte for
    /// none, as etcd writes them.
    pub(crate) fn wire(&self) -> (Bytes, Option<Bytes>) {
        let end = match &self.end {
            End::One => None,
            End::Before(end) => Some(end.clone()),
            End::Unbounded => Some(Bytes::from_static(b"\0")),
        };
        (self.start.clone(), end)
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::One => key == self.start,
            End::Before(end) => key >= &self.start[..] && key < &end[..],
            End::Unbounded => key >= &self.start[..],
        }
    }

    /// The bounds for an ordered map; `None` when nothing can lie in it.
    pub(crate) fn bounds(&self) -> Option<Bounds<'_>> {
        let start = Bound::Included(&self.start[..]);
        match &self.end {
            End::One => Some((start, Bound::Included(&self.start[..]))),
            End::Before(end) if end <= &self.start => None,
            End::Before(end) => Some((start, Bound::Excluded(&end[..]))),
            End::Unbounded => Some((start, Bound::Unbounded)),
        }
    }
}

/// Where a range begins and ends in an ordered map.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Where a record stands: the revision and its place within the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The revision.
    pub revision: u64,
    /// The place within the transaction, from 0.
    pub sub: u32,
}

/// Where a record's bytes lie: only the store itself can make one that leads anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub(crate) slot: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        let range = KeyRange::prefix("a/");
        assert!(range.contains(b"a/") && range.contains(b"a/\xff\xff"));
        assert!(!range.contains(b"a0") && !range.contains(b"a"));
        let range = KeyRange::prefix(&b"a\xff"[..]);
        assert!(range.contains(b"a\xffz") && !range.contains(b"b"));
        assert!(KeyRange::prefix(&b"\xff\xff"[..]).contains(b"\xff\xff\x01"));
    }

    #[test]
    fn a_reversed_range_is_empty() {
        assert!(KeyRange::between("b", "a").bounds().is_none());
        assert!(KeyRange::between("a", "a").bounds().is_none());
    }
}
