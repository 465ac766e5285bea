//! Output to the log and to attached clients, input from them.
//!
//! A slow client slows the container, as docker's does: while a client's pipe is full,
//! the rest of one read (32 KiB at most) is kept for it and that stream is read no further,
//! so nothing is lost and memory is bounded. A client that goes away holds up nobody. At
//! the container's end what is still in the FIFOs is read in any case.

mod attachment;
mod input;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::poller::{Poller, Source};
use super::stdio::{OurEnds, set_nonblocking};
use crate::Timestamp;
use crate::log::LogStream;
use crate::log::{LogWriter, Splitter};
use crate::protocol::{StdinMode, StreamSet};
use attachment::{Attachment, ClientOutput};
use input::Input;

const CHUNK: usize = 32 * 1024;
/// Empty lines grow seventyfold as entries: so many bytes are made entries at a time.
const PIECE: usize = 1024;
/// Bytes taken from one stream at the container's end at most: more than a FIFO holds.
const DRAIN_MAX: usize = 4 << 20;

/// One of the container's outputs.
#[derive(Debug)]
struct Output {
    fd: OwnedFd,
    splitter: Splitter,
    /// In the epoll set.
    polled: bool,
    /// Every writer is gone for now.
    hung_up: bool,
}

/// The container's streams with all that hangs on them.
#[derive(Debug)]
pub(super) struct Streams {
    outputs: [Option<Output>; 2],
    input: Input,
    terminal: bool,
    log: LogWriter,
    chunk: Vec<u8>,
    entries: Vec<u8>,
    attachments: BTreeMap<u32, Attachment>,
    last_attachment: u32,
}

impl Streams {
    /// Takes our ends and starts reading.
    pub(super) fn new(
        ends: OurEnds,
        terminal: bool,
        mode: StdinMode,
        log: LogWriter,
        poller: &Poller,
    ) -> std::io::Result<Self> {
        let form = log.form();
        let attributes = log.attributes().map(str::to_owned);
        let output = |fd: OwnedFd, stream| Output {
            fd,
            splitter: Splitter::new(stream, form).carrying(attributes.as_deref()),
            polled: false,
            hung_up: false,
        };
        let mut streams = Self {
            outputs: [
                Some(output(ends.stdout, LogStream::Stdout)),
                ends.stderr.map(|fd| output(fd, LogStream::Stderr)),
            ],
            input: Input::new(ends.stdin, mode == StdinMode::Once && !terminal),
            terminal,
            log,
            chunk: Vec::new(),
            entries: Vec::new(),
            attachments: BTreeMap::new(),
            last_attachment: 0,
        };
        streams.poll_output(0, poller)?;
        streams.poll_output(1, poller)?;
        Ok(streams)
    }

    /// Log bytes that could not be written.
    pub(super) fn log_bytes_lost(&self) -> u64 {
        self.log.lost()
    }

    /// Writes to a new file from now on, after somebody renamed the old one.
    pub(super) fn reopen_log(&mut self) -> std::io::Result<()> {
        self.log.open_anew()
    }

    /// How many clients are attached.
    pub(super) fn attached(&self) -> usize {
        self.attachments.len()
    }

    /// Whether a client has yet to be given output.
    pub(super) fn is_flushed(&self) -> bool {
        self.attachments.values().all(|attachment| !attachment.is_behind())
    }

    /// Sets the size of the terminal, if there is one.
    pub(super) fn resize(&self, columns: u16, rows: u16) -> std::io::Result<()> {
        match (&self.outputs[0], self.terminal) {
            (Some(output), true) => sys::tty::set_size(&output.fd, columns, rows),
            _ => Err(Errno::NOTTY.into()),
        }
    }

