//! Records on disk: made, found, locked, changed and removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::{Classified, ContainerId, ErrorClass, failpoint};

use super::{RECORD_VERSION, Record};

/// The records of all containers.
#[derive(Clone, Debug)]
pub struct Containers {
    records: PathBuf,
    names: PathBuf,
}

/// A container whose lock is held: nobody else changes it meanwhile.
#[derive(Debug)]
pub struct Locked {
    /// The record as it is.
    pub record: Record,
    dir: PathBuf,
    _lock: OwnedFd,
}

/// A record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No container has that name or id.
    #[error("no such container: {name}; `strake ps -a` lists them")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// Several ids begin like that.
    #[error("Multiple IDs found with provided prefix: {prefix}; give more digits")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
    },
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// A file could not be used.
    #[error("{operation} {}", path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        errno: io::Error,
    },
    /// A record is not in our form.
    #[error("the record {} is damaged; `strake rm -f` removes the container", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A record was written by a newer version.
    #[error("the record {} has version {version}; this build knows {RECORD_VERSION}: use the newer one", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl Classified for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Ambiguous { .. } => ErrorClass::Invalid,
            Self::NameInUse { .. } => ErrorClass::AlreadyExists,
            Self::File { errno, .. } => ErrorClass::of_io(errno),
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::TooNew { .. } => ErrorClass::Unsupported,
        }
    }
}

fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |errno| StoreError::File { operation, path: path.to_owned(), errno }
}

impl Containers {
    /// The records below `root`, which are made when the first container is.
    pub fn new(root: &Path) -> Self {
        Self { records: root.join("containers"), names: root.join("names") }
    }

    /// Where a container's record is.
    pub fn dir(&self, id: &ContainerId) -> PathBuf {
        self.records.join(id)
    }

    /// Makes the directory of a new container, locked, with its name taken.
    ///
    /// Dropping the reservation undoes it; a crash leaves a directory without a record,
    /// which [`Containers::unfinished`] finds.
    pub fn reserve(&self, id: &ContainerId, name: &str) -> Result<Reservation, StoreError> {
        let dir = self.dir(id);
        let lock = self.make_locked(&dir)?;
        failpoint::hit("create.reserved");
        let mut reservation =
            Reservation { containers: self.clone(), dir, id: id.clone(), name: None, lock: Some(lock) };
        self.take_name(id, name)?;
        reservation.name = Some(name.to_owned());
        failpoint::hit("create.named");
        Ok(reservation)
    }

