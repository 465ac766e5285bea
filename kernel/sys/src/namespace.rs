//! Namespaces: their kinds, opening and joining them, what the kernel says of one.
//!
//! `namespaces(7)`, `setns(2)`, `unshare(2)`, `ioctl_nsfs(2)`.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Users and groups, capabilities.
    User,
    /// The root of the cgroup tree.
    Cgroup,
    /// System V IPC, POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Network stack.
    Net,
    /// Process ids.
    Pid,
    /// Mounts.
    Mount,
    /// Monotonic and boot clocks.
    Time,
}

impl Namespace {
    /// All kinds, in an order in which they can be joined one by one: the user
    /// namespace first, as it gives the right to join the others.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Cgroup, Self::Ipc, Self::Uts, Self::Net, Self::Pid, Self::Mount, Self::Time];

    /// The file's name in `/proc/PID/ns`.
    pub fn proc_name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::Mount => "mnt",
            Self::Time => "time",
        }
    }

    /// The `CLONE_NEW*` flag.
    pub fn flag(self) -> u64 {
        match self {
            Self::User => libc::CLONE_NEWUSER as u64,
            Self::Cgroup => libc::CLONE_NEWCGROUP as u64,
            Self::Ipc => libc::CLONE_NEWIPC as u64,
            Self::Uts => libc::CLONE_NEWUTS as u64,
            Self::Net => libc::CLONE_NEWNET as u64,
            Self::Pid => libc::CLONE_NEWPID as u64,
            Self::Mount => libc::CLONE_NEWNS as u64,
            Self::Time => CLONE_NEWTIME,
        }
    }

    /// The kind that a `CLONE_NEW*` flag stands for.
    pub fn from_flag(flag: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.flag() == flag)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.proc_name())
    }
}

/// A set of namespace kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespaceSet(u64);

impl NamespaceSet {
    /// No kind at all.
    pub const EMPTY: Self = Self(0);

    /// This set and `kind`.
    #[must_use]
    pub fn with(self, kind: Namespace) -> Self {
        Self(self.0 | kind.flag())
    }

    /// This set without `kind`.
    #[must_use]
    pub fn without(self, kind: Namespace) -> Self {
        Self(self.0 & !kind.flag())
    }

    /// Whether `kind` is in it.
    pub fn contains(self, kind: Namespace) -> bool {
        self.0 & kind.flag() != 0
    }

    /// Whether it has no kind.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in joining order.
    pub fn iter(self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// The flags for clone, unshare and setns.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl FromIterator<Namespace> for NamespaceSet {
    fn from_iter<T: IntoIterator<Item = Namespace>>(kinds: T) -> Self {
        kinds.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// What names a namespace: device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceId {
    /// The device of nsfs.
    pub dev: u64,
    /// The inode, the number that `ls -l /proc/PID/ns` shows.
    pub ino: u64,
}

/// Opens the namespace of kind `kind` of process `pid` (`None`: our own).
pub fn open_of(pid: Option<i32>, kind: Namespace) -> io::Result<OwnedFd> {
    open(Path::new(&match pid {
        Some(pid) => format!("/proc/{pid}/ns/{kind}"),
        None => format!("/proc/self/ns/{kind}"),
    }))
}

/// Opens a namespace file, which may be a bind mount of one, and proves that it is one.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let magic = rustix::fs::fstatfs(&fd)?.f_type as u64;
    // A namespace's file lives in nsfs (proc before Linux 3.19).
    if magic != NSFS_MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is not a namespace"));
    }
    Ok(fd)
}

/// The namespace's identity: `stat(2)` of its descriptor.
pub fn id<Fd: AsFd>(fd: Fd) -> io::Result<NamespaceId> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(NamespaceId { dev: stat.st_dev, ino: stat.st_ino })
}

/// The identity of the namespace of `kind` that `pid` is in (`None`: ours).
pub fn id_of(pid: Option<i32>, kind: Namespace) -> io::Result<NamespaceId> {
    let path = match pid {
        Some(pid) => format!("/proc/{pid}/ns/{kind}"),
        None => format!("/proc/self/ns/{kind}"),
    };
    let stat = rustix::fs::stat(path)?;
    Ok(NamespaceId { dev: stat.st_dev, ino: stat.st_ino })
}

