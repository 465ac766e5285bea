//! Waiting until a container's record changes. See inotify(7).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

/// Sees each change of the files in a record's directory from now on.
pub(crate) struct Watch(OwnedFd);

impl Watch {
    /// Watches a directory; files are put into it by renaming.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC)?;
        let flags = WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
        inotify::add_watch(&watch, dir, flags)?;
        Ok(Self(watch))
    }

    /// Sleeps until something has changed since the last call, or the directory is gone.
    pub(crate) fn changed(&self) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); EVENTS_BYTES];
        // A signal ends the call too; looking once too often does no harm.
        match Reader::new(&self.0, &mut space).next() {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

const EVENTS_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_record_written_and_its_directory_removed() {
        let top = testkit::TempDir::new();
        let dir = top.path().join("c");
        std::fs::create_dir(&dir).unwrap();
        let watch = Watch::new(&dir).unwrap();
        std::fs::write(dir.join("new"), "").unwrap();
        std::fs::rename(dir.join("new"), dir.join("record")).unwrap();
        watch.changed().unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        watch.changed().unwrap();
        assert_eq!(Watch::new(&dir).err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
