//! A container that is started, waited for and deleted by the process that has made it: `run`.
//!
//! It needs no gate, since its init waits at the channel that it was set up by, and its record need
//! not be read again. For all others it is recorded as any container is.

use std::os::fd::OwnedFd;

use crate::channel::{FromInit, RuntimeEnd};
use crate::error::Error;
use crate::options::Created;
use crate::state::ContainerRecord;
use crate::store::StateDir;

/// A container whose init waits for us. If this is dropped before the start, init ends.
#[derive(Debug)]
pub struct Held {
    /// Its init.
    pub created: Created,
    pub(crate) channel: RuntimeEnd,
    /// The record's file, by which it is known again.
    pub(crate) file: OwnedFd,
    pub(crate) dir: StateDir,
    pub(crate) record: ContainerRecord,
}

impl Held {
    /// Lets init go on, and waits until it has executed its program or given up. Its end of the channel
    /// is close-on-exec: that it closes without a word is success.
    pub(crate) fn release(&self) -> Result<(), Error> {
        self.channel.go().map_err(Error::system("release init"))?;
        match self.channel.receive().map_err(Error::system("hear from init"))? {
            FromInit::Failed(failure) => Err(failure.into()),
            _ => Ok(()),
        }
    }

    /// Whether the container is recorded still: another process may have deleted it, and a new one have
    /// been given its id.
    pub(crate) fn is_recorded(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| stat.st_nlink > 0)
    }
}
