//! Leases: lists of objects that a collection must leave alone.
//!
//! A pull holds a lease from before its first blob until the image has its name. The
//! lease is a file that its holder keeps flocked: when the holder is killed, the lock
//! goes with it, and the next collection removes the lease. No clock is involved.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base::failpoint;
use rustix::fs::{FlockOperation, flock};

use crate::Error;
use crate::files::{self, list, present, remove};
use crate::lock::{Lock, try_exclusive};

/// How long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// As long as the value [`Lease`] lives, or its process.
    WhileHeld,
    /// Until someone releases it by its id.
    UntilReleased,
}

/// The leases in one directory, guarded by one lock file.
#[derive(Clone, Debug)]
pub struct Leases {
    directory: PathBuf,
    lock: PathBuf,
}

/// A held lease.
#[derive(Debug)]
pub struct Lease {
    id: String,
    path: PathBuf,
    lock: PathBuf,
    file: File,
    kind: LeaseKind,
}

/// A lease as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Its id.
    pub id: String,
    /// Whether its holder lives, or it needs none.
    pub live: bool,
    /// What it protects.
    pub objects: BTreeSet<String>,
}

impl Leases {
    /// The leases in `directory`; `lock` is what a collection holds exclusively.
    pub fn new(directory: PathBuf, lock: PathBuf) -> Self {
        Self { directory, lock }
    }

    /// Takes the lease `id`, which may exist already; its objects stay protected.
    pub fn take(&self, id: &str, kind: LeaseKind) -> Result<Lease, Error> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if id.is_empty() || id.len() > 200 || id.starts_with('.') || !id.bytes().all(word) {
            return Err(Error::InvalidLeaseId { id: id.chars().take(300).collect() });
        }
        let _shared = Lock::shared(&self.lock)?;
        let name = match kind {
            LeaseKind::WhileHeld => format!("{HELD}{id}"),
            LeaseKind::UntilReleased => id.to_owned(),
        };
        let path = self.directory.join(name);
        let file = loop {
            let file =
                File::options().create(true).append(true).open(&path).map_err(Error::io("create", &path))?;
            // Shared, so that two holders of one id do not exclude each other.
            flock(&file, FlockOperation::LockShared)
                .map_err(|errno| Error::io("lock", &path)(errno.into()))?;
            // Between open and lock the last holder may have removed the file.
            if file.metadata().map_err(Error::io("look at", &path))?.nlink() > 0 {
                break file;
            }
        };
        failpoint::hit("content.lease-created");
        Ok(Lease { id: id.to_owned(), path, lock: self.lock.clone(), file, kind })
    }

    /// Ends the lease `id` of kind [`LeaseKind::UntilReleased`]; whether there was one.
    pub fn release(&self, id: &str) -> Result<bool, Error> {
        match id.contains('/') || id.starts_with('.') || id.is_empty() {
            true => Ok(false),
            false => remove(&self.directory.join(id)),
        }
    }

    /// All leases.
    pub fn list(&self) -> Result<Vec<LeaseInfo>, Error> {
        let names = list(&self.directory)?;
        let mut leases = Vec::with_capacity(names.len());
        for name in names.iter().filter(|name| !name.starts_with(files::TEMPORARY)) {
            leases.extend(self.read(name)?);
        }
        Ok(leases)
    }

    /// What live leases protect; dead ones are removed. The caller holds the lock exclusively.
    pub fn protected(&self) -> Result<BTreeSet<String>, Error> {
        let mut objects = BTreeSet::new();
        for name in list(&self.directory)? {
            match self.read(&name)? {
                Some(lease) if lease.live => objects.extend(lease.objects),
                Some(_) => drop(remove(&self.directory.join(&name))?),
                None => {}
            }
        }
        Ok(objects)
    }

    fn read(&self, name: &str) -> Result<Option<LeaseInfo>, Error> {
        let path = self.directory.join(name);
        let Some(file) = present(File::open(&path)).map_err(Error::io("open", &path))? else {
            return Ok(None);
        };
        let (id, held) = name.strip_prefix(HELD).map_or((name, false), |id| (id, true));
        let dead = held && try_exclusive(&file).map_err(Error::io("lock", &path))?;
        // By the descriptor: its holder may take the name away meanwhile.
        let text = io::read_to_string(&file).map_err(Error::io("read", &path))?;
        // A line without its end was cut by a crash while it was written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let objects = whole.lines().map(str::to_owned).collect();
        Ok(Some(LeaseInfo { id: id.to_owned(), live: !dead, objects }))
    }
}

impl Lease {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Protects one more object. When this returns, no collection removes it any more;
    /// look for the object only after that.
    pub fn add(&self, object: &impl ToString) -> Result<(), Error> {
        let _shared = Lock::shared(&self.lock)?;
        let line = format!("{}\n", object.to_string());
        (&self.file).write_all(line.as_bytes()).map_err(Error::io("write", &self.path))?;
        failpoint::hit("content.lease-added");
        Ok(())
    }

    /// Ends the lease now, whatever its kind.
    pub fn release(self) -> Result<(), Error> {
        match self.kind {
            LeaseKind::WhileHeld => Ok(()), // `drop` does it, unless another holds it too.
            LeaseKind::UntilReleased => remove(&self.path).map(drop),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.kind == LeaseKind::WhileHeld && is_last_holder(&self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_last_holder(file: &File) -> bool {
    matches!(try_exclusive(file), Ok(true))
}

impl AsRef<Path> for Lease {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// How names of leases start that die with their holder.
const HELD: &str = "held.";
