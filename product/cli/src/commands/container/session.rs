//! Being attached: bytes both ways, signals passed on, the window's size kept, until the
//! container ends or the user detaches.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sys::signal::Signal;

use super::terminal::{DetachKeys, RawTerminal};
use crate::context::Context;
use crate::error::CliError;

/// What lies between the user and a process.
pub(super) struct Session<'c> {
    context: &'c Context,
    streams: Streams,
    signals: OwnedFd,
    keys: Option<DetachKeys>,
    raw: Option<RawTerminal>,
    wants_raw: bool,
}

/// The process's streams, as far as they are attached.
#[derive(Default)]
pub(super) struct Streams {
    /// Our standard input goes here.
    pub(super) stdin: Option<OwnedFd>,
    /// This goes to our standard output.
    pub(super) stdout: Option<OwnedFd>,
    /// This goes to our standard error.
    pub(super) stderr: Option<OwnedFd>,
}

/// What a session must do besides bytes.
pub(super) trait Peer {
    /// Readable when the process has ended, or its supervisor was lost.
    fn ended(&self) -> BorrowedFd<'_>;
    /// Passes a signal on.
    fn signal(&mut self, signal: Signal);
    /// The window has another size.
    fn resized(&mut self);
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The process has ended, or its supervisor was lost.
    Ended,
    /// The user has detached.
    Detached,
}

/// How a session behaves.
pub(super) struct SessionOptions {
    /// The terminal is raw and detach keys count.
    pub(super) tty: bool,
    /// The keys that detach.
    pub(super) keys: DetachKeys,
}

/// Signals that a user or a supervisor of ours sends to have them passed on.
const PROXIED: [&str; 14] = [
    "HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "CONT", "TSTP", "TTIN", "TTOU", "IO", "PWR",
    "VTALRM",
];

/// What docker says, with status 1, to who leaves what runs on.
pub(super) const DETACHED: &str = "read escape sequence";

/// Output that was written before the end is waited for so long.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Blocks the signals that a session takes: from before the start, so that none is lost.
pub(super) fn take_signals(sig_proxy: bool) -> Result<OwnedFd, CliError> {
    let names = PROXIED.iter().copied().filter(|_| sig_proxy).chain(["WINCH"]);
    let signals: Vec<Signal> = names.filter_map(Signal::parse).collect();
    sys::signal::block(&signals)?;
    Ok(sys::signal::signalfd(&signals)?)
}

