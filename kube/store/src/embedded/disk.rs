//! The files under the log: what it needs of them, and a directory of them with failpoints.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::failpoint::hit;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::error::Error;

/// The files that an embedded store lies in; faults are injected here.
pub trait Storage: fmt::Debug + Send + Sync {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Makes an empty file, also in the place of another.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives a file another name, also in the place of another; who has that one open keeps it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; who has it open keeps it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable: which files there are.
    fn sync(&self) -> io::Result<()>;
}

/// A file of a [`Storage`].
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Its length.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` from `offset` on; `UnexpectedEof` when there is less.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes, and grows the file where that is behind its end.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes it at least that long, with zeros, and reserves the space for them.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable. After an error nobody knows what is.
    fn sync(&self) -> io::Result<()>;
}

/// A locked directory: one process at a time may write to its files.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    directory: File,
    read_only: bool,
}

impl Disk {
    /// Opens a directory that is there, and locks it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let disk = Self::unlocked(path, false)?;
        disk.directory.try_lock().map_err(|error| not_locked(path, error))?;
        Ok(disk)
    }

    /// Opens a directory to read; a store that writes to it is in the way.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self, Error> {
        let disk = Self::unlocked(path, true)?;
        disk.directory.try_lock_shared().map_err(|error| not_locked(path, error))?;
        Ok(disk)
    }

    /// Makes a directory, mode 0700, or takes an abandoned one, and locks it; it is empty then.
    pub(crate) fn make(path: &Path) -> Result<Self, Error> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", path, error));
            }
            _ => {}
        }
        let disk = Self::open(path)?;
        let emptied = disk.list().and_then(|names| names.iter().try_for_each(|name| disk.remove(name)));
        emptied.map_err(|error| Error::io("empty", path, error))?;
        Ok(disk)
    }

    /// Its directory was renamed.
    pub(crate) fn renamed(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    fn unlocked(path: &Path, read_only: bool) -> Result<Self, Error> {
        let directory = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let kind = directory.metadata().map_err(|error| Error::io("look at", path, error))?;
        if !kind.is_dir() {
            return Err(Error::Earlier { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), directory, read_only })
    }

    fn open_as(&self, name: &str, options: &OpenOptions) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(DiskFile { file: options.open(self.path.join(name))? }))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process that another thread is just starting has the descriptor too, for a moment: closing
        // ours would not be enough. What cannot be unlocked is, when that one is gone.
        drop(self.directory.unlock());
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_as(name, OpenOptions::new().read(true).write(!self.read_only))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        hit("store.disk.create.before");
        let mut options = OpenOptions::new();
        let file =
            self.open_as(name, options.read(true).write(true).create(true).truncate(true).mode(0o600))?;
        hit("store.disk.create.after");
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        hit("store.disk.rename.before");
        fs::rename(self.path.join(from), self.path.join(to))?;
        hit("store.disk.rename.after");
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        hit("store.disk.remove.before");
        fs::remove_file(self.path.join(name))?;
        hit("store.disk.remove.after");
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }
}

#[derive(Debug)]
struct DiskFile {
    file: File,
}

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        hit("store.disk.write.before");
        self.file.write_all_at(data, offset)?;
        hit("store.disk.write.after");
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            // Then the zeros that are written reserve it.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if self.len()? < len => self.file.set_len(len),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            done => Ok(done?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        hit("store.disk.sync.before");
        self.file.sync_data()?;
        hit("store.disk.sync.after");
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
