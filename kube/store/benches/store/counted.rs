//! A file that counts what is done to it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::{Disk, StorageBackend};

#[derive(Debug)]
pub(crate) struct Counted {
    disk: Disk,
    pub(crate) writes: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) lengths: AtomicU64,
}

impl Counted {
    pub(crate) fn open(path: &Path) -> Arc<Self> {
        let zero = AtomicU64::default;
        let disk = Disk::open(path).unwrap();
        Arc::new(Self { disk, writes: zero(), bytes: zero(), syncs: zero(), lengths: zero() })
    }

    /// Writes, bytes, syncs and changes of the length so far.
    pub(crate) fn counts(&self) -> [u64; 4] {
        [&self.writes, &self.bytes, &self.syncs, &self.lengths].map(|count| count.load(Ordering::Relaxed))
    }
}

impl StorageBackend for Counted {
    fn len(&self) -> Result<u64, io::Error> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.lengths.fetch_add(1, Ordering::Relaxed);
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.disk.write(offset, data)
    }
}
