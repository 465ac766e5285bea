//! The store itself: blobs by digest.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use base::{Digest, DigestHasher};
use oci_spec::image::{Document, InvalidDocument};

use crate::Error;
use crate::files::{self, list, present, remove};
use crate::ingest::BUFFER_BYTES;
use crate::journal::Journal;
use crate::lease::{Lease, LeaseKind, Leases};
use crate::lock::Lock;

/// A content store on disk. Values are cheap; any number of processes may have one open.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    sync: bool,
}

/// A committed blob, open for reading.
#[derive(Debug)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Positioned at its beginning.
    pub file: File,
}

/// What the store takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many blobs are committed.
    pub blobs: u64,
    /// The sum of their lengths in bytes.
    pub bytes: u64,
    /// Bytes that the disk gave them (`st_blocks`).
    pub allocated_bytes: u64,
    /// Bytes of content on its way in or left behind by a broken transfer.
    pub partial_bytes: u64,
}

impl Store {
    /// Opens the store at `root` and makes it if there is none.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let store = Self { root: root.to_owned(), sync: true };
        if !store.path("unsynced").is_dir() {
            let directories =
                ["blobs/sha256", "blobs/sha512", "ingest", "names", "labels", "leases", "unsynced"];
            for directory in directories {
                let path = store.path(directory);
                let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
                made.map_err(Error::io("create the directory", path))?;
            }
        }
        Ok(store)
    }

    /// The same store, which no longer waits for the disk before an image gets its name.
    ///
    /// Nothing is ever trusted that the disk may not have (see [`Journal`]): a crash of the
    /// machine before the next [`Store::sync`] then costs the image, not its integrity.
    pub fn without_sync(mut self) -> Self {
        self.sync = false;
        self
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a blob is in the store and can be trusted.
    ///
    /// One that was committed just before a crash of the machine is read and verified
    /// once, and removed when it is damaged.
    pub fn contains(&self, digest: &Digest) -> Result<bool, Error> {
        let path = self.blob_path(digest);
        if present(fs::metadata(&path)).map_err(Error::io("look at", &path))?.is_none() {
            return Ok(false);
        }
        if !self.journal().is_suspect(&file_name(digest))? {
            return Ok(true);
        }
        self.verify_suspect(digest)
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<Blob, Error> {
        let path = self.blob_path(digest);
        let opened = present(File::open(&path)).map_err(Error::io("open", &path))?;
        let file = opened.ok_or_else(|| Error::BlobNotFound { digest: digest.clone() })?;
        let size = file.metadata().map_err(Error::io("look at", &path))?.len();
        Ok(Blob { digest: digest.clone(), size, file })
    }

    /// The length of a blob in bytes.
    pub fn size(&self, digest: &Digest) -> Result<u64, Error> {
        self.open_blob(digest).map(|blob| blob.size)
    }

    /// Reads a small blob (a manifest, an index, a configuration) and verifies it again.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let blob = self.open_blob(digest)?;
        if blob.size > DOCUMENT_BYTES_MAX {
            return Err(Error::DocumentTooLarge {
                digest: digest.clone(),
                size: blob.size,
                limit: DOCUMENT_BYTES_MAX,
            });
        }
        let mut bytes = Vec::with_capacity(blob.size as usize);
        let read = blob.file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(Error::io("read", self.blob_path(digest)))?;
        let mut hasher = DigestHasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(Error::WrongDigest { expected: digest.clone(), actual });
        }
        Ok(bytes)
    }

    /// Reads a manifest or an index; the inner error says that the blob is neither.
    pub fn document(&self, digest: &Digest) -> Result<Result<Document, InvalidDocument>, Error> {
        Ok(Document::parse(self.read(digest)?, None))
    }

    /// The path of a blob, for those who must pass one on.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The digests of all blobs.
    pub fn blobs(&self) -> Result<Vec<Digest>, Error> {
        let mut digests = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let names = list(&self.path("blobs").join(algorithm))?;
            digests.extend(names.iter().filter_map(|hex| Digest::parse(&format!("{algorithm}:{hex}")).ok()));
        }
        Ok(digests)
    }

    /// Takes a lease; see [`Leases::take`].
    pub fn lease(&self, id: &str, kind: LeaseKind) -> Result<Lease, Error> {
        self.leases().take(id, kind)
    }

    /// The leases of this store. Their objects are digests; a manifest's or an index's
    /// digest also protects what it refers to.
    pub fn leases(&self) -> Leases {
        Leases::new(self.path("leases"), self.path("lock"))
    }

    /// What was committed since the last sync.
    pub fn journal(&self) -> Journal {
        Journal::new(self.path("unsynced"))
    }

    /// What the store takes up, byte for byte.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut usage = Usage::default();
        for digest in self.blobs()? {
            let path = self.blob_path(&digest);
            if let Some(metadata) = present(fs::metadata(&path)).map_err(Error::io("look at", path))? {
                usage.blobs += 1;
                usage.bytes += metadata.len();
                usage.allocated_bytes += metadata.blocks() * 512;
            }
        }
        for name in list(&self.path("ingest"))? {
            let path = self.path("ingest").join(name);
            let metadata = present(fs::metadata(&path)).map_err(Error::io("look at", path))?;
            usage.partial_bytes += metadata.map_or(0, |metadata| metadata.len());
        }
        Ok(usage)
    }

    /// Clears away what a killed process left half done: files without their final name.
    ///
    /// Cheap and idempotent; partial content that can be resumed stays (see [`Store::gc`]).
    pub fn recover(&self) -> Result<(), Error> {
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        for directory in ["names", "labels", "unsynced"] {
            let directory = self.path(directory);
            for name in list(&directory)?.iter().filter(|name| name.starts_with(files::TEMPORARY)) {
                remove(&directory.join(name))?;
            }
        }
        for name in list(&self.path("names"))? {
            let path = self.path("names").join(name);
            let length =
                present(fs::metadata(&path)).map_err(Error::io("look at", &path))?.map(|file| file.len());
            if length == Some(0) {
                remove(&path)?;
            }
        }
        self.leases().protected()?;
        for key in self.journal().suspects()? {
            match parse_file_name(&key) {
                Some(digest) if self.contains(&digest)? => {}
                _ => self.journal().settle_one(&key)?,
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Waits until the disk has everything that was committed.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        if self.sync { self.sync() } else { Ok(()) }
    }

    /// Waits until the disk has everything that was committed: `syncfs(2)`, unless nothing
    /// was since the last time.
    pub fn sync(&self) -> Result<(), Error> {
        let journal = self.journal();
        if journal.is_empty()? {
            return Ok(());
        }
        let pending = journal.pending()?;
        journal.sync()?;
        journal.settle(pending)
    }

    /// Whether [`Store::set_name`] waits for the disk.
    pub fn syncs(&self) -> bool {
        self.sync
    }

    fn verify_suspect(&self, digest: &Digest) -> Result<bool, Error> {
        let intact = self.verify(digest)?.as_ref() == Some(digest);
        if !intact {
            remove(&self.blob_path(digest))?;
        }
        self.journal().settle_one(&file_name(digest))?;
        Ok(intact)
    }

    /// The digest that a blob really has.
    pub(crate) fn verify(&self, digest: &Digest) -> Result<Option<Digest>, Error> {
        let path = self.blob_path(digest);
        let Some(mut file) = present(File::open(&path)).map_err(Error::io("open", &path))? else {
            return Ok(None);
        };
        let mut hasher = DigestHasher::new(digest.algorithm());
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Some(hasher.finish())),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", path)(error)),
            }
        }
    }
}

/// A digest as one file name.
pub(crate) fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

/// The digest that [`file_name`] made a name of.
pub(crate) fn parse_file_name(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.split_once('-')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// The largest manifest, index or configuration that is read into memory. Registries
/// refuse manifests over 4 MiB; configurations may be somewhat larger.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
