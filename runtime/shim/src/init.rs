//! A tiny init for containers (`--init`): runs a command, hands signals on, reaps orphans,
//! ends with the command's status.
//!
//! It allocates at its start only and then sleeps in one read.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use base::{Classified, ErrorClass};
use rustix::process::Pid;
use sys::Signal;

/// The command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// No command was given.
    #[error("no command to run: give one after `--`")]
    NoCommand,
    /// Signals could not be taken over.
    #[error("take over signals")]
    Signals(#[source] io::Error),
    /// It does not run.
    #[error("run {command}")]
    Run {
        /// The command.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Waiting for it failed.
    #[error("wait for {command}")]
    Wait {
        /// The command.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Classified for InitError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoCommand => ErrorClass::Invalid,
            Self::Signals(source) | Self::Run { source, .. } | Self::Wait { source, .. } => {
                ErrorClass::of_io(source)
            }
        }
    }
}

impl InitError {
    /// docker's exit status: 127 when the command is not there, 126 when it cannot be run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Run { .. } => 126,
            _ => 125,
        }
    }
}

/// Runs `command` as the init of a PID namespace; its exit status as a shell shows it.
pub fn init(command: &[OsString]) -> Result<u8, InitError> {
    let (program, arguments) = command.split_first().ok_or(InitError::NoCommand)?;
    let forwarded: Vec<Signal> =
        (1..=64).filter_map(Signal::from_number).filter(|s| is_forwarded(*s)).collect();
    // Blocked from here on: what comes before the command runs waits in the descriptor.
    let signals = sys::signal::signalfd(&forwarded).map_err(InitError::Signals)?;
    let pid = start(program, arguments)?;
    give_terminal(pid);
    loop {
        wait_readable(&signals).map_err(|source| InitError::Wait { command: name_of(program), source })?;
        while let Ok(Some(received)) = sys::signal::read_signalfd(&signals) {
            if received.signal == Signal::CHLD {
                if let Some(status) = reap(pid) {
                    return Ok(status);
                }
            } else {
                // The command may have ended just now; SIGCHLD says so next.
                let _ = sys::signal::kill(pid, received.signal);
            }
        }
    }
}

/// Holds a sandbox's namespaces open: sleeps, reaps what is left to it where it is process 1,
/// and ends when it is asked to.
pub fn pause() -> Result<u8, InitError> {
    let signals = [Signal::TERM, Signal::INT, Signal::CHLD];
    let signals = sys::signal::signalfd(&signals).map_err(InitError::Signals)?;
    // What the start took stays out of each pod's memory; without it this is only larger.
    let _ = sys::memory::release_past();
    loop {
        wait_readable(&signals).map_err(InitError::Signals)?;
        while let Ok(Some(received)) = sys::signal::read_signalfd(&signals) {
            if received.signal != Signal::CHLD {
                return Ok(0);
            }
            // No process has this number: all are reaped, and none is waited for.
            reap(0);
        }
    }
}

fn name_of(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}

/// Forks by hand, because the standard library hands on the signals that we block. A pipe
/// that the exec closes carries the reason of a failure.
fn start(program: &OsStr, arguments: &[OsString]) -> Result<i32, InitError> {
    let failed = |source| InitError::Run { command: name_of(program), source };
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()));
    let (reader, writer) = pipe?;
    match sys::clone::fork().map_err(failed)? {
        None => {
            // A group of its own, so that the terminal's signals reach it and not us as well.
            let _ = rustix::process::setpgid(None, None);
            let _ = sys::signal::unblock_all();
            let error = Command::new(program).args(arguments).exec();
            let errno = error.raw_os_error().unwrap_or(0);
            let _ = rustix::io::write(&writer, &errno.to_le_bytes());
            sys::process::exit_now(127)
        }
        Some(pid) => {
            drop(writer);
            let mut errno = [0; 4];
            match rustix::io::read(&reader, &mut errno) {
                Ok(4) => Err(failed(io::Error::from_raw_os_error(i32::from_le_bytes(errno)))),
                _ => Ok(pid),
            }
        }
    }
}

/// Signals that the kernel raises for faults of our own, that cannot be blocked, and those
/// of the terminal's job control, are not handed on.
fn is_forwarded(signal: Signal) -> bool {
    !matches!(signal.number(), 4 | 5 | 7 | 8 | 9 | 11 | 19 | 21 | 22 | 31)
}

/// Makes the command's group the terminal's foreground, where there is a terminal.
fn give_terminal(pid: i32) {
    let stdin = io::stdin();
    if let (true, Some(group)) = (rustix::termios::isatty(stdin.as_fd()), Pid::from_raw(pid)) {
        // A background group that sets the foreground gets SIGTTOU, unless it is ignored.
        let ignored = Signal::from_number(22).map(sys::signal::ignore);
        if ignored.is_some_and(|r| r.is_ok()) {
            let _ = rustix::termios::tcsetpgrp(stdin.as_fd(), group);
        }
    }
}

fn wait_readable(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    let mut set = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut set, None) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).map_err(Into::into),
        }
    }
}

/// Reaps every zombie; the command's status when it was among them.
fn reap(command: i32) -> Option<u8> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = sys::process::try_wait_any() {
        if pid == command {
            ended = Some(u8::try_from(status.shell_code()).unwrap_or(255));
        }
    }
    ended
}
