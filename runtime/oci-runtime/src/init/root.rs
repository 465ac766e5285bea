//! The root filesystem: attaching it, making it `/`, leaving the old one.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sys::mount::{self, Change, Propagation, UnmountFlags, attr};

use super::{Doing, InitError, Setup};
use crate::plan::Plan;

/// Attaches the detached root over the old `/` and gives a descriptor of the old one.
///
/// Paths that start with `/` still resolve in the old root afterwards: it stays the
/// root of this process, and a mount on top of it is not followed.
pub(super) fn attach(tree: &OwnedFd) -> Result<OwnedFd, InitError> {
    let slave = Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() };
    mount::set_attributes_of_path(Path::new("/"), &slave)
        .doing(|| "keep mounts from reaching the host".to_owned())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).doing(|| "open the old root".to_owned())?;
    mount::attach_path(tree, Path::new("/")).doing(|| "attach the root filesystem".to_owned())?;
    Ok(old)
}

/// Makes the new root `/` and lets go of the old one.
pub(super) fn pivot(setup: &Setup, plan: &Plan, old: &OwnedFd, no_pivot: bool) -> Result<(), InitError> {
    let root = setup.root.as_fd();
    if plan.root.readonly {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        mount::set_attributes(&setup.root, &change).doing(|| "make the root read-only".to_owned())?;
    }
    rustix::process::fchdir(root).doing(|| "enter the new root".to_owned())?;
    if no_pivot {
        rustix::process::chroot(".").doing(|| "change the root".to_owned())?;
        rustix::process::chdir("/").doing(|| "enter the new root".to_owned())?;
        return set_propagation(setup, plan);
    }
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
    rustix::process::chdir(path).doing(|| format!("enter the root {}", path.display()))?;
    rustix::process::chroot(".").doing(|| format!("change the root to {}", path.display()))?;
    rustix::process::chdir("/").doing(|| "enter the new root".to_owned())
}
