//! What a client holds of a running exchange: pipes, terminals, pending ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::{Client, ClientError};
use crate::Exit;
use crate::protocol::{ExecEnd, Reply, StreamSet};

/// The client's ends of a process's stdio. Closing `stdin` ends the input; dropping the
/// outputs lets go of them.
#[derive(Debug, Default)]
pub struct Attached {
    /// Write the input here.
    pub stdin: Option<OwnedFd>,
    /// Read the output (with a terminal: all output) here.
    pub stdout: Option<OwnedFd>,
    /// Read the errors here; with a terminal it ends at once.
    pub stderr: Option<OwnedFd>,
}

/// One more process for the container.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// OCI `process` object; its `terminal` decides about a terminal.
    pub process: serde_json::Value,
    /// Streams wanted; the others are `/dev/null`. Not regarded with a terminal.
    pub streams: StreamSet,
    /// Nobody listens: no streams, and a terminal is drained by the shim.
    pub detached: bool,
    /// What it is called in events; its end is told by the shim.
    pub exec_id: Option<String>,
}

/// An exec process. Its stdio does not pass through the shim.
#[derive(Debug)]
pub struct ExecSession {
    /// Its number, for [`Client::exec_waiter`] and [`Client::exec_kill`].
    pub session: u64,
    /// Host process id.
    pub pid: i32,
    /// Its stdio, without a terminal.
    pub stdio: Attached,
    /// The terminal's master: read, write and resize it directly. Closing it hangs up.
    pub console: Option<OwnedFd>,
}

/// A pending wait for the container's end: readable when [`Waiter::finish`] will not block.
#[derive(Debug)]
pub struct Waiter {
    pub(super) client: Client,
    pub(super) id: u64,
}

impl Waiter {
    /// The end, and the connection again, for [`Client::cleaned_up`].
    pub fn end(mut self) -> Result<(Exit, Client), ClientError> {
        match self.client.receive(self.id)? {
            Reply::Exited(exit) => Ok((*exit, self.client)),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// The connection without the end; an answer that still comes is dropped.
    pub fn give_up(self) -> Client {
        self.client
    }

    /// The end.
    pub fn finish(mut self) -> Result<Exit, ClientError> {
        match self.client.receive(self.id) {
            Ok(Reply::Exited(exit)) | Err(ClientError::Ended(exit)) => Ok(*exit),
            Ok(other) => Err(ClientError::unexpected(&other)),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Waiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}

/// A pending wait for an exec process's end.
#[derive(Debug)]
pub struct ExecWaiter {
    pub(super) client: Client,
    pub(super) id: u64,
}

impl ExecWaiter {
    /// The end.
    pub fn finish(mut self) -> Result<ExecEnd, ClientError> {
        match self.client.receive(self.id)? {
            Reply::ExecEnded(end) => Ok(end),
            other => Err(ClientError::unexpected(&other)),
        }
    }
}

impl AsFd for ExecWaiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}

/// Pipes for `streams`: our ends, and theirs in the order stdin, stdout, stderr.
pub(super) fn pipes(streams: StreamSet) -> Result<(Attached, Vec<OwnedFd>), ClientError> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| ClientError::Pipes(e.into()));
    let mut ours = Attached::default();
    let mut theirs = Vec::with_capacity(streams.count());
    if streams.stdin {
        let (reader, writer) = pipe()?;
        ours.stdin = Some(writer);
        theirs.push(reader);
    }
    for (wanted, slot) in [(streams.stdout, &mut ours.stdout), (streams.stderr, &mut ours.stderr)] {
        if wanted {
            let (reader, writer) = pipe()?;
            *slot = Some(reader);
            theirs.push(writer);
        }
    }
    Ok((ours, theirs))
}