/// Moves this thread into the namespace: `setns(2)`. A PID namespace only
/// takes effect for children.
pub fn join<Fd: AsFd>(fd: Fd, kind: Namespace) -> io::Result<()> {
    set_ns(fd.as_fd(), kind.flag())
}

/// Moves this thread into several namespaces of a process at once, all or none
/// (`setns(2)` with a pidfd, Linux 5.8).
pub fn join_process<Fd: AsFd>(pidfd: Fd, kinds: NamespaceSet) -> io::Result<()> {
    set_ns(pidfd.as_fd(), kinds.bits())
}

fn set_ns(fd: BorrowedFd<'_>, flags: u64) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the whole call; no memory is passed.
    let rc = unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), flags as libc::c_int) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `visit` in the mount namespace `mounts`, and comes back: our root and working
/// directory are as before.
///
/// The process must have one thread only. If the way back is barred, which no caller
/// could survive, it aborts.
pub fn visit_mounts<Fd: AsFd, T>(mounts: Fd, visit: impl FnOnce() -> T) -> io::Result<T> {
    let here = |path: &str| {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    let (root, cwd) = (here("/")?, here(".")?);
    let own = open_of(None, Namespace::Mount)?;
    join(mounts, Namespace::Mount)?;
    let result = visit();
    let back = join(&own, Namespace::Mount)
        .and_then(|()| Ok(rustix::process::fchdir(&root)?))
        .and_then(|()| Ok(rustix::process::chroot(".")?))
        .and_then(|()| Ok(rustix::process::fchdir(&cwd)?));
    if back.is_err() {
        std::process::abort();
    }
    Ok(result)
}

/// Leaves the shared namespaces of these kinds for new ones: `unshare(2)`.
pub fn unshare(kinds: NamespaceSet) -> io::Result<()> {
    // SAFETY: only namespace flags are in the set, never CLONE_FILES or CLONE_VM,
    // so no table that other code relies on is split.
    let rc = unsafe { libc::syscall(libc::SYS_unshare, kinds.bits()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The kind of an open namespace (`NS_GET_NSTYPE`).
pub fn kind<Fd: AsFd>(fd: Fd) -> io::Result<Namespace> {
    // SAFETY: the request takes no argument and writes to no memory.
    let flag = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::NS_GET_NSTYPE) };
    if flag < 0 {
        return Err(io::Error::last_os_error());
    }
    Namespace::from_flag(flag as u32 as u64).ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

/// The user namespace that owns this one (`NS_GET_USERNS`).
pub fn owner<Fd: AsFd>(fd: Fd) -> io::Result<OwnedFd> {
    descriptor_of(fd.as_fd(), libc::NS_GET_USERNS)
}

/// The parent of a PID or user namespace (`NS_GET_PARENT`).
pub fn parent<Fd: AsFd>(fd: Fd) -> io::Result<OwnedFd> {
    descriptor_of(fd.as_fd(), libc::NS_GET_PARENT)
}

/// The user that made this user namespace (`NS_GET_OWNER_UID`).
pub fn owner_uid<Fd: AsFd>(fd: Fd) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t to `uid`, which lives through the call.
    let rc = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::NS_GET_OWNER_UID, &raw mut uid) };
    if rc == 0 { Ok(uid) } else { Err(io::Error::last_os_error()) }
}

fn descriptor_of(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument and returns a new descriptor.
    let raw = unsafe { libc::ioctl(fd.as_raw_fd(), request) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

const CLONE_NEWTIME: u64 = 0x80;
const NSFS_MAGIC: u64 = 0x6e73_6673;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_namespaces_are_what_they_say() {
        for kind in Namespace::ALL {
            let fd = open_of(None, kind).unwrap();
            assert_eq!(super::kind(&fd).unwrap(), kind);
            assert_eq!(id(&fd).unwrap(), id_of(None, kind).unwrap());
        }
    }

    #[test]
    fn an_ordinary_file_is_no_namespace() {
        assert_eq!(open(Path::new("/proc/self/stat")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn sets_keep_the_joining_order() {
        let set: NamespaceSet = [Namespace::Mount, Namespace::User, Namespace::Net].into_iter().collect();
        let kinds: Vec<_> = set.iter().collect();
        assert_eq!(kinds, [Namespace::User, Namespace::Net, Namespace::Mount]);
        assert!(set.without(Namespace::Net).contains(Namespace::User));
    }
}
