//! Advisory locks on files: `flock(2)`. They vanish with their holder.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Error;

/// A held lock on a file; dropped, it is free again.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody holds the lock exclusively.
    pub fn shared(path: &Path) -> Result<Self, Error> {
        Self::take(path, FlockOperation::LockShared)
    }

    /// Waits until nobody else holds the lock.
    pub fn exclusive(path: &Path) -> Result<Self, Error> {
        Self::take(path, FlockOperation::LockExclusive)
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Self, Error> {
        // Opening before creating: the file is there on all calls but the first.
        let file = File::open(path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => File::options().create(true).append(true).open(path),
            _ => Err(error),
        });
        let file = file.map_err(Error::io("open the lock", path))?;
        wait(&file, operation).map_err(Error::io("lock", path))?;
        Ok(Self { _file: file })
    }
}

/// Takes the lock on `file` if nobody else holds it.
pub(crate) fn try_exclusive(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits for the lock on `file`; a signal does not end the wait.
fn wait(file: &File, operation: FlockOperation) -> io::Result<()> {
    loop {
        match flock(file, operation) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
