//! The root filesystem: attaching it, making it `/`, leaving the old one.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use sys::mount::{self, Change, Propagation, UnmountFlags, attr};

use super::{Doing, InitError, Setup};
use crate::plan::Plan;

/// Attaches the detached root over the old `/`, or at `path` if that can be, and gives a descriptor
/// of the old one.
///
/// Paths that start with `/` still resolve in the old root afterwards: it stays the
/// root of this process, and a mount on top of it is not followed.
pub(super) fn attach(tree: &OwnedFd, path: Option<&Path>) -> Result<OwnedFd, InitError> {
    let slave = Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() };
    mount::set_attributes_of_path(Path::new("/"), &slave)
        .doing(|| "keep mounts from reaching the host".to_owned())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).doing(|| "open the old root".to_owned())?;
    // Root of a user namespace may not reach the path, and a root that is a mount has none.
    let attached = path.is_some_and(|path| mount::attach_path(tree, path).is_ok());
    if !attached {
        mount::attach_path(tree, Path::new("/")).doing(|| "attach the root filesystem".to_owned())?;
    }
    Ok(old)
}

/// Makes the new root `/` and lets go of the old one, unless it is the runtime's own: `None`.
pub(super) fn enter(
    setup: &Setup,
    plan: &Plan,
    old: Option<&OwnedFd>,
    no_pivot: bool,
) -> Result<(), InitError> {
    let root = setup.root.as_fd();
    if plan.root.readonly {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        mount::set_attributes(&setup.root, &change).doing(|| "make the root read-only".to_owned())?;
    }
    rustix::process::fchdir(root).doing(|| "enter the new root".to_owned())?;
    let Some(old) = old.filter(|_| !no_pivot) else {
        if old.is_some() {
            hide_bare(setup)?;
        }
        rustix::process::chroot(".").doing(|| "change the root".to_owned())?;
        rustix::process::chdir("/").doing(|| "enter the new root".to_owned())?;
        return set_propagation(setup, plan);
    };
    // The old root lands on top of the new one and is detached from there: no
    // directory in the container is needed for it (pivot_root(2), NOTES).
    rustix::process::pivot_root(".", ".").doing(|| {
        "pivot_root to the root filesystem (on a host that runs from a ramdisk use --no-pivot)".to_owned()
    })?;
    rustix::process::fchdir(old).doing(|| "enter the old root".to_owned())?;
    mount::unmount(Path::new("."), UnmountFlags::DETACH).doing(|| "detach the old root".to_owned())?;
    rustix::process::chdir("/").doing(|| "enter the new root".to_owned())?;
    set_propagation(setup, plan)
}

/// Without a pivot the old root's mounts stay in the namespace. A whole procfs or sysfs among them
/// would let a process in the container mount another one (`mount_namespaces(7)`: what is visible in
/// full may be mounted again), so they go; what cannot go is covered.
fn hide_bare(setup: &Setup) -> Result<(), InitError> {
    let doing = || "look for the old root's procfs and sysfs".to_owned();
    let text = std::fs::read_to_string("/proc/self/mountinfo").doing(doing)?;
    let own =
        rustix::fs::statx(&setup.root, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).doing(doing)?.stx_mnt_id;
    for path in bare_mounts(&text, own) {
        let result = mount::unmount(&path, UnmountFlags::DETACH).or_else(|_| {
            let cover = mount::FsContext::open("tmpfs")?.mount(attr::RDONLY)?;
            mount::attach_path(&cover, &path)
        });
        result.doing(|| format!("take {} of the host away", path.display()))?;
    }
    Ok(())
}

/// Mount points of proc and sysfs that are not below the mount `own`; those on top first, since the
/// last of the text are the latest.
fn bare_mounts(mountinfo: &str, own: u64) -> Vec<PathBuf> {
    let mut inside = vec![own];
    let mut bare = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let words: Vec<&str> = left.split_whitespace().collect();
        let [id, parent, _, _, point, ..] = words[..] else { continue };
        let (Ok(id), Ok(parent)) = (id.parse::<u64>(), parent.parse::<u64>()) else { continue };
        if id == own || inside.contains(&parent) {
            inside.push(id);
        } else if matches!(right.split_whitespace().next(), Some("proc" | "sysfs")) {
            bare.push(PathBuf::from(point.replace("\\040", " ")));
        }
    }
    bare.reverse();
    bare
}

/// After the pivot, which refuses shared mounts.
fn set_propagation(setup: &Setup, plan: &Plan) -> Result<(), InitError> {
    if let Some((propagation, recursive)) = plan.root.propagation {
        let change = Change { propagation: Some(propagation), recursive, ..Change::default() };
        mount::set_attributes(&setup.root, &change).doing(|| "set rootfsPropagation".to_owned())?;
    }
    Ok(())
}

/// Without a mount namespace of its own, a container only gets another root directory.
pub(super) fn change_root(path: &Path) -> Result<(), InitError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty());
    change_root_to(&root.doing(|| format!("open the root {}", path.display()))?)
}

/// The same, by its descriptor.
pub(crate) fn change_root_to(root: &OwnedFd) -> Result<(), InitError> {
    rustix::process::fchdir(root).doing(|| "enter the new root".to_owned())?;
    rustix::process::chroot(".").doing(|| "change the root".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_outside_the_root_is_bare() {
        let text = "20 1 8:1 / / rw - ext4 /dev/a rw\n\
                    21 20 0:5 / /proc rw - proc proc rw\n\
                    22 20 0:6 / /sys rw - sysfs sysfs rw\n\
                    30 20 0:7 / / rw - ext4 /dev/a rw\n\
                    31 30 0:8 / /proc rw - proc proc rw\n\
                    32 31 0:9 / /proc/sys ro - proc proc rw\n";
        assert_eq!(bare_mounts(text, 30), [Path::new("/sys"), Path::new("/proc")]);
    }
}
