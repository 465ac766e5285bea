//! What comes from the host, made ready before the clone: the root filesystem, sources
//! of bind mounts and devices, as detached copies of mounts.
//!
//! Done on the host's side because a container's root user may be unable to reach them
//! and may never change their owners.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use sys::mount::{self, Change, Propagation, attr};
use sys::namespace::{self, Namespace};

use crate::error::Error;
use crate::options::Rootfs;
use crate::plan::{DeviceKind, DevicePlan, IdmapPlan, MountKind, MountPlan, Plan, RootPlan};

/// The root filesystem, when it is a mount; for each mount its source, and for each
/// device.
pub(crate) type Opened = (Option<OwnedFd>, Vec<Option<OwnedFd>>, Vec<Option<OwnedFd>>);

/// Opens them all.
pub(crate) fn open(plan: &Plan, bundle: &Path, rootfs: Rootfs) -> Result<Opened, Error> {
    let root = has_mounts(plan).then(|| root(&plan.root, rootfs)).transpose()?;
    Ok((root, mounts(plan, bundle)?, devices(plan)))
}

/// The root filesystem, detached.
fn root(plan: &RootPlan, rootfs: Rootfs) -> Result<OwnedFd, Error> {
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
fn mounts(plan: &Plan, bundle: &Path) -> Result<Vec<Option<OwnedFd>>, Error> {
    let around = Around::of(plan);
    plan.mounts
        .iter()
        .map(|mount| match &mount.kind {
            MountKind::Bind { source, .. } if in_root(plan, source).is_some() => Ok(None),
            MountKind::Bind { source, recursive } => {
                bind(mount, &bundle.join(source), *recursive, &around).map(Some)
            }
            _ => Ok(None),
        })
        .collect()
}

/// Where in the container's root a source lies. What was mounted there before it belongs to it, so it
/// is opened in its turn, by init.
pub(crate) fn in_root<'a>(plan: &Plan, source: &'a Path) -> Option<&'a Path> {
    has_mounts(plan).then(|| source.strip_prefix(&plan.root.path).ok())?
}

/// Whether the root is a mount of the container's.
fn has_mounts(plan: &Plan) -> bool {
    plan.namespaces.makes(Namespace::Mount) || plan.mounts_here()
}

/// What of the plan decides about each of its bind mounts.
pub(crate) struct Around<'a> {
    shared_root: bool,
    user_namespace: bool,
    /// The user namespace that is joined.
    user: Option<&'a Path>,
}

impl<'a> Around<'a> {
    pub(crate) fn of(plan: &'a Plan) -> Self {
        let joined = plan.namespaces.join.iter().find(|(kind, _)| *kind == Namespace::User);
        Self {
            shared_root: matches!(plan.root.propagation, Some((Propagation::Shared, _))),
            user_namespace: plan.namespaces.has(Namespace::User),
            user: joined.map(|(_, path)| path.as_path()),
        }
    }
}

/// The user namespace whose map an idmapped mount has.
fn idmap_namespace(idmap: &IdmapPlan, source: &Path, around: &Around<'_>) -> Result<OwnedFd, Error> {
    let what = || format!("make a user namespace for the idmapped mount of {}", source.display());
    match (&idmap.maps, around.user) {
        (Some(maps), _) => sys::idmap::user_namespace(maps).map_err(Error::system(what())),
        (None, Some(joined)) => namespace::open(joined).map_err(Error::path("open the namespace", joined)),
        (None, None) => Err(Error::system(what())(std::io::ErrorKind::InvalidInput.into())),
    }
}

fn bind(plan: &MountPlan, source: &Path, recursive: bool, around: &Around<'_>) -> Result<OwnedFd, Error> {
    let tree =
        clone_source(source, recursive).map_err(Error::path("open the source of a bind mount", source))?;
    map_owners(plan, &tree, source, around)?;
    dress(plan, &tree, source, around)?;
    Ok(tree)
}

