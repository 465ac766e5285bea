//! Small files that change atomically, and directory listings.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// How names of files that are being written start; recovery removes them.
pub(crate) const TEMPORARY: &str = ".new-";

/// A name in `directory` that no other writer uses.
pub(crate) fn temporary(directory: &Path) -> PathBuf {
    directory.join(format!("{TEMPORARY}{}", unique()))
}

/// A file name that no other call makes, in whatever process. (Process ids would not
/// do: processes of several pid namespaces may share a store.)
pub fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static TOKEN: OnceLock<u64> = OnceLock::new();
    let token = TOKEN.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{token:016x}-{:x}-{count:x}", std::process::id())
}

/// Writes `value` beside `path`; the caller renames it there.
pub(crate) fn stage_json(path: &Path, value: &impl Serialize) -> Result<PathBuf, Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let staged = temporary(directory);
    let write = || -> io::Result<()> {
        let bytes = serde_json::to_vec(value)?;
        File::options().write(true).create(true).truncate(true).open(&staged)?.write_all(&bytes)
    };
    match write() {
        Ok(()) => Ok(staged),
        Err(error) => {
            let _ = fs::remove_file(&staged);
            Err(Error::io("write", staged)(error))
        }
    }
}

/// Reads a JSON file; `None` when there is none, or an empty one: that is what a crash of
/// the machine leaves of a file that was renamed but never synced.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = present(fs::read(path)).map_err(Error::io("read", path))? else { return Ok(None) };
    if bytes.is_empty() {
        return Ok(None);
    }
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|source| Error::Format { path: path.to_owned(), source })
}

/// Turns "not found" into `None`.
pub(crate) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file; whether it was there.
pub(crate) fn remove(path: &Path) -> Result<bool, Error> {
    let removed = present(fs::remove_file(path)).map_err(Error::io("remove", path))?;
    Ok(removed.is_some())
}

/// The names in a directory in order; empty when there is no directory.
pub(crate) fn list(directory: &Path) -> Result<Vec<String>, Error> {
    let Some(entries) = present(fs::read_dir(directory)).map_err(Error::io("list", directory))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", directory))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}
