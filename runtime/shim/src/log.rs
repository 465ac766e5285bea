//! The container's log in docker's json-file form: splitting, writing, rotating, reading.

mod entry;
mod reader;
mod splitter;
mod tail;
mod writer;

pub use entry::{LogEntry, LogStream, parse_entry, write_cri_entry, write_entry};
pub use reader::{LogOptions, LogReadError, LogReader};
pub use splitter::{PARTIAL_MAX, Splitter};
pub use writer::LogWriter;

use std::path::{Path, PathBuf};

/// The `index`th rotated file beside `path`; 0 is the current one.
pub(crate) fn rotated(path: &Path, index: u32) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}"));
    PathBuf::from(name)
}
