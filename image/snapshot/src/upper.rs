//! What a container has changed.

use std::path::PathBuf;

/// What a container's writable layer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpperReport {
    /// The largest files, largest first.
    pub largest: Vec<UpperFile>,
    /// Paths that the container has deleted from the layers below, in order.
    pub whiteouts: Vec<PathBuf>,
    /// Directories that hide what the layers below have in them.
    pub opaque: Vec<PathBuf>,
    /// Bytes of all files.
    pub bytes: u64,
    /// How many files, directories and links.
    pub entries: u64,
}

/// A file of a writable layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpperFile {
    /// Its path in the container.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it was copied up from a layer below, rather than new.
    pub copied_up: bool,
}
