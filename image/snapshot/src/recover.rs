//! Clears away what a killed process or a crash of the machine left half done.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;

use base::Digest;
use content::Lock;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::files::{TEMPORARY, list, remove_file};
use crate::{Error, Snapshots};

impl Snapshots {
    /// Clears away what a killed process or a crash of the machine left half done:
    /// staging without a maker, layers without a chain and chains without a layer,
    /// layers that the disk may not have, the trash. Idempotent.
    pub fn recover(&self) -> Result<(), Error> {
        {
            let _exclusive = Lock::exclusive(&self.path("lock"))?;
            self.discard_abandoned()?;
            self.remove_temporary()?;
            self.drop_broken_chains()?;
            self.discard_unreferenced_layers()?;
            self.leases().protected()?;
        }
        self.empty_trash()
    }

    /// Staging directories whose makers are gone are not locked any more.
    fn discard_abandoned(&self) -> Result<(), Error> {
        let directory = self.path("staging");
        for name in list(&directory)? {
            let path = directory.join(name);
            let lock = match File::open(&path) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("open", path)(error)),
            };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => drop(self.discard(&path)?),
                Err(Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(Error::io("lock", path)(errno)),
            }
        }
        Ok(())
    }

    /// Files are written and renamed under the lock: what is still there is left over.
    fn remove_temporary(&self) -> Result<(), Error> {
        for directory in ["chains", "unsynced"] {
            let directory = self.path(directory);
            let failed = || Error::io("list", &directory);
            for entry in fs::read_dir(&directory).map_err(failed())? {
                let entry = entry.map_err(failed())?;
                if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                    remove_file(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Chains that are suspect, that lack their layer or the chain below. Without one,
    /// what is above it goes as well.
    fn drop_broken_chains(&self) -> Result<(), Error> {
        loop {
            let mut dropped = false;
            for name in list(&self.path("chains"))? {
                let parsed =
                    name.strip_suffix(".json").and_then(|hex| Digest::parse(&format!("sha256:{hex}")).ok());
                let whole = match &parsed {
                    Some(chain_id) => self.is_whole(chain_id)?,
                    None => false,
                };
                if !whole {
                    remove_file(&self.path("chains").join(&name))?;
                    dropped = true;
                }
            }
            if !dropped {
                break;
            }
        }
        for hex in self.journal().suspects()? {
            self.journal().settle_one(&hex)?;
        }
        Ok(())
    }

    pub(crate) fn is_whole(&self, chain_id: &Digest) -> Result<bool, Error> {
        // A record that cannot be read was cut by a crash of the machine.
        let layer = match self.find_chain(chain_id) {
            Ok(Some(layer)) => layer,
            Ok(None) | Err(Error::Format { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let has_parent = layer.parent.as_ref().is_none_or(|parent| self.chain_path(parent).exists());
        Ok(has_parent && layer.path.is_dir())
    }

    fn discard_unreferenced_layers(&self) -> Result<(), Error> {
        let used: BTreeSet<String> = self.chains()?.iter().map(|layer| layer.number.to_string()).collect();
        for name in list(&self.path("layers"))?.iter().filter(|name| !used.contains(*name)) {
            self.discard(&self.path("layers").join(name))?;
        }
        Ok(())
    }
}
