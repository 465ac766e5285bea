//! The container's log in docker's json-file form: splitting, writing, rotating, reading.

mod compress;
mod entry;
mod kept;
mod reader;
mod splitter;
mod tail;
mod writer;

pub use compress::compress_rotated;
pub use entry::{LogEntry, LogStream, parse_entry, write_cri_entry, write_entry};
pub use reader::{LogOptions, LogReadError, LogReader};
pub use splitter::{PARTIAL_MAX, Splitter};
pub use writer::LogWriter;

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The `index`th rotated file beside `path`; 0 is the current one.
pub(crate) fn rotated(path: &Path, index: u32) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}"));
    PathBuf::from(name)
}

/// The same file compressed.
pub(crate) fn packed(path: &Path, index: u32) -> PathBuf {
    let mut name = rotated(path, index).into_os_string();
    name.push(".gz");
    PathBuf::from(name)
}

/// Keeps the names of a log's files as they are for as long as the answer is held: whoever
/// renames one, or puts a compressed one in its place, does so under this lock. It is a file of
/// its own: the directory's lock is its owner's.
pub(crate) fn hold_names(path: &Path, how: FlockOperation) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(name)?;
    flock(&file, how)?;
    Ok(file)
}
