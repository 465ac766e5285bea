//! One attached client's pipes.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// A client's pipes.
#[derive(Debug)]
pub(super) struct Attachment {
    /// The connection that asked for it.
    pub(super) connection: u32,
    pub(super) input: Option<OwnedFd>,
    pub(super) outputs: [Option<ClientOutput>; 2],
}

impl Attachment {
    pub(super) fn new(connection: u32) -> Self {
        Self { connection, input: None, outputs: [None, None] }
    }

    pub(super) fn is_over(&self) -> bool {
        self.input.is_none() && self.outputs.iter().all(Option::is_none)
    }

    pub(super) fn is_behind(&self) -> bool {
        self.outputs.iter().flatten().any(ClientOutput::is_behind)
    }
}

/// A pipe to a client, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct ClientOutput {
    fd: OwnedFd,
    pending: Vec<u8>,
}

impl ClientOutput {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, pending: Vec::new() }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends at once what the pipe takes and keeps the rest. An error: the client is gone.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let sent = if self.pending.is_empty() { write_some(&self.fd, bytes)? } else { 0 };
        self.pending.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends more of what was kept.
    pub(super) fn flush(&mut self) -> Result<(), Errno> {
        let sent = write_some(&self.fd, &self.pending)?;
        self.pending.drain(..sent);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Ok(())
    }
}

/// Writes until all is written or the pipe is full.
pub(super) fn write_some(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut sent = 0;
    while sent < bytes.len() {
        match rustix::io::write(fd, &bytes[sent..]) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(sent)
}
