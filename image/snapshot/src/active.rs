//! Snapshots: what one container sees.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use base::{ContainerId, Digest, failpoint};
use content::Lock;
use rustix::fs::{Gid, Mode, Uid};
use serde::{Deserialize, Serialize};
use sys::idmap::outside;

use crate::files::{list, now, read_json, write_json};
use crate::limited::Limiting;
use crate::{Error, IdMap, Limit, Snapshots, finalize, idmap, tree};

/// Whether a snapshot can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It has an upper directory of its own.
    Active,
    /// Read-only.
    View,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Its key: the container's id.
    pub key: ContainerId,
    /// Whether it can be written to.
    pub kind: Kind,
    /// The layers under it; none for an empty root file system.
    pub chain_id: Option<Digest>,
    /// The user namespace that it is for.
    pub idmap: Option<IdMap>,
    /// The most that it may take of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Seconds since 1970 when it was made.
    pub created: u64,
    /// The upper directory of an active snapshot.
    #[serde(skip)]
    pub upper: Option<PathBuf>,
}

impl Snapshots {
    /// Makes a writable snapshot on top of `chain`; without a chain it is empty.
    ///
    /// With a map, ids on disk are those inside the user namespace for the layers, and
    /// those of the host for what the container writes.
    pub fn prepare(
        &self,
        key: &ContainerId,
        chain: Option<&Digest>,
        idmap: Option<&IdMap>,
    ) -> Result<Active, Error> {
        self.make(key, Kind::Active, chain, idmap, None)
    }

    /// As [`Snapshots::prepare`]; the container's files may take no more than `bytes` of the disk. That takes a file
    /// system with project quotas and root.
    pub fn prepare_limited(
        &self,
        key: &ContainerId,
        chain: Option<&Digest>,
        idmap: Option<&IdMap>,
        bytes: u64,
    ) -> Result<Active, Error> {
        self.make(key, Kind::Active, chain, idmap, Some(bytes))
    }

    /// Makes a read-only snapshot of `chain`.
    pub fn view(&self, key: &ContainerId, chain: &Digest, idmap: Option<&IdMap>) -> Result<Active, Error> {
        self.make(key, Kind::View, Some(chain), idmap, None)
    }

    fn make(
        &self,
        key: &ContainerId,
        kind: Kind,
        chain: Option<&Digest>,
        idmap: Option<&IdMap>,
        max_bytes: Option<u64>,
    ) -> Result<Active, Error> {
        idmap.map_or(Ok(()), idmap::validate)?;
        let target = self.active_path(key);
        let exists = || Error::AlreadyExists { key: key.to_string() };
        let staging = self.new_staging()?;
        // From here to the rename, so that a prune sees the chain in use or gone.
        let _shared = Lock::shared(&self.path("lock"))?;
        if target.exists() {
            return Err(exists());
        }
        let top = chain.map(|chain| {
            let found = self.find_chain(chain)?;
            found.ok_or_else(|| Error::ChainNotFound { chain_id: chain.clone() })
        });
        let top = top.transpose()?;
        let mut limiting = None;
        if kind == Kind::Active {
            let upper = staging.make("fs", 0o755)?;
            let work = staging.make("work", 0o755)?;
            if let Some(top) = &top {
                // A merged directory is what its topmost layer says: here, the upper.
                let failed = Error::io("take over the root directory's metadata from", &top.path);
                let source = tree::open_directory(&top.path).map_err(failed)?;
                let taken = finalize::copy_metadata(source.as_fd(), b"", upper.as_fd(), b"");
                taken.map_err(|source| Error::Apply { diff_id: top.diff_id.clone(), source })?;
            }
            if let Some(idmap) = idmap {
                shift_owner(&upper, idmap)
                    .map_err(Error::io("give the upper directory to its owner in", &target))?;
            }
            if let Some(bytes) = max_bytes {
                limiting = Some(self.start_limiting(key, bytes, upper, work)?);
            }
        }
        let active = Active {
            key: key.clone(),
            kind,
            chain_id: chain.cloned(),
            idmap: idmap.cloned(),
            limit: limiting.as_ref().map(|limiting| limiting.limit),
            created: now(),
            upper: None,
        };
        let record = staging.path().join(RECORD);
        write_json(&record, &active)?;
        // With the project on record, so that whoever clears the directory away gives it back.
        limiting.map_or(Ok(()), Limiting::finish)?;
        failpoint::hit("snapshot.active-staged");
        match staging.keep(&target) {
            Ok(()) => {}
            Err(Error::Io { source, .. }) if is_taken(&source) => return Err(exists()),
            Err(error) => return Err(error),
        }
        failpoint::hit("snapshot.active-prepared");
        Ok(self.with_upper(active))
    }

