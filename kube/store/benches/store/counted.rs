//! A directory that counts what is done to its files.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::{Disk, Storage, StorageFile};

#[derive(Debug)]
pub(crate) struct Counted {
    disk: Disk,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    writes: AtomicU64,
    bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    files: AtomicU64,
}

impl Counts {
    /// Writes, bytes, syncs and new files so far.
    pub(crate) fn now(&self) -> [u64; 4] {
        [&self.writes, &self.bytes, &self.syncs, &self.files].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Counted {
    pub(crate) fn open(path: &Path) -> Self {
        Self { disk: Disk::open(path).unwrap(), counts: Arc::default() }
    }

    fn file(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(CountedFile { file, counts: Arc::clone(&self.counts) })
    }
}

impl Storage for Counted {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(Storage::open(&self.disk, name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        Ok(self.file(self.disk.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

#[derive(Debug)]
struct CountedFile {
    file: Arc<dyn StorageFile>,
    counts: Arc<Counts>,
}

impl StorageFile for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write(offset, data)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }
}
