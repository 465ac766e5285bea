//! Small files of ours: read whole, written whole.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Whether a file must survive a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// It describes something that lasts: synced.
    Yes,
    /// It describes the running kernel and dies with it: not synced.
    No,
}

/// Reads a file of ours; `None` when it does not exist.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Corrupt { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { operation: "read", path: path.to_owned(), source }),
    }
}

/// Replaces a file of ours in one step. `scratch` is a name in the same file system
/// that only the holder of the lock uses.
pub(crate) fn write<T: Serialize>(
    path: &Path,
    scratch: &Path,
    value: &T,
    durable: Durable,
) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| Error::Corrupt { path: path.to_owned(), source })?;
    let replaced = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(scratch)?;
        file.write_all(&bytes)?;
        if durable == Durable::Yes {
            file.sync_all()?;
        }
        fs::rename(scratch, path)?;
        if durable == Durable::Yes
            && let Some(directory) = path.parent()
        {
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    replaced().map_err(|source| Error::File { operation: "write", path: path.to_owned(), source })
}

/// Removes a file of ours; gone already is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::File { operation: "remove", path: path.to_owned(), source }),
    }
}
