//! Which revisions each key has: the part of the store that is always in memory.
//!
//! Values stay on disk. Most keys have one version that anybody can read: it lies packed behind its
//! key, in one block of memory. Older ones are in a short vector beside, ascending; reading at a
//! revision is a search in it.

mod entry;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

pub(crate) use self::entry::Entry;
use crate::record::{Record, Row};
use crate::types::{KeyRange, KeyValue, LeaseId, Place, Position, Revision};

/// All keys and their versions.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Each key with its newest version.
    keys: BTreeSet<Entry>,
    /// The versions before that which are kept: never an empty vector.
    older: HashMap<Box<[u8]>, Vec<Version>>,
}

/// What the index knows of one record.
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
        self.newest(key).filter(|version| !version.is_deletion())
    }

    fn newest(&self, key: &[u8]) -> Option<Version> {
        self.keys.get(key).map(Entry::version)
    }

    fn older(&self, key: &[u8]) -> &[Version] {
        if self.older.is_empty() {
            return &[];
        }
        self.older.get(key).map_or(&[], Vec::as_slice)
    }

    /// The keys of `range` as they were at `revision`, ascending.
    pub(crate) fn at<'a>(
        &'a self,
        range: &'a KeyRange,
        revision: u64,
    ) -> impl Iterator<Item = (&'a [u8], Version)> {
        let keys = range.bounds().map(|bounds| self.keys.range::<[u8], _>(bounds));
        keys.into_iter().flatten().filter_map(move |entry| {
            let newest = entry.version();
            let version = if newest.revision <= revision {
                newest
            } else {
                let older = self.older(entry.key());
                *older[..older.partition_point(|version| version.revision <= revision)].last()?
            };
            (!version.is_deletion()).then_some((entry.key(), version))
        })
    }

    /// Every kept version of a key, deletions too.
    pub(crate) fn history(&self, key: &[u8]) -> Vec<Version> {
        self.older(key).iter().copied().chain(self.newest(key)).collect()
    }

    pub(crate) fn push(&mut self, key: &[u8], version: Version) {
        self.put(Entry::new(key, version));
    }

    /// Takes in a version that is newer than all others of its key.
    pub(crate) fn put(&mut self, entry: Entry) {
        let at = entry.version().at();
        let Some(before) = self.keys.replace(entry) else { return };
        debug_assert!(before.version().at() < at, "history ascends");
        let version = before.version();
        match self.older.get_mut(before.key()) {
            Some(older) => older.push(version),
            None => drop(self.older.insert(before.key().into(), vec![version])),
        }
    }

    /// Takes back what a transaction that failed has pushed.
    pub(crate) fn pop(&mut self, key: &[u8]) {
        let Some(versions) = self.older.get_mut(key) else {
            self.keys.remove(key);
            return;
        };
        if let Some(before) = versions.pop() {
            self.keys.replace(Entry::new(key, before));
        }
        if versions.is_empty() {
            self.older.remove(key);
        }
    }

    /// The kept version of a key that was made there.
    pub(crate) fn version(&self, key: &[u8], at: Position) -> Option<Version> {
        let newest = self.newest(key)?;
        if newest.at() == at {
            return Some(newest);
        }
        let older = self.older(key);
        older.binary_search_by_key(&at, Version::at).ok().map(|found| older[found])
    }

    /// Notes where the record of a version lies.
    pub(crate) fn place(&mut self, key: &[u8], at: Position, place: Place) {
        // Mostly it is the newest one.
        let Some(newest) = self.newest(key) else { return };
        if newest.at() == at {
            self.keys.replace(Entry::new(key, Version { place, ..newest }));
        } else if let Some(older) = self.older.get_mut(key)
            && let Ok(found) = older.binary_search_by_key(&at, Version::at)
        {
            older[found].place = place;
        }
    }

    /// Where the records of all kept versions up to `newest` lie.
    pub(crate) fn places(&self, newest: u64) -> Vec<Place> {
        let versions = self.older.values().flatten().copied().chain(self.keys.iter().map(Entry::version));
        versions.filter(|version| version.revision <= newest).map(|version| version.place).collect()
    }

    /// Fills the tree's nodes: keys that came in their order have left each half empty.
    pub(crate) fn tighten(&mut self) {
        self.keys = std::mem::take(&mut self.keys).into_iter().collect();
    }

    /// Drops what no read at or after `revision` can see.
    ///
    /// A deletion exactly at `revision` is kept: a watch from there must still see it.
    pub(crate) fn compact(&mut self, revision: u64) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        let mut drop_version = |key: &[u8], version: &Version| {
            let (key, deletion) = (name_of(key), version.is_deletion());
            dropped.push(Dropped { place: version.place, key, deletion });
        };
        let goes = |newest: &Version| newest.is_deletion() && newest.revision != revision;
        let keys = &self.keys;
        self.older.retain(|key, versions| {
            let before = versions.partition_point(|version| version.revision <= revision);
            // What stands behind the last of these, if it is old too, hides them all.
            let newest_is_old = before == versions.len()
                && keys.get(&**key).is_some_and(|newest| newest.version().revision <= revision);
            let newest_stays =
                versions[..before].last().is_some_and(|newest| !newest_is_old && !goes(newest));
            let gone = before - usize::from(newest_stays);
            versions.drain(..gone).for_each(|version| drop_version(key, &version));
            if gone > 0 {
                versions.shrink_to_fit();
            }
            !versions.is_empty()
        });
        self.keys.retain(|entry| {
            let newest = entry.version();
            let gone = newest.revision <= revision && goes(&newest);
            if gone {
                drop_version(entry.key(), &newest);
            }
            !gone
        });
        if self.older.len() < self.older.capacity() / 4 {
            self.older.shrink_to_fit();
        }
        dropped
    }
}
