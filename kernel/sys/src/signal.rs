//! Signals: numbers and names both ways, masks, `signalfd(2)`.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// A signal that exists on this platform: 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// Hang-up.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// Ctrl-C.
    pub const INT: Self = Self(libc::SIGINT);
    /// Ctrl-\.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// Cannot be caught.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// Polite request to end.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// A child ended or stopped.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// Write to a pipe without a reader.
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// The terminal's size changed.
    pub const WINCH: Self = Self(libc::SIGWINCH);
    /// User-defined 1.
    pub const USR1: Self = Self(libc::SIGUSR1);
    /// User-defined 2.
    pub const USR2: Self = Self(libc::SIGUSR2);
    /// Go on after a stop.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// Stop; cannot be caught.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// Timer.
    pub const ALRM: Self = Self(libc::SIGALRM);

    /// The signal of that number, if there is one.
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// Reads `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`, `SIGRTMAX-1`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Self::from_number(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().chain(ALIASES).find(|(known, _)| *known == name) {
            return Some(Self(*number));
        }
        let (base, offset) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(offset), _) => (RTMIN, offset),
            (_, Some(offset)) => (RTMAX, offset),
            _ => return None,
        };
        let offset = if offset.is_empty() { 0 } else { offset.parse::<i32>().ok()? };
        let number = base.checked_add(offset)?;
        (RTMIN..=RTMAX).contains(&number).then_some(Self(number))
    }

    /// The number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The name with `SIG`, as `SIGKILL` or `SIGRTMIN+3`.
    pub fn name(self) -> String {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => format!("SIG{name}"),
            None if self.0 == RTMIN => "SIGRTMIN".to_owned(),
            None => format!("SIGRTMIN+{}", self.0 - RTMIN),
        }
    }

    /// The names of all signals that have one, without `SIG`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Blocks these signals for this thread, on top of those that are blocked already.
pub fn block(signals: &[Signal]) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, signals)
}

/// Unblocks these signals for this thread.
pub fn unblock(signals: &[Signal]) -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK, signals)
}

/// Unblocks all signals: what a program expects at its start.
pub fn unblock_all() -> io::Result<()> {
    change_mask(libc::SIG_SETMASK, &[])
}

fn change_mask(how: libc::c_int, signals: &[Signal]) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: `set` was initialised by sigemptyset and lives through the call.
    let rc = unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(rc)) }
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set, sigaddset takes valid numbers.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal.0);
        }
        set.assume_init()
    }
}

/// Blocks these signals and opens a descriptor that reads them, non-blocking and
/// close-on-exec: `signalfd(2)`.
pub fn signalfd(signals: &[Signal]) -> io::Result<OwnedFd> {
    block(signals)?;
    let set = set_of(signals);
    // SAFETY: `set` is initialised; the result is a new descriptor.
    let raw = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// One signal as `signalfd` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// Who sent it, 0 for the kernel.
    pub pid: i32,
    /// The sender's user.
    pub uid: u32,
}

/// Reads the next pending signal from a `signalfd`, or `None` if there is none.
pub fn read_signalfd<Fd: AsFd>(fd: Fd) -> io::Result<Option<Received>> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer has exactly `size` bytes and lives through the call.
    let got = unsafe { libc::read(fd.as_fd().as_raw_fd(), info.as_mut_ptr().cast(), size) };
    if got < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    // SAFETY: the memory was zeroed and every bit pattern is a valid siginfo.
    let info = unsafe { info.assume_init() };
    Ok(Signal::from_number(info.ssi_signo as i32).map(|signal| Received {
        signal,
        pid: info.ssi_pid as i32,
        uid: info.ssi_uid,
    }))
}

/// Ignores the signal, in this process and in what it executes.
pub fn ignore(signal: Signal) -> io::Result<()> {
    set_action(signal, libc::SIG_IGN)
}

/// Gives the signal its default action.
pub fn reset(signal: Signal) -> io::Result<()> {
    set_action(signal, libc::SIG_DFL)
}

/// Ends this process on the signal, as a shell would have it: PID 1 of a namespace does not die of the
/// default action of any signal but SIGKILL (`pid_namespaces(7)`).
pub fn exit_on(signal: Signal) -> io::Result<()> {
    extern "C" fn end(number: libc::c_int) {
        // SAFETY: _exit(2) is async-signal-safe (signal-safety(7)).
        unsafe { libc::_exit(128 + number) }
    }
    let handler: extern "C" fn(libc::c_int) = end;
    // SAFETY: the handler calls nothing but _exit(2), touches no memory and lives as long as the program.
    let old = unsafe { libc::signal(signal.0, handler as libc::sighandler_t) };
    if old == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_action(signal: Signal, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: only SIG_IGN and SIG_DFL come here.
    let old = unsafe { libc::signal(signal.0, action) };
    if old == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal to a process by id: `kill(2)`. Prefer [`crate::pidfd::send_signal`].
pub fn kill(pid: i32, signal: Signal) -> io::Result<()> {
    // SAFETY: two integers, no memory.
    let rc = unsafe { libc::kill(pid, signal.0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

// The C library keeps 32 and 33 for itself; kill(1) and docker count from 34.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

const ALIASES: &[(&str, i32)] = &[("IOT", libc::SIGABRT), ("CLD", libc::SIGCHLD), ("POLL", libc::SIGIO)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_both_ways() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("sigterm", 15),
            ("SIGRTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("CLD", 17),
        ] {
            assert_eq!(Signal::parse(text).map(Signal::number), Some(number), "{text}");
        }
        for text in ["", "0", "65", "SIG", "NOPE", "RTMIN-1", "RTMAX+1", "-9"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            if number != 32 && number != 33 {
                assert_eq!(Signal::parse(&signal.name()), Some(signal));
            }
        }
    }
}
