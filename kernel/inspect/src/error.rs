//! Why something of a process could not be read.

use std::io;

use base::{Classified, ErrorClass};

/// Text that is not what the kernel writes in that file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// Counted from 1.
    pub line: usize,
    /// What was expected there.
    pub what: &'static str,
}

/// A reader failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such process, or it went away half-way.
    #[error("process {pid} does not exist or has just ended; `ps -p {pid}` shows whether it lives")]
    NoProcess {
        /// The PID asked for.
        pid: i32,
    },
    /// The file is there and we may not read it.
    #[error("read {path}: not allowed; {needs}")]
    Denied {
        /// The file.
        path: String,
        /// The permission that is lacking.
        needs: &'static str,
        /// What the kernel said.
        #[source]
        errno: io::Error,
    },
    /// The process lives and the file does not exist.
    #[error("{path} does not exist: {why}")]
    Missing {
        /// The file.
        path: String,
        /// What that says about this kernel or process.
        why: &'static str,
    },
    /// Any other failure of a system call.
    #[error("read {path}")]
    Read {
        /// The file, or the call.
        path: String,
        /// What the kernel said.
        #[source]
        errno: io::Error,
    },
    /// The file holds something unexpected.
    #[error("{path} is not in the form that this version knows")]
    Malformed {
        /// The file.
        path: String,
        /// Where and what.
        #[source]
        at: Malformed,
    },
    /// `/proc` is not a procfs.
    #[error("{path} is not a procfs: mount one there with `mount -t proc proc {path}`")]
    NotProcfs {
        /// The directory.
        path: String,
    },
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoProcess { .. } => ErrorClass::NotFound,
            Self::Denied { .. } => ErrorClass::PermissionDenied,
            Self::Missing { .. } | Self::NotProcfs { .. } => ErrorClass::Unsupported,
            Self::Read { errno, .. } => ErrorClass::of_io(errno),
            Self::Malformed { .. } => ErrorClass::Corrupt,
        }
    }
}

/// What most of `/proc/PID` asks for: `ptrace(2)`, "Ptrace access mode checking".
pub(crate) const NEEDS_PTRACE: &str =
    "it needs the same user with the same capabilities, or root (CAP_SYS_PTRACE)";
