//! Why CRIU could not do it.

use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass};

/// CRIU failed, or is not what is needed.
#[derive(Debug, thiserror::Error)]
pub enum CriuError {
    /// It cannot be started.
    #[error("start CRIU ({}): install criu 4 or later, or name it with --criu", program.display())]
    Start {
        /// What was to be run.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The socket to it failed.
    #[error("speak with CRIU")]
    Socket(#[source] io::Error),
    /// It ended without an answer.
    #[error("CRIU ended without an answer ({status}){}", log_text(log.as_ref()))]
    Ended {
        /// How.
        status: String,
        /// Its log, if it has one by now.
        log: Option<PathBuf>,
    },
    /// Its answer is not one.
    #[error("CRIU's answer is not of its protocol")]
    Malformed,
    /// It says that it failed.
    #[error("criu failed: type {request} errno {errno}{}{}", said_text(said), log_text(log.as_ref()))]
    Failed {
        /// What it was asked for.
        request: &'static str,
        /// The error number that it gave, 0 for none.
        errno: i32,
        /// What it said of it, in its answer and as the first errors of its log.
        said: Vec<String>,
        /// Its log.
        log: Option<PathBuf>,
    },
    /// It is older than what is asked of it.
    #[error("CRIU {} is too old for {what}: {} or later is needed", version_text(*has), version_text(*least))]
    TooOld {
        /// Its version.
        has: u64,
        /// The one needed.
        least: u64,
        /// What for.
        what: &'static str,
    },
    /// The machine lacks something.
    #[error("CRIU or the kernel is missing features: {name}")]
    NoFeature {
        /// What.
        name: &'static str,
    },
    /// The container's mounts could not be made ready for it.
    #[error("make the container's file system ready for CRIU: {reason}")]
    Prepare {
        /// Why not.
        reason: String,
    },
    /// A namespace that is joined cannot be joined by a restored process.
    #[error("a restored container cannot join a {kind} namespace: leave its path out of linux.namespaces")]
    Namespace {
        /// Which kind.
        kind: &'static str,
    },
    /// Nobody restored came back.
    #[error("CRIU restored no process{}", log_text(log.as_ref()))]
    Nobody {
        /// Its log.
        log: Option<PathBuf>,
    },
}

impl Classified for CriuError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Start { source, .. } => source.class(),
            Self::TooOld { .. } | Self::NoFeature { .. } | Self::Namespace { .. } => ErrorClass::Invalid,
            _ => ErrorClass::Internal,
        }
    }
}

fn log_text(log: Option<&PathBuf>) -> String {
    log.map(|path| format!("; see its log {}", path.display())).unwrap_or_default()
}

fn said_text(said: &[String]) -> String {
    said.iter().map(|line| format!(": {line}")).collect()
}

fn version_text(number: u64) -> String {
    format!("{}.{}", number / 10_000, number / 100 % 100)
}
