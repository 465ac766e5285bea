//! The bytes under redb: a file with failpoints, and a view of one that never writes to it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base::failpoint::hit;
use redb::StorageBackend;

use super::ready::Ready;
use crate::error::Error;

/// A locked file: one process at a time may write to it.
///
/// Its blocks are there before redb writes to them, see [`Ready`].
#[derive(Debug)]
pub struct Disk {
    file: File,
    ready: Ready,
}

impl Disk {
    /// Opens or makes the file, mode 0600, and locks it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|error| Error::io("open", path, error))?;
        file.try_lock().map_err(|error| not_locked(path, error))?;
        sync_directory_of(path)?;
        Ok(Self { file, ready: Ready::default() })
    }

    /// Opens an existing file to read; a store that writes to it is in the way.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        file.try_lock_shared().map_err(|error| not_locked(path, error))?;
        Ok(Self { file, ready: Ready::default() })
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        hit("store.disk.set-len.before");
        self.ready.set_len(&self.file, len)?;
        hit("store.disk.set-len.after");
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        hit("store.disk.sync.before");
        self.file.sync_data()?;
        hit("store.disk.sync.after");
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        hit("store.disk.write.before");
        self.ready.make(&self.file, offset, data.len());
        self.file.write_all_at(data, offset)?;
        hit("store.disk.write.after");
        Ok(())
    }
}

fn not_locked(path: &Path, error: TryLockError) -> Error {
    match error {
        TryLockError::WouldBlock => Error::InUse { path: path.to_owned() },
        TryLockError::Error(error) => Error::io("lock", path, error),
    }
}

/// Makes a new or renamed entry of a directory durable.
pub(crate) fn sync_directory_of(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|error| Error::io("sync directory", parent, error))
}

/// Hands redb a backend that somebody else keeps, so that a failed one can be looked at again.
#[derive(Clone, Debug)]
pub(crate) struct Through {
    pub disk: Arc<dyn StorageBackend>,
    /// Set when a sync has failed: what was written before it may be lost without a trace.
    pub sync_failed: Arc<AtomicBool>,
}

impl StorageBackend for Through {
    fn len(&self) -> Result<u64, io::Error> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.disk.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.disk.write(offset, data)
    }
}

/// A backend as it is now; what redb writes to it, for example to repair it, stays in memory.
#[derive(Debug)]
pub(crate) struct Frozen {
    below: Arc<dyn StorageBackend>,
    above: RwLock<Above>,
}

#[derive(Debug)]
struct Above {
    len: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

impl Frozen {
    pub(crate) fn new(below: Arc<dyn StorageBackend>) -> io::Result<Self> {
        let above = RwLock::new(Above { len: below.len()?, blocks: BTreeMap::new() });
        Ok(Self { below, above })
    }

    /// What lies below a block; zeros past its end.
    fn block_below(&self, block: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let mut bytes = Box::new([0; BLOCK]);
        let start = block * BLOCK as u64;
        let there = self.below.len()?.saturating_sub(start).min(BLOCK as u64) as usize;
        if there > 0 {
            self.below.read(start, &mut bytes[..there])?;
        }
        Ok(bytes)
    }
}

impl StorageBackend for Frozen {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.above.read().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let above = self.above.read().unwrap_or_else(PoisonError::into_inner);
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > above.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (block, within, part) in parts(offset, out.len()) {
            let out = &mut out[part.clone()];
            match above.blocks.get(&block) {
                Some(bytes) => out.copy_from_slice(&bytes[within..within + part.len()]),
                None => out.copy_from_slice(&self.block_below(block)?[within..within + part.len()]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut above = self.above.write().unwrap_or_else(PoisonError::into_inner);
        // What is cut off must read as zeros if the length grows again.
        for block in len / BLOCK as u64..above.len.div_ceil(BLOCK as u64) {
            let mut bytes = match above.blocks.remove(&block) {
                Some(bytes) => bytes,
                None => self.block_below(block)?,
            };
            let kept = len.saturating_sub(block * BLOCK as u64).min(BLOCK as u64) as usize;
            bytes[kept..].fill(0);
            above.blocks.insert(block, bytes);
        }
        above.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut above = self.above.write().unwrap_or_else(PoisonError::into_inner);
        for (block, within, part) in parts(offset, data.len()) {
            let bytes = match above.blocks.entry(block) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.block_below(block)?),
            };
            bytes[within..within + part.len()].copy_from_slice(&data[part]);
        }
        Ok(())
    }
}

/// Cuts a span into (block, offset within it, part of the span).
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let size = (BLOCK - within).min(len - done);
        let part = done..done + size;
        done += size;
        Some((at / BLOCK as u64, within, part))
    })
}

const BLOCK: usize = 4096;
