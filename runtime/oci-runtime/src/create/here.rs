//! The root of a container without a mount namespace: a mount in the runtime's own namespace, at the
//! place of the root filesystem. What the container mounts lies on it, and goes with it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use sys::mount::{self, Change, Propagation, UnmountFlags};

use crate::error::Error;
use crate::state::ContainerRecord;

/// The id that the mount has from the first, attached or not.
pub(super) fn id(tree: &OwnedFd) -> Result<u64, Error> {
    let stat = rustix::fs::statx(tree, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    let stat = stat.map_err(io::Error::from).map_err(Error::system("look at the root filesystem's mount"))?;
    Ok(stat.stx_mnt_id)
}

/// Attaches the root. What is mounted on it stays in this mount namespace.
pub(super) fn attach(tree: &OwnedFd, path: &Path) -> Result<(), Error> {
    // By descriptor: the path may end in a symlink.
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let attached = place.map_err(io::Error::from).and_then(|place| mount::attach(tree, place));
    attached.map_err(Error::path("mount the root filesystem on", path))?;
    let private = Change { propagation: Some(Propagation::Private), recursive: true, ..Change::default() };
    mount::set_attributes(tree, &private).map_err(Error::path("make private", path))
}

/// Takes the root away, if it is the one of the record.
pub(crate) fn detach(record: &ContainerRecord) -> Result<(), Error> {
    let Some(id) = record.root_mount else { return Ok(()) };
    match rustix::fs::statx(CWD, &record.rootfs, AtFlags::empty(), StatxFlags::MNT_ID) {
        Ok(stat) if stat.stx_mnt_id == id => mount::unmount(&record.rootfs, UnmountFlags::DETACH)
            .map_err(Error::path("unmount the root filesystem on", &record.rootfs)),
        // Somebody was faster.
        _ => Ok(()),
    }
}
