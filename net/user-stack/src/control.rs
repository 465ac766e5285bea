//! Opening and closing ports of a stack that runs: a message and its answer on a socket in a directory of
//! the user's.
//!
//! ```text
//! {"open":{"owner":"ID","ports":[{"transport":"tcp","address":"0.0.0.0:8080"}]}}   {"close":{"owner":"ID"}}
//! {"error":null}
//! ```

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::plan::Port;

/// What a stack is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Open all of these or none.
    Open {
        /// Whom they belong to; those that it had before are closed.
        owner: String,
        /// Which.
        ports: Vec<Port>,
    },
    /// Close all that belong to `owner`.
    Close {
        /// Who.
        owner: String,
    },
    /// End: another takes its place.
    End,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    error: Option<String>,
}

/// The socket's name in its directory.
pub const SOCKET: &str = "net.sock";

/// Holds a line to the stack whose socket is in `directory`: it stays while one is held. `None`: no stack runs.
pub fn hold(directory: &Path) -> Result<Option<OwnedFd>, Error> {
    connect(directory).map_err(Error::step("reach the process of the user's network"))
}

/// Asks the stack whose socket is in `directory`. `Ok(false)`: no stack runs.
pub fn ask(directory: &Path, request: &Request) -> Result<bool, Error> {
    let Some(socket) = connect(directory).map_err(Error::step("reach the process of the user's network"))?
    else {
        return Ok(false);
    };
    let text = serde_json::to_vec(request)
        .map_err(|error| Error::step("write a request")(io::Error::from(error)))?;
    let failed = || Error::step::<rustix::io::Errno>("ask the process of the user's network");
    rustix::net::send(&socket, &text, rustix::net::SendFlags::NOSIGNAL).map_err(failed())?;
    let mut bytes = vec![0; MESSAGE_MAX];
    let (_, count) =
        rustix::net::recv(&socket, &mut bytes[..], rustix::net::RecvFlags::empty()).map_err(failed())?;
    let answer: Answer = serde_json::from_slice(&bytes[..count])
        .map_err(|error| Error::step("read the answer of the user's network")(io::Error::from(error)))?;
    answer.error.map_or(Ok(true), |message| Err(Error::Refused { message }))
}

fn connect(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let (socket, address, _directory) = match endpoint(directory, SocketFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        made => made?,
    };
    match rustix::net::connect(&socket, &address) {
        Ok(()) => Ok(Some(socket)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Listens in `directory`, in place of a stack that is gone.
pub(crate) fn listen(directory: &Path) -> Result<OwnedFd, Error> {
    let path = directory.join(SOCKET);
    let failed = || Error::step::<io::Error>("listen for requests");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
        _ => {}
    }
    let (socket, address, _directory) = endpoint(directory, SocketFlags::NONBLOCK).map_err(failed())?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|errno| failed()(errno.into()))?;
    rustix::net::bind(&socket, &address).map_err(|errno| failed()(errno.into()))?;
    rustix::net::listen(&socket, 16).map_err(|errno| failed()(errno.into()))?;
    Ok(socket)
}

/// A socket, and its address through the open directory: `sun_path` is short.
fn endpoint(directory: &Path, flags: SocketFlags) -> io::Result<(OwnedFd, SocketAddrUnix, OwnedFd)> {
    let flags = flags | SocketFlags::CLOEXEC;
    let open = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, open, Mode::empty())?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
    Ok((socket, SocketAddrUnix::new(path)?, directory))
}

/// Reads the request that has arrived; `None` when it is none.
pub(crate) fn receive(socket: &OwnedFd) -> Option<Request> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let (_, count) = rustix::net::recv(socket, &mut bytes[..], rustix::net::RecvFlags::DONTWAIT).ok()?;
    serde_json::from_slice(&bytes[..count]).ok()
}

/// Answers it.
pub(crate) fn answer(socket: &OwnedFd, outcome: &Result<(), Error>) {
    let error = outcome.as_ref().err().map(|error| error.to_string());
    let text = serde_json::to_vec(&Answer { error }).unwrap_or_default();
    // Who does not wait for it does not need it.
    let _ =
        rustix::net::send(socket, &text, rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT);
}

/// Longer than the ports of any container.
const MESSAGE_MAX: usize = 128 << 10;
