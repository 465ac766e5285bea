//! Detached overlay mounts.

/// How a snapshot is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Never wait for the disk, neither on `fsync` inside nor when the mount goes away
    /// (overlayfs' `volatile`). For containers that are removed when they end: without it
    /// the last unmount writes out the whole file system that the upper directory is on.
    pub volatile: bool,
    /// Mount it read-only.
    pub read_only: bool,
}