    /// Makes a container's directory and locks it. Whoever clears up after crashes may lock
    /// it first and take it for the remains of one: then it is made again.
    fn make_locked(&self, dir: &Path) -> Result<OwnedFd, StoreError> {
        for _ in 0..RESERVE_TRIES {
            match DirBuilder::new().mode(0o700).create(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    for path in [&self.records, &self.names] {
                        let made = DirBuilder::new().recursive(true).mode(0o711).create(path);
                        made.map_err(file("make the directory", path))?;
                    }
                    continue;
                }
                made => made.map_err(file("make the directory", dir))?,
            }
            match lock(dir) {
                Ok(lock) if rustix::fs::fstat(&lock).is_ok_and(|stat| stat.st_nlink > 0) => return Ok(lock),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file("lock", dir)(error));
                }
                _ => {}
            }
        }
        Err(file("make the directory", dir)(io::ErrorKind::ResourceBusy.into()))
    }

    /// What keeps two processes from judging and changing the same name at once. Taken
    /// after a container's lock, never before.
    fn lock_names(&self) -> Result<OwnedFd, StoreError> {
        let locked = match lock(&self.names) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = DirBuilder::new().recursive(true).mode(0o711).create(&self.names);
                made.and_then(|()| lock(&self.names))
            }
            locked => locked,
        };
        locked.map_err(file("lock", &self.names))
    }

    /// Takes `name` for `id`.
    fn take_name(&self, id: &ContainerId, name: &str) -> Result<(), StoreError> {
        let _names = self.lock_names()?;
        let link = self.names.join(name);
        match fs::read_link(&link) {
            Ok(owner) => {
                let owner = owner.to_string_lossy().into_owned();
                if self.records.join(&owner).exists() {
                    let owner = owner.get(..12).unwrap_or(&owner).to_owned();
                    return Err(StoreError::NameInUse { name: name.to_owned(), owner });
                }
                // A crash between removing a container and its name.
                fs::remove_file(&link).map_err(file("remove the link", &link))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file("read the link", &link)(error)),
        }
        std::os::unix::fs::symlink(id.as_str(), &link).map_err(file("make the link", &link))
    }

    /// The id that `name` stands for: a name, a full id, or the beginning of one.
    pub fn resolve(&self, name: &str) -> Result<ContainerId, StoreError> {
        let not_found = || StoreError::NotFound { name: name.to_owned() };
        let key = name.strip_prefix('/').unwrap_or(name);
        if super::names::may_be_known(key)
            && let Ok(owner) = fs::read_link(self.names.join(key))
            && let Ok(id) = ContainerId::parse(&owner.to_string_lossy())
        {
            return Ok(id);
        }
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(not_found());
        }
        let mut found = self.ids()?.into_iter().filter(|id| id.as_str().starts_with(key));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous { prefix: name.to_owned() }),
            (None, _) => Err(not_found()),
        }
    }

    /// The ids of all containers, finished or not.
    pub fn ids(&self) -> Result<Vec<ContainerId>, StoreError> {
        let entries = match fs::read_dir(&self.records) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file("list", &self.records)(error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| ContainerId::parse(&name).ok()).collect())
    }

    /// A container's record, unlocked: it may change at once.
    pub fn read(&self, id: &ContainerId) -> Result<Record, StoreError> {
        read_record(&self.dir(id), id)
    }

    /// Waits for a container's lock and reads its record.
    pub fn lock(&self, id: &ContainerId) -> Result<Locked, StoreError> {
        let dir = self.dir(id);
        let lock = lock(&dir).map_err(|errno| vanished(id, &dir, errno))?;
        Ok(Locked { record: read_record(&dir, id)?, dir, _lock: lock })
    }

    /// Whether somebody holds a container's lock. A container that is gone has none.
    pub fn is_locked(&self, id: &ContainerId) -> bool {
        try_lock(&self.dir(id)).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the container, finished or not, is there at this moment.
    pub fn exists(&self, id: &ContainerId) -> bool {
        self.dir(id).is_dir()
    }

    /// Takes the lock of a container that has no record because its creator died; `None`
    /// when somebody holds it, or the record is there after all.
    pub fn unfinished(&self, id: &ContainerId) -> Result<Option<Reservation>, StoreError> {
        let dir = self.dir(id);
        let Ok(lock) = try_lock(&dir) else { return Ok(None) };
        // One that was removed while it was being opened: its place may be its creator's again.
        let is_there = rustix::fs::fstat(&lock).is_ok_and(|stat| stat.st_nlink > 0);
        if !is_there || dir.join(RECORD).exists() {
            return Ok(None);
        }
        let name = self.name_of(id)?;
        Ok(Some(Reservation { containers: self.clone(), dir, id: id.clone(), name, lock: Some(lock) }))
    }

    /// Names whose container is not there, with its id.
    pub fn stale_names(&self) -> Result<Vec<(String, String)>, StoreError> {
        if !self.names.is_dir() {
            return Ok(Vec::new());
        }
        let _names = self.lock_names()?;
        Ok(self.all_names()?.into_iter().filter(|(_, id)| !self.records.join(id).exists()).collect())
    }

    /// Removes names whose container is gone.
    pub fn remove_stale_names(&self) -> Result<(), StoreError> {
        let _names = self.lock_names()?;
        for (name, id) in self.all_names()? {
            if !self.records.join(&id).exists() {
                let link = self.names.join(name);
                fs::remove_file(&link).map_err(file("remove the link", &link))?;
            }
        }
        Ok(())
    }

    fn name_of(&self, id: &ContainerId) -> Result<Option<String>, StoreError> {
        Ok(self.all_names()?.into_iter().find(|(_, owner)| owner == id.as_str()).map(|(name, _)| name))
    }

    fn all_names(&self) -> Result<Vec<(String, String)>, StoreError> {
        let entries = match fs::read_dir(&self.names) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file("list", &self.names)(error)),
        };
        let mut names = Vec::new();
        for entry in entries.flatten() {
            if let (Ok(name), Ok(owner)) = (entry.file_name().into_string(), fs::read_link(entry.path())) {
                names.push((name, owner.to_string_lossy().into_owned()));
            }
        }
        Ok(names)
    }

    /// Removes what is left of a container whose lock is held: its files and its name.
    #[allow(clippy::needless_pass_by_value, reason = "nobody goes on using a container that is gone")]
    pub fn remove(&self, locked: Locked) -> Result<(), StoreError> {
        // The name last: until then the container can be found by it and removed again.
        fs::remove_dir_all(&locked.dir).or_else(gone_is_fine).map_err(file("remove", &locked.dir))?;
        failpoint::hit("remove.record-removed");
        self.remove_name(&locked.record.name, &locked.record.id)
    }

    /// Gives a container another name.
    pub fn rename(&self, locked: &mut Locked, name: &str) -> Result<(), StoreError> {
        self.take_name(&locked.record.id, name)?;
        let old = std::mem::replace(&mut locked.record.name, name.to_owned());
        if let Err(error) = locked.write() {
            locked.record.name = old;
            self.remove_name(name, &locked.record.id)?;
            return Err(error);
        }
        self.remove_name(&old, &locked.record.id)
    }

    /// Gives up a name, unless it was taken by another container meanwhile.
    fn remove_name(&self, name: &str, id: &ContainerId) -> Result<(), StoreError> {
        let _names = self.lock_names()?;
        let link = self.names.join(name);
        if fs::read_link(&link).is_ok_and(|owner| owner == Path::new(id.as_str())) {
            fs::remove_file(&link).or_else(gone_is_fine).map_err(file("remove the link", &link))?;
        }
        Ok(())
    }
}

