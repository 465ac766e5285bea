//! Flaws outside of our directories: control groups and mounts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::ContainerId;
use cgroup::Layout;
use rustix::mount::UnmountFlags;

use super::{Cure, Flaw, FlawKind};
use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// Groups named like containers, below our parents, in every hierarchy. Other data roots may
    /// use the same parent and nobody else's may go: only one that has no process and was not
    /// made just now is taken for left over.
    pub(super) fn examine_cgroups(&self, flaws: &mut Vec<Flaw>) {
        let Ok(layout) = Layout::detect() else { return };
        let mut parents: BTreeSet<String> = BTreeSet::new();
        let ids = self.containers().ids().unwrap_or_default();
        for record in ids.iter().filter_map(|id| self.containers().read(id).ok()) {
            let path = self.cgroup_path(&record).unwrap_or_default();
            parents.extend(Path::new(&path).parent().map(|path| path.display().to_string()));
        }
        parents.insert(self.cgroup_parent().to_owned());
        for parent in parents {
            let v1 = layout.v1.iter().map(|hierarchy| hierarchy.dir(&parent));
            for directory in v1.chain(layout.v2.iter().map(|v2| v2.dir(&parent))) {
                for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                    self.examine_cgroup(&entry.path(), flaws);
                }
            }
        }
    }

    fn examine_cgroup(&self, path: &Path, flaws: &mut Vec<Flaw>) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_id = name.len() == ID_DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit());
        let Some(id) = ContainerId::parse(&name).ok().filter(|_| is_id) else { return };
        let known = self.containers().exists(&id) || self.paths().runtime().join(&id).exists();
        if known || is_new(path) || !is_empty(path) {
            return;
        }
        let detail = "an empty control group of a container that is not there";
        let object = path.display().to_string();
        flaws.push(Flaw::new(
            FlawKind::CgroupWithoutContainer,
            object,
            detail,
            Cure::Cgroup(path.to_owned()),
        ));
    }

    /// Nothing of ours is attached in the host's mount namespace, but a hand or a crash of
    /// something else may have left a mount where a container was.
    pub(super) fn examine_mounts(&self, flaws: &mut Vec<Flaw>) {
        let mounts = inspect::Proc::open().and_then(|proc| proc.this()).and_then(|this| this.mounts());
        let Ok(mounts) = mounts else { return };
        let (paths, root) = (self.paths(), |path: &Path| fs::canonicalize(path).unwrap_or(path.to_owned()));
        let places = [root(&paths.state).join("containers"), root(&paths.root).join("snapshots/active")];
        for mount in &mounts.value {
            let point = Path::new(&mount.mount_point);
            let below = places.iter().find_map(|place| point.strip_prefix(place).ok());
            let id =
                below.and_then(|below| below.iter().next()).map(|first| first.to_string_lossy().into_owned());
            let Some(id) = id.and_then(|id| ContainerId::parse(&id).ok()) else { continue };
            if self.containers().exists(&id) {
                continue;
            }
            let detail = format!("a mount of {} where a container was", mount.fs_type);
            let cure = Cure::Mount(point.to_owned());
            flaws.push(Flaw::new(FlawKind::MountDead, mount.mount_point.clone(), detail, cure));
        }
    }
}

/// The one who makes a group puts a process in within moments.
fn is_new(path: &Path) -> bool {
    let age =
        fs::metadata(path).and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_none_or(|age| age < NEW)
}

/// No processes, and no groups below that have any.
fn is_empty(path: &Path) -> bool {
    let none = fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|pids| pids.trim().is_empty());
    none && below(path).iter().all(|path| is_empty(path))
}

fn below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The kernel refuses one that has got a process meanwhile.
pub(super) fn remove_cgroup(path: &Path) -> Result<(), Error> {
    below(path).iter().try_for_each(|path| remove_cgroup(path))?;
    match fs::remove_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn unmount(path: &Path) -> Result<(), Error> {
    sys::mount::unmount(path, UnmountFlags::DETACH).map_err(Error::file("unmount", path))
}

const ID_DIGITS: usize = 64;
const NEW: Duration = Duration::from_secs(60);
