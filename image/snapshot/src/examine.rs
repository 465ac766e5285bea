//! What is wrong with the snapshots, without changing anything.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use base::{ContainerId, Digest};
use content::Lock;
use rustix::fs::{FlockOperation, flock};

use crate::active::RECORD;
use crate::files::{TEMPORARY, list};
use crate::prune::mark;
use crate::{Error, Snapshots};

/// One thing that is wrong, or belongs to nobody. All but [`Flaw::Orphan`] and
/// [`Flaw::Halved`] are mended by [`Snapshots::recover`] and [`Snapshots::prune`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A layer or a snapshot that was being made when its maker died.
    Staging {
        /// Its directory in `staging/`.
        name: String,
    },
    /// A chain without its layer, or without the chain below it.
    Chain {
        /// Its record's file.
        file: String,
    },
    /// A layer's directory that no chain names.
    Layer {
        /// Its directory in `layers/`.
        name: String,
    },
    /// A chain that neither an image, nor a snapshot, nor a lease needs.
    Unneeded {
        /// Which.
        chain: Digest,
        /// Bytes of file content of its own layer.
        bytes: u64,
    },
    /// What was removed and is still to be deleted.
    Trash {
        /// Its directory in `trash/`.
        name: String,
    },
    /// A small file that was being written when its writer died.
    Temporary {
        /// Its path below the store.
        path: String,
    },
    /// A lease whose holder is gone.
    Lease {
        /// Its id.
        id: String,
    },
    /// A directory in `active/` without a record, or without its upper or work directory.
    Halved {
        /// Its name.
        name: String,
        /// What is not there.
        lacks: &'static str,
    },
    /// A snapshot whose owner is gone.
    Orphan {
        /// Its key.
        key: ContainerId,
    },
}

impl Snapshots {
    /// Looks at everything. `keep` are the chains that images need, none while that cannot be
    /// told; `is_owned` says whether a snapshot's owner is there.
    pub fn examine(
        &self,
        keep: Option<&[Digest]>,
        is_owned: impl Fn(&ContainerId) -> bool,
    ) -> Result<Vec<Flaw>, Error> {
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        let mut flaws = Vec::new();
        self.examine_staging(&mut flaws)?;
        self.examine_layers(keep, &mut flaws)?;
        for directory in ["chains", "unsynced"] {
            let files = list(&self.path(directory))?.into_iter().filter(|file| file.starts_with(TEMPORARY));
            flaws.extend(files.map(|file| Flaw::Temporary { path: format!("{directory}/{file}") }));
        }
        for lease in self.leases().list().map_err(Error::from)?.into_iter().filter(|lease| !lease.live) {
            flaws.push(Flaw::Lease { id: lease.id });
        }
        for name in list(&self.path("trash"))? {
            flaws.push(Flaw::Trash { name });
        }
        for name in list(&self.path("active"))? {
            let directory = self.path("active").join(&name);
            let key = ContainerId::parse(&name);
            let lacks = [RECORD, "fs", "work"].into_iter().find(|part| !directory.join(part).exists());
            match (lacks, key) {
                (Some(lacks), _) if lacks == RECORD || self.is_writable(&name) => {
                    flaws.push(Flaw::Halved { name, lacks });
                }
                (_, Ok(key)) if !is_owned(&key) => flaws.push(Flaw::Orphan { key }),
                _ => {}
            }
        }
        Ok(flaws)
    }

    /// Removes a directory in `active/` that is no snapshot.
    pub fn remove_halved(&self, name: &str) -> Result<(), Error> {
        if name.contains('/') || name.starts_with('.') {
            return Ok(());
        }
        self.discard(&self.path("active").join(name)).map(drop)
    }

    /// A view has no upper directory.
    fn is_writable(&self, name: &str) -> bool {
        let key = ContainerId::parse(name).ok();
        key.and_then(|key| self.snapshot(&key).ok()).is_none_or(|active| active.upper.is_some())
    }

    fn examine_staging(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let directory = self.path("staging");
        for name in list(&directory)? {
            let lock = match File::open(directory.join(&name)) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("open", directory.join(name))(error)),
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                flaws.push(Flaw::Staging { name });
            }
        }
        Ok(())
    }

    fn examine_layers(&self, keep: Option<&[Digest]>, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let mut chains = Vec::new();
        for file in list(&self.path("chains"))?.into_iter().filter(|file| !file.starts_with(TEMPORARY)) {
            let digest =
                file.strip_suffix(".json").and_then(|hex| Digest::parse(&format!("sha256:{hex}")).ok());
            match digest {
                Some(digest) if self.is_whole(&digest)? => chains.extend(self.find_chain(&digest)?),
                _ => flaws.push(Flaw::Chain { file }),
            }
        }
        let used: BTreeSet<String> = chains.iter().map(|layer| layer.number.to_string()).collect();
        let layers = list(&self.path("layers"))?.into_iter().filter(|name| !used.contains(name));
        flaws.extend(layers.map(|name| Flaw::Layer { name }));
        let Some(keep) = keep else { return Ok(()) };
        let parents = chains.iter().map(|layer| (layer.chain_id.clone(), layer.parent.clone())).collect();
        let live = self.leases().list().map_err(Error::from)?.into_iter().filter(|lease| lease.live);
        let leased = live.flat_map(|lease| lease.objects).filter_map(|text| Digest::parse(&text).ok());
        let snapshots = self.snapshots()?.into_iter().filter_map(|snapshot| snapshot.chain_id);
        let needed = mark(&parents, keep.iter().cloned().chain(leased).chain(snapshots));
        for layer in chains.into_iter().filter(|layer| !needed.contains(&layer.chain_id)) {
            flaws.push(Flaw::Unneeded { chain: layer.chain_id, bytes: layer.bytes });
        }
        Ok(())
    }
}
