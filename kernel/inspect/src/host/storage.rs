//! The file system under the data root.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::mounts::covering;
use crate::procfs::Proc;

/// Where images and containers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageFacts {
    /// The data root as it was asked for.
    pub root: String,
    /// It, or its nearest parent that is there: file systems were tried below it.
    pub tried_in: String,
    /// Whether something can be made there.
    pub writable: bool,
    /// Its file system: `ext4`.
    pub kind: Option<String>,
    /// Options of its mount and file system: `rw`, `noexec`, `prjquota`.
    pub options: Vec<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// What is free for an ordinary user.
    pub free_bytes: u64,
    /// How many files it can hold; 0 where that is not fixed.
    pub files: u64,
    /// How many more.
    pub free_files: u64,
}

impl StorageFacts {
    pub(super) fn of(root: &Path) -> Self {
        let there = nearest(root);
        let space = rustix::fs::statvfs(&there).ok();
        let writable = rustix::fs::access(&there, rustix::fs::Access::WRITE_OK).is_ok();
        let mount = Proc::open().and_then(|proc| proc.this()).and_then(|this| this.mounts()).ok();
        let canonical = std::fs::canonicalize(&there).unwrap_or_else(|_| there.clone());
        let mount = mount.as_ref().and_then(|table| covering(&table.value, &canonical.to_string_lossy()));
        let read_only = mount.is_some_and(crate::mounts::Mount::is_read_only);
        Self {
            root: root.display().to_string(),
            tried_in: there.display().to_string(),
            writable: writable && !read_only,
            kind: mount.map(|mount| mount.fs_type.clone()),
            options: mount
                .map(|mount| mount.options.iter().chain(&mount.super_options).cloned().collect())
                .unwrap_or_default(),
            bytes: space.as_ref().map_or(0, |space| space.f_blocks.saturating_mul(space.f_frsize)),
            free_bytes: space.as_ref().map_or(0, |space| space.f_bavail.saturating_mul(space.f_frsize)),
            files: space.as_ref().map_or(0, |space| space.f_files),
            free_files: space.as_ref().map_or(0, |space| space.f_favail),
        }
    }
}

fn nearest(root: &Path) -> PathBuf {
    root.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}
