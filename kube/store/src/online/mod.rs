//! Commands to a store that a server has open: a socket beside its directory.
//!
//! ```text
//! client ── command ──▶ server            one command a connection
//! client ◀─ rows… end ─ server            or an error in their place
//! ```
//!
//! Only root and the server's own user may: the socket has mode 0600, and the kernel says who is
//! at its other end. A backup is written by the client, so the server opens no file for it.

mod client;
mod frame;
mod server;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

pub use self::client::Online;
pub use self::server::Control;

/// The socket in a server's data directory.
pub const SOCKET_NAME: &str = "store.sock";

/// Calls `with` with a name of `path` that is short enough for a socket's address.
fn with_address<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = File::open(parent)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    with(&PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}
