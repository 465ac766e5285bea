//! Processes: how one ended, waiting, its line in `/proc/PID/stat`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions};

use crate::signal::Signal;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitStatus {
    raw: i32,
}

impl ExitStatus {
    /// From the word that `wait(2)` gives.
    pub fn from_wait_status(raw: i32) -> Self {
        Self { raw }
    }

    /// The code it ended with, unless a signal ended it.
    pub fn code(self) -> Option<i32> {
        (self.raw & 0x7f == 0).then_some((self.raw >> 8) & 0xff)
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<Signal> {
        match self.raw & 0x7f {
            0 | 0x7f => None,
            number => Signal::from_number(number),
        }
    }

    /// Whether it left a core file.
    pub fn dumped_core(self) -> bool {
        self.raw & 0x80 != 0
    }

    /// The code as a shell prints it: the code itself, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        self.code().unwrap_or(128 + (self.raw & 0x7f))
    }
}

/// Waits for the end of a child: `waitid(2)` with `P_PIDFD`. The zombie is reaped.
pub fn wait_pidfd<Fd: AsFd>(pidfd: Fd) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = wait_with(pidfd.as_fd(), WaitIdOptions::EXITED)? {
            return Ok(status);
        }
    }
}

/// Reaps a child if it has ended.
pub fn try_wait_pidfd<Fd: AsFd>(pidfd: Fd) -> io::Result<Option<ExitStatus>> {
    wait_with(pidfd.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// The status of a child that has ended, which stays a zombie.
pub fn peek_pidfd<Fd: AsFd>(pidfd: Fd) -> io::Result<Option<ExitStatus>> {
    wait_with(pidfd.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
}

fn wait_with(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<ExitStatus>> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
            Ok(None) => return Ok(None),
            Ok(Some(status)) => return Ok(Some(status_of(&status))),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn status_of(status: &rustix::process::WaitIdStatus) -> ExitStatus {
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) => signal | if status.dumped() { 0x80 } else { 0 },
        (None, None) => 0,
    };
    ExitStatus { raw }
}

/// Reaps any child that has ended: its id and status. `None`: children live, but
/// none has ended; the error ECHILD: there are no children.
pub fn try_wait_any() -> io::Result<Option<(i32, ExitStatus)>> {
    let mut raw = 0;
    // SAFETY: the kernel writes one int to `raw`, which lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) };
    match pid {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some((pid, ExitStatus { raw }))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The id of a child that has ended and still waits to be reaped, if there is one.
pub fn peek_any() -> io::Result<Option<i32>> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo to `info`, which lives through the call.
    let rc = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed before, and after a successful waitid the SIGCHLD fields are set
    // or still zero when no child has ended.
    let pid = unsafe { info.assume_init().si_pid() };
    Ok((pid != 0).then_some(pid))
}

/// Ends this process at once, without running destructors or exit handlers: `_exit(2)`.
///
/// For the child side of a clone, whose buffers and handlers belong to the parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(code) }
}

/// Ends this process as SIGKILL does: what an armed failpoint calls.
pub fn kill_self() -> ! {
    // SAFETY: a signal to ourselves; the following line is not reached.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    exit_now(137)
}

/// Replaces this process: `execveat(2)`, from an open file when `file` is given, by
/// path otherwise. Returns only if it failed.
pub fn exec(path: &std::ffi::CStr, args: &[std::ffi::CString], env: &[std::ffi::CString]) -> io::Error {
    let argv = pointers(args);
    let envp = pointers(env);
    // SAFETY: both arrays end with a null pointer and all strings live through the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces this process by the program open as `file`, in our own environment: `execveat(2)` with
/// `AT_EMPTY_PATH`. Returns only if it failed.
pub fn exec_fd<Fd: AsFd>(file: Fd, args: &[std::ffi::CString]) -> io::Error {
    use std::os::fd::AsRawFd;
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let argv = pointers(args);
    // SAFETY: as in `exec`; the descriptor is borrowed for the whole call. `environ` is the C library's
    // (`environ(7)`), ends with a null pointer, and is changed by `setenv` alone, which nobody calls.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            environ,
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

fn pointers(strings: &[std::ffi::CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// What we read from `/proc/PID/stat` (`proc_pid_stat(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// Process id.
    pub pid: i32,
    /// Name of the program, up to 15 bytes; may hold blanks and parentheses.
    pub comm: String,
    /// `R S D T t Z X I`.
    pub state: char,
    /// Parent's id.
    pub ppid: i32,
    /// Process group.
    pub pgrp: i32,
    /// Session.
    pub session: i32,
    /// Controlling terminal's device number, 0 if none.
    pub tty: i32,
    /// The kernel's `PF_*` flags.
    pub flags: u32,
    /// Ticks in user mode.
    pub utime: u64,
    /// Ticks in kernel mode.
    pub stime: u64,
    /// Threads in the process.
    pub threads: u32,
    /// When it started, in ticks since boot: with the id it names a process.
    pub start_time: u64,
    /// Virtual memory, bytes.
    pub vsize: u64,
}

impl ProcStat {
    /// Reads the line of the process `pid`.
    pub fn read(pid: i32) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(format!("/proc/{pid}/stat"), flags, Mode::empty())?;
        // The line has 52 numbers of at most 20 digits and a name: it comes in one read.
        let mut buffer = [0u8; 2048];
        let count = rustix::io::read(&file, &mut buffer)?;
        Self::parse(&String::from_utf8_lossy(&buffer[..count]))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat has an unknown form"))
    }

    /// Parses the line. The name is taken up to the last `)`, since it may hold any byte.
    pub fn parse(text: &str) -> Option<Self> {
        let open = text.find('(')?;
        let close = text.rfind(')')?;
        let pid = text.get(..open)?.trim().parse().ok()?;
        let comm = text.get(open + 1..close)?.to_owned();
        let rest: Vec<&str> = text.get(close + 1..)?.split_ascii_whitespace().collect();
        // `rest[0]` is field 3 of the manual page.
        let field = |number: usize| rest.get(number - 3).copied();
        Some(Self {
            pid,
            comm,
            state: field(3)?.chars().next()?,
            ppid: field(4)?.parse().ok()?,
            pgrp: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            tty: field(7)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            utime: field(14)?.parse().ok()?,
            stime: field(15)?.parse().ok()?,
            threads: field(20)?.parse().ok()?,
            start_time: field(22)?.parse().ok()?,
            vsize: field(23)?.parse().ok()?,
        })
    }

    /// Whether the process has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether the process has ended or is about to. An init takes its time: it waits for all
    /// others in its PID namespace (`PF_EXITING` of `include/linux/sched.h`).
    pub fn is_ending(&self) -> bool {
        self.is_zombie() || self.flags & 0x4 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_with_parentheses() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 10 11 0 0 20 0 3 0 12345 8192 7 1";
        let stat = ProcStat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.comm.as_str(), stat.state), (42, "a) b (c", 'S'));
        assert_eq!((stat.start_time, stat.threads, stat.utime, stat.vsize), (12345, 3, 10, 8192));
        assert!(!stat.is_ending());
        let exiting = ProcStat::parse(&line.replace("4194560", "4194564")).unwrap();
        assert!(exiting.is_ending() && !exiting.is_zombie());
        assert!(ProcStat::parse("42 (x) S 1").is_none());
        assert!(ProcStat::parse(")(").is_none());
    }

    #[test]
    fn our_own_line_parses() {
        let stat = ProcStat::read(std::process::id() as i32).unwrap();
        assert!(stat.start_time > 0);
        assert!(!stat.is_zombie());
    }

    #[test]
    fn statuses() {
        assert_eq!(ExitStatus::from_wait_status(0x300).code(), Some(3));
        let killed = ExitStatus::from_wait_status(9);
        assert_eq!((killed.code(), killed.signal(), killed.shell_code()), (None, Some(Signal::KILL), 137));
    }
}
