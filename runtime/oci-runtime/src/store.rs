//! The state directory: one directory a container, `state.json` in it.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base::ContainerId;
use rustix::fs::{Mode, OFlags};
use sys::seccomp::Filter;

use crate::error::Error;
use crate::gate;
use crate::state::{ContainerRecord, ContainerStatus};

/// One container's directory.
#[derive(Clone, Debug)]
pub(crate) struct StateDir {
    pub(crate) path: PathBuf,
    id: String,
}

impl StateDir {
    pub(crate) fn of(root: &Path, id: &ContainerId) -> Self {
        Self { path: root.join(id), id: id.to_string() }
    }

    /// Takes the id: making the directory is what makes it ours.
    pub(crate) fn claim(root: &Path, id: &ContainerId) -> Result<Self, Error> {
        let dir = Self::of(root, id);
        let make = || fs::DirBuilder::new().mode(0o711).create(&dir.path);
        match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(root)
                    .map_err(Error::path("make the state directory", root))?;
                make()
            }
            made => made,
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { id: id.to_string() },
            _ => Error::path("make the container's directory", &dir.path)(error),
        })?;
        Ok(dir)
    }

    pub(crate) fn read(&self) -> Result<ContainerRecord, Error> {
        let path = self.path.join("state.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound { id: self.id.clone() });
            }
            read => read.map_err(Error::path("read", &path))?,
        };
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })
    }

    /// Whether the directory exists, with or without a record.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Writes the first record: nobody else writes to a directory that is being made.
    pub(crate) fn write_first(&self, record: &ContainerRecord) -> Result<(), Error> {
        let path = self.path.join("state.json");
        write_new(&path, record).map(drop).map_err(Error::path("write", path))
    }

    /// Replaces the record at once. Gives its file.
    pub(crate) fn write(&self, record: &ContainerRecord) -> Result<OwnedFd, Error> {
        let new = self.path.join("state.json.new");
        let file = match write_new(&new, record) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left by a runtime that was killed here.
                let _ = fs::remove_file(&new);
                write_new(&new, record)
            }
            written => written,
        };
        let file = file.map_err(Error::path("write", &new))?;
        let path = self.path.join("state.json");
        fs::rename(&new, &path).map_err(Error::path("replace", path))?;
        Ok(file)
    }

    /// Keeps the container's filter, which its later processes get.
    pub(crate) fn write_filter(&self, filter: &Filter) -> Result<(), Error> {
        let path = self.path.join(FILTER);
        fs::write(&path, filter.to_bytes()).map_err(Error::path("write", path))
    }

    /// The container's filter, if one is kept.
    pub(crate) fn filter(&self) -> Option<Filter> {
        Filter::from_bytes(&fs::read(self.path.join(FILTER)).ok()?)
    }

    /// Removes a directory that has the record and nothing else but a filter.
    pub(crate) fn remove_recorded(&self) -> Result<(), Error> {
        for name in ["state.json", FILTER] {
            let _ = fs::remove_file(self.path.join(name));
        }
        fs::remove_dir(&self.path).or_else(|_| self.remove())
    }

    pub(crate) fn remove(&self) -> Result<(), Error> {
        // The usual names first: no directory has to be read.
        for name in ["exec.fifo", "state.json", FILTER, "state.json.new"] {
            let _ = fs::remove_file(self.path.join(name));
        }
        match fs::remove_dir(&self.path).or_else(|_| fs::remove_dir_all(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::path("remove the container's directory", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Where the container is, by what the kernel says of its init.
    pub(crate) fn status(&self, record: &ContainerRecord) -> ContainerStatus {
        if record.pid == 0 {
            return match record.creator_lives() {
                true => ContainerStatus::Creating,
                false => ContainerStatus::Stopped,
            };
        }
        if !record.init_lives() {
            return ContainerStatus::Stopped;
        }
        if gate::is_waiting(&self.path) {
            return ContainerStatus::Created;
        }
        let frozen = record.cgroup.as_ref().and_then(|cgroup| cgroup.freezer_state().ok());
        match frozen {
            Some(cgroup::FreezerState::Frozen | cgroup::FreezerState::Freezing) => ContainerStatus::Paused,
            _ => ContainerStatus::Running,
        }
    }
}

/// The name of the file with the compiled filter.
const FILTER: &str = "seccomp.bpf";

impl ContainerRecord {
    /// Whether init lives: the id alone may have been given to another process.
    pub fn init_lives(&self) -> bool {
        lives(self.pid, self.start_time)
    }

    /// Whether init is PID 1 of a namespace that was made for it, so that all end with it.
    pub(crate) fn has_own_pid_namespace(&self) -> bool {
        self.namespaces.get("pid").is_some_and(String::is_empty)
    }

    /// Whether init has ended or is on its way out.
    pub(crate) fn init_is_ending(&self) -> bool {
        let stat = sys::process::ProcStat::read(self.pid);
        !stat.is_ok_and(|stat| stat.start_time == self.start_time && !stat.is_ending())
    }

    /// Whether the process lives that makes the container.
    pub(crate) fn creator_lives(&self) -> bool {
        lives(self.creator_pid, self.creator_start_time)
    }
}

pub(crate) fn lives(pid: i32, start_time: u64) -> bool {
    pid > 0
        && sys::process::ProcStat::read(pid)
            .is_ok_and(|stat| stat.start_time == start_time && !stat.is_zombie())
}

fn write_new(path: &Path, record: &ContainerRecord) -> io::Result<OwnedFd> {
    let bytes = serde_json::to_vec(record)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = fs::File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))?);
    file.write_all(&bytes)?;
    Ok(file.into())
}