/// Maps the owners in a copy that init has made for the mount at this place.
pub(crate) fn map_owners_of(plan: &Plan, at: usize, tree: &OwnedFd) -> Result<(), Error> {
    match plan.mounts.get(at) {
        Some(mount) => match &mount.kind {
            MountKind::Bind { source, .. } => map_owners(mount, tree, source, &Around::of(plan)),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}

/// Maps the owners in a detached copy, if that is asked for.
fn map_owners(plan: &MountPlan, tree: &OwnedFd, source: &Path, around: &Around<'_>) -> Result<(), Error> {
    let Some(idmap) = &plan.idmap else { return Ok(()) };
    let user = idmap_namespace(idmap, source, around)?;
    let change = Change { idmap: Some(user.as_fd()), recursive: idmap.recursive, ..Change::default() };
    mount::set_attributes(tree, &change)
        .map_err(Error::path("map the owners (does the file system support idmapped mounts?) of", source))
}

/// Gives a detached copy the options of its mount.
pub(crate) fn dress(
    plan: &MountPlan,
    tree: &OwnedFd,
    source: &Path,
    around: &Around<'_>,
) -> Result<(), Error> {
    let apply = |change: &Change<'_>| {
        mount::set_attributes(tree, change).map_err(Error::path("set mount options on", source))
    };
    // Events of the container's mounts reach the host only when both ask for it.
    let stays_peer = around.shared_root && plan.propagation.iter().any(|(p, _)| *p == Propagation::Shared);
    if !stays_peer {
        apply(&Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() })?;
    }
    if plan.named {
        set_own(plan, tree, source, around)?;
    }
    let clear = plan.clear_all | atime(plan.set_all);
    let all = Change { set: plan.set_all, clear, recursive: true, ..Change::default() };
    if !all.is_empty() {
        apply(&all)?;
    }
    for (propagation, recursive) in &plan.propagation {
        apply(&Change { propagation: Some(*propagation), recursive: *recursive, ..Change::default() })?;
    }
    Ok(())
}

/// Gives the mount those attributes that its options name, and no others of its source. What a
/// user namespace locks stays, though: its root may not undo what the host has decided.
fn set_own(plan: &MountPlan, tree: &OwnedFd, source: &Path, around: &Around<'_>) -> Result<(), Error> {
    let wants_atime = plan.set & (attr::ATIME | attr::NODIRATIME) != 0 || plan.clear & attr::ATIME != 0;
    let access = if wants_atime { attr::ATIME | attr::NODIRATIME } else { 0 };
    if !around.user_namespace {
        // The whole field of access times is cleared when a mode is set.
        let clear = (LOCKABLE | attr::NOSYMFOLLOW | access) & !(plan.set & !attr::ATIME);
        match mount::set_attributes(tree, &Change { set: plan.set, clear, ..Change::default() }) {
            // We are ourselves in a user namespace that locks them.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
            result => return result.map_err(Error::path("set mount options on", source)),
        }
    }
    let there = rustix::fs::fstatvfs(tree).map_err(|errno| Error::path("look at", source)(errno.into()))?;
    let locked = there.f_flag.bits() & LOCKABLE;
    let refused = locked & plan.clear != 0 || wants_atime && !same_atime(plan, there.f_flag);
    if refused {
        return Err(Error::LockedMount { origin: source.to_owned(), destination: plan.destination.clone() });
    }
    let clear = attr::NOSYMFOLLOW & !plan.set;
    let set = plan.set & !(attr::ATIME | attr::NODIRATIME);
    mount::set_attributes(tree, &Change { set, clear, ..Change::default() })
        .map_err(Error::path("set mount options on", source))
}

fn same_atime(plan: &MountPlan, there: StatVfsMountFlags) -> bool {
    let has = |flag| there.contains(flag);
    let mode = match plan.set & attr::ATIME {
        attr::NOATIME => has(StatVfsMountFlags::NOATIME),
        attr::STRICTATIME => !has(StatVfsMountFlags::NOATIME) && !has(StatVfsMountFlags::RELATIME),
        _ => has(StatVfsMountFlags::RELATIME),
    };
    mode && has(StatVfsMountFlags::NODIRATIME) == (plan.set & attr::NODIRATIME != 0)
}

/// What a mount that came from a more privileged user namespace keeps (`mount_namespaces(7)`). The
/// numbers of `mount_setattr(2)` and of `statvfs(3)` are the same for these.
const LOCKABLE: u64 = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;

/// A copy of the mount at `source`. `/proc/PID/root/REST` is in the mount namespace of that process,
/// and the kernel copies only mounts of the caller's: it is copied from within there, where
/// symlinks lead no further than its own tree.
fn clone_source(source: &Path, recursive: bool) -> std::io::Result<OwnedFd> {
    match in_process(source) {
        // From here its absolute symlinks would lead to files of ours.
        Some((pid, rest)) => {
            let mounts = namespace::open_of(Some(pid), Namespace::Mount)?;
            namespace::visit_mounts(mounts, || mount::clone_path(&rest, recursive))?
        }
        None => mount::clone_path(source, recursive),
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
    if set & attr::ATIME != 0 { attr::ATIME } else { 0 }
}

/// Devices that are bound, since they cannot be made in a user namespace.
fn devices(plan: &Plan) -> Vec<Option<OwnedFd>> {
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
