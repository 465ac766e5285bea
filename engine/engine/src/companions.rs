//! Where the executables of the shim and the runtime come from.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Finds the executable of that name, laying it down below the state root if need be.
type Locate = dyn Fn(&str, &Path) -> io::Result<PathBuf> + Send + Sync;

/// The executables that the engine starts.
#[derive(Clone)]
pub struct Companions {
    locate: Arc<Locate>,
}

impl Companions {
    /// Companions that `locate(name, state root)` finds.
    pub fn new(locate: impl Fn(&str, &Path) -> io::Result<PathBuf> + Send + Sync + 'static) -> Self {
        Self { locate: Arc::new(locate) }
    }

    /// Companions that lie in one directory.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self::new(move |name, _| Ok(directory.join(name)))
    }

    /// The path of an executable.
    pub fn path(&self, name: &str, state: &Path) -> io::Result<PathBuf> {
        (self.locate)(name, state)
    }

    /// The shim's executable behind a descriptor that no container can write through.
    pub(crate) fn shim(&self, state: &Path) -> io::Result<OwnedFd> {
        sys::exe::sealed_of(&self.path(SHIM, state)?)
    }
}

impl fmt::Debug for Companions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Companions")
    }
}

/// The supervisor's name.
pub const SHIM: &str = "strake-shim";
