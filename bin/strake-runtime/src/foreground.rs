//! Waiting for a process in the foreground: signals are passed on, the terminal is
//! relayed, the exit status is the process's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_runtime::Created;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::Termios;
use sys::process::try_wait_pidfd;
use sys::{ExitStatus, Signal, tty};

/// Signals that reach us before we wait: blocked from before the process is made, so
/// that none is lost.
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Blocks what is passed on later. The process unblocks everything for itself.
    pub(crate) fn block() -> io::Result<Self> {
        let numbers = (1..=31).filter_map(Signal::from_number).filter(|signal| {
            // Not catchable, or errors of our own.
            let number = signal.number();
            !matches!(*signal, Signal::KILL | Signal::STOP | Signal::PIPE)
                && ![4, 5, 6, 7, 8, 11, 21, 22, 31].contains(&number)
        });
        Ok(Self(sys::signal::signalfd(&numbers.collect::<Vec<_>>())?))
    }
}

/// Waits for the process's end.
pub(crate) fn wait(created: &Created, signals: &Signals) -> io::Result<ExitStatus> {
    let mut relay = created.console.as_ref().map(Relay::start).transpose()?;
    let status = serve(created, signals, relay.as_mut());
    if let Some(relay) = &mut relay {
        relay.drain();
    }
    crate::ALLOCATOR.end();
    status
}

fn serve(created: &Created, signals: &Signals, mut relay: Option<&mut Relay<'_>>) -> io::Result<ExitStatus> {
    loop {
        let (process, signal) = (created.pidfd.as_fd(), signals.0.as_fd());
        let mut set = vec![PollFd::new(&process, PollFlags::IN), PollFd::new(&signal, PollFlags::IN)];
        let streams = relay.as_ref().map(|relay| relay.streams());
        if let Some((master, stdin)) = &streams {
            set.push(PollFd::new(master, PollFlags::IN));
            if let Some(stdin) = stdin {
                set.push(PollFd::new(stdin, PollFlags::IN));
            }
        }
        match poll(&mut set, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let events: Vec<bool> = set.iter().map(|fd| !fd.revents().is_empty()).collect();
        if events[1] {
            pass_on(created, signals, relay.as_deref())?;
        }
        if let Some(relay) = relay.as_deref_mut() {
            if events.get(2) == Some(&true) {
                relay.output();
            }
            if events.get(3) == Some(&true) {
                relay.input();
            }
        }
        if events[0]
            && let Some(status) = try_wait_pidfd(&created.pidfd)?
        {
            return Ok(status);
        }
    }
}

fn pass_on(created: &Created, signals: &Signals, relay: Option<&Relay<'_>>) -> io::Result<()> {
    while let Some(received) = sys::signal::read_signalfd(&signals.0)? {
        match received.signal {
            Signal::CHLD => reap_orphans(created.pid),
            Signal::WINCH if relay.is_some() => {
                if let Some(relay) = relay {
                    relay.resize();
                }
            }
            // A signal that a terminal sends to its group reaches the process already;
            // one to a process that has just ended reaches nobody.
            signal => drop(sys::pidfd::send_signal(&created.pidfd, signal)),
        }
    }
    Ok(())
}

/// As a subreaper we get the container's orphans. The process itself is left for its
/// own wait.
fn reap_orphans(init: i32) {
    loop {
        match sys::process::peek_any() {
            Ok(Some(pid)) if pid != init => drop(reap_one(pid)),
            _ => return,
        }
    }
}

fn reap_one(pid: i32) -> io::Result<()> {
    let pidfd = sys::pidfd::open(pid)?;
    try_wait_pidfd(&pidfd).map(drop)
}

/// Copies between our terminal and the process's.
struct Relay<'a> {
    master: &'a OwnedFd,
    before: Option<Termios>,
    stdin_open: bool,
}

impl<'a> Relay<'a> {
    fn start(master: &'a OwnedFd) -> io::Result<Self> {
        let stdin = io::stdin();
        // Without a terminal of our own there is nothing to put into raw mode.
        // Newlines are made into carriage returns and newlines by ours, once (see `relayed`).
        let before = if tty::is_terminal(&stdin) { Some(tty::make_raw_input(&stdin)?) } else { None };
        let relay = Self { master, before, stdin_open: true };
        relay.resize();
        Ok(relay)
    }

    fn streams(&self) -> (BorrowedFd<'a>, Option<BorrowedFd<'static>>) {
        (self.master.as_fd(), self.stdin_open.then(sys::fd::standard_input))
    }

    fn resize(&self) {
        if let Ok((columns, rows)) = tty::size(io::stdin()) {
            // A terminal that is going away has no size.
            let _ = tty::set_size(self.master, columns, rows);
        }
    }

    fn output(&mut self) -> bool {
        let mut buffer = [0u8; 16 << 10];
        match rustix::io::read(self.master, &mut buffer) {
            Ok(count) if count > 0 => write_all(io::stdout().as_fd(), &buffer[..count]),
            // EIO: the other side is closed for now.
            _ => false,
        }
    }

    fn input(&mut self) {
        let mut buffer = [0u8; 4 << 10];
        match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(count) if count > 0 => drop(write_all(self.master.as_fd(), &buffer[..count])),
            Ok(_) => {
                // The end of a terminal's input is a character.
                write_all(self.master.as_fd(), &[4]);
                self.stdin_open = false;
            }
            Err(_) => self.stdin_open = false,
        }
    }

    /// What the process printed last.
    fn drain(&mut self) {
        loop {
            let master = self.master.as_fd();
            let mut set = [PollFd::new(&master, PollFlags::IN)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            let ready = poll(&mut set, Some(&now)).is_ok_and(|count| count > 0);
            if !ready || !self.output() {
                return;
            }
        }
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tty::restore(io::stdin(), before);
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}
