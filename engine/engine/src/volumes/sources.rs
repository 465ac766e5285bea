//! Where a container's volumes are at the moment of its start, when that is no path of ours: a part
//! of a volume, or memory that another running container has mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use base::ContainerId;
use sys::lock::FileLock;
use sys::root::RootDir;

use crate::container::{MountSource, Record};
use crate::engine::Engine;
use crate::error::Error;

/// What is mounted where instead of the volume's own directory, until the container is made.
#[derive(Debug, Default)]
pub(crate) struct VolumeSources {
    /// By the place in the container.
    pub(crate) paths: BTreeMap<PathBuf, PathBuf>,
    /// Containers whose mounts are shared: they must still run when that is done.
    pub(crate) donors: Vec<Record>,
    /// The paths lead through these.
    _parts: Vec<OwnedFd>,
    /// Of two containers that bring the same memory into being, one waits for the other.
    _locks: Vec<FileLock>,
}

impl Engine {
    /// Looks for them.
    pub(crate) fn volume_sources(&self, record: &Record) -> Result<VolumeSources, Error> {
        let mut sources = VolumeSources::default();
        let mut memories = BTreeSet::new();
        for mount in &record.mounts {
            let MountSource::Volume { name, path, device, part, .. } = &mount.source else { continue };
            if device.as_ref().is_some_and(super::DeviceMount::is_memory) {
                memories.insert(name.clone());
            } else if let Some(part) = part {
                let descriptor = open_part(name, path, part)?;
                // By descriptor: whoever has the volume may exchange what is at the path.
                let through = format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd());
                sources.paths.insert(mount.target.clone(), through.into());
                sources._parts.push(descriptor);
            }
        }
        // In order of their names, so that two starts never wait for each other.
        for name in memories {
            let home = self.paths().volumes().join(&name);
            let lock = FileLock::exclusive(&home).map_err(Error::file("lock", &home))?;
            sources._locks.push(lock);
            let Some((donor, place)) = self.holder_of(&name, &record.id)? else { continue };
            let pid = donor.lifecycle.pid().unwrap_or(0);
            let below = place.strip_prefix("/").unwrap_or(&place);
            let path = PathBuf::from(format!("/proc/{pid}/root")).join(below);
            let places = record.mounts.iter().filter(|mount| is_of(&mount.source, &name));
            sources.paths.extend(places.map(|mount| (mount.target.clone(), path.clone())));
            sources.donors.push(donor);
        }
        Ok(sources)
    }

    /// A running container that has the volume, and where.
    fn holder_of(&self, name: &str, but: &ContainerId) -> Result<Option<(Record, PathBuf)>, Error> {
        for id in self.containers().ids()? {
            let Ok(record) = self.containers().read(&id) else { continue };
            if id == *but || !record.lifecycle.is_running() {
                continue;
            }
            let place = record.mounts.iter().find(|mount| is_of(&mount.source, name));
            if let Some(place) = place.map(|mount| mount.target.clone())
                && crate::ops::still_there(std::slice::from_ref(&record)).is_ok()
            {
                return Ok(Some((record, place)));
            }
        }
        Ok(None)
    }
}

fn is_of(source: &MountSource, volume: &str) -> bool {
    matches!(source, MountSource::Volume { name, part: None, .. } if name == volume)
}

/// A part of a volume, which a symlink in it cannot lead out of.
pub(crate) fn open_part(name: &str, volume: &Path, part: &Path) -> Result<OwnedFd, Error> {
    let failed = |source| Error::VolumePart { name: name.to_owned(), path: part.to_owned(), source };
    RootDir::open(volume).and_then(|root| root.resolve_beneath(part)).map_err(failed)
}