/// A new container's directory and name, undone unless it is finished.
#[derive(Debug)]
pub struct Reservation {
    containers: Containers,
    dir: PathBuf,
    id: ContainerId,
    name: Option<String>,
    lock: Option<OwnedFd>,
}

impl Reservation {
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The container's id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The container's name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Writes the record: from now on the container exists.
    pub fn finish(mut self, record: Record) -> Result<Locked, StoreError> {
        write_record(&self.dir, &record, !record.request.auto_remove)?;
        let Some(lock) = self.lock.take() else {
            unreachable!("a reservation holds its lock until it is finished")
        };
        Ok(Locked { record, dir: self.dir.clone(), _lock: lock })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        // Nobody is left to tell; `Engine::reconcile` tries again.
        if let Some(name) = &self.name {
            let _ = self.containers.remove_name(name, &self.id);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Locked {
    /// Where the record is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the record as it is now, whole or not at all.
    pub fn write(&self) -> Result<(), StoreError> {
        write_record(&self.dir, &self.record, false)
    }
}

fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn open_dir(dir: &Path) -> io::Result<OwnedFd> {
    Ok(File::open(dir)?.into())
}

fn lock(dir: &Path) -> io::Result<OwnedFd> {
    let fd = open_dir(dir)?;
    sys::lock::lock_fd(&fd)?;
    Ok(fd)
}

fn try_lock(dir: &Path) -> io::Result<OwnedFd> {
    let fd = open_dir(dir)?;
    rustix::fs::flock(&fd, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(fd)
}

fn vanished(id: &ContainerId, path: &Path, errno: io::Error) -> StoreError {
    match errno.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound { name: id.to_string() },
        _ => StoreError::File { operation: "open", path: path.to_owned(), errno },
    }
}

fn read_record(dir: &Path, id: &ContainerId) -> Result<Record, StoreError> {
    let path = dir.join(RECORD);
    let bytes = fs::read(&path).map_err(|errno| vanished(id, &path, errno))?;
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.version <= RECORD_VERSION => Ok(record),
        Ok(record) => Err(StoreError::TooNew { path, version: record.version }),
        Err(source) => match serde_json::from_slice::<Version>(&bytes) {
            Ok(Version { version }) if version > RECORD_VERSION => Err(StoreError::TooNew { path, version }),
            _ => Err(StoreError::Damaged { path, source }),
        },
    }
}

/// Writes beside and renames. Only a new container that is to be kept waits for the
/// disk: what changes later can be learned again from the shim and the kernel.
fn write_record(dir: &Path, record: &Record, wait_for_disk: bool) -> Result<(), StoreError> {
    let path = dir.join(RECORD);
    let temporary = dir.join(".container.json.new");
    let write = || -> io::Result<()> {
        let bytes = serde_json::to_vec(record)?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&bytes)?;
        if wait_for_disk {
            file.sync_data()?;
        }
        failpoint::hit("record.staged");
        fs::rename(&temporary, &path)
    };
    write().map_err(file("write", &path))
}

const RECORD: &str = "container.json";
/// Each time somebody else must come between two system calls of ours.
const RESERVE_TRIES: u32 = 16;
