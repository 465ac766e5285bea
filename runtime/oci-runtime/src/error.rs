//! What can go wrong, with the object and the way out in the text.

use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass};

/// A failed operation of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory has no such container.
    #[error("container {id:?} does not exist")]
    NotFound {
        /// Which.
        id: String,
    },
    /// The id is taken.
    #[error("container with id exists: {id}: delete it first or choose another id")]
    Exists {
        /// Which.
        id: String,
    },
    /// A file or directory could not be used.
    #[error("{what} {}", path.display())]
    Path {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Exists { .. } => ErrorClass::AlreadyExists,
            Self::Path { source, .. } => source.class(),
        }
    }
}
