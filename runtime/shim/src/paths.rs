//! Names in the state directory, and sockets there.
//!
//! `sun_path` holds 108 bytes, which a long state root and a 64-digit id exceed, so the
//! socket is named through a descriptor of its directory: `/proc/self/fd/N/shim.sock`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The control socket.
pub const SOCKET: &str = "shim.sock";
/// What an adopting shim must know.
pub const SHIM_FILE: &str = "shim.json";
/// Locked for as long as a shim lives, by a record lock of `fcntl(2)`: unlike `flock(2)`
/// it is not inherited by an init that waits at its start gate.
pub const LOCK: &str = "shim.lock";
/// What the shim has to say when something is wrong; made only then.
pub const DIAGNOSTICS: &str = "shim.log";

/// FIFOs of the container's stdio, in the order of the descriptors.
pub(crate) const FIFOS: [&str; 3] = ["stdin", "stdout", "stderr"];

fn address(dir: &OwnedFd) -> io::Result<SocketAddrUnix> {
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
    Ok(SocketAddrUnix::new(path)?)
}

fn open_dir(dir: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn stream_socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Connects to the socket in `state_dir`.
pub(crate) fn connect(state_dir: &Path) -> io::Result<OwnedFd> {
    let dir = open_dir(state_dir)?;
    let socket = stream_socket(SocketFlags::empty())?;
    rustix::net::connect(&socket, &address(&dir)?)?;
    Ok(socket)
}

/// Listens on the socket in `state_dir`, replacing one that a dead shim left. Mode 0600.
pub(crate) fn listen(state_dir: &Path) -> io::Result<OwnedFd> {
    let dir = open_dir(state_dir)?;
    match rustix::fs::unlinkat(&dir, SOCKET, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let socket = stream_socket(SocketFlags::NONBLOCK)?;
    // The mode of the inode made by bind(2) is the socket's own, less the umask.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address(&dir)?)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}
