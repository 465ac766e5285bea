//! Processes by descriptor, which unlike an id is never recycled: `pidfd_open(2)`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::namespace::Namespace;
use crate::process::ExitStatus;
use crate::signal::Signal;

/// Opens a descriptor of the process `pid`.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: two integers are passed, no memory.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

/// Sends `signal` to the process: `pidfd_send_signal(2)`. Never hits a stranger.
pub fn send_signal<Fd: AsFd>(pidfd: Fd, signal: Signal) -> io::Result<()> {
    send(pidfd.as_fd().as_raw_fd(), signal.number())
}

/// Whether the process still exists; a zombie does.
pub fn exists<Fd: AsFd>(pidfd: Fd) -> bool {
    send(pidfd.as_fd().as_raw_fd(), 0).is_ok()
}

fn send(pidfd: i32, signal: i32) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is borrowed by the callers for the whole call, a null
    // siginfo is allowed by the ABI, and the kernel writes to none of our memory.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, 0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the process has ended (it may still be a zombie): the descriptor polls readable.
pub fn has_ended<Fd: AsFd>(pidfd: Fd) -> io::Result<bool> {
    let fd = pidfd.as_fd();
    let mut set = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(rustix::event::poll(&mut set, Some(&now))? > 0)
}

/// Takes a copy of descriptor `number` out of the process: `pidfd_getfd(2)`.
pub fn take_descriptor<Fd: AsFd>(pidfd: Fd, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only; the result is a new close-on-exec descriptor.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_fd().as_raw_fd(), number, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

/// Opens a namespace of the process without `/proc` (`PIDFD_GET_*_NAMESPACE`, Linux 6.11).
pub fn namespace<Fd: AsFd>(pidfd: Fd, kind: Namespace) -> io::Result<OwnedFd> {
    let request = match kind {
        Namespace::Cgroup => libc::PIDFD_GET_CGROUP_NAMESPACE,
        Namespace::Ipc => libc::PIDFD_GET_IPC_NAMESPACE,
        Namespace::Mount => libc::PIDFD_GET_MNT_NAMESPACE,
        Namespace::Net => libc::PIDFD_GET_NET_NAMESPACE,
        Namespace::Pid => libc::PIDFD_GET_PID_NAMESPACE,
        Namespace::Time => libc::PIDFD_GET_TIME_NAMESPACE,
        Namespace::User => libc::PIDFD_GET_USER_NAMESPACE,
        Namespace::Uts => libc::PIDFD_GET_UTS_NAMESPACE,
    };
    // SAFETY: the request takes no memory and returns a new descriptor.
    let raw = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), request, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// What `PIDFD_GET_INFO` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidInfo {
    /// The process id in our PID namespace; 0 when it is gone.
    pub pid: u32,
    /// Its parent's id.
    pub ppid: u32,
    /// Real user and group in our user namespace.
    pub ruid: u32,
    /// Real group.
    pub rgid: u32,
    /// The id of its cgroup v2.
    pub cgroup: Option<u64>,
    /// How it ended, also for one who is not the parent (Linux 6.15).
    pub exit: Option<ExitStatus>,
}

/// Asks the kernel about the process (`PIDFD_GET_INFO`, Linux 6.13; `exit` since
/// 6.15). After the process was reaped only `exit` and `cgroup` may be known.
pub fn info<Fd: AsFd>(pidfd: Fd) -> io::Result<PidInfo> {
    let mut raw = RawInfo { mask: INFO_PID | INFO_CREDS | INFO_CGROUPID | INFO_EXIT, ..RawInfo::default() };
    // SAFETY: `raw` has the size that the request encodes and lives through the call.
    let rc = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut raw) };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(PidInfo {
        pid: raw.pid,
        ppid: raw.ppid,
        ruid: raw.ruid,
        rgid: raw.rgid,
        cgroup: (raw.mask & INFO_CGROUPID != 0).then_some(raw.cgroupid),
        exit: (raw.mask & INFO_EXIT != 0).then(|| ExitStatus::from_wait_status(raw.exit_code)),
    })
}

/// `struct pidfd_info`, version 0 (64 bytes).
#[repr(C)]
#[derive(Default)]
struct RawInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
}

const INFO_PID: u64 = 1;
const INFO_CREDS: u64 = 2;
const INFO_CGROUPID: u64 = 4;
const INFO_EXIT: u64 = 8;
const _: () = assert!(size_of::<RawInfo>() == 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_our_own_process() {
        let us = open(std::process::id() as i32).unwrap();
        assert!(exists(&us));
        assert!(!has_ended(&us).unwrap());
        if let Ok(info) = info(&us) {
            assert_eq!(info.pid, std::process::id());
            assert_eq!(info.exit, None);
        }
    }
}
