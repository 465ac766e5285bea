//! Content on its way in: hashed and counted while it streams, committed by a rename.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base::{Digest, DigestHasher, failpoint};

use crate::Error;
use crate::files::{present, remove, temporary};
use crate::lock::{Lock, try_exclusive};
use crate::store::{Store, file_name};

/// What content must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes, when it is known.
    pub size: Option<u64>,
}

/// The answer to a wish to bring content in.
#[derive(Debug)]
pub enum Ingest {
    /// It is here already.
    Present,
    /// Write it, from [`Writer::offset`] on.
    Needed(Writer),
}

/// Content on its way in. Dropped without a commit, it can be resumed later.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    expected: Expected,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    offset: u64,
    resumable: bool,
}

struct Hasher(Box<DigestHasher>);

impl Hasher {
    fn new(digest: &Digest) -> Self {
        Self(Box::new(DigestHasher::new(digest.algorithm())))
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Store {
    /// Starts or resumes to bring content in.
    ///
    /// Bytes of an earlier attempt that broke off are kept: the writer's offset says how
    /// many. When another process is just bringing in the same content, this one gets a
    /// file of its own, from the beginning; whoever commits second changes nothing.
    pub fn ingest(&self, expected: &Expected) -> Result<Ingest, Error> {
        if self.contains(&expected.digest)? {
            let size = self.size(&expected.digest)?;
            return match expected.size {
                Some(expected_size) if expected_size != size => Err(Error::WrongSize {
                    digest: expected.digest.clone(),
                    expected: expected_size,
                    actual: size,
                }),
                _ => Ok(Ingest::Present),
            };
        }
        let path = self.path("ingest").join(file_name(&expected.digest));
        let (path, file, resumable) = match open_partial(&path)? {
            Some(file) => (path, file, true),
            None => {
                let path = temporary(&self.path("ingest"));
                let file = File::options().read(true).write(true).create_new(true).open(&path);
                let file = file.map_err(Error::io("create", &path))?;
                try_exclusive(&file).map_err(Error::io("lock", &path))?;
                (path, file, false)
            }
        };
        failpoint::hit("content.ingest-opened");
        let hasher = Hasher::new(&expected.digest);
        let store = self.clone();
        let mut writer =
            Writer { store, expected: expected.clone(), path, file, hasher, offset: 0, resumable };
        writer.take_up()?;
        Ok(Ingest::Needed(writer))
    }

    /// Brings in bytes that are in memory; returns their digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::sha256_of(bytes);
        let expected = Expected { digest: digest.clone(), size: Some(bytes.len() as u64) };
        if let Ingest::Needed(mut writer) = self.ingest(&expected)? {
            writer.restart()?;
            writer.append(bytes)?;
            writer.commit()?;
        }
        Ok(digest)
    }

    /// How many bytes of some content an earlier attempt has left.
    pub fn partial_bytes(&self, digest: &Digest) -> Result<u64, Error> {
        let path = self.path("ingest").join(file_name(digest));
        let metadata = present(fs::metadata(&path)).map_err(Error::io("look at", path))?;
        Ok(metadata.map_or(0, |metadata| metadata.len()))
    }
}

impl Writer {
    /// How many bytes are there: where the next one goes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What the content must be.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Forgets what is there, for a source that cannot continue in the middle.
    pub fn restart(&mut self) -> Result<(), Error> {
        if self.offset == 0 {
            return Ok(());
        }
        let rewound = self.file.set_len(0).and_then(|()| self.file.rewind());
        rewound.map_err(Error::io("truncate", &self.path))?;
        self.offset = 0;
        self.hasher = Hasher::new(&self.expected.digest);
        Ok(())
    }

    /// Writes the next bytes; refuses those beyond the expected size.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let after = self.offset + bytes.len() as u64;
        if let Some(expected) = self.expected.size.filter(|expected| after > *expected) {
            let digest = self.expected.digest.clone();
            remove(&self.path)?;
            return Err(Error::WrongSize { digest, expected, actual: after });
        }
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.hasher.0.update(bytes);
        self.offset = after;
        failpoint::hit("content.ingest-written");
        Ok(())
    }

    /// Verifies size and digest and gives the content its name. Content that fails is gone.
    pub fn commit(mut self) -> Result<Digest, Error> {
        let digest = self.expected.digest.clone();
        if let Some(expected) = self.expected.size.filter(|expected| *expected != self.offset) {
            // Too short: the rest may still come, so what is there stays.
            return Err(Error::WrongSize { digest, expected, actual: self.offset });
        }
        let fresh = Hasher::new(&digest);
        let actual = std::mem::replace(&mut self.hasher, fresh).0.finish();
        if actual != digest {
            remove(&self.path)?;
            return Err(Error::WrongDigest { expected: digest, actual });
        }
        failpoint::hit("content.ingest-verified");
        let _shared = Lock::shared(&self.store.path("lock"))?;
        self.store.journal().note(&file_name(&digest))?;
        let mode = rustix::fs::Mode::from_raw_mode(0o400);
        let changed = rustix::fs::fchmod(&self.file, mode);
        changed.map_err(|errno| Error::io("set the mode of", &self.path)(errno.into()))?;
        let target = self.store.blob_path(&digest);
        fs::rename(&self.path, &target).map_err(Error::io("rename to", target))?;
        failpoint::hit("content.blob-committed");
        Ok(digest)
    }

    /// Reads what an earlier attempt left, so that the digest covers it.
    fn take_up(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.hasher.0.update(&buffer[..count]);
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path)(error)),
            }
        }
        match self.expected.size {
            Some(size) if self.offset > size => self.restart(),
            _ => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.resumable {
            let _ = fs::remove_file(&self.path);
        }
        // Closing is not enough: a child that is about to exec holds the file for a moment too,
        // and whoever resumes now would find it taken.
        let _ = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
    }
}

/// So that a writer can stand at the end of `io::copy`.
impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens and locks the partial file at `path`; `None` when someone else writes it now.
fn open_partial(path: &Path) -> Result<Option<File>, Error> {
    loop {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Error::io("open", path))?;
        if !try_exclusive(&file).map_err(Error::io("lock", path))? {
            return Ok(None);
        }
        // Between open and lock the former writer may have committed the file: it is a
        // blob now, and must not be written to.
        let ours = file.metadata().map_err(Error::io("look at", path))?;
        let named = present(fs::metadata(path)).map_err(Error::io("look at", path))?;
        if named.is_some_and(|named| named.ino() == ours.ino() && named.dev() == ours.dev()) {
            return Ok(Some(file));
        }
    }
}

/// Bytes read or hashed at a time.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;
