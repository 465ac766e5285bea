//! Which revisions each key has: the part of the store that is always in memory.
//!
//! Values stay on disk. A key's history is a short vector of versions, ascending;
//! reading at a revision is a search in it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::record::{Record, Row};
use crate::types::{KeyRange, KeyValue, LeaseId, Position, Revision};

/// All keys and their versions.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, Vec<Version>>,
}

/// What the index knows of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub at: Position,
    pub created: u64,
    pub version: u64,
    pub lease: i64,
    pub deleted: bool,
}

impl Version {
    pub(crate) fn of(at: Position, record: &Record) -> Self {
        let Record { created, version, lease, deleted, .. } = *record;
        Self { at, created, version, lease, deleted }
    }

    pub(crate) fn of_row(at: Position, row: &Row<'_>) -> Self {
        let Row { created, version, lease, deleted, .. } = *row;
        Self { at, created, version, lease, deleted }
    }

    /// The key without its value.
    pub(crate) fn key_only(&self, key: &Bytes) -> KeyValue {
        KeyValue {
            key: key.clone(),
            value: Bytes::new(),
            create_revision: Revision(self.created),
            mod_revision: Revision(self.at.revision),
            version: self.version,
            lease: (self.lease != 0).then_some(LeaseId(self.lease)),
        }
    }
}

impl Index {
    /// The newest version of a key that exists.
    pub(crate) fn live(&self, key: &[u8]) -> Option<Version> {
        self.keys.get(key)?.last().filter(|version| !version.deleted).copied()
    }

    /// The keys of `range` as they were at `revision`, ascending.
    pub(crate) fn at<'a>(
        &'a self,
        range: &'a KeyRange,
        revision: u64,
    ) -> impl Iterator<Item = (&'a Bytes, Version)> {
        let keys = range.bounds().map(|bounds| self.keys.range::<[u8], _>(bounds));
        keys.into_iter().flatten().filter_map(move |(key, versions)| {
            let before = versions.partition_point(|version| version.at.revision <= revision);
            let version = versions[..before].last()?;
            (!version.deleted).then_some((key, *version))
        })
    }

    /// Every kept version of a key, deletions too.
    pub(crate) fn history(&self, key: &[u8]) -> &[Version] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn push(&mut self, key: Bytes, version: Version) {
        match self.keys.get_mut(&key) {
            Some(versions) => {
                debug_assert!(versions.last().is_none_or(|last| last.at < version.at), "history ascends");
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

    /// Drops what no read at or after `revision` can see; returns where it stood.
    ///
    /// A deletion exactly at `revision` is kept: a watch from there must still see it.
    pub(crate) fn compact(&mut self, revision: u64) -> Vec<Position> {
        let mut dropped = Vec::new();
        self.keys.retain(|_, versions| {
            let before = versions.partition_point(|version| version.at.revision <= revision);
            let newest_stays = versions[..before]
                .last()
                .is_some_and(|newest| !newest.deleted || newest.at.revision == revision);
            let gone = before - usize::from(newest_stays);
            dropped.extend(versions.drain(..gone).map(|version| version.at));
            !versions.is_empty()
        });
        dropped
    }

    pub(crate) fn keys_live(&self) -> usize {
        self.keys.values().filter(|versions| versions.last().is_some_and(|last| !last.deleted)).count()
    }
}
