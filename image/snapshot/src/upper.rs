//! What a container has changed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use base::ContainerId;
use rustix::fs::FileType;

use crate::finalize::as_path;
use crate::{Error, Snapshots, tree};

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

impl Snapshots {
    /// The `largest` largest files of a snapshot's upper directory, and what it deletes.
    pub fn copied_up(&self, key: &ContainerId, largest: usize) -> Result<UpperReport, Error> {
        let path = self.upper(key)?;
        report(&path, largest).map_err(Error::io("look through", path))
    }
}

fn report(path: &std::path::Path, largest: usize) -> io::Result<UpperReport> {
    let root = tree::open_directory(path)?;
    let mut report = UpperReport::default();
    let mut top = BinaryHeap::new();
    tree::walk(root.as_fd(), |visit| -> io::Result<()> {
        let path = PathBuf::from("/").join(as_path(visit.path));
        if tree::is_whiteout(&visit.stat) {
            report.whiteouts.push(path);
            return Ok(());
        }
        report.entries += 1;
        match tree::kind(&visit.stat) {
            FileType::Directory if is_opaque(&visit)? => report.opaque.push(path),
            FileType::RegularFile => {
                let bytes = u64::try_from(visit.stat.st_size).unwrap_or(0);
                report.bytes += bytes;
                top.push(Reverse((bytes, Reverse(path))));
                if top.len() > largest {
                    top.pop();
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    for Reverse((bytes, Reverse(path))) in top.into_sorted_vec() {
        let below = path.strip_prefix("/").unwrap_or(&path);
        let origin = if sys::user::mapped().is_some() { USER_ORIGIN } else { ORIGIN };
        let origin = tree::xattr(root.as_fd(), below.as_os_str().as_encoded_bytes(), origin)?;
        report.largest.push(UpperFile { copied_up: origin.is_some(), path, bytes });
    }
    Ok(report)
}

/// Whether a directory hides what lower layers have in it.
pub(crate) fn is_opaque(visit: &tree::Visit<'_>) -> io::Result<bool> {
    let mark = tree::xattr(visit.directory, visit.name.to_bytes(), tree::opaque())?;
    Ok(mark.as_deref() == Some(b"y"))
}

/// Where overlayfs notes which lower file a file was copied from.
const ORIGIN: &[u8] = b"trusted.overlay.origin";

/// The same in a user namespace.
const USER_ORIGIN: &[u8] = b"user.overlay.origin";
