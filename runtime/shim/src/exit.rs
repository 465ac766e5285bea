//! How a container ended, and the record of it.
//!
//! `exit.json` is written beside its final name and renamed, so a reader sees the
//! whole record or none. It is *not* synced: the record must survive SIGKILL of any
//! process of ours, for which the page cache is enough; a power cut ends the container
//! too, and after a boot a missing or empty record is read as "ended with the host".
//! A sync here would add a disk's latency to every `run --rm`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base::{Classified, ErrorClass};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::health::{Health, HealthResult, HealthStatus};
use crate::oom::OomKill;
use crate::restart::RestartPlan;

/// Name of the record in the record directory.
pub const EXIT_FILE: &str = "exit.json";
const EXIT_TEMP: &str = ".exit.json.new";
/// Version of the record's form.
pub const EXIT_VERSION: u32 = 1;

/// How a container's init ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Form of this record: [`EXIT_VERSION`].
    pub version: u32,
    /// Exit status as a shell shows it (128+n for signal n); `None` if it could not be learned.
    pub code: Option<i32>,
    /// The signal that ended init, if one did.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Whether a core was dumped.
    #[serde(default)]
    pub core_dumped: bool,
    /// Whether the OOM killer took any process of the container (docker's `OOMKilled`).
    #[serde(default)]
    pub oom_killed: bool,
    /// Why it ended.
    pub cause: ExitCause,
    /// A stop signal was sent while PID 1 neither caught nor waited for it, so the kernel
    /// ignored it (`pid_namespaces(7)`: init gets only signals that it has a handler for).
    #[serde(default)]
    pub pid1_no_sigterm_handler: bool,
    /// When the container was started, if it was.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When its end was seen.
    pub at: Timestamp,
    /// Whether a shim that adopted the container wrote this.
    #[serde(default)]
    pub adopted: bool,
    /// A client had stopped or killed it, so no policy starts it again.
    #[serde(default)]
    pub by_hand: bool,
    /// The restart that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPlan>,
    /// How often it had been started again by then.
    #[serde(default)]
    pub restarts: u32,
    /// How a stop of it went, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Its health at that time, where that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthAtEnd>,
    /// The last processes that the OOM killer took in this run. A shim that knows of this field
    /// has told of each when it happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oom_kills: Vec<OomKill>,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Milliseconds from the stop signal to the end.
    pub took_ms: u64,
    /// Milliseconds that it was given; none: any time.
    pub grace_ms: Option<u64>,
}

/// A container's health when it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAtEnd {
    /// What was thought of it.
    pub status: HealthStatus,
    /// Checks that had failed in a row.
    pub failing_streak: u32,
    /// The last check.
    pub last: Option<HealthResult>,
}

impl From<&Health> for HealthAtEnd {
    fn from(health: &Health) -> Self {
        Self {
            status: health.status,
            failing_streak: health.failing_streak,
            last: health.log.last().cloned(),
        }
    }
}

/// Why a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ExitCause {
    /// It returned, or died of a fault of its own such as SIGSEGV.
    Itself,
    /// The command could not be executed (code 126 or 127), or a hook before it failed (125).
    NotExecuted {
        /// Why not.
        why: String,
    },
    /// It ended after a stop request, within the grace time.
    Stop {
        /// The stop signal.
        signal: i32,
        /// Who asked.
        by: Option<Requester>,
    },
    /// It was still there when the grace time ran out, and was killed.
    GraceRanOut {
        /// The stop signal that did not help.
        signal: i32,
        /// The grace time in milliseconds.
        grace_ms: u64,
        /// Who asked.
        by: Option<Requester>,
    },
    /// Its health check failed too often in a row, and its policy has it stopped for that.
    Unhealthy {
        /// The stop signal.
        signal: i32,
        /// Checks that had failed in a row.
        failures: u32,
    },
    /// A client of the shim sent the signal that ended it.
    Killed {
        /// The signal.
        signal: i32,
        /// Who asked.
        by: Option<Requester>,
    },
    /// The kernel's OOM killer chose init, or a process whose death ended init.
    OomKilled {
        /// The process that was killed, if known.
        victim: Option<Victim>,
        /// The cgroup's memory limit in bytes, if it had one.
        limit: Option<u64>,
        /// The most memory that the cgroup held, in bytes, if known.
        peak: Option<u64>,
    },
    /// A signal that no client of the shim sent: another process of the host, or the
    /// container's own.
    Outside {
        /// The signal.
        signal: i32,
    },
    /// The status could not be learned.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// Who asked the shim to end the container, by the socket's credentials (`SO_PEERCRED`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// Its process id on the host, at that time.
    pub pid: i32,
    /// Its user id.
    pub uid: u32,
    /// Its command name (`/proc/PID/comm`), if still readable.
    pub command: Option<String>,
}

/// Whom the OOM killer took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// Process id on the host.
    pub pid: i32,
    /// Command name.
    pub command: String,
    /// Its `oom_score_adj`, where it was known: the higher, the sooner it is chosen.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
}

/// The exit record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ExitRecordError {
    /// Reading failed.
    #[error("read exit record {}", path.display())]
    Read {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a record.
    #[error("exit record {} is damaged", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Writing failed.
    #[error("write exit record {}", path.display())]
    Write {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Classified for ExitRecordError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => ErrorClass::of_io(source),
            Self::Damaged { .. } => ErrorClass::Corrupt,
        }
    }
}

impl Exit {
    /// An end of which only the cause and the time are known.
    pub fn of(cause: ExitCause, at: Timestamp) -> Self {
        Self {
            version: EXIT_VERSION,
            code: None,
            signal: None,
            core_dumped: false,
            oom_killed: false,
            cause,
            pid1_no_sigterm_handler: false,
            started_at: None,
            at,
            adopted: false,
            by_hand: false,
            restart: None,
            restarts: 0,
            stopped: None,
            health: None,
            oom_kills: Vec::new(),
        }
    }

    /// Whether its program was not successful, or nobody knows.
    pub fn is_failure(&self) -> bool {
        self.code != Some(0)
    }

    /// Reads the record in `record_dir`; `None` when there is none.
    pub fn read(record_dir: &Path) -> Result<Option<Self>, ExitRecordError> {
        let path = record_dir.join(EXIT_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ExitRecordError::Read { path, source }),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| ExitRecordError::Damaged { path, source })
    }

    /// Writes the record into `record_dir` so that it appears whole or not at all.
    pub fn write(&self, record_dir: &Path) -> Result<(), ExitRecordError> {
        let path = record_dir.join(EXIT_FILE);
        let temp = record_dir.join(EXIT_TEMP);
        let write = || -> io::Result<()> {
            let bytes = serde_json::to_vec(self)?;
            let mut file: File =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
            file.write_all(&bytes)?;
            base::failpoint::hit("shim.exit-temp-written");
            fs::rename(&temp, &path)
        };
        write().map_err(|source| ExitRecordError::Write { path: path.clone(), source })
    }

    /// Removes the record, before the container is started again.
    pub fn forget(record_dir: &Path) -> Result<(), ExitRecordError> {
        let path = record_dir.join(EXIT_FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ExitRecordError::Write { path, source })
            }
            _ => Ok(()),
        }
    }

    /// The exit status for a process that stands in for the container: the code, or 255
    /// when it could not be learned.
    pub fn status(&self) -> u8 {
        self.code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
    }
}
