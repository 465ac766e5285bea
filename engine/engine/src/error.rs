//! What can go wrong in the engine, and what the caller may do about it.

use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass};

/// An operation of the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of ours could not be read or written.
    #[error("{operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        errno: io::Error,
    },
    /// No container has that name or id.
    #[error("no such container: {name}; `strake ps -a` lists them")]
    NoSuchContainer {
        /// What was asked for.
        name: String,
    },
    /// Several containers' ids begin like that.
    #[error("{prefix} is the beginning of several container ids; give more of it")]
    AmbiguousId {
        /// What was asked for.
        prefix: String,
    },
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::File { errno, .. } => ErrorClass::of_io(errno),
            Self::NoSuchContainer { .. } => ErrorClass::NotFound,
            Self::AmbiguousId { .. } => ErrorClass::Invalid,
        }
    }
}
