//! Where the executables of the shim and the runtime come from.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// One executable that this program starts.
#[derive(Clone, Debug)]
pub enum Companion {
    /// A file on disk.
    Path(PathBuf),
    /// Bytes carried in our own executable.
    Carried {
        /// The executable that carries it.
        carrier: PathBuf,
        /// Where it begins.
        offset: u64,
        /// How long it is.
        len: u64,
    },
    /// A sealed memfd that holds it.
    Sealed(Arc<OwnedFd>),
}

/// The executables that the engine starts.
#[derive(Clone, Debug)]
pub struct Companions {
    /// The supervisor of a container.
    pub shim: Companion,
}

impl Companion {
    /// Its bytes as an open file, for reading or executing.
    pub fn open(&self) -> std::io::Result<OwnedFd> {
        match self {
            Self::Path(path) => Ok(File::open(path)?.into()),
            Self::Sealed(fd) => fd.try_clone(),
            Self::Carried { carrier, .. } => Ok(File::open(carrier)?.into()),
        }
    }
}
