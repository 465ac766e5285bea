//! What is wrong with a store, without changing anything; and mending one thing of it.

use std::collections::BTreeSet;
use std::fs::{self, File};

use base::{Digest, failpoint};

use crate::Error;
use crate::files::{TEMPORARY, list, present, remove};
use crate::lock::{Lock, try_exclusive};
use crate::store::{Store, file_name, parse_file_name};

/// One thing that is wrong, or belongs to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A blob's content has another digest than its name says.
    Damaged {
        /// The digest that it should have.
        digest: Digest,
        /// The digest that it has.
        actual: Digest,
    },
    /// A name reaches a blob that is not there; see [`Store::missing`].
    Missing {
        /// The name.
        name: String,
        /// Which blob.
        digest: Digest,
    },
    /// A blob that no name and no live lease reaches.
    Unreachable {
        /// Which.
        digest: Digest,
        /// Its length.
        bytes: u64,
    },
    /// Labels of a blob that is not there.
    Labels {
        /// The file.
        file: String,
    },
    /// Content that somebody began to fetch and nobody fetches now.
    Partial {
        /// The file.
        file: String,
    },
    /// A lease whose holder is gone.
    Lease {
        /// Its id.
        id: String,
    },
    /// A small file that was being written when its writer died.
    Temporary {
        /// Its directory.
        directory: &'static str,
        /// Its name.
        file: String,
    },
}

impl Store {
    /// Reads every blob and every name again. Whoever pulls or removes meanwhile waits only
    /// while it is looked at what is reachable.
    pub fn examine(&self) -> Result<Vec<Flaw>, Error> {
        let mut flaws = Vec::new();
        let mut damaged = BTreeSet::new();
        for digest in self.blobs()? {
            match self.verify(&digest)? {
                Some(actual) if actual != digest => {
                    damaged.insert(digest.clone());
                    flaws.push(Flaw::Damaged { digest, actual });
                }
                _ => {}
            }
        }
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        for lease in self.leases().list()?.into_iter().filter(|lease| !lease.live) {
            flaws.push(Flaw::Lease { id: lease.id });
        }
        let reachable = self.reachable()?;
        for digest in self.blobs()?.into_iter().filter(|digest| !reachable.contains(digest)) {
            if !damaged.contains(&digest) {
                let bytes = fs::metadata(self.blob_path(&digest)).map_or(0, |metadata| metadata.len());
                flaws.push(Flaw::Unreachable { digest, bytes });
            }
        }
        for name in self.names()? {
            // A damaged manifest cannot be read: it is told of above.
            let Ok(missing) = self.missing(&name.target.digest) else { continue };
            let of_name = |digest| Flaw::Missing { name: name.name.clone(), digest };
            flaws.extend(missing.into_iter().map(of_name));
        }
        self.examine_files(&mut flaws)?;
        Ok(flaws)
    }

    fn examine_files(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        for file in list(&self.path("labels"))? {
            let of = file.strip_suffix(".json").and_then(parse_file_name);
            match of {
                _ if file.starts_with(TEMPORARY) => flaws.push(Flaw::Temporary { directory: "labels", file }),
                Some(digest) if self.blob_path(&digest).exists() => {}
                _ => flaws.push(Flaw::Labels { file }),
            }
        }
        for directory in ["names", "unsynced"] {
            let files = list(&self.path(directory))?.into_iter().filter(|file| file.starts_with(TEMPORARY));
            flaws.extend(files.map(|file| Flaw::Temporary { directory, file }));
        }
        for file in list(&self.path("ingest"))? {
            let path = self.path("ingest").join(&file);
            let Some(opened) = present(File::open(&path)).map_err(Error::io("open", &path))? else {
                continue;
            };
            if try_exclusive(&opened).map_err(Error::io("lock", &path))? {
                flaws.push(Flaw::Partial { file });
            }
        }
        Ok(())
    }

    /// Removes what one flaw is about, if it is still so; a name whose content is not whole
    /// goes, and a pull brings it back.
    pub fn mend(&self, flaw: &Flaw) -> Result<(), Error> {
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        match flaw {
            Flaw::Damaged { digest, .. } => {
                if self.verify(digest)?.is_some_and(|actual| actual != *digest) {
                    self.remove_blob(digest)?;
                }
            }
            Flaw::Unreachable { digest, .. } => {
                if !self.reachable()?.contains(digest) {
                    self.remove_blob(digest)?;
                }
            }
            Flaw::Missing { name, .. } => {
                let found = self.find_name(name)?;
                if found.is_some_and(|found| self.missing(&found.target.digest).is_ok_and(|m| !m.is_empty()))
                {
                    self.remove_name(name)?;
                }
            }
            Flaw::Labels { file } => drop(remove(&self.path("labels").join(file))?),
            Flaw::Temporary { directory, file } => drop(remove(&self.path(directory).join(file))?),
            Flaw::Lease { .. } => drop(self.leases().protected()?),
            Flaw::Partial { file } => {
                let path = self.path("ingest").join(file);
                if let Some(opened) = present(File::open(&path)).map_err(Error::io("open", &path))?
                    && try_exclusive(&opened).map_err(Error::io("lock", &path))?
                {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// What an image lacks to be whole: its document, or parts of a present manifest. An index
    /// may name images of other platforms that were never pulled: those are not missing.
    pub fn missing(&self, root: &Digest) -> Result<Vec<Digest>, Error> {
        if !self.contains(root)? {
            return Ok(vec![root.clone()]);
        }
        let Ok(document) = self.document(root)? else { return Ok(Vec::new()) };
        let is_index = matches!(document, oci_spec::image::Document::Index { .. });
        let mut missing = Vec::new();
        for digest in crate::references(&document) {
            match (self.contains(&digest)?, is_index) {
                (true, true) => missing.extend(self.missing(&digest)?),
                (true, false) | (false, true) => {}
                (false, false) => missing.push(digest),
            }
        }
        Ok(missing)
    }

    fn remove_blob(&self, digest: &Digest) -> Result<(), Error> {
        remove(&self.blob_path(digest))?;
        failpoint::hit("content.mend-removed-one");
        remove(&self.label_path(digest))?;
        self.journal().settle_one(&file_name(digest))
    }
}
