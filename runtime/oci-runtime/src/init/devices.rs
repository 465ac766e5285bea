//! Device nodes and the usual links below `/dev`.
//!
//! Made by name in an open parent that was resolved inside the root: a `/dev` that is a
//! symlink in the image leads to a place in the image (CVE-2026-41579).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use sys::mount;
use sys::root::{Node, RootDir};

use super::{Doing, InitError, Setup};
use crate::plan::{DeviceKind, DevicePlan, Plan};

/// Makes all of them.
pub(super) fn make(setup: &Setup, plan: &Plan, sources: &[Option<OwnedFd>]) -> Result<(), InitError> {
    let mut parent: Option<(PathBuf, OwnedFd)> = None;
    for (device, source) in plan.devices.iter().zip(sources) {
        if device.bind {
            bind(setup, device, source.as_ref())?;
            continue;
        }
        let dir = device.path.parent().unwrap_or(Path::new("/"));
        if parent.as_ref().is_none_or(|(known, _)| known != dir) {
            let fd = setup.root.mkdir_all(dir, 0o755).doing(|| format!("make {}", dir.display()))?;
            parent = Some((dir.to_owned(), fd));
        }
        if let Some((_, dir)) = &parent {
            node(dir, device)?;
        }
    }
    for (target, path) in &plan.links {
        link(setup, Path::new(target), Path::new(path), &mut parent)?;
    }
    Ok(())
}

fn node(dir: &OwnedFd, device: &DevicePlan) -> Result<(), InitError> {
    let doing = || format!("make device {}", device.path.display());
    let name = device.path.file_name().unwrap_or_default();
    let kind = match device.kind {
        DeviceKind::Char => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
        DeviceKind::Fifo => FileType::Fifo,
    };
    let node = Node { kind, mode: device.mode, major: device.major, minor: device.minor };
    match RootDir::mknod_in(dir, name, node) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            // The image's own file of that name need not be the device.
            sys::root::remove_in(dir, name, false).doing(doing)?;
            RootDir::mknod_in(dir, name, node).doing(doing)?;
        }
        made => made.doing(doing)?,
    }
    if (device.uid, device.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).doing(doing)?;
        // A change of the owner clears set-id bits.
        rustix::fs::chmodat(dir, name, Mode::from_raw_mode(device.mode), AtFlags::empty()).doing(doing)?;
    }
    Ok(())
}

fn bind(setup: &Setup, device: &DevicePlan, source: Option<&OwnedFd>) -> Result<(), InitError> {
    let doing = || format!("bind device {}", device.path.display());
    let source =
        source.ok_or_else(|| InitError::plain(format!("{}: the host has no such device", doing())))?;
    let target = setup.root.touch(&device.path, 0o666).doing(doing)?;
    mount::attach(source, &target).doing(doing)
}

fn link(
    setup: &Setup,
    target: &Path,
    path: &Path,
    parent: &mut Option<(PathBuf, OwnedFd)>,
) -> Result<(), InitError> {
    let doing = || format!("make link {}", path.display());
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    if parent.as_ref().is_none_or(|(known, _)| known != dir) {
        *parent = Some((dir.to_owned(), setup.root.mkdir_all(dir, 0o755).doing(doing)?));
    }
    let Some((_, dir)) = parent.as_ref() else { return Ok(()) };
    match rustix::fs::symlinkat(target, dir, name) {
        Ok(()) => Ok(()),
        // The image's own link stays, but ptmx must be the container's own.
        Err(Errno::EXIST) if path != Path::new("/dev/ptmx") => Ok(()),
        Err(Errno::EXIST) => {
            sys::root::remove_in(dir, name, false).doing(doing)?;
            rustix::fs::symlinkat(target, dir, name).doing(doing)
        }
        // A read-only image without these links can live without them.
        Err(Errno::ROFS) => Ok(()),
        Err(errno) => Err(errno).doing(doing),
    }
}
