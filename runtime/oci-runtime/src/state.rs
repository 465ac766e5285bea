//! What is kept of a container: `<root>/<id>/state.json`.
//!
//! Written to a new file and renamed, so a reader sees the old or the new record
//! and never half of one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use oci_spec::runtime::Hooks;
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
    /// The process that makes the container, while `pid` is 0.
    #[serde(default)]
    pub creator_pid: i32,
    /// Its start time.
    #[serde(default)]
    pub creator_start_time: u64,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root filesystem's directory; empty for a detached mount.
    pub rootfs: PathBuf,
    /// The id of the mount that is its root in the runtime's own mount namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_mount: Option<u64>,
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
    /// The directories of its cgroup.
    #[serde(default)]
    pub cgroup: Option<cgroup::Cgroup>,
    /// `cgroupsPath`, clean; empty when it has no cgroup.
    #[serde(default)]
    pub cgroup_path: String,
    /// Its group of the resource control file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<crate::rdt::RdtGroup>,
    /// Whether systemd manages the cgroup.
    #[serde(default)]
    pub systemd_cgroup: bool,
    /// The unit that systemd made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_unit: Option<String>,
    /// Whether init has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// Which of init's standard streams were pipes from outside, as `/proc/PID/fd` shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descriptors: Vec<String>,
    /// Its user namespace denies `setgroups(2)`.
    #[serde(default)]
    pub setgroups_denied: bool,
    /// Hooks of `start` and `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// `config.json` has no process, so that it cannot be started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_process: bool,
    /// Steps that were run, in order.
    #[serde(default)]
    pub steps: Vec<StepRecord>,
    /// What could not be done as asked and was left out.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The state as the specification has it (`runtime.md`, "State"; `schema/state-schema.json`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OciState<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: &'a str,
    pid: i32,
    bundle: &'a Path,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    annotations: &'a HashMap<String, String>,
}

impl<'a> OciState<'a> {
    /// The state of the container with this status; `pid` is 0 for a stopped one.
    pub fn of(record: &'a ContainerRecord, status: &'a str, pid: i32) -> Self {
        Self {
            oci_version: STATE_VERSION,
            id: &record.id,
            status,
            pid,
            bundle: &record.bundle,
            annotations: &record.annotations,
        }
    }
}

/// What a hook reads from its standard input.
pub(crate) fn hook_state(record: &ContainerRecord, status: &str, pid: i32) -> Vec<u8> {
    // Cannot fail: strings and numbers.
    serde_json::to_vec(&OciState::of(record, status, pid)).unwrap_or_default()
}

/// The time in UTC with nanoseconds, as RFC 3339 writes it.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days as i64);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_nanos()
    )
}

/// The Gregorian date of a day counted from 1970-01-01, by 400-year eras that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The version of the state's form.
pub const STATE_VERSION: &str = "1.3.0";

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn writes_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
