//! What a container has changed, as `docker diff` has it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use base::ContainerId;

use crate::finalize::as_path;
use crate::mount::{read_only, topmost_only};
use crate::path::join;
use crate::upper::is_opaque;
use crate::{Error, Snapshots, tree};

/// What was done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was there before, and it or something in it is different.
    Modified,
    /// It was not there before.
    Added,
    /// It is not there any more.
    Deleted,
}

/// A path that a container has changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path in the container.
    pub path: PathBuf,
    /// What was done to it.
    pub kind: ChangeKind,
}

impl Snapshots {
    /// What a snapshot's upper directory changes of the layers below it, by path. Of a
    /// directory that was deleted only the directory is listed.
    pub fn changes(&self, key: &ContainerId) -> Result<Vec<Change>, Error> {
        let snapshot = self.snapshot(key)?;
        let layers = snapshot.chain_id.as_ref().map(|chain| self.layers(chain)).transpose()?;
        let layers = topmost_only(layers.unwrap_or_default());
        let lower = match &layers[..] {
            [] => None,
            layers => Some(read_only(key.as_str(), layers, None)?),
        };
        let path = self.upper(key)?;
        changes(&path, lower.as_ref()).map_err(Error::io("look through", path))
    }
}

fn changes(upper: &std::path::Path, lower: Option<&OwnedFd>) -> io::Result<Vec<Change>> {
    let root = tree::open_directory(upper)?;
    let was_there = |path: &[u8]| match lower {
        Some(lower) => tree::lookup_beneath(lower.as_fd(), path).map(|found| found.is_some()),
        None => Ok(false),
    };
    let mut changes = Vec::new();
    let mut add = |path: &[u8], kind| {
        changes.push(Change { path: PathBuf::from("/").join(as_path(path)), kind });
    };
    tree::walk(root.as_fd(), |visit| -> io::Result<()> {
        let before = was_there(visit.path)?;
        if tree::is_whiteout(&visit.stat) {
            // A whiteout of what was never there hides nothing.
            if before {
                add(visit.path, ChangeKind::Deleted);
            }
            return Ok(());
        }
        add(visit.path, if before { ChangeKind::Modified } else { ChangeKind::Added });
        let Some(lower) = lower else { return Ok(()) };
        if before && tree::kind(&visit.stat) == rustix::fs::FileType::Directory && is_opaque(&visit)? {
            for name in names_of(lower, visit.path)? {
                if tree::lookup_beneath(root.as_fd(), &join(visit.path, name.to_bytes()))?.is_none() {
                    add(&join(visit.path, name.to_bytes()), ChangeKind::Deleted);
                }
            }
        }
        Ok(())
    })?;
    changes.sort_unstable();
    Ok(changes)
}

/// The names in a directory of the layers below; none when it is no directory there.
fn names_of(lower: &OwnedFd, path: &[u8]) -> io::Result<Vec<std::ffi::CString>> {
    match tree::open_beneath(lower.as_fd(), path, tree::READ_DIRECTORY) {
        Ok(directory) => Ok(tree::names(directory)?),
        Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::NOENT) => Ok(Vec::new()),
        Err(errno) => Err(errno.into()),
    }
}
