//! The clone: one `clone3` with every namespace, after what must be joined before it.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::clone::{CloneOptions, Forked, clone3};
use sys::{Namespace, NamespaceSet};

use crate::plan::TimeOffset;

/// What init is born into.
#[derive(Default)]
pub(crate) struct Birth<'a> {
    /// Namespaces made for it.
    pub(crate) make: NamespaceSet,
    /// Namespaces that it joins with our rights, before it has those of a user namespace: that one
    /// does not own them.
    pub(crate) first: &'a [(Namespace, OwnedFd)],
    /// The user namespace that owns them, when it is not ours and not made.
    pub(crate) user: Option<BorrowedFd<'a>>,
    /// The PID namespace that it joins: that works for children only.
    pub(crate) pid: Option<BorrowedFd<'a>>,
    /// Its cgroup v2.
    pub(crate) into_cgroup: Option<BorrowedFd<'a>>,
    /// Clock offsets: they can be set until the first process is in the namespace.
    pub(crate) time_offsets: &'a [TimeOffset],
}

impl Birth<'_> {
    /// Whether init is made by a helper, which is in no cgroup of the container's.
    pub(crate) fn by_helper(&self) -> bool {
        // Root of a user namespace may go into another PID namespace, but not back into the host's.
        self.user.is_some() || !self.first.is_empty() || self.pid.is_some() && sys::user::mapped().is_some()
    }
}

/// Forks. Our own namespaces are afterwards as they were.
pub(crate) fn spawn(birth: &Birth<'_>) -> io::Result<Forked> {
    if birth.by_helper() { spawn_by_helper(birth) } else { spawn_here(birth, false, clocks(birth)?) }
}

fn spawn_here(birth: &Birth<'_>, sibling: bool, clocks: Option<fs::File>) -> io::Result<Forked> {
    let mut make = birth.make;
    let own_pid = match birth.pid {
        Some(fd) => Some(switch_for_children(fd, Namespace::Pid)?),
        None => None,
    };
    let own_time = match birth.time_offsets {
        [] => None,
        offsets => {
            make = make.without(Namespace::Time);
            Some(make_time_namespace(offsets, clocks)?)
        }
    };
    let options =
        CloneOptions { namespaces: make, into_cgroup: birth.into_cgroup, exit_signal: None, sibling };
    let forked = clone3(&options);
    // A helper ends where it is.
    if !sibling && !matches!(forked, Ok(Forked::Child)) {
        for (own, kind) in [(own_pid, Namespace::Pid), (own_time, Namespace::Time)] {
            if let Some(own) = own {
                sys::namespace::join(own, kind)?;
            }
        }
    }
    forked
}

fn switch_for_children(fd: BorrowedFd<'_>, kind: Namespace) -> io::Result<OwnedFd> {
    let own = sys::namespace::open_of(None, kind)?;
    sys::namespace::join(fd, kind)?;
    Ok(own)
}

/// Where the offsets are written. It is opened with our rights: in a user namespace it is still ours.
fn clocks(birth: &Birth<'_>) -> io::Result<Option<fs::File>> {
    let open = || fs::OpenOptions::new().write(true).open("/proc/self/timens_offsets");
    (!birth.time_offsets.is_empty()).then(open).transpose()
}

fn make_time_namespace(offsets: &[TimeOffset], clocks: Option<fs::File>) -> io::Result<OwnedFd> {
    let own = sys::namespace::open_of(None, Namespace::Time)?;
    sys::namespace::unshare(NamespaceSet::EMPTY.with(Namespace::Time))?;
    let lines: String = offsets.iter().map(|o| format!("{} {} {}\n", o.clock, o.secs, o.nanosecs)).collect();
    clocks.map_or(Ok(()), |mut file| file.write_all(lines.as_bytes()))?;
    Ok(own)
}

/// Namespaces belong to the user namespace of whoever makes them. So a helper joins it,
/// makes init as its sibling, and ends.
fn spawn_by_helper(birth: &Birth<'_>) -> io::Result<Forked> {
    let (ours, theirs) = sys::fdpass::message_pair()?;
    match clone3(&CloneOptions::default())? {
        Forked::Child => {
            drop(ours);
            let inner = Birth { user: None, first: &[], into_cgroup: None, ..*birth };
            let clocks = clocks(birth);
            let first = birth.first.iter().try_for_each(|(kind, fd)| sys::namespace::join(fd, *kind));
            let joined = first.and_then(|()| match birth.user {
                Some(user) => sys::namespace::join(user, Namespace::User).and_then(|()| own_the_namespace()),
                None => Ok(()),
            });
            let result = joined.and(clocks).and_then(|clocks| spawn_here(&inner, true, clocks));
            match result {
                Ok(Forked::Child) => Ok(Forked::Child),
                Ok(Forked::Parent { pid, pidfd }) => {
                    let _ = sys::fdpass::send(&theirs, &pid.to_le_bytes(), &[pidfd.as_fd()]);
                    sys::process::exit_now(0)
                }
                Err(error) => {
                    let errno = -error.raw_os_error().unwrap_or(rustix::io::Errno::INVAL.raw_os_error());
                    let _ = sys::fdpass::send(&theirs, &errno.to_le_bytes(), &[]);
                    sys::process::exit_now(1)
                }
            }
        }
        Forked::Parent { pidfd: helper, .. } => {
            drop(theirs);
            let mut number = [0u8; 4];
            let received = sys::fdpass::receive(&ours, &mut number, 1);
            sys::process::wait_pidfd(&helper)?;
            let (_, mut fds) = received?;
            match (i32::from_le_bytes(number), fds.pop()) {
                (pid, Some(pidfd)) if pid > 0 => Ok(Forked::Parent { pid, pidfd }),
                (errno, _) if errno < 0 => Err(io::Error::from_raw_os_error(-errno)),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Ids from outside mean nothing inside; root of the namespace may make others.
fn own_the_namespace() -> io::Result<()> {
    // Denied setgroups or a map without 0 still leaves us the capabilities.
    let _ = sys::user::set_groups(&[]);
    let _ = sys::user::set_gid(0);
    let _ = sys::user::set_uid(0);
    Ok(())
}
