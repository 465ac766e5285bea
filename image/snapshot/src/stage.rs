//! Layers that are unpacked but not yet committed.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use archive::tar::{self, Reader};
use base::{Digest, failpoint};
use content::Lock;
use rustix::fs::{FlockOperation, Mode, flock};

use crate::apply::{self, Outcome};
use crate::error::ApplyError;
use crate::stream::{DiffStream, Hashing};
use crate::{Error, Limits, Snapshots, tree};

/// Which layer is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// What the uncompressed archive's digest must be; from the image configuration.
    pub diff_id: Digest,
    /// The digest of the blob that it comes from, for the record.
    pub blob: Option<Digest>,
    /// The length of that blob in bytes, for the record.
    pub blob_size: Option<u64>,
}

/// An unpacked layer that nobody can see yet. Dropped, it is discarded.
#[derive(Debug)]
pub struct Staged {
    pub(crate) spec: LayerSpec,
    pub(crate) outcome: Outcome,
    pub(crate) staging: Staging,
}

impl Staged {
    /// The digest of the uncompressed archive.
    pub fn diff_id(&self) -> &Digest {
        &self.spec.diff_id
    }

    /// Bytes of file content.
    pub fn bytes(&self) -> u64 {
        self.outcome.bytes
    }

    /// Entries of the archive.
    pub fn entries(&self) -> u64 {
        self.outcome.entries
    }

    /// What could not be kept.
    pub fn warnings(&self) -> &[String] {
        &self.outcome.warnings
    }

    /// Says which blob the layer is stored as, for one that was imported.
    #[must_use]
    pub fn with_blob(mut self, blob: Digest, size: u64) -> Self {
        self.spec.blob = Some(blob);
        self.spec.blob_size = Some(size);
        self
    }
}

impl Snapshots {
    /// Unpacks a layer where nobody sees it; any number at the same time. Verifies the
    /// diffID. `stream` is the uncompressed archive (see [`crate::open_layer`]).
    pub fn stage<S: DiffStream>(
        &self,
        spec: &LayerSpec,
        stream: S,
        limits: &Limits,
    ) -> Result<Staged, Error> {
        let apply_error = |source| Error::Apply { diff_id: spec.diff_id.clone(), source };
        let staging = self.new_staging()?;
        let (outcome, actual) = unpack(&staging, stream, limits)?.map_err(apply_error)?;
        if actual != spec.diff_id {
            return Err(apply_error(ApplyError::WrongDiffId { expected: spec.diff_id.clone(), actual }));
        }
        failpoint::hit("snapshot.staged");
        Ok(Staged { spec: spec.clone(), outcome, staging })
    }

    /// Unpacks an uncompressed archive whose diffID is not known before (an import, or
    /// the built-in image).
    pub fn stage_import<R: Read>(&self, archive: R, limits: &Limits) -> Result<Staged, Error> {
        let staging = self.new_staging()?;
        let unknown = Digest::sha256_of(b"");
        let unpacked = unpack(&staging, Hashing::new(archive), limits)?;
        let (outcome, diff_id) = unpacked.map_err(|source| Error::Apply { diff_id: unknown, source })?;
        failpoint::hit("snapshot.staged");
        Ok(Staged { spec: LayerSpec { diff_id, blob: None, blob_size: None }, outcome, staging })
    }

    /// A new directory in staging, marked as in use by a lock that goes with us.
    pub(crate) fn new_staging(&self) -> Result<Staging, Error> {
        let path = self.path("staging").join(content::unique());
        let failed = || Error::io("create the directory", &path);
        // Recovery must not meet the directory before it is locked.
        let _shared = Lock::shared(&self.path("lock"))?;
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed())?;
        let lock = File::open(&path).map_err(failed())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed()(errno.into()))?;
        failpoint::hit("snapshot.stage-created");
        Ok(Staging { store: self.clone(), path: path.clone(), _lock: lock, kept: false })
    }
}

type Unpacked = Result<(Outcome, Digest), ApplyError>;

fn unpack<S: DiffStream>(staging: &Staging, stream: S, limits: &Limits) -> Result<Unpacked, Error> {
    let root = staging.make("fs", 0o755)?;
    let tar_limits = tar::Limits { entries: limits.entries, ..tar::Limits::default() };
    let mut reader = Reader::with_limits(stream, tar_limits);
    let unpack = || {
        let outcome = apply::unpack(&mut reader, root, limits)?;
        // The diffID is over everything, also what follows the archive's end.
        reader.drain()?;
        let digest = reader.into_inner().finish().map_err(ApplyError::Read)?;
        Ok((outcome, digest))
    };
    Ok(unpack())
}

/// A directory in staging. Dropped, it goes to the trash and is deleted.
#[derive(Debug)]
pub(crate) struct Staging {
    store: Snapshots,
    path: PathBuf,
    _lock: File,
    kept: bool,
}

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it and opens it.
    pub(crate) fn make(&self, name: &str, mode: u32) -> Result<OwnedFd, Error> {
        let path = self.path.join(name);
        let failed = || Error::io("create the directory", &path);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed())?;
        let directory = tree::open_directory(&path).map_err(failed())?;
        // Whatever the process's umask is.
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode))
            .map_err(Error::io("set the mode of", &path))?;
        Ok(directory)
    }

    /// Moves the whole directory to its final place.
    pub(crate) fn keep(mut self, target: &Path) -> Result<(), Error> {
        fs::rename(&self.path, target).map_err(Error::io("rename to", target))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.kept && self.store.discard(&self.path).is_ok() {
            // What cannot be deleted now stays in the trash for the next time.
            let _ = self.store.empty_trash();
        }
    }
}
