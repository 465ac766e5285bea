//! A process that keeps a terminal's master open.
//!
//! When the last descriptor of a master is closed, the kernel hangs the terminal up, and
//! the container's shell gets SIGHUP. So that a killed shim does not end its container, a
//! second process holds a copy and sleeps on the container's pidfd. It is the shim's own
//! program executed anew: a fork would keep copies of the shim's pages. An adopting shim
//! takes the master from it (`pidfd_getfd(2)`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use sys::Signal;
use sys::process::ProcStat;

use super::state_file::Keeper;

/// Starts the keeper of `master`. It ends with the process `pid`.
pub(super) fn start(master: &OwnedFd, pid: i32, start_time: u64) -> io::Result<Keeper> {
    let child = Command::new("/proc/self/exe")
        .args(["keep", &pid.to_string(), &start_time.to_string()])
        .env_clear()
        .stdin(Stdio::from(master.try_clone()?))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let keeper = child.id() as i32;
    Ok(Keeper { pid: keeper, start_time: ProcStat::read(keeper)?.start_time, fd: 0 })
}

/// A copy of the master.
pub(super) fn take(keeper: &Keeper) -> io::Result<OwnedFd> {
    let pidfd = sys::pidfd::open(keeper.pid)?;
    if ProcStat::read(keeper.pid)?.start_time != keeper.start_time {
        return Err(io::ErrorKind::NotFound.into());
    }
    sys::pidfd::take_descriptor(&pidfd, keeper.fd)
}

/// The keeper's life: holds descriptor 0 until the process has ended.
pub fn keep(pid: i32, start_time: u64) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    sys::prctl::set_name(c"strake-keeper")?;
    for signal in ["HUP", "INT", "QUIT", "TERM"] {
        if let Some(signal) = Signal::parse(signal) {
            sys::signal::ignore(signal)?;
        }
    }
    let pidfd = sys::pidfd::open(pid)?;
    if ProcStat::read(pid)?.start_time != start_time {
        return Ok(());
    }
    let mut set = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    loop {
        match poll(&mut set, None) {
            Err(rustix::io::Errno::INTR) => {}
            other => {
                other?;
                return Ok(());
            }
        }
    }
}
