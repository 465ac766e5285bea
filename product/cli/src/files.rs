//! Files of the host, measured.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of all files below a directory; what cannot be read counts as nothing.
pub(crate) fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.path().symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.size(),
        Err(_) => 0,
    });
    sizes.sum()
}
