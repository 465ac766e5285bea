//! What can go wrong with files of containers.

use std::io;
use std::path::PathBuf;

use archive::tar::TarError;
use base::{Classified, ErrorClass};

/// Files could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// There is nothing at the path.
    #[error("Could not find the file {path} in container {container}")]
    NotFound {
        /// The path.
        path: String,
        /// The container.
        container: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Archives are unpacked in directories only.
    #[error("extraction point is not a directory: {path}; name one that is")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// A file would have become a directory.
    #[error("cannot overwrite non-directory {target:?} with directory {name:?}; remove it first")]
    OverwritesFile {
        /// What is there.
        target: PathBuf,
        /// The entry.
        name: String,
    },
    /// A directory would have become a file.
    #[error("cannot overwrite directory {target:?} with non-directory {name:?}; remove it first")]
    OverwritesDirectory {
        /// What is there.
        target: PathBuf,
        /// The entry.
        name: String,
    },
    /// An entry's name leads out of the directory.
    #[error("the archive's entry {name:?} leads out of the directory that it is unpacked in")]
    Escapes {
        /// The entry.
        name: String,
    },
    /// The kernel refused.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is there cannot be written to.
    #[error("{} is on a file system that is mounted read-only", path.display())]
    ReadOnly {
        /// The path.
        path: PathBuf,
    },
    /// The archive.
    #[error("the archive of the files")]
    Archive(#[source] TarError),
}

impl FilesError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { operation, path, source },
        }
    }
}

impl From<TarError> for FilesError {
    fn from(error: TarError) -> Self {
        Self::Archive(error)
    }
}

impl Classified for FilesError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { source, .. } | Self::Io { source, .. } => ErrorClass::of_io(source),
            Self::NotADirectory { .. }
            | Self::OverwritesFile { .. }
            | Self::OverwritesDirectory { .. }
            | Self::Escapes { .. }
            | Self::Archive(_) => ErrorClass::Invalid,
            Self::ReadOnly { .. } => ErrorClass::PermissionDenied,
        }
    }
}
