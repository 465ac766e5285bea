//! Writing to `/proc` without trusting what is mounted at `/proc`.
//!
//! A container may bring its own `/proc`: a symlink, a volume, a tmpfs with
//! look-alikes. So a write goes through a descriptor of which the kernel says that
//! it is the root of a procfs, and the way below it crosses no mount and no magic
//! link (`RESOLVE_NO_XDEV`, `RESOLVE_NO_MAGICLINKS`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::mount::FsContext;

/// The verified root of a procfs.
#[derive(Debug)]
pub struct Procfs {
    fd: OwnedFd,
}

impl Procfs {
    /// A procfs of our PID namespace that is attached nowhere (`fsopen(2)`); where
    /// that is not allowed, what is mounted at `/proc` if it proves to be one.
    pub fn private() -> io::Result<Self> {
        match FsContext::open("proc").and_then(|context| context.mount(0)) {
            Ok(fd) => Self::from_mount(fd),
            Err(_) => Self::host(),
        }
    }

    /// The procfs at `/proc` of a mount namespace that is trusted (the host's).
    pub fn host() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::from_mount(rustix::fs::open("/proc", flags, Mode::empty())?)
    }

    /// Takes a descriptor if it is the root of a procfs.
    pub fn from_mount(fd: OwnedFd) -> io::Result<Self> {
        let magic = rustix::fs::fstatfs(&fd)?.f_type as u64;
        let inode = rustix::fs::fstat(&fd)?.st_ino;
        if magic != PROC_SUPER_MAGIC || inode != PROC_ROOT_INO {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the directory is not the root of a procfs",
            ));
        }
        Ok(Self { fd })
    }

    /// Opens a file below, such as `sys/kernel/shmmax` or `self/attr/exec`.
    pub fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Writes `value` in one call to an existing file below.
    pub fn write(&self, path: &Path, value: &[u8]) -> io::Result<()> {
        let fd = self.open(path, OFlags::WRONLY)?;
        let wrote = rustix::io::write(&fd, value)?;
        if wrote == value.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Reads a file below.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::fs::File::from(self.open(path, OFlags::RDONLY)?).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const PROC_SUPER_MAGIC: u64 = 0x9fa0;
// fs/proc/internal.h: the root of every instance has this number.
const PROC_ROOT_INO: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_a_procfs() {
        assert!(Procfs::host().is_ok());
        let tmp = rustix::fs::open("/", OFlags::PATH, Mode::empty()).unwrap();
        assert!(Procfs::from_mount(tmp).is_err());
        let inner = rustix::fs::open("/proc/self", OFlags::PATH, Mode::empty()).unwrap();
        assert!(Procfs::from_mount(inner).is_err());
    }

    #[test]
    fn leaves_by_no_link() {
        let proc = Procfs::host().unwrap();
        assert!(proc.open(Path::new("self/cwd"), OFlags::PATH).is_err());
        assert!(proc.open(Path::new("../etc"), OFlags::PATH).is_err());
        assert!(!proc.read(Path::new("self/stat")).unwrap().is_empty());
    }
}
