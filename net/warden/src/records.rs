//! Hearing of changes to the records of attachments: `inotify(7)`.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use base::ContainerId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// A watch of the directory of records.
#[derive(Debug)]
pub(crate) struct RecordWatch {
    fd: OwnedFd,
}

/// What has changed since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The records of these containers.
    Some(BTreeSet<ContainerId>),
    /// Nobody knows any more.
    Anything,
}

impl RecordWatch {
    pub(crate) fn open(records: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        inotify::add_watch(&fd, records, flags)?;
        Ok(Self { fd })
    }

    /// Takes what has come.
    pub(crate) fn take(&mut self) -> io::Result<Changed> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
        let mut some = BTreeSet::new();
        let mut lost = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            lost |= event.events().intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED);
            let name = event.file_name().and_then(|name| name.to_str().ok());
            some.extend(name.and_then(|name| ContainerId::parse(name).ok()));
        }
        Ok(if lost { Changed::Anything } else { Changed::Some(some) })
    }
}

impl AsRawFd for RecordWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Room for some forty events.
const BUFFER_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_whose_record_has_changed() {
        let dir = testkit::TempDir::new();
        let mut watch = RecordWatch::open(dir.path()).expect("watch");
        assert_eq!(watch.take().expect("nothing"), Changed::Some(BTreeSet::new()));
        std::fs::write(dir.join("scratch!"), "x").expect("write");
        std::fs::rename(dir.join("scratch!"), dir.join("one")).expect("rename");
        std::fs::write(dir.join("two"), "x").expect("write");
        std::fs::remove_file(dir.join("two")).expect("remove");
        let ids = ["one", "two"].map(|id| ContainerId::parse(id).expect("id"));
        assert_eq!(watch.take().expect("both"), Changed::Some(ids.into()));
    }
}
