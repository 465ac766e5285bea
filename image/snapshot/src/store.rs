//! The snapshot store: where things are, its books and its trash.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use base::failpoint;

use crate::{Error, files, limited, tree};

/// A snapshot store on disk. Values are cheap; any number of processes may have one open.
#[derive(Clone, Debug)]
pub struct Snapshots {
    root: PathBuf,
}

impl Snapshots {
    /// Opens the store at `root` and makes it if there is none.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let store = Self { root: root.to_owned() };
        if !store.path("trash").is_dir() {
            for directory in ["layers", "chains", "staging", "active", "leases", "unsynced", "trash"] {
                let path = store.path(directory);
                let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
                made.map_err(Error::io("create the directory", path))?;
            }
        }
        Ok(store)
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Protects chains from [`Snapshots::prune`] while an image is pulled; the leases'
    /// objects are chain ids.
    pub fn leases(&self) -> content::Leases {
        content::Leases::new(self.path("leases"), self.path("lock"))
    }

    /// What was committed since the last sync. A caller that syncs anyway takes
    /// [`content::Journal::pending`] before and settles it afterwards.
    pub fn journal(&self) -> content::Journal {
        content::Journal::new(self.path("unsynced"))
    }

    /// Waits until the disk has every committed layer: `syncfs(2)`. Nothing happens when
    /// nothing was committed since the last time.
    pub fn sync(&self) -> Result<(), Error> {
        let journal = self.journal();
        if journal.is_empty()? {
            return Ok(());
        }
        let pending = journal.pending()?;
        journal.sync()?;
        Ok(journal.settle(pending)?)
    }

    /// Deletes what was removed. Whoever removes something calls this when nobody waits.
    pub fn empty_trash(&self) -> Result<(), Error> {
        let path = self.path("trash");
        let failed = || Error::io("empty the trash", &path);
        let trash = tree::open_directory(&path).map_err(failed())?;
        for name in tree::names(&trash).map_err(Error::io("list", &path))? {
            limited::give_back(&path.join(std::ffi::OsStr::from_bytes(name.to_bytes())))?;
            tree::remove(trash.as_fd(), &name).map_err(failed())?;
            failpoint::hit("snapshot.trash-half");
        }
        Ok(())
    }

    /// Moves a directory of ours into the trash; whether it was there.
    pub(crate) fn discard(&self, path: &Path) -> Result<bool, Error> {
        files::rename(path, &self.path("trash").join(content::unique()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}
