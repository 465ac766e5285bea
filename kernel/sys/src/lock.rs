//! Advisory locks on files that the kernel drops when their holder dies: `flock(2)`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

/// A held lock; dropping it unlocks.
#[derive(Debug)]
pub struct FileLock {
    _fd: OwnedFd,
}

impl FileLock {
    /// Waits for the exclusive lock on the file or directory at `path` (a missing file is made, mode 0600).
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        Self::take(path, FlockOperation::LockExclusive)
    }

    /// Waits for a shared lock.
    pub fn shared(path: &Path) -> io::Result<Self> {
        Self::take(path, FlockOperation::LockShared)
    }

    /// Takes the exclusive lock, or `None` if somebody holds it.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        match Self::take(path, FlockOperation::NonBlockingLockExclusive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            taken => taken.map(Some),
        }
    }

    fn take(path: &Path, operation: FlockOperation) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::open(path, flags | OFlags::CREATE, Mode::from_raw_mode(0o600))?
            }
            opened => opened?,
        };
        lock(&fd, operation)?;
        Ok(Self { _fd: fd })
    }
}

/// Locks an open file or directory; the lock lives as long as the open file description.
pub fn lock_fd<Fd: AsFd>(fd: Fd) -> io::Result<()> {
    lock(fd, FlockOperation::LockExclusive)
}

fn lock<Fd: AsFd>(fd: Fd, operation: FlockOperation) -> io::Result<()> {
    loop {
        match rustix::fs::flock(fd.as_fd(), operation) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
