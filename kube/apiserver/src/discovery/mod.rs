//! Which groups, versions and resources there are: the documents under `/api` and `/apis`, in
//! their old form (one a version) and aggregated (all at once).
//!
//! They are made when asked for, from the live table of kinds, and the aggregated ones are kept
//! with their hash until the table changes.

mod aggregated;
mod groups;
mod legacy;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use aggregated::Version as AggregatedVersion;
pub(crate) use aggregated::entry;
pub use groups::{Group, group_priority};
pub(crate) use legacy::resources as list;

use crate::kinds::{Kinds, Table};

/// Makes discovery documents.
pub struct Discovery {
    kinds: Arc<Kinds>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    change: u64,
    foreign: u64,
    documents: Vec<(Key, Document)>,
}

type Key = (bool, AggregatedVersion);

/// A document and its hash.
#[derive(Clone, Debug)]
pub struct Document {
    /// JSON.
    pub json: Bytes,
    /// The hash, as in `ETag` between the quotes.
    pub hash: Arc<str>,
}

/// A group and version that another server serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foreign {
    /// The group.
    pub group: String,
    /// The version.
    pub version: String,
    /// `groupPriorityMinimum` and `versionPriority`.
    pub priority: (i64, i64),
    /// Its `APIVersionDiscovery` of the aggregated form, `None` while it does not answer.
    pub resources: Option<Value>,
}

impl Document {
    /// Keeps a value as text.
    pub fn new(value: &Value) -> Self {
        let json = Bytes::from(value.to_string());
        let digest = Sha256::digest(&json);
        let hash: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Self { json, hash: hash.into() }
    }
}

impl Discovery {
    /// Over a live table of kinds.
    pub fn new(kinds: Arc<Kinds>) -> Self {
        Self { kinds, kept: Mutex::default() }
    }

    /// `/api`: APIVersions.
    pub fn core_versions(&self, server_address: &str) -> Value {
        legacy::core_versions(server_address)
    }

    /// `/apis`: APIGroupList.
    pub fn group_list(&self, foreign: &[Foreign]) -> Value {
        legacy::group_list(&self.groups(foreign))
    }

    /// `/apis/GROUP`: APIGroup.
    pub fn group(&self, name: &str, foreign: &[Foreign]) -> Option<Value> {
        let groups = self.groups(foreign);
        groups.iter().find(|group| group.name == name).map(legacy::group)
    }

    /// `/api/v1` and `/apis/GROUP/VERSION`: APIResourceList.
    pub fn resources(&self, group: &str, version: &str) -> Option<Value> {
        legacy::resources(&self.table(), group, version)
    }

    /// `/api` or `/apis`, aggregated: `core` says which. `foreign_change` counts changes of `foreign`.
    pub fn aggregated(
        &self,
        core: bool,
        version: AggregatedVersion,
        foreign: &[Foreign],
        foreign_change: u64,
    ) -> Document {
        let change = *self.kinds.changes().borrow();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if (kept.change, kept.foreign) != (change, foreign_change) {
            *kept = Kept { change, foreign: foreign_change, documents: Vec::new() };
        }
        let key = (core, version);
        if let Some((_, document)) = kept.documents.iter().find(|(known, _)| *known == key) {
            return document.clone();
        }
        let table = self.table();
        let document = Document::new(&aggregated::document(&table, core, version, foreign));
        kept.documents.push((key, document.clone()));
        document
    }

    /// The groups but core, best first.
    fn groups(&self, foreign: &[Foreign]) -> Vec<Group> {
        groups::sorted(&self.table(), foreign)
    }

    fn table(&self) -> Arc<Table> {
        self.kinds.table()
    }
}
