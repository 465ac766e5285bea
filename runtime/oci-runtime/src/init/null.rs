//! `/dev/null` as a standard stream: the container's own, not the host's.
//!
//! A descriptor is enough to change the mode and owner of what it is open on
//! (`fchmod(2)`): root of a container without user namespace, handed the host's
//! `/dev/null` as its standard input, could take it from the whole host.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use sys::root::RootDir;

use super::masks::Cover;
use super::{Doing, InitError};

/// Exchanges every standard stream that is a null device for the container's, once its
/// root is ours.
pub(super) fn exchange() -> Result<(), InitError> {
    for number in 0..=2 {
        let Some(given) = sys::fd::standard(number) else { continue };
        if !is_null(given).doing(|| format!("look at stream {number}"))? {
            continue;
        }
        let doing = || format!("open /dev/null for stream {number}");
        let access = rustix::fs::fcntl_getfl(given).doing(doing)? & OFlags::RWMODE;
        // Where neither can be had we are in a user namespace, whose root does not own
        // the host's device, or the device cgroup keeps the container from null devices.
        if let Ok(own) = open_own(access).or_else(|_| open_private(access)) {
            sys::fd::become_standard(&own, number).doing(doing)?;
        }
    }
    Ok(())
}

/// The container's: it may have put anything there.
fn open_own(access: OFlags) -> io::Result<OwnedFd> {
    let root = RootDir::open(Path::new("/"))?;
    // A FIFO in its place must not make us wait.
    let flags = access | OFlags::NOCTTY | OFlags::NONBLOCK;
    let null = root.open_at(Path::new("dev/null"), flags, Mode::empty())?;
    if !is_null(&null)? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not the null device"));
    }
    rustix::fs::fcntl_setfl(&null, OFlags::empty())?;
    Ok(null)
}

/// One on a read-only file system of our own.
fn open_private(access: OFlags) -> io::Result<OwnedFd> {
    let null = Cover::make()?.open(access)?;
    if is_null(&null)? { Ok(null) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Character device 1:3 (`Documentation/admin-guide/devices.txt`).
fn is_null<Fd: std::os::fd::AsFd>(fd: Fd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    Ok(kind == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3))
}