impl<'c> Session<'c> {
    /// A session over `streams`, with the signals of [`take_signals`].
    pub(super) fn new(
        context: &'c Context,
        streams: Streams,
        signals: OwnedFd,
        options: SessionOptions,
    ) -> Result<Self, CliError> {
        let raw = options.tty && streams.stdin.is_some() && context.stdin_is_terminal();
        if let Some(stdin) = &streams.stdin {
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        context.flush()?;
        Ok(Self {
            context,
            streams,
            signals,
            keys: options.tty.then_some(options.keys),
            raw: raw.then(RawTerminal::take).transpose()?,
            wants_raw: raw,
        })
    }

    /// Other streams: of the same process after its supervisor was replaced, or of its successor.
    pub(super) fn replace(&mut self, streams: Streams) -> Result<(), CliError> {
        if let Some(stdin) = &streams.stdin {
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        self.streams = streams;
        if self.wants_raw && self.raw.is_none() {
            self.raw = Some(RawTerminal::take()?);
        }
        Ok(())
    }

    /// Waits until `fd` is readable, with nothing attached; false when a signal came first. Meanwhile
    /// the terminal is the user's, so that Ctrl-C is one.
    pub(super) fn wait_for(&mut self, fd: BorrowedFd<'_>) -> Result<bool, CliError> {
        self.streams = Streams::default();
        self.raw = None;
        loop {
            let mut fds =
                [PollFd::new(&self.signals, PollFlags::IN), PollFd::from_borrowed_fd(fd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            let is_ready = !fds[1].revents().is_empty();
            while let Some(received) = sys::signal::read_signalfd(&self.signals)? {
                if received.signal.name() != "SIGWINCH" {
                    return Ok(false);
                }
            }
            if is_ready {
                return Ok(true);
            }
        }
    }

    /// Goes on until it is over.
    pub(super) fn run(&mut self, peer: &mut dyn Peer) -> Result<Over, CliError> {
        let mut pending: Vec<u8> = Vec::new();
        let mut input_open = self.streams.stdin.is_some();
        let mut ended: Option<Instant> = None;
        loop {
            let drained = self.streams.stdout.is_none() && self.streams.stderr.is_none();
            if ended.is_some_and(|since| drained || since.elapsed() > DRAIN_MAX) {
                return Ok(Over::Ended);
            }
            let ready =
                self.wait(peer, input_open && pending.is_empty(), !pending.is_empty(), ended.is_some())?;
            if ready.ended {
                ended.get_or_insert_with(Instant::now);
            }
            if ready.signal && self.pass_signals(peer)? == Over::Detached {
                return Ok(Over::Detached);
            }
            if ready.input && self.read_input(&mut pending, &mut input_open)? == Over::Detached {
                return Ok(Over::Detached);
            }
            if ready.writable || !pending.is_empty() {
                self.write_input(&mut pending);
            }
            if !input_open && pending.is_empty() {
                self.streams.stdin = None;
            }
            if ready.stdout {
                let stream = self.streams.stdout.take();
                self.streams.stdout = self.copy(stream, false)?;
            }
            if ready.stderr {
                let stream = self.streams.stderr.take();
                self.streams.stderr = self.copy(stream, true)?;
            }
        }
    }

    fn wait(&self, peer: &dyn Peer, input: bool, output: bool, has_ended: bool) -> Result<Ready, CliError> {
        let stdin = io::stdin();
        let mut kinds = vec![Kind::Signal];
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if !has_ended {
            kinds.push(Kind::Ended);
            fds.push(PollFd::from_borrowed_fd(peer.ended(), PollFlags::IN));
        }
        if input && !has_ended {
            kinds.push(Kind::Input);
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        if let Some(stdin) = self.streams.stdin.as_ref().filter(|_| output) {
            kinds.push(Kind::Writable);
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        for (kind, stream) in [(Kind::Stdout, &self.streams.stdout), (Kind::Stderr, &self.streams.stderr)] {
            if let Some(stream) = stream {
                kinds.push(kind);
                fds.push(PollFd::new(stream, PollFlags::IN));
            }
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        match poll(&mut fds, has_ended.then_some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let is_ready =
            |kind: Kind| kinds.iter().zip(&fds).any(|(known, fd)| *known == kind && !fd.revents().is_empty());
        Ok(Ready {
            signal: is_ready(Kind::Signal),
            ended: is_ready(Kind::Ended),
            input: is_ready(Kind::Input),
            writable: is_ready(Kind::Writable),
            stdout: is_ready(Kind::Stdout),
            stderr: is_ready(Kind::Stderr),
        })
    }

    /// Passes signals on. When the user's terminal hangs up, what has a terminal of its own is
    /// told and left to itself: nobody is there to see more of it.
    fn pass_signals(&self, peer: &mut dyn Peer) -> Result<Over, CliError> {
        let mut over = Over::Ended;
        while let Some(received) = sys::signal::read_signalfd(&self.signals)? {
            match received.signal.name().as_str() {
                "SIGWINCH" => peer.resized(),
                name => {
                    peer.signal(received.signal);
                    if name == "SIGHUP" && self.raw.is_some() {
                        over = Over::Detached;
                    }
                }
            }
        }
        Ok(over)
    }

    fn read_input(&mut self, pending: &mut Vec<u8>, open: &mut bool) -> Result<Over, CliError> {
        let mut buffer = [0; 32 << 10];
        let count = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(Over::Ended),
            // The terminal is gone: as good as the end.
            Err(_) => 0,
        };
        if count == 0 {
            *open = false;
            return Ok(Over::Ended);
        }
        match &mut self.keys {
            None => pending.extend_from_slice(&buffer[..count]),
            Some(keys) => {
                let (bytes, detached) = keys.filter(&buffer[..count]);
                pending.extend(bytes);
                if detached {
                    return Ok(Over::Detached);
                }
            }
        }
        Ok(Over::Ended)
    }

    fn write_input(&mut self, pending: &mut Vec<u8>) {
        let Some(stdin) = &self.streams.stdin else {
            pending.clear();
            return;
        };
        match rustix::io::write(stdin, pending) {
            Ok(count) => drop(pending.drain(..count)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The process reads no more.
            Err(_) => {
                pending.clear();
                self.streams.stdin = None;
            }
        }
    }

    /// Passes on what there is; the stream back, unless it has ended.
    fn copy(&self, stream: Option<OwnedFd>, to_error: bool) -> Result<Option<OwnedFd>, CliError> {
        let Some(stream) = stream else { return Ok(None) };
        let mut buffer = [0; 32 << 10];
        match rustix::io::read(&stream, &mut buffer) {
            Ok(0) => Ok(None),
            Ok(count) => {
                if to_error {
                    self.context.print_error_bytes(&buffer[..count])?;
                } else {
                    self.context.print_bytes(&buffer[..count])?;
                }
                self.context.flush()?;
                Ok(Some(stream))
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(Some(stream)),
            // A terminal whose other end was closed (`pty(7)`).
            Err(_) => Ok(None),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signal,
    Ended,
    Input,
    Writable,
    Stdout,
    Stderr,
}

struct Ready {
    signal: bool,
    ended: bool,
    input: bool,
    writable: bool,
    stdout: bool,
    stderr: bool,
}
