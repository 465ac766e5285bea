//! The container's standard streams: FIFOs in the state directory, or a terminal.
//!
//! The container's ends of stdout and stderr are opened for reading *and* writing, so
//! that there is always a reader: when the shim is killed, a write fills the FIFO and
//! then waits; it never fails with EPIPE, and the adopting shim finds every byte. A stdin
//! that is open for ever has both sides too; one that shall end ([`StdinMode::Once`]) has
//! its writer in the shim alone, so it ends when the shim is killed.
//!
//! The FIFOs have mode 0666 because a program may open `/dev/stdout` under another user:
//! the link leads to this inode, and to nobody else, as the directory is closed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::paths::FIFOS;
use crate::protocol::StdinMode;

/// The container's ends.
#[derive(Debug)]
pub(super) struct TheirEnds {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Our ends, non-blocking.
#[derive(Debug)]
pub(super) struct OurEnds {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: Option<OwnedFd>,
}

/// Makes the FIFOs anew and opens both sides.
pub(super) fn make_fifos(state_dir: &Path, stdin: StdinMode) -> io::Result<(OurEnds, TheirEnds)> {
    let dir = open_dir(state_dir)?;
    remove_fifos_in(&dir)?;
    for name in FIFOS {
        rustix::fs::mknodat(&dir, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        rustix::fs::chmodat(&dir, name, Mode::from_raw_mode(0o666), AtFlags::empty())?;
    }
    let input = match stdin {
        StdinMode::Closed => rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
        StdinMode::Open => open(&dir, "stdin", OFlags::RDWR)?,
        StdinMode::Once => {
            let reader = open(&dir, "stdin", OFlags::RDONLY | OFlags::NONBLOCK)?;
            rustix::fs::fcntl_setfl(&reader, OFlags::empty())?;
            reader
        }
    };
    let theirs = TheirEnds {
        stdin: input,
        stdout: open(&dir, "stdout", OFlags::RDWR)?,
        stderr: open(&dir, "stderr", OFlags::RDWR)?,
    };
    Ok((open_ours(&dir, stdin)?, theirs))
}

/// Opens our side of FIFOs that are there already.
pub(super) fn open_fifos(state_dir: &Path, stdin: StdinMode) -> io::Result<OurEnds> {
    open_ours(&open_dir(state_dir)?, stdin)
}

fn open_ours(dir: &OwnedFd, stdin: StdinMode) -> io::Result<OurEnds> {
    let stdin = match stdin {
        StdinMode::Closed => None,
        // ENXIO: nobody reads (any more), as after a container closed its stdin.
        StdinMode::Open | StdinMode::Once => match open(dir, "stdin", OFlags::WRONLY | OFlags::NONBLOCK) {
            Err(rustix::io::Errno::NXIO) => None,
            opened => Some(opened?),
        },
    };
    let stdout = open(dir, "stdout", OFlags::RDONLY | OFlags::NONBLOCK)?;
    let stderr = open(dir, "stderr", OFlags::RDONLY | OFlags::NONBLOCK)?;
    Ok(OurEnds { stdin, stdout, stderr: Some(stderr) })
}

/// Opens the state directory, which may be replaced by another later.
pub(super) fn open_dir(dir: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open(dir: &OwnedFd, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// Removes the FIFOs; what is not there is fine.
pub(super) fn remove_fifos_in(dir: &OwnedFd) -> io::Result<()> {
    for name in FIFOS {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Makes a descriptor non-blocking.
pub(super) fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
