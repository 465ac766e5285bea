//! Small JSON files that change atomically.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// How names of files that are being written start; recovery removes them.
pub(crate) const TEMPORARY: &str = ".new-";

/// Writes `value` to `path`, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let staged = path.with_file_name(format!("{TEMPORARY}{}", content::unique()));
    let write = || -> io::Result<()> {
        fs::write(&staged, serde_json::to_vec(value)?)?;
        fs::rename(&staged, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&staged);
        Error::io("write", path)(error)
    })
}

/// Reads a JSON file; `None` when there is none, or an empty one: that is what a crash of
/// the machine leaves of a file that was renamed but never synced.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) if bytes.is_empty() => return Ok(None),
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|source| Error::Format { path: path.to_owned(), source })
}

/// Removes a file; whether it was there.
pub(crate) fn remove_file(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

/// Renames; whether the source was there.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<bool, Error> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("move away", from)(error)),
    }
}

/// The names in a directory in order, without files that are being written.
pub(crate) fn list(directory: &Path) -> Result<Vec<String>, Error> {
    let failed = || Error::io("list", directory);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        names.extend(name.into_string().ok().filter(|name| !name.starts_with(TEMPORARY)));
    }
    names.sort_unstable();
    Ok(names)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
