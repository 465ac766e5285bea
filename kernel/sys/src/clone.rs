//! `clone3(2)`: one call that makes a process with all of its namespaces.
//!
//! The call forks: the child returns from it too, with a copy of our memory. Only
//! programs with a single thread may use it, because a lock held by another
//! thread would stay locked for ever in the child.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::namespace::NamespaceSet;
use crate::signal::Signal;

/// What the new process shall be.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneOptions<'a> {
    /// Namespaces that are made for it.
    pub namespaces: NamespaceSet,
    /// The cgroup v2 directory it starts in (`CLONE_INTO_CGROUP`).
    pub into_cgroup: Option<BorrowedFd<'a>>,
    /// The signal its parent gets when it ends; `None` is SIGCHLD.
    pub exit_signal: Option<Signal>,
    /// Makes it a sibling: its parent is ours (`CLONE_PARENT`).
    pub sibling: bool,
}

/// On which side of the fork we are.
#[derive(Debug)]
pub enum Forked {
    /// The caller, with a handle on the child.
    Parent {
        /// The child's id in our PID namespace.
        pid: i32,
        /// The child's descriptor, safe against recycled ids.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Forks as `options` say: `clone3(2)`.
///
/// The process must have one thread only (see the module's text).
pub fn clone3(options: &CloneOptions<'_>) -> io::Result<Forked> {
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: options.namespaces.bits() | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: options.exit_signal.map_or(libc::SIGCHLD, Signal::number) as u64,
        ..CloneArgs::default()
    };
    if options.sibling {
        // The exit signal is inherited with the parent: the kernel refuses another one.
        args.flags |= libc::CLONE_PARENT as u64;
        args.exit_signal = 0;
    }
    if let Some(cgroup) = options.into_cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM and no stack are given, so the child runs on a copy of
    // this very stack as after fork(2). `args` lives through the call and `pidfd`
    // is the only memory of ours that the kernel writes to.
    let rc = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match rc {
        0 => Ok(Forked::Child),
        pid if pid > 0 => {
            // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: pid as i32, pidfd })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Forks without any wish: `fork(2)`. `None` in the child, its id in the parent.
///
/// For places where a filter forbids `clone3`, whose arguments it cannot read: inside a
/// container. The process must have one thread only.
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: with one thread no lock can be held by another, so the child may go on as
    // the parent does.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// `struct clone_args` of `linux/sched.h`, version 2 (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::wait_pidfd;

    #[test]
    fn a_child_runs_and_is_waited_for_by_descriptor() {
        match clone3(&CloneOptions::default()).unwrap() {
            Forked::Child => crate::process::exit_now(7),
            Forked::Parent { pidfd, pid } => {
                assert!(pid > 0);
                let status = wait_pidfd(&pidfd).unwrap();
                assert_eq!(status.code(), Some(7));
            }
        }
    }
}
