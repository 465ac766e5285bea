//! What comes from the host, made ready before the clone: the root filesystem, sources
//! of bind mounts and devices, as detached copies of mounts.
//!
//! Done on the host's side because a container's root user may be unable to reach them
//! and may never change their owners.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use sys::mount::{self, Change, Propagation};
use sys::namespace::{self, Namespace};

use crate::error::Error;
use crate::options::Rootfs;
use crate::plan::{DeviceKind, DevicePlan, MountKind, MountPlan, Plan, RootPlan};

/// The root filesystem, detached.
pub(crate) fn root(plan: &RootPlan, rootfs: Rootfs) -> Result<OwnedFd, Error> {
    let tree = match rootfs {
        Rootfs::Mount(tree) => return Ok(tree),
        Rootfs::Path => match mount::clone_path(&plan.path, true) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoRootfs { path: plan.path.clone() });
            }
            tree => tree.map_err(Error::path("open the root filesystem", &plan.path))?,
        },
    };
    let slave = Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() };
    mount::set_attributes(&tree, &slave).map_err(Error::path("make a slave of", &plan.path))?;
    let kind = sys::root::file_type(&tree).map_err(Error::path("look at", &plan.path))?;
    if kind != rustix::fs::FileType::Directory {
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(Error::Path { what: "use as root filesystem", path: plan.path.clone(), source });
    }
    Ok(tree)
}

/// For each mount its source, if it is a bind mount.
pub(crate) fn mounts(plan: &Plan, bundle: &Path) -> Result<Vec<Option<OwnedFd>>, Error> {
    let shared_root = matches!(plan.root.propagation, Some((Propagation::Shared, _)));
    plan.mounts
        .iter()
        .map(|mount| match &mount.kind {
            MountKind::Bind { source, recursive } => {
                bind(mount, &bundle.join(source), *recursive, shared_root).map(Some)
            }
            _ => Ok(None),
        })
        .collect()
}

fn bind(plan: &MountPlan, source: &Path, recursive: bool, shared_root: bool) -> Result<OwnedFd, Error> {
    let tree =
        clone_source(source, recursive).map_err(Error::path("open the source of a bind mount", source))?;
    let apply = |change: &Change<'_>| {
        mount::set_attributes(&tree, change).map_err(Error::path("set mount options on", source))
    };
    // Events of the container's mounts reach the host only when both ask for it.
    let stays_peer = shared_root && plan.propagation.iter().any(|(p, _)| *p == Propagation::Shared);
    if !stays_peer {
        apply(&Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() })?;
    }
    if let Some(idmap) = &plan.idmap {
        let user = sys::idmap::user_namespace(&idmap.maps).map_err(Error::system(format!(
            "make a user namespace for the idmapped mount of {}",
            source.display()
        )))?;
        let change = Change { idmap: Some(user.as_fd()), recursive: idmap.recursive, ..Change::default() };
        mount::set_attributes(&tree, &change).map_err(Error::path(
            "map the owners (does the file system support idmapped mounts?) of",
            source,
        ))?;
    }
    let all = Change { set: plan.set_all, clear: plan.clear_all, recursive: true, ..Change::default() };
    let one = Change { set: plan.set, clear: plan.clear | atime(plan.set), ..Change::default() };
    for change in [all, one] {
        if !change.is_empty() {
            apply(&change)?;
        }
    }
    for (propagation, recursive) in &plan.propagation {
        apply(&Change { propagation: Some(*propagation), recursive: *recursive, ..Change::default() })?;
    }
    Ok(tree)
}

/// A copy of the mount at `source`. `/proc/PID/root/REST` is in the mount namespace of that process,
/// and the kernel copies only mounts of the caller's: it is copied from within there, where
/// symlinks lead no further than its own tree.
fn clone_source(source: &Path, recursive: bool) -> std::io::Result<OwnedFd> {
    match (mount::clone_path(source, recursive), in_process(source)) {
        (Err(error), Some((pid, rest)))
            if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) =>
        {
            let mounts = namespace::open_of(Some(pid), Namespace::Mount)?;
            namespace::visit_mounts(mounts, || mount::clone_path(&rest, recursive))?
        }
        (tree, _) => tree,
    }
}

/// `/proc/PID/root/REST` → PID and `/REST`.
fn in_process(source: &Path) -> Option<(i32, PathBuf)> {
    let below = source.strip_prefix("/proc").ok()?;
    let mut parts = below.components();
    let pid = parts.next()?.as_os_str().to_str()?.parse().ok()?;
    (parts.next()?.as_os_str() == "root").then(|| (pid, Path::new("/").join(parts.as_path())))
}

/// The kernel wants the whole atime field cleared when a mode is set.
fn atime(set: u64) -> u64 {
    if set & mount::attr::ATIME != 0 { mount::attr::ATIME } else { 0 }
}

/// Devices that are bound, since they cannot be made in a user namespace.
pub(crate) fn devices(plan: &Plan) -> Vec<Option<OwnedFd>> {
    plan.devices.iter().map(|device| device.bind.then(|| host_device(device)).flatten()).collect()
}

/// The host's node, if it is what the plan names.
fn host_device(device: &DevicePlan) -> Option<OwnedFd> {
    let tree = mount::clone_path(&device.path, false).ok()?;
    let stat = rustix::fs::fstat(&tree).ok()?;
    let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::CharacterDevice => DeviceKind::Char,
        rustix::fs::FileType::BlockDevice => DeviceKind::Block,
        _ => return None,
    };
    let same = kind == device.kind && stat.st_rdev == rustix::fs::makedev(device.major, device.minor);
    same.then_some(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_through_a_processs_root_are_in_its_namespace() {
        let cases = [
            ("/proc/7/root/dev/shm", Some((7, "/dev/shm"))),
            ("/proc/7/root", Some((7, "/"))),
            ("/proc/7/cwd/x", None),
            ("/proc/self/root/x", None),
            ("/srv/proc/7/root", None),
        ];
        for (path, expected) in cases {
            let found = in_process(Path::new(path));
            assert_eq!(found, expected.map(|(pid, rest)| (pid, rest.into())), "{path}");
        }
    }
}
