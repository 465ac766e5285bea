//! The mount API by descriptors: `open_tree(2)`, `move_mount(2)`, `mount_setattr(2)`,
//! `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`.
//!
//! A mount is made detached, changed as needed, and only then attached to a place
//! that is itself an open descriptor: no path is ever resolved twice.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

pub use rustix::mount::{FsMountFlags, MountAttrFlags, OpenTreeFlags, UnmountFlags};
use rustix::mount::{FsOpenFlags, MoveMountFlags};

/// How mount events travel: `mount_namespaces(7)`, "Shared subtrees".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// Events go both ways.
    Shared,
    /// Events come in only.
    Slave,
    /// No events.
    Private,
    /// No events, and it cannot be bind-mounted.
    Unbindable,
}

impl Propagation {
    fn flag(self) -> u64 {
        match self {
            Self::Shared => libc::MS_SHARED,
            Self::Slave => libc::MS_SLAVE,
            Self::Private => libc::MS_PRIVATE,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// What `mount_setattr` changes on a mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// Bits to clear. Set to [`attr::ATIME`] when `set` chooses an atime mode.
    pub clear: u64,
    /// New propagation.
    pub propagation: Option<Propagation>,
    /// Maps the owners of files by this user namespace.
    pub idmap: Option<std::os::fd::BorrowedFd<'a>>,
    /// Also changes all mounts below.
    pub recursive: bool,
}

impl Change<'_> {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0 && self.propagation.is_none() && self.idmap.is_none()
    }
}

/// The `MOUNT_ATTR_*` bits.
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-id bits have no effect.
    pub const NOSUID: u64 = 0x2;
    /// Device files cannot be opened.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The mask of the atime modes; the mode 0 is relatime.
    pub const ATIME: u64 = 0x70;
    /// No access times.
    pub const NOATIME: u64 = 0x10;
    /// Always access times.
    pub const STRICTATIME: u64 = 0x20;
    /// No access times of directories.
    pub const NODIRATIME: u64 = 0x80;
    /// Owners are mapped.
    pub const IDMAP: u64 = 0x10_0000;
    /// Symlinks are not followed.
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// Changes the attributes of the mount that `mount` is the root of: `mount_setattr(2)`.
pub fn set_attributes<Fd: AsFd>(mount: Fd, change: &Change<'_>) -> io::Result<()> {
    set_attributes_at(mount.as_fd().as_raw_fd(), c"", change)
}

/// Changes the attributes of the mount at `path`, which our own mount namespace
/// must be trusted to resolve (such as `/`).
pub fn set_attributes_of_path(path: &Path, change: &Change<'_>) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    set_attributes_at(libc::AT_FDCWD, &path, change)
}

fn set_attributes_at(dir: i32, path: &std::ffi::CStr, change: &Change<'_>) -> io::Result<()> {
    let mut raw = RawAttr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation.map_or(0, Propagation::flag),
        userns_fd: 0,
    };
    if let Some(user_namespace) = change.idmap {
        raw.attr_set |= attr::IDMAP;
        raw.userns_fd = user_namespace.as_raw_fd() as u64;
    }
    let mut flags = if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    if change.recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: `raw` has the size that is passed, `path` is a C string, and both
    // live through the call.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir,
            path.as_ptr(),
            flags,
            &raw const raw,
            size_of::<RawAttr>(),
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A copy of the mount (with `recursive`: the tree of mounts) at `path`, attached
/// nowhere: `open_tree(2)` with `OPEN_TREE_CLONE`. Symlinks in `path` are followed.
pub fn clone_path(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(rustix::fs::CWD, path, clone_flags(recursive))?)
}

/// A copy of the mount at the open file or directory `at`, attached nowhere.
pub fn clone_fd<Fd: AsFd>(at: Fd, recursive: bool) -> io::Result<OwnedFd> {
    let flags = clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(rustix::mount::open_tree(at.as_fd(), "", flags)?)
}

/// A copy of the mount at `name` in the directory `dir`; the name is not followed
/// if it is a symlink.
pub fn clone_at<Fd: AsFd>(dir: Fd, name: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let flags = clone_flags(recursive) | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    Ok(rustix::mount::open_tree(dir.as_fd(), name, flags)?)
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

/// Attaches the detached mount on the open file or directory `target`: `move_mount(2)`.
pub fn attach<Mount: AsFd, Target: AsFd>(mount: Mount, target: Target) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount.as_fd(), "", target.as_fd(), "", flags)?)
}

/// Attaches the detached mount on `name` in the open directory `dir`, which only we can change.
pub fn attach_at<Mount: AsFd, Dir: AsFd>(mount: Mount, dir: Dir, name: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount.as_fd(), "", dir.as_fd(), name, flags)?)
}

/// Attaches the detached mount at a path of our own mount namespace.
pub fn attach_path<Mount: AsFd>(mount: Mount, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount.as_fd(), "", rustix::fs::CWD, target, flags)?)
}

/// Puts the mount `mount` into the peer group of `from` (`MOVE_MOUNT_SET_GROUP`, Linux 5.15).
pub fn set_group<Mount: AsFd, From: AsFd>(from: From, mount: Mount) -> io::Result<()> {
    const MOVE_MOUNT_SET_GROUP: u32 = 0x100;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
        | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH
        | MoveMountFlags::from_bits_retain(MOVE_MOUNT_SET_GROUP);
    Ok(rustix::mount::move_mount(from.as_fd(), "", mount.as_fd(), "", flags)?)
}

/// Detaches the mount at `path`.
pub fn unmount(path: &Path, flags: UnmountFlags) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, flags)?)
}

/// A file system that is being configured: `fsopen(2)`.
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
}

impl FsContext {
    /// Opens a context of this type of file system.
    pub fn open(kind: &str) -> io::Result<Self> {
        Ok(Self { fd: rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)? })
    }

    /// Sets `key=value`.
    pub fn set(&self, key: &str, value: &str) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_string(self.fd.as_fd(), key, value)?)
    }

    /// Sets `key` to a path, which may have more than 255 bytes where the file
    /// system takes paths.
    pub fn set_path(&self, key: &str, value: &Path) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_string(self.fd.as_fd(), key, value)?)
    }

    /// Sets `key` to an open descriptor (overlayfs layers since Linux 6.13).
    pub fn set_fd<Fd: AsFd>(&self, key: &str, value: Fd) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_fd(self.fd.as_fd(), key, value.as_fd())?)
    }

    /// Sets the flag `key`.
    pub fn set_flag(&self, key: &str) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_flag(self.fd.as_fd(), key)?)
    }

    /// Makes the file system and mounts it, attached nowhere. `attributes` are
    /// `MOUNT_ATTR_*` bits.
    pub fn mount(&self, attributes: u64) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(self.fd.as_fd())?;
        let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
        Ok(rustix::mount::fsmount(self.fd.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }

    /// What the kernel says about the failure: its log lines, without their class letter.
    ///
    /// File systems explain a refused option here (`fsopen(2)`, "message retrieval").
    pub fn messages(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0u8; 512];
        while let Ok(got) = rustix::io::read(&self.fd, &mut buffer) {
            if got == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&buffer[..got]);
            let text = text.trim_end();
            lines.push(text.get(2..).unwrap_or(text).to_owned());
        }
        lines
    }
}

impl AsFd for FsContext {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct RawAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}
