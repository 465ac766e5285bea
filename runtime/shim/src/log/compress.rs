//! Compresses rotated files. This is no work for a shim: it starts a process for it that ends.
//!
//! The compressed file has no name while it is written, so a process that is killed leaves
//! nothing; then it is linked beside the plain one, which is removed. Names change under a
//! lock of their own only, for microseconds, and a file that is being compressed is locked
//! itself: a second process sees that, and leaves all files to the first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags, flock};

use super::kept::{self, FILES_MAX};
use super::{hold_names, packed, rotated};

/// Compresses what is rotated and still plain of the log at `path`, oldest first, until nothing
/// is left of it. Returns at once when another process does it.
pub fn compress_rotated(path: &Path) -> io::Result<()> {
    let mut names = hold_names(path, FlockOperation::LockExclusive)?;
    while let Some((plain, inode)) = oldest_plain(path)? {
        match flock(&plain, FlockOperation::NonBlockingLockExclusive) {
            // It looks again under the lock of the names before it ends: nothing is left over.
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
            other => other?,
        }
        drop(names);
        let made = compress(path, &plain, inode)?;
        base::failpoint::hit("log.compressed");
        names = hold_names(path, FlockOperation::LockExclusive)?;
        put(path, inode, &made)?;
    }
    Ok(())
}

/// The oldest rotated file that is not compressed.
fn oldest_plain(path: &Path) -> io::Result<Option<(File, u64)>> {
    let mut oldest = None;
    let mut missing = 0;
    for index in 1..FILES_MAX {
        match File::open(rotated(path, index)) {
            Ok(file) => oldest = Some((file, index)),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Err(_) if packed(path, index).exists() => {}
            Err(_) if missing == 1 => break,
            Err(_) => {
                missing += 1;
                continue;
            }
        }
        missing = 0;
    }
    oldest.map(|(file, _)| file.metadata().map(|metadata| (file, metadata.ino()))).transpose()
}

/// A file without a name that has `plain` compressed, and is on the disk.
fn compress(path: &Path, mut plain: &File, inode: u64) -> io::Result<File> {
    let mode = plain.metadata()?.mode() & 0o777;
    let nameless = i32::try_from(OFlags::TMPFILE.bits()).unwrap_or(0);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let file = File::options().write(true).mode(mode).custom_flags(nameless).open(directory)?;
    let mut encoder = GzBuilder::new().extra(kept::origin(inode)).write(file, Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    let mut file = encoder.finish()?;
    file.flush()?;
    file.sync_data()?;
    Ok(file)
}

/// Puts `made` in the place of the file with `inode`, whatever its name is by now.
fn put(path: &Path, inode: u64, made: &File) -> io::Result<()> {
    let is_it = |index: &u32| fs::metadata(rotated(path, *index)).is_ok_and(|found| found.ino() == inode);
    // Rotated out meanwhile, it is wanted no longer.
    let Some(index) = (1..FILES_MAX).find(is_it) else { return Ok(()) };
    let target = packed(path, index);
    // What an earlier process that was killed has linked.
    kept::remove(&target)?;
    let source = PathBuf::from(format!("/proc/self/fd/{}", made.as_fd().as_raw_fd()));
    rustix::fs::linkat(CWD, &source, CWD, &target, AtFlags::SYMLINK_FOLLOW)?;
    base::failpoint::hit("log.linked");
    fs::remove_file(rotated(path, index))
}