    /// Attaches a client's pipes, in the order stdin, stdout, stderr.
    pub(super) fn attach(
        &mut self,
        connection: u32,
        set: StreamSet,
        fds: Vec<OwnedFd>,
        poller: &Poller,
    ) -> std::io::Result<()> {
        self.last_attachment += 1;
        let id = self.last_attachment;
        let mut attachment = Attachment::new(connection);
        let mut fds = fds.into_iter();
        if set.stdin
            && let Some(fd) = fds.next().filter(|_| self.input.is_open())
        {
            set_nonblocking(&fd)?;
            let flags = if self.input.is_behind() { EventFlags::empty() } else { EventFlags::IN };
            poller.add(&fd, Source::ClientInput(id), flags)?;
            attachment.input = Some(fd);
        }
        for (index, wanted) in [set.stdout, set.stderr].into_iter().enumerate() {
            let Some(fd) = wanted.then(|| fds.next()).flatten() else { continue };
            if self.outputs[index].is_some() {
                set_nonblocking(&fd)?;
                // No interest: only that the client closed it is always reported.
                poller.add(&fd, Source::ClientOutput(id * 2 + index as u32), EventFlags::empty())?;
                attachment.outputs[index] = Some(ClientOutput::new(fd));
            }
        }
        if !attachment.is_over() {
            self.attachments.insert(id, attachment);
        }
        Ok(())
    }

    /// Lets go of what a connection attached, without ending the container's stdin.
    pub(super) fn detach(&mut self, connection: u32, poller: &Poller) {
        self.attachments.retain(|_, attachment| attachment.connection != connection);
        self.resume_outputs(poller);
    }

    /// The container wrote, or closed, an output.
    pub(super) fn on_output(&mut self, index: u32, poller: &Poller) {
        self.read_output(index as usize, poller);
    }

    /// A client's output pipe has room, or was closed.
    pub(super) fn on_client_output(&mut self, token: u32, flags: EventFlags, poller: &Poller) {
        let (id, index) = (token / 2, (token % 2) as usize);
        let Some(attachment) = self.attachments.get_mut(&id) else { return };
        let Some(client) = &mut attachment.outputs[index] else { return };
        let closed = flags.contains(EventFlags::ERR) || client.flush().is_err();
        let done = !client.is_behind() && self.outputs[index].is_none();
        if closed || done {
            attachment.outputs[index] = None;
        } else if !client.is_behind() {
            let _ = poller.change(client.fd(), Source::ClientOutput(token), EventFlags::empty());
        }
        if attachment.is_over() {
            self.attachments.remove(&id);
        }
        self.resume_outputs(poller);
    }

