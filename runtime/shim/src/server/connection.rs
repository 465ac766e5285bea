//! One client's connection: frames in, answers out, never blocking.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use base::ErrorClass;
use rustix::event::epoll::EventFlags;
use sys::fdpass::{self, Peer};

use super::poller::{Poller, Source};
use crate::Requester;
use crate::protocol::{FDS_MAX, Failure, FrameDecoder, PROTOCOL_VERSION, Reply, Response, encode};

/// Answers that a client has not read; a client that lets more pile up is dropped.
const OUT_MAX: usize = 1 << 20;
/// Requests that wait for an end, of the container or an exec process.
const WAITS_MAX: usize = 256;
/// Descriptors that came and belong to no frame yet.
const PENDING_FDS_MAX: usize = 2 * FDS_MAX;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    peer: Peer,
    decoder: FrameDecoder,
    fds: Vec<OwnedFd>,
    out: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    out_bytes: usize,
    /// Requests to be answered with the container's end.
    pub(super) waits: Vec<u64>,
    /// Requests to be answered with the end of an exec process: request and session.
    pub(super) exec_waits: Vec<(u64, u64)>,
    /// It has taken on the cleanup.
    pub(super) holds_cleanup: bool,
    /// It starts the container again.
    pub(super) holds_restart: bool,
}

impl Connection {
    /// Over a connected socket, if its peer may talk to us: root, or our own user.
    pub(super) fn accept(socket: OwnedFd) -> io::Result<Self> {
        let peer = fdpass::peer(&socket)?;
        if peer.uid != 0 && peer.uid != rustix::process::geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        super::stdio::set_nonblocking(&socket)?;
        Ok(Self {
            socket,
            peer,
            decoder: FrameDecoder::default(),
            fds: Vec::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            waits: Vec::new(),
            exec_waits: Vec::new(),
            holds_cleanup: false,
            holds_restart: false,
        })
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Who is at the other end, for the exit record.
    pub(super) fn requester(&self) -> Requester {
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", self.peer.pid));
        Requester {
            pid: self.peer.pid,
            uid: self.peer.uid,
            command: comm.ok().map(|comm| comm.trim_end().to_owned()),
        }
    }

    /// Reads once. An error, or the end as `UnexpectedEof`: drop the connection.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        match fdpass::receive(&self.socket, &mut bytes, FDS_MAX) {
            Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, fds)) => {
                self.fds.extend(fds);
                if self.fds.len() > PENDING_FDS_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                self.decoder.push(&bytes[..count]);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The next whole frame, with the descriptors that came so far.
    pub(super) fn next_frame(&mut self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let frame = self.decoder.next_frame();
        let frame = frame.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(frame.map(|frame| (frame, std::mem::take(&mut self.fds))))
    }

    /// Answers a request, with descriptors.
    pub(super) fn answer(
        &mut self,
        id: u64,
        result: Result<Reply, Failure>,
        fds: Vec<OwnedFd>,
        at: (&Poller, u32),
    ) -> io::Result<()> {
        let response = Response { v: PROTOCOL_VERSION, id, result };
        let bytes = encode(&response).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        self.out_bytes += bytes.len();
        if self.out_bytes > OUT_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.out.push_back((bytes, fds));
        self.flush(at)
    }

    /// Sends what the socket takes and asks to be woken for the rest.
    pub(super) fn flush(&mut self, (poller, index): (&Poller, u32)) -> io::Result<()> {
        while let Some((bytes, fds)) = self.out.front_mut() {
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match fdpass::send(&self.socket, bytes, &borrowed) {
                Ok(sent) => {
                    drop(borrowed);
                    fds.clear();
                    bytes.drain(..sent);
                    self.out_bytes -= sent;
                    if bytes.is_empty() {
                        self.out.pop_front();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let interest = if self.is_flushed() { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
        poller.change(&self.socket, Source::Connection(index), interest)
    }

    /// Whether one more request may wait for an end.
    pub(super) fn may_wait(&self) -> Result<(), Failure> {
        if self.waits.len() + self.exec_waits.len() < WAITS_MAX {
            return Ok(());
        }
        let text = format!("{WAITS_MAX} requests of this connection wait already: make another connection");
        Err(Failure::new(ErrorClass::ResourceExhausted, text))
    }

    /// Whether every answer has been sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }
}
