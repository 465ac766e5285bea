//! Which revisions each key has: the part of the store that is always in memory.
//!
//! Values stay on disk. A key's history is a short vector of versions, ascending;
//! reading at a revision is a search in it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

use crate::record::{Record, Row};
use crate::types::{KeyRange, KeyValue, LeaseId, Place, Position, Revision};

/// All keys and their versions.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, Vec<Version>>,
}

/// What the index knows of one record. There is one for each kept change: every byte counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub revision: u64,
    pub created: u64,
    /// 0 for a deletion.
    pub version: u64,
    pub lease: i64,
    pub sub: u32,
    pub place: Place,
}

/// A version that no read needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Where its record lies.
    pub place: Place,
    /// The key's [`name_of`].
    pub key: u64,
    /// Whether it is a deletion.
    pub deletion: bool,
}

/// A number for a key; two keys rarely share one.
pub(crate) fn name_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

impl Version {
    pub(crate) fn of(at: Position, record: &Record) -> Self {
        let Record { created, version, lease, .. } = *record;
        Self { revision: at.revision, sub: at.sub, created, version, lease, place: Place::default() }
    }

    pub(crate) fn of_row(at: Position, row: &Row<'_>, place: Place) -> Self {
        let Row { created, version, lease, .. } = *row;
        Self { revision: at.revision, sub: at.sub, created, version, lease, place }
    }

    /// Whether this is what the index would know of `record`.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        *self == Self { place: self.place, ..Self::of(self.at(), record) }
    }

    pub(crate) fn at(&self) -> Position {
        Position { revision: self.revision, sub: self.sub }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.version == 0
    }

    /// The key without its value.
    pub(crate) fn key_only(&self, key: &Bytes) -> KeyValue {
        KeyValue {
            key: key.clone(),
            value: Bytes::new(),
            create_revision: Revision(self.created),
            mod_revision: Revision(self.revision),
            version: self.version,
            lease: (self.lease != 0).then_some(LeaseId(self.lease)),
        }
    }
}

impl Index {
    /// The newest version of a key that exists.
    pub(crate) fn live(&self, key: &[u8]) -> Option<Version> {
        self.keys.get(key)?.last().filter(|version| !version.is_deletion()).copied()
    }

    /// The keys of `range` as they were at `revision`, ascending.
    pub(crate) fn at<'a>(
        &'a self,
        range: &'a KeyRange,
        revision: u64,
    ) -> impl Iterator<Item = (&'a Bytes, Version)> {
        let keys = range.bounds().map(|bounds| self.keys.range::<[u8], _>(bounds));
        keys.into_iter().flatten().filter_map(move |(key, versions)| {
            let before = versions.partition_point(|version| version.revision <= revision);
            let version = versions[..before].last()?;
            (!version.is_deletion()).then_some((key, *version))
        })
    }

    /// Every kept version of a key, deletions too.
    pub(crate) fn history(&self, key: &[u8]) -> &[Version] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn push(&mut self, key: Bytes, version: Version) {
        match self.keys.get_mut(&key) {
            Some(versions) => {
                let ascends = versions.last().is_none_or(|last| last.at() < version.at());
                debug_assert!(ascends, "history ascends");
                versions.push(version);
            }
            None => {
                self.keys.insert(key, vec![version]);
            }
        }
    }

    /// Takes back what a transaction that failed has pushed.
    pub(crate) fn pop(&mut self, key: &Bytes) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        versions.pop();
        if versions.is_empty() {
            self.keys.remove(key);
        }
    }

    /// The kept version of a key that was made there.
    pub(crate) fn version(&self, key: &[u8], at: Position) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        let found = versions.binary_search_by_key(&at, Version::at).ok()?;
        versions.get(found)
    }

    /// Notes where the record of a version lies.
    pub(crate) fn place(&mut self, key: &[u8], at: Position, place: Place) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        // Mostly it is the newest one.
        if let Some(version) = versions.iter_mut().rev().find(|version| version.at() <= at)
            && version.at() == at
        {
            version.place = place;
        }
    }

    /// Where the records of all kept versions up to `newest` lie.
    pub(crate) fn places(&self, newest: u64) -> Vec<Place> {
        let versions = self.keys.values().flatten();
        versions.filter(|version| version.revision <= newest).map(|version| version.place).collect()
    }

    /// Drops what no read at or after `revision` can see.
    ///
    /// A deletion exactly at `revision` is kept: a watch from there must still see it.
    pub(crate) fn compact(&mut self, revision: u64) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        self.keys.retain(|key, versions| {
            let before = versions.partition_point(|version| version.revision <= revision);
            let newest_stays = versions[..before]
                .last()
                .is_some_and(|newest| !newest.is_deletion() || newest.revision == revision);
            let gone = before - usize::from(newest_stays);
            if gone > 0 {
                let name = name_of(key);
                dropped.extend(versions.drain(..gone).map(|version| Dropped {
                    place: version.place,
                    key: name,
                    deletion: version.is_deletion(),
                }));
            }
            !versions.is_empty()
        });
        dropped
    }
}
