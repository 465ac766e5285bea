//! Snapshots: what one container sees.

use std::path::PathBuf;

use base::{ContainerId, Digest};
use serde::{Deserialize, Serialize};

use crate::IdMap;

/// Whether a snapshot can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It has an upper directory of its own.
    Active,
    /// Read-only.
    View,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Its key: the container's id.
    pub key: ContainerId,
    /// Whether it can be written to.
    pub kind: Kind,
    /// The layers under it; none for an empty root file system.
    pub chain_id: Option<Digest>,
    /// The user namespace that it is for.
    pub idmap: Option<IdMap>,
    /// Seconds since 1970 when it was made.
    pub created: u64,
    /// The upper directory of an active snapshot.
    #[serde(skip)]
    pub upper: Option<PathBuf>,
}