    /// A client sent input, or closed its pipe.
    pub(super) fn on_client_input(&mut self, id: u32, poller: &Poller) {
        let Some(attachment) = self.attachments.get_mut(&id) else { return };
        let Some(fd) = &attachment.input else { return };
        self.chunk.resize(CHUNK, 0);
        let ended = match rustix::io::read(fd, &mut self.chunk[..]) {
            Ok(0) => true,
            Ok(count) => {
                self.input.push(&self.chunk[..count], poller);
                false
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        };
        if ended {
            attachment.input = None;
            if attachment.is_over() {
                self.attachments.remove(&id);
            }
            self.input.client_ended(poller);
        }
        self.update_client_inputs(poller);
    }

    /// The container's stdin takes more, or was closed.
    pub(super) fn on_stdin(&mut self, flags: EventFlags, poller: &Poller) {
        self.input.on_ready(flags, poller);
        self.update_client_inputs(poller);
    }

    /// Reads what is left after the container's end and closes the streams. Clients still
    /// get what they have not been given.
    pub(super) fn finish(&mut self, poller: &Poller) {
        for index in 0..2 {
            let mut left = DRAIN_MAX;
            while left > 0 && self.outputs[index].is_some() {
                match self.read_output(index, poller) {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            self.end_output(index, poller);
        }
        self.input.close(poller);
        self.update_client_inputs(poller);
    }

    /// Reads once; the count of bytes.
    fn read_output(&mut self, index: usize, poller: &Poller) -> usize {
        let Some(output) = &mut self.outputs[index] else { return 0 };
        self.chunk.resize(CHUNK, 0);
        match rustix::io::read(&output.fd, &mut self.chunk[..]) {
            Ok(count) if count > 0 => {
                if self.log.keeps() {
                    let now = Timestamp::now();
                    for piece in self.chunk[..count].chunks(PIECE) {
                        output.splitter.push(piece, now, &mut self.entries);
                        if self.entries.len() > CHUNK {
                            keep(&mut self.log, &mut self.entries);
                        }
                    }
                    keep(&mut self.log, &mut self.entries);
                }
                self.broadcast(index, count, poller);
                self.shrink();
                count
            }
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // EIO: no process has the terminal open. One may open it again, which only an
            // edge tells apart from the hang-up that stays.
            Err(Errno::IO) if self.terminal => {
                if !output.hung_up {
                    output.hung_up = true;
                    let flags = EventFlags::IN | EventFlags::ET;
                    let _ = poller.change(&output.fd, Source::Output(index as u32), flags);
                }
                0
            }
            _ => {
                self.end_output(index, poller);
                0
            }
        }
    }

    fn broadcast(&mut self, index: usize, count: usize, poller: &Poller) {
        let bytes = &self.chunk[..count];
        let mut behind = false;
        for (id, attachment) in &mut self.attachments {
            let Some(client) = &mut attachment.outputs[index] else { continue };
            if client.send(bytes).is_err() {
                attachment.outputs[index] = None;
            } else if client.is_behind() {
                behind = true;
                let token = id * 2 + index as u32;
                let _ = poller.change(client.fd(), Source::ClientOutput(token), EventFlags::OUT);
            }
        }
        self.attachments.retain(|_, attachment| !attachment.is_over());
        if behind && let Some(output) = &mut self.outputs[index] {
            poller.remove(&output.fd);
            output.polled = false;
        }
    }

    fn end_output(&mut self, index: usize, poller: &Poller) {
        let Some(mut output) = self.outputs[index].take() else { return };
        poller.remove(&output.fd);
        if self.log.keeps() {
            output.splitter.finish(Timestamp::now(), &mut self.entries);
            keep(&mut self.log, &mut self.entries);
        }
        for attachment in self.attachments.values_mut() {
            if attachment.outputs[index].as_ref().is_some_and(|client| !client.is_behind()) {
                attachment.outputs[index] = None;
            }
        }
        self.attachments.retain(|_, attachment| !attachment.is_over());
    }

    /// Reads on where no client is behind any more.
    fn resume_outputs(&mut self, poller: &Poller) {
        for index in 0..2 {
            let held = self
                .attachments
                .values()
                .any(|attachment| attachment.outputs[index].as_ref().is_some_and(ClientOutput::is_behind));
            if !held {
                let _ = self.poll_output(index, poller);
            }
        }
    }

    fn poll_output(&mut self, index: usize, poller: &Poller) -> std::io::Result<()> {
        if let Some(output) = self.outputs[index].as_mut().filter(|output| !output.polled) {
            let edge = if output.hung_up { EventFlags::ET } else { EventFlags::empty() };
            poller.add(output.fd.as_fd(), Source::Output(index as u32), EventFlags::IN | edge)?;
            output.polled = true;
        }
        Ok(())
    }

    /// Listens to clients' input only while the container takes it; lets go of it when the
    /// container's stdin is closed, so that they get EPIPE.
    fn update_client_inputs(&mut self, poller: &Poller) {
        let (open, behind) = (self.input.is_open(), self.input.is_behind());
        for (id, attachment) in &mut self.attachments {
            let Some(fd) = &attachment.input else { continue };
            if open {
                let flags = if behind { EventFlags::empty() } else { EventFlags::IN };
                let _ = poller.change(fd, Source::ClientInput(*id), flags);
            } else {
                attachment.input = None;
            }
        }
        self.attachments.retain(|_, attachment| !attachment.is_over());
    }

    /// Gives back buffers that a burst made large.
    fn shrink(&mut self) {
        self.entries.shrink_to(2 * CHUNK);
    }
}

/// Appends entries to the log, and has compressed what that has rotated.
fn keep(log: &mut LogWriter, entries: &mut Vec<u8>) {
    log.append(entries);
    entries.clear();
    if let Some(command) = log.take_command() {
        // What fails to be compressed stays plain until the next time.
        let _ = crate::spawn::detached(command);
    }
}
