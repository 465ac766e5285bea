//! A container's files as its processes see them, whether it runs or not.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use base::ContainerId;
use snapshot::MountOptions;
use sys::mount::{Change, Propagation, attr};
use sys::namespace::{Namespace, NamespaceSet};
use sys::root::RootDir;

use super::FilesError;
use crate::container::{Locked, MountRecord, MountSource, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::ops::{id_base, still_there};

/// What is done with the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A container's files.
pub(super) struct View {
    pub(super) root: RootDir,
    pub(super) record: Record,
    /// What is added to the container's ids.
    pub(super) id_base: u32,
    /// Where its volumes and bind mounts are.
    pub(super) mounts: Vec<PathBuf>,
}

impl View {
    fn new(root: RootDir, record: Record) -> Self {
        let mounts = record.mounts.iter().map(|mount| mount.target.clone()).collect();
        Self { root, id_base: id_base(&record), mounts, record }
    }

    /// The error for a path at which nothing was found.
    pub(super) fn not_found(&self, path: &str) -> impl FnOnce(io::Error) -> FilesError {
        let (path, container) = (path.to_owned(), self.record.name.clone());
        move |source| FilesError::NotFound { path, container, source }
    }
}

impl Engine {
    /// Does `act` with the files of a container, its volumes and bind mounts among them. One
    /// that does not run cannot be started meanwhile.
    pub(super) fn view<T: Send>(
        &self,
        id: &ContainerId,
        access: Access,
        act: impl FnOnce(&View) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        match self.stopped(id)? {
            Err(record) => {
                let path = PathBuf::from(format!("/proc/{}/root", record.lifecycle.pid().unwrap_or(0)));
                let root = RootDir::open(&path).map_err(Error::file("open", &path))?;
                // Init may have ended by now, and its id, and so the root, be a stranger's.
                still_there(std::slice::from_ref(&record))?;
                act(&View::new(root, record))
            }
            Ok(locked) => {
                let rootfs = self.mounted(&locked.record, access)?;
                let place = locked.dir().to_owned();
                // The lock itself is held to the end.
                let record = locked.record;
                in_own_mounts(|| {
                    sys::mount::attach_path(&rootfs, &place).map_err(Error::file("mount on", &place))?;
                    let root = RootDir::open(&place).map_err(Error::file("open", &place))?;
                    for mount in &record.mounts {
                        attach(&root, mount).map_err(Error::file("mount on", &mount.target))?;
                    }
                    let done = act(&View::new(root, record));
                    // At once, and not some time after the thread has ended.
                    let _ = sys::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH);
                    done
                })
            }
        }
    }

    /// The root of a container that does not run. What is only read need not reach the disk when the
    /// mount goes; but where a volume's place is missing it is made, as a start would.
    fn mounted(&self, record: &Record, access: Access) -> Result<OwnedFd, Error> {
        let mount = |reads| {
            let options = MountOptions { volatile: reads, read_only: reads, context: None };
            self.snapshots()?.mount(&record.id, options).map_err(Error::snapshot(&record.name))
        };
        if access == Access::Read {
            let root = RootDir::from_fd(mount(true)?);
            if record.mounts.iter().all(|mount| root.resolve(&mount.target).is_ok()) {
                return Ok(root.into_fd());
            }
        }
        mount(false)
    }

    /// Does `act` with the files of a container alone, without anything that is mounted there.
    pub(super) fn bare_view<T: Send>(
        &self,
        id: &ContainerId,
        act: impl FnOnce(&View) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        match self.stopped(id)? {
            Err(record) => {
                let pid = record.lifecycle.pid();
                let failed = || Error::file("open the root of", Path::new(&record.name));
                let mounts = sys::namespace::open_of(pid, Namespace::Mount).map_err(failed())?;
                still_there(std::slice::from_ref(&record))?;
                let rootfs = in_own_mounts(|| {
                    sys::namespace::join(&mounts, Namespace::Mount).map_err(failed())?;
                    sys::mount::clone_path(Path::new("/"), false).map_err(failed())
                })?;
                act(&View::new(RootDir::from_fd(rootfs), record))
            }
            Ok(locked) => {
                let options = MountOptions { volatile: true, read_only: true, context: None };
                let rootfs =
                    self.snapshots()?.mount(id, options).map_err(Error::snapshot(&locked.record.name))?;
                // The lock itself is held to the end.
                act(&View::new(RootDir::from_fd(rootfs), locked.record))
            }
        }
    }

    /// The container, locked, when it does not run; else what it is.
    fn stopped(&self, id: &ContainerId) -> Result<Result<Locked, Record>, Error> {
        let record = self.look(id)?;
        if record.lifecycle.is_running() {
            return Ok(Err(record));
        }
        let locked = self.settled(id)?;
        if locked.record.lifecycle.is_running() {
            return Ok(Err(locked.record));
        }
        Ok(Ok(locked))
    }
}

/// Does `act` in a thread with a mount namespace of its own, which ends with it: what is
/// mounted there is seen by nobody else.
fn in_own_mounts<T: Send>(act: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let done = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let failed = || Error::file("make a mount namespace for", Path::new("a container's files"));
            sys::namespace::unshare(NamespaceSet::EMPTY.with(Namespace::Mount)).map_err(failed())?;
            let private =
                Change { propagation: Some(Propagation::Private), recursive: true, ..Change::default() };
            sys::mount::set_attributes_of_path(Path::new("/"), &private).map_err(failed())?;
            act()
        });
        worker.join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Puts a volume or bind mount where it is in the container while that runs.
fn attach(root: &RootDir, mount: &MountRecord) -> io::Result<()> {
    let through: PathBuf;
    let _held: OwnedFd;
    let source = match &mount.source {
        MountSource::Volume { name, path, part: Some(part), .. } => {
            // What is not there cannot be looked into.
            let Ok(found) = crate::volumes::open_part(name, path, part) else { return Ok(()) };
            through = format!("/proc/self/fd/{}", found.as_raw_fd()).into();
            _held = found;
            &through
        }
        // A file system that a container has only while it runs, and an image's files.
        MountSource::Tmpfs { .. }
        | MountSource::Image { .. }
        | MountSource::Volume { device: Some(_), .. } => return Ok(()),
        MountSource::Bind { path, .. } | MountSource::Volume { path, .. } => path,
    };
    let copy = match sys::mount::clone_path(source, true) {
        // It has gone from the host: the container has nothing there either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        copy => copy?,
    };
    if mount.read_only {
        sys::mount::set_attributes(&copy, &Change { set: attr::RDONLY, ..Change::default() })?;
    }
    let is_directory = File::open(source)?.metadata()?.is_dir();
    let target = match is_directory {
        true => root.mkdir_all(&mount.target, 0o755),
        false => root.touch(&mount.target, 0o644),
    };
    match target {
        Ok(target) => sys::mount::attach(&copy, &target),
        // The place is to be in a volume that is only read.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        Err(error) => Err(error),
    }
}
