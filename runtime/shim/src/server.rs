//! The shim process: sets a container up or adopts one, then watches it to its end.
//!
//! ```text
//! launch socket ──▶ setup: lock, FIFOs, log, create ──▶ supervise: epoll ──▶ end ──▶ settle ──▶ gone
//!                └▶ adopt: lock, find init, reopen  ──▶     │                 │
//!                                                     calls, output     exit.json, answers,
//!                                                                       runtime delete, exit command
//! ```

mod adopt;
mod again;
mod calls;
mod cause;
mod connection;
mod container;
mod ending;
mod execs;
mod handler;
mod keeper;
mod memory;
mod monitor;
mod poller;
mod setup;
mod state_file;
mod stdio;
mod stop;
mod streams;
mod supervisor;
mod timer;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use base::ErrorClass;
use rustix::fs::Mode;
use sys::{Signal, clone};

use crate::Exit;
use crate::protocol::{
    Call, FDS_MAX, Failure, FrameDecoder, PROTOCOL_VERSION, Reply, Request, Response, Started, encode,
};
pub use keeper::keep;
use supervisor::Supervisor;

/// Places where a test may end the shim as SIGKILL does.
pub const FAILPOINTS: &[&str] = &[
    "shim.created",
    "shim.started",
    "shim.exit-seen",
    "shim.exit-temp-written",
    "shim.exit-recorded",
    "shim.waiters-answered",
    "shim.deleted",
    "shim.settled",
];

/// The shim cannot begin its work.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Leaving the launcher's process, session or descriptors failed.
    #[error("leave the launcher")]
    Leave(#[source] io::Error),
    /// The launcher's socket does not speak.
    #[error("read the launch request")]
    Launch(#[source] io::Error),
    /// Waiting for events failed.
    #[error("wait for events")]
    Wait(#[source] io::Error),
}

/// Serves one container: the launch socket is descriptor 0. Returns when all is done.
///
/// The calling process forks and ends at once, so that its parent has nothing to reap
/// later; all else happens in a child that leads its own session.
pub fn serve() -> Result<(), ServeError> {
    let socket = leave_launcher().map_err(ServeError::Leave)?;
    let (request, fds) = first_request(&socket).map_err(ServeError::Launch)?;
    let id = request.id;
    let serving = Reply::Serving { shim_pid: std::process::id() as i32 };
    tell(&socket, 0, Ok(serving))?;
    let begun = match request.call {
        Call::Setup(setup) => setup::begin(*setup, fds),
        Call::Adopt(adopt) => adopt::begin(&adopt),
        _ => Err(Failure::new(ErrorClass::Invalid, "the first call on a launch socket is setup or adopt")),
    };
    let result = match begun {
        Ok(Begun::Watching(mut supervisor, started)) => {
            note_panics(supervisor.diagnostics());
            supervisor.welcome(socket, id, started);
            return supervisor.run();
        }
        Ok(Begun::Ended(exit)) => Ok(Reply::Exited(exit)),
        Err(failure) => Err(failure),
    };
    tell(&socket, id, result)
}

/// A fault of ours leaves a line: stderr is closed.
fn note_panics(path: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| supervisor::note_in(&path, &panic.to_string())));
}

/// Sends one answer on the launch socket, which is empty and takes it whole.
fn tell(socket: &OwnedFd, id: u64, result: Result<Reply, Failure>) -> Result<(), ServeError> {
    let bytes = encode(&Response { v: PROTOCOL_VERSION, id, result });
    let bytes = bytes.map_err(|e| ServeError::Launch(io::Error::other(e)))?;
    // Nobody is left to tell that the launcher does not listen.
    let _ = sys::fdpass::send(socket, &bytes, &[]);
    Ok(())
}

/// What a launch request came to.
enum Begun {
    /// The container is there: watch it.
    Watching(Box<Supervisor>, Started),
    /// It had ended.
    Ended(Box<Exit>),
}

/// SIGCHLD, and those that we note and do nothing about.
fn watched_signals() -> Vec<Signal> {
    ["CHLD", "HUP", "INT", "QUIT", "TERM"].into_iter().filter_map(Signal::parse).collect()
}

/// Forks, leads a session, keeps only the launch socket.
fn leave_launcher() -> io::Result<OwnedFd> {
    if let clone::Forked::Parent { .. } = clone::clone3(&clone::CloneOptions::default())? {
        sys::process::exit_now(0);
    }
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    sys::fd::cloexec_from(3)?;
    let stdin = io::stdin();
    let socket = sys::fd::duplicate_above(stdin.as_fd(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    sys::fd::become_standard(&null, 0)?;
    sys::prctl::set_name(c"strake-shim")?;
    sys::prctl::set_child_subreaper(true)?;
    // What ends a session or a boot must not end us before the container. Blocked, not
    // ignored: a blocked signal is nothing that the container would inherit past the runtime.
    sys::signal::block(&watched_signals())?;
    Ok(socket)
}

/// Reads the launch request; the socket blocks.
fn first_request(socket: &OwnedFd) -> io::Result<(Request, Vec<OwnedFd>)> {
    let invalid = |e: &dyn std::error::Error| io::Error::new(io::ErrorKind::InvalidData, e.to_string());
    let mut decoder = FrameDecoder::default();
    let mut fds = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let (count, received) = sys::fdpass::receive(socket, &mut bytes, FDS_MAX)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        fds.extend(received);
        decoder.push(&bytes[..count]);
        if let Some(frame) = decoder.next_frame().map_err(|e| invalid(&e))? {
            let request = serde_json::from_slice(&frame).map_err(|e| invalid(&e))?;
            return Ok((request, fds));
        }
    }
}
