//! What was committed since the disk was last known to have everything.
//!
//! Syncing each blob and each unpacked file would cost more than fetching them. So a
//! commit only notes the object in the journal, and one `syncfs(2)` before an image
//! gets its name settles all notes. After a crash of the machine the notes carry
//! another boot id than the running kernel's: these objects are suspect, and are
//! verified again or dropped before anyone relies on them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::files::{list, present, remove, temporary};
use crate::{Error, files};

/// A directory of notes, one file an object; each holds the boot id it was made under.
#[derive(Clone, Debug)]
pub struct Journal {
    directory: PathBuf,
}

/// Notes that one sync is going to settle.
#[derive(Debug)]
#[must_use = "settle it after the sync"]
pub struct Pending(Vec<String>);

impl Journal {
    /// The journal in `directory`, which must exist.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Notes that the object `key` is about to be committed.
    pub fn note(&self, key: &str) -> Result<(), Error> {
        let path = self.directory.join(key);
        let staged = temporary(&self.directory);
        let written = fs::write(&staged, boot_id()).and_then(|()| fs::rename(&staged, &path));
        written.map_err(Error::io("write", path))
    }

    /// Whether the object `key` was committed before a crash of the machine and never
    /// known to be on disk.
    pub fn is_suspect(&self, key: &str) -> Result<bool, Error> {
        let path = self.directory.join(key);
        let noted = present(fs::read_to_string(&path)).map_err(Error::io("read", path))?;
        Ok(noted.is_some_and(|boot| boot != boot_id()))
    }

    /// All suspect objects.
    pub fn suspects(&self) -> Result<Vec<String>, Error> {
        let mut suspects = list(&self.directory)?;
        suspects.retain(|key| !key.starts_with(files::TEMPORARY));
        let mut found = Vec::new();
        for key in suspects {
            if self.is_suspect(&key)? {
                found.push(key);
            }
        }
        Ok(found)
    }

    /// Takes the note of `key` away.
    pub fn settle_one(&self, key: &str) -> Result<(), Error> {
        remove(&self.directory.join(key)).map(drop)
    }

    /// The notes that a sync started from now on settles. Suspect ones are not among them.
    pub fn pending(&self) -> Result<Pending, Error> {
        let mut keys = list(&self.directory)?;
        if keys.is_empty() {
            return Ok(Pending(keys));
        }
        let suspects = self.suspects()?;
        keys.retain(|key| !suspects.contains(key) && !key.starts_with(files::TEMPORARY));
        Ok(Pending(keys))
    }

    /// Takes the notes away that a finished sync has settled.
    pub fn settle(&self, pending: Pending) -> Result<(), Error> {
        pending.0.into_iter().try_for_each(|key| self.settle_one(&key))
    }

    /// Writes everything of the file system that the journal is on: `syncfs(2)`.
    pub fn sync(&self) -> Result<(), Error> {
        let synced = File::open(&self.directory).and_then(|directory| Ok(rustix::fs::syncfs(directory)?));
        synced.map_err(Error::io("sync the file system of", &self.directory))
    }

    /// Whether nothing is noted.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(list(&self.directory)?.is_empty())
    }

    /// Where the notes are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The id of this boot of the kernel: `/proc/sys/kernel/random/boot_id`.
///
/// Where `/proc` is not mounted it is empty, and then no object is ever suspect.
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}
