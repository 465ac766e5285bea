//! Keeping our own program out of the reach of containers (CVE-2019-5736).
//!
//! A process that joins a container can be made to open `/proc/self/exe` of the
//! runtime and, once the runtime has ended, to write to that file. So the runtime
//! re-executes itself from a place that cannot be written: a detached read-only
//! overlay of the directory it lies in (no copy, the page cache stays shared), or,
//! where that is refused, a sealed memfd.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};

use crate::mount::{FsContext, attr};

/// Whether the program open as `file` cannot be written through its descriptor:
/// on a read-only mount, or sealed.
pub fn is_sealed<Fd: AsFd>(file: Fd) -> bool {
    let file = file.as_fd();
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
    if rustix::fs::fcntl_get_seals(file).is_ok_and(|got| got.contains(seals)) {
        return true;
    }
    let readonly =
        rustix::fs::fstatvfs(file).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    readonly && is_detached(file)
}

/// Only a mount that is attached nowhere stays read-only for sure: an attached one
/// can be remounted or reached at another place. A detached one has no path, so the
/// kernel prints it from its own root: `/NAME`, in a directory without parent.
fn is_detached(file: std::os::fd::BorrowedFd<'_>) -> bool {
    let Ok(link) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) else { return false };
    let Ok(there) = rustix::fs::stat(&link) else { return true };
    let Ok(here) = rustix::fs::fstat(file) else { return false };
    (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)
}

/// Opens a copy of the running program that nobody can write. The descriptor is
/// close-on-exec and can be executed.
pub fn sealed() -> io::Result<OwnedFd> {
    let running = Path::new("/proc/self/exe");
    // The link's text is the file's real path. Where that is gone the link still leads to the file.
    std::fs::read_link(running).and_then(|path| overlay_of(&path)).or_else(|_| memfd_of(running))
}

/// Opens a copy of the program at `path` that nobody can write: through a read-only
/// overlay if possible, as a sealed memfd otherwise.
pub fn sealed_of(path: &Path) -> io::Result<OwnedFd> {
    let path = std::fs::canonicalize(path)?;
    match overlay_of(&path) {
        Ok(fd) => Ok(fd),
        Err(_) => memfd_of(&path),
    }
}

/// An overlay with no upper layer is read-only for good, also after a remount. It needs two
/// lower layers; the second can be any directory outside of the first, since the program is
/// found in the first, and its descriptor leads to no directory. (A mount made for it would cost
/// an RCU grace period when it goes.)
fn overlay_of(program: &Path) -> io::Result<OwnedFd> {
    let (Some(dir), Some(name)) = (program.parent(), program.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let original = rustix::fs::stat(program)?;
    let overlay = FsContext::open("overlay")?;
    let lower = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let other = rustix::fs::open("/dev", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let set = overlay.set_fd("lowerdir+", &lower).and_then(|()| overlay.set_fd("lowerdir+", &other));
    if set.is_err() {
        // Before Linux 6.13 overlayfs takes paths only.
        let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
        overlay.set("lowerdir", &[path(&lower), path(&other)].join(":"))?;
    }
    let mount = overlay.mount(attr::RDONLY | attr::NODEV | attr::NOSUID)?;
    let fd = open_program(&mount, name)?;
    let copy = rustix::fs::fstat(&fd)?;
    // The path may have been replaced since we were started.
    if (copy.st_size, copy.st_mtime, copy.st_mtime_nsec)
        != (original.st_size, original.st_mtime, original.st_mtime_nsec)
    {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(fd)
}

fn open_program(mount: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(mount, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

fn memfd_of(program: &Path) -> io::Result<OwnedFd> {
    let source = rustix::fs::open(program, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Programs in memory need the exec flag since Linux 6.3; older kernels refuse it.
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create("runtime", base | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("runtime", base)?,
        made => made?,
    };
    let mut left = rustix::fs::fstat(&source)?.st_size as usize;
    while left > 0 {
        match rustix::fs::sendfile(&copy, &source, None, left)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            sent => left -= sent,
        }
    }
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(copy)
}

/// Whether the program runs from a sealed copy, and whether that is an overlay rather than memory.
pub fn running_copy() -> io::Result<Option<bool>> {
    let running = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if !is_sealed(&running) {
        return Ok(None);
    }
    Ok(Some(rustix::fs::fstatfs(&running)?.f_type as u64 == OVERLAYFS_SUPER_MAGIC))
}

/// `linux/magic.h`.
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;

/// Re-executes this program from a sealed copy with these arguments and its environment, unless it
/// already runs from one. Returns when nothing had to be done, or why it failed.
pub fn reexec_sealed(args: impl FnOnce() -> io::Result<Vec<CString>>) -> io::Result<()> {
    // For reading: a descriptor of a path alone does not tell the seals of a memfd.
    let running = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    if is_sealed(&running) {
        return Ok(());
    }
    Err(crate::process::exec_fd(sealed()?, &args()?))
}