    /// The snapshot `key`.
    pub fn snapshot(&self, key: &ContainerId) -> Result<Active, Error> {
        let found: Option<Active> = read_json(&self.active_path(key).join(RECORD))?;
        let found = found.ok_or_else(|| Error::NotFound { key: key.to_string() })?;
        Ok(self.with_upper(found))
    }

    /// All snapshots.
    pub fn snapshots(&self) -> Result<Vec<Active>, Error> {
        let mut all = Vec::new();
        for name in list(&self.path("active"))? {
            let found: Option<Active> = read_json(&self.path("active").join(name).join(RECORD))?;
            all.extend(found.map(|found| self.with_upper(found)));
        }
        Ok(all)
    }

    /// Removes a snapshot; whether there was one. Its files are deleted later, by
    /// [`Snapshots::empty_trash`]. A mount of it that still lives loses its files then.
    pub fn remove(&self, key: &ContainerId) -> Result<bool, Error> {
        let removed = self.discard(&self.active_path(key))?;
        failpoint::hit("snapshot.removed");
        Ok(removed)
    }

    pub(crate) fn active_path(&self, key: &ContainerId) -> PathBuf {
        self.path("active").join(key)
    }

    /// The upper directory of a snapshot that has one.
    pub(crate) fn upper(&self, key: &ContainerId) -> Result<PathBuf, Error> {
        self.snapshot(key)?.upper.ok_or_else(|| Error::ReadOnly { key: key.to_string() })
    }

    fn with_upper(&self, active: Active) -> Active {
        let upper = (active.kind == Kind::Active).then(|| self.active_path(&active.key).join("fs"));
        Active { upper, ..active }
    }
}

/// A rename onto a directory that is not empty.
fn is_taken(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists)
}

/// The upper directory has the layer's owner, by its number inside.
fn shift_owner(upper: &std::os::fd::OwnedFd, idmap: &IdMap) -> std::io::Result<()> {
    let stat = rustix::fs::fstat(upper)?;
    let unmapped = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "the id map has no such owner");
    let uid = outside(&idmap.uids, stat.st_uid).ok_or_else(unmapped)?;
    let gid = outside(&idmap.gids, stat.st_gid).ok_or_else(unmapped)?;
    rustix::fs::fchown(upper, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    // A new owner clears set-user-id bits.
    Ok(rustix::fs::fchmod(upper, Mode::from_raw_mode(stat.st_mode))?)
}

/// The file that makes a directory in `active/` a snapshot.
pub(crate) const RECORD: &str = "snapshot.json";

/// Removes the marks by which overlayfs refuses to mount a volatile upper directory again.
/// Without a crash of the machine the kernel has all of it, written out or not.
pub(crate) fn clear_volatile(work: &std::path::Path) -> Result<(), Error> {
    let marked = work.join("work");
    if !marked.join("incompat").exists() {
        return Ok(());
    }
    let directory = tree::open_directory(&marked).map_err(Error::io("open", &marked))?;
    tree::remove(directory.as_fd(), c"incompat").map_err(Error::io("remove the volatile mark in", marked))
}
