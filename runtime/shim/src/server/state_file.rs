//! `shim.json`: what a shim that adopts the container must know. Written with a rename.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::paths::SHIM_FILE;
use crate::protocol::Setup;

const VERSION: u32 = 1;
/// The record while it is being written.
pub(super) const TEMP: &str = ".shim.json.new";

/// The record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ShimState {
    pub(super) version: u32,
    pub(super) setup: Setup,
    /// Host process id of init, and its start time.
    pub(super) pid: i32,
    pub(super) start_time: u64,
    pub(super) shim_pid: i32,
    pub(super) terminal: bool,
    /// Init is PID 1 of a namespace of its own: its end is the end of all.
    pub(super) own_pid_namespace: bool,
    pub(super) started_at: Option<Timestamp>,
    /// The process that keeps a terminal's master open, should the shim be killed.
    pub(super) keeper: Option<Keeper>,
}

/// What every version of the record has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A process that holds a descriptor for us.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Keeper {
    pub(super) pid: i32,
    pub(super) start_time: u64,
    /// The descriptor's number there.
    pub(super) fd: i32,
}

impl ShimState {
    pub(super) fn new(setup: Setup, pid: i32, start_time: u64) -> Self {
        Self {
            version: VERSION,
            setup,
            pid,
            start_time,
            shim_pid: std::process::id() as i32,
            terminal: false,
            own_pid_namespace: true,
            started_at: None,
            keeper: None,
        }
    }

    pub(super) fn read(state_dir: &Path) -> io::Result<Self> {
        let bytes = fs::read(state_dir.join(SHIM_FILE))?;
        // The version first: nothing else of a newer record is to be believed.
        let Version { version } = serde_json::from_slice(&bytes)?;
        if version > VERSION {
            let text = format!(
                "{SHIM_FILE} has version {version}, this build knows {VERSION}: use the newer strake that wrote it"
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let state: Self = serde_json::from_slice(&bytes)?;
        Ok(state)
    }

    pub(super) fn write(&self) -> io::Result<()> {
        let dir = &self.setup.state_dir;
        fs::write(dir.join(TEMP), serde_json::to_vec(self)?)?;
        fs::rename(dir.join(TEMP), dir.join(SHIM_FILE))
    }
}
