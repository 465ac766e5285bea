//! Talking to a shim: synchronous, one connection, one request at a time.
//!
//! What lasts (waiting for an end) can be turned into a descriptor to poll: [`Waiter`].
//! A second connection costs the shim a few hundred bytes, so take one for each thing
//! that is to happen at the same time.

mod error;
mod session;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

pub use error::ClientError;
pub use session::{Attached, ExecRequest, ExecSession, ExecWaiter, Waiter};

use crate::protocol::FDS_MAX;
use crate::protocol::{
    Attach, Call, Exec, FrameDecoder, PROTOCOL_VERSION, Reply, Request, Response, Started, Status, StreamSet,
    encode,
};
use crate::{Exit, Restarts, paths};

/// A connection to the shim of one container.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    decoder: FrameDecoder,
    fds: Vec<OwnedFd>,
    last_id: u64,
    /// The shim itself. An init that waits at its start gate has copies of the shim's
    /// descriptors, so the socket alone would not tell of the shim's death.
    shim: Option<OwnedFd>,
    /// The container's end, told unasked.
    ended: Option<Box<Exit>>,
}

impl Client {
    /// Connects to the shim whose socket is in `state_dir`.
    ///
    /// [`ClientError::is_gone`] is true of the error when no shim listens there: the
    /// container has ended, or its shim was killed and may be replaced by
    /// [`adopt`](crate::adopt).
    pub fn connect(state_dir: &Path) -> Result<Self, ClientError> {
        let socket = paths::connect(state_dir)
            .map_err(|source| ClientError::Connect { socket: state_dir.join(paths::SOCKET), source })?;
        let mut client = Self::over(socket);
        if let Ok(peer) = sys::fdpass::peer(&client.socket) {
            client.watch_shim(peer.pid);
        }
        Ok(client)
    }

    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self {
            socket,
            decoder: FrameDecoder::default(),
            fds: Vec::new(),
            last_id: 0,
            shim: None,
            ended: None,
        }
    }

    fn watch_shim(&mut self, pid: i32) {
        self.shim = sys::pidfd::open(pid).ok();
    }

    /// Opens the start gate. A failure of the exec carries docker's 126 or 127.
    pub fn start(&mut self) -> Result<(), ClientError> {
        self.done(Call::Start)
    }

    /// Sends a signal to init.
    pub fn kill(&mut self, signal: i32) -> Result<(), ClientError> {
        self.done(Call::Kill { signal, all: false })
    }

    /// Sends a signal to every process of the container.
    pub fn kill_all(&mut self, signal: i32) -> Result<(), ClientError> {
        self.done(Call::Kill { signal, all: true })
    }

    /// Sends `signal`, then SIGKILL after `grace` (`None`: never), and waits for the end.
    pub fn stop(&mut self, signal: i32, grace: Option<Duration>) -> Result<Exit, ClientError> {
        let grace_ms = grace.map(|g| u64::try_from(g.as_millis()).unwrap_or(u64::MAX));
        self.exit(Call::Stop { signal, grace_ms })
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> Result<Exit, ClientError> {
        self.exit(Call::Wait)
    }

    /// Waits for the end by a descriptor to poll.
    pub fn waiter(mut self) -> Result<Waiter, ClientError> {
        let id = self.send(Call::Wait, &[])?;
        Ok(Waiter { client: self, id })
    }

    /// Connects to the container's stdio. Output from before is in the log only.
    pub fn attach(&mut self, streams: StreamSet) -> Result<Attached, ClientError> {
        let (attached, theirs) = session::pipes(streams)?;
        let theirs: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        match self.call(Call::Attach(Attach { streams }), &theirs)? {
            Reply::Done => Ok(attached),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// Lets go of this connection's attachments without closing the container's stdin.
    pub fn detach(&mut self) -> Result<(), ClientError> {
        self.done(Call::Detach)
    }

    /// Runs one more process in the container.
    pub fn exec(&mut self, request: ExecRequest) -> Result<ExecSession, ClientError> {
        let terminal = request.process["terminal"].as_bool().unwrap_or(false);
        let streams = if terminal || request.detached { StreamSet::default() } else { request.streams };
        let (stdio, theirs) = session::pipes(streams)?;
        let theirs: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        let ExecRequest { process, detached, exec_id, .. } = request;
        let exec = Exec { process, streams, detached, exec_id };
        match self.call(Call::Exec(Box::new(exec)), &theirs)? {
            Reply::Spawned(spawned) => {
                let console = if spawned.console_sent { self.fds.pop() } else { None };
                Ok(ExecSession { session: spawned.session, pid: spawned.pid, stdio, console })
            }
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// Waits for the end of an exec process by a descriptor to poll.
    pub fn exec_waiter(mut self, session: u64) -> Result<ExecWaiter, ClientError> {
        let id = self.send(Call::ExecWait { session }, &[])?;
        Ok(ExecWaiter { client: self, id })
    }

    /// Sends a signal to an exec process.
    pub fn exec_kill(&mut self, session: u64, signal: i32) -> Result<(), ClientError> {
        self.done(Call::ExecKill { session, signal })
    }

    /// Sets the size of the container's terminal.
    pub fn resize(&mut self, columns: u16, rows: u16) -> Result<(), ClientError> {
        self.done(Call::Resize { columns, rows })
    }

    /// Freezes all processes.
    pub fn pause(&mut self) -> Result<(), ClientError> {
        self.done(Call::Pause)
    }

    /// Thaws them.
    pub fn resume(&mut self) -> Result<(), ClientError> {
        self.done(Call::Resume)
    }

    /// Lets the shim write to a new log file, after the old one was renamed.
    pub fn reopen_log(&mut self) -> Result<(), ClientError> {
        self.done(Call::ReopenLog)
    }

    /// Sets another restart policy.
    pub fn set_restarts(&mut self, restarts: Restarts) -> Result<(), ClientError> {
        self.done(Call::SetRestarts(restarts))
    }

    /// Waits until the shim is gone.
    pub fn wait_gone(mut self) {
        // An answer to no request ever comes.
        let _ = self.receive(u64::MAX);
    }

    /// What the shim knows.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        match self.call(Call::Status, &[])? {
            Reply::Status(status) => Ok(*status),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// Takes on the cleanup: the shim runs its exit command only if this connection ends
    /// without [`Client::cleaned_up`].
    pub fn hold_cleanup(&mut self) -> Result<(), ClientError> {
        self.done(Call::HoldCleanup)
    }

    /// Takes on the next restart: when it is due the shim goes without running its exit command, and
    /// this connection ends.
    pub fn hold_restart(&mut self) -> Result<(), ClientError> {
        self.done(Call::HoldRestart)
    }

    /// As [`Client::cleaned_up`], and keeps the connection.
    pub fn tell_cleaned_up(&mut self) -> Result<(), ClientError> {
        self.done(Call::CleanedUp)
    }

    /// Says that the holder has cleaned up. The shim then ends once the container has.
    pub fn cleaned_up(mut self) -> Result<(), ClientError> {
        self.done(Call::CleanedUp)
    }

    pub(crate) fn ready(&mut self, call: Call, fds: &[BorrowedFd<'_>]) -> Result<Started, ClientError> {
        match self.call(call, fds)? {
            Reply::Ready(started) => Ok(started),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    /// `Err`: the container to adopt has ended.
    pub(crate) fn adopted(&mut self, call: Call) -> Result<Result<Started, Exit>, ClientError> {
        match self.call(call, &[])? {
            Reply::Ready(started) => Ok(Ok(started)),
            Reply::Exited(exit) => Ok(Err(*exit)),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    fn done(&mut self, call: Call) -> Result<(), ClientError> {
        match self.call(call, &[])? {
            Reply::Done => Ok(()),
            other => Err(ClientError::unexpected(&other)),
        }
    }

    fn exit(&mut self, call: Call) -> Result<Exit, ClientError> {
        match self.call(call, &[]) {
            Ok(Reply::Exited(exit)) | Err(ClientError::Ended(exit)) => Ok(*exit),
            Ok(other) => Err(ClientError::unexpected(&other)),
            Err(error) => Err(error),
        }
    }

    fn call(&mut self, call: Call, fds: &[BorrowedFd<'_>]) -> Result<Reply, ClientError> {
        let id = self.send(call, fds)?;
        self.receive(id)
    }

    fn send(&mut self, call: Call, fds: &[BorrowedFd<'_>]) -> Result<u64, ClientError> {
        self.last_id += 1;
        let request = Request { v: PROTOCOL_VERSION, id: self.last_id, call };
        let bytes = encode(&request).map_err(ClientError::Frame)?;
        match send_all(&self.socket, &bytes, fds) {
            // What the shim said before it closed is still to be read.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(self.last_id),
            sent => sent.map(|()| self.last_id).map_err(ClientError::Lost),
        }
    }

    /// Reads until the answer to `id`; answers to requests that were given up are dropped.
    fn receive(&mut self, id: u64) -> Result<Reply, ClientError> {
        let mut bytes = [0; 4096];
        self.fds.clear();
        loop {
            while let Some(frame) = self.decoder.next_frame().map_err(ClientError::Frame)? {
                let response: Response = serde_json::from_slice(&frame).map_err(ClientError::Decode)?;
                match (response.id, response.result) {
                    (answered, result) if answered == id => return result.map_err(ClientError::Refused),
                    (0, Ok(Reply::Exited(exit))) => self.ended = Some(exit),
                    (0, Ok(Reply::Serving { shim_pid })) => self.watch_shim(shim_pid),
                    _ => {}
                }
            }
            let received =
                self.wait_readable().and_then(|()| sys::fdpass::receive(&self.socket, &mut bytes, FDS_MAX));
            match received {
                Ok((0, _)) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok((count, fds)) => {
                    self.fds.extend(fds);
                    self.decoder.push(&bytes[..count]);
                }
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    fn lost(&mut self, error: io::Error) -> ClientError {
        self.ended.take().map_or(ClientError::Lost(error), ClientError::Ended)
    }
}

impl Client {
    /// Waits until the shim has written, closed or died.
    fn wait_readable(&self) -> io::Result<()> {
        let mut set = vec![PollFd::new(&self.socket, PollFlags::IN)];
        set.extend(self.shim.iter().map(|shim| PollFd::new(shim, PollFlags::IN)));
        loop {
            match poll(&mut set, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if !set[0].revents().is_empty() {
                return Ok(());
            }
            // It may have written before it died.
            let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut set[..1], Some(&now))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Sends everything on a blocking socket, the descriptors with the first byte.
fn send_all(socket: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut sent = sys::fdpass::send(socket, bytes, fds)?;
    while sent < bytes.len() {
        sent += sys::fdpass::send(socket, &bytes[sent..], &[])?;
    }
    Ok(())
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
