//! What the OOM killer did in a container: each kill as it was seen, in `oom.json` in the record
//! directory. The file is of the container's last run, and there is none before the first kill.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Timestamp, Victim};

/// Name of the file.
pub const OOM_FILE: &str = "oom.json";
const OOM_TEMP: &str = ".oom.json.new";
/// Kills that are kept of a run, the last ones.
pub(crate) const KEPT: usize = 8;

/// A process of the container that was ended for want of memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomKill {
    /// When that was seen.
    pub at: Timestamp,
    /// Which one; none where the kernel's log cannot be read or does not say.
    pub victim: Option<Victim>,
    /// The limit in bytes that was met then.
    #[serde(default)]
    pub limit: Option<u64>,
    /// What was held in bytes below that limit then.
    #[serde(default)]
    pub usage: Option<u64>,
    /// What of that no file backed.
    #[serde(default)]
    pub anon: Option<u64>,
    /// What of that was page cache, shared memory included.
    #[serde(default)]
    pub file: Option<u64>,
    /// All processes of the group were killed with it (`memory.oom.group`).
    #[serde(default)]
    pub whole_group: bool,
}

impl OomKill {
    /// A kill of which nothing but that is known.
    pub fn at(at: Timestamp) -> Self {
        Self { at, victim: None, limit: None, usage: None, anon: None, file: None, whole_group: false }
    }
}

/// The kills of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomKills {
    version: u32,
    /// How many there were.
    pub count: u64,
    /// The last ones, in their order.
    pub kills: Vec<OomKill>,
    /// How far the kernel's log was read, in its microseconds.
    #[serde(default)]
    pub(crate) log_us: u64,
}

impl OomKills {
    /// Reads what is recorded; nothing when that cannot be read.
    pub fn read(record_dir: &Path) -> Self {
        let bytes = fs::read(record_dir.join(OOM_FILE)).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, record_dir: &Path) -> io::Result<()> {
        let temporary = record_dir.join(OOM_TEMP);
        fs::write(&temporary, serde_json::to_vec(&Self { version: VERSION, ..self.clone() })?)?;
        fs::rename(&temporary, record_dir.join(OOM_FILE))
    }

    /// Those of a run that begins. The log is read on from where it was: its group has the name
    /// of the one before.
    pub(crate) fn of_next_run(&self) -> Self {
        Self { log_us: self.log_us, ..Self::default() }
    }

    /// Takes note of more of them.
    pub(crate) fn push(&mut self, kills: &[OomKill]) {
        self.kills.extend_from_slice(kills);
        let surplus = self.kills.len().saturating_sub(KEPT);
        self.kills.drain(..surplus);
    }
}

const VERSION: u32 = 1;
