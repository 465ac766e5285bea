//! What is kept of a container: `<root>/<id>/state.json`.
//!
//! Written to a new file and renamed, so a reader sees the old or the new record
//! and never half of one.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a container is in its life (OCI runtime-spec `runtime.md`, "State").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    /// Being made, or its making was interrupted.
    Creating,
    /// Init waits for `start`.
    Created,
    /// The user's program runs.
    Running,
    /// All its processes are frozen.
    Paused,
    /// Init has ended.
    Stopped,
}

impl ContainerStatus {
    /// The word of the specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// One step of creating the container, with the time it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which step, as `mounts` or `devices`.
    pub name: String,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// The record. `Runtime::record` gives it; `strake explain` reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRecord {
    /// Version of this file's form.
    pub version: u32,
    /// `ociVersion` of the bundle.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Init's process id; 0 until it was made.
    pub pid: i32,
    /// Init's start time in ticks since boot.
    pub start_time: u64,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root filesystem's directory; empty for a detached mount.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The user who created it.
    pub owner_uid: u32,
    /// Annotations of the bundle.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub annotations: HashMap<String, String>,
    /// Namespaces that are not the runtime's: `/proc` name → path joined, or empty when made.
    #[serde(default)]
    pub namespaces: BTreeMap<String, String>,
    /// The cgroup, relative to the hierarchies' roots (`cgroupsPath` resolved); empty when none.
    #[serde(default)]
    pub cgroup_path: String,
    /// Whether systemd manages the cgroup.
    #[serde(default)]
    pub systemd_cgroup: bool,
    /// Whether init has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// Steps that were run, in order.
    #[serde(default)]
    pub steps: Vec<StepRecord>,
    /// What could not be done as asked and was left out.
    #[serde(default)]
    pub warnings: Vec<String>,
}
