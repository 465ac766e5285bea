//! Directories by descriptor: open below a root, list, walk, delete.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use archive::tar::Xattr;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags};
use rustix::io::Errno;

use crate::path::{RelPath, join};

/// Opens the directory at `path` of the host, to read and to list.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, READ_DIRECTORY, Mode::empty())?)
}

/// Opens `path` below `root` without following any symbolic link, `..` or mount; the
/// root itself for the empty path.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { &b"."[..] } else { path };
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    loop {
        let opened = rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
        // The kernel asks for another try when something was renamed on the way.
        if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
            return opened;
        }
    }
}

/// Opens a directory below `root` as `O_PATH`.
pub(crate) fn open_parent(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_beneath(root, path, OFlags::PATH | OFlags::DIRECTORY)
}

/// What is at `name` in a directory, a symbolic link itself; `None` when nothing is.
pub(crate) fn lookup(directory: impl AsFd, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What is at `path` below `root`; `None` when nothing is, or when it lies behind
/// something that is not a directory.
pub(crate) fn lookup_beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<Stat>, Errno> {
    let (directory, name) = crate::path::split(path);
    if name.is_empty() {
        return rustix::fs::fstat(root).map(Some);
    }
    match open_parent(root, directory) {
        Ok(directory) => lookup(directory, name),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The type of what was found.
pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether it is overlayfs' mark of a deletion: a character device 0:0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The names in a directory in order, without `.` and `..`.
pub(crate) fn names(directory: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What a walk shows of each entry.
pub(crate) struct Visit<'a> {
    /// Its path below the root.
    pub(crate) path: &'a [u8],
    /// Its directory.
    pub(crate) directory: BorrowedFd<'a>,
    /// Its name there.
    pub(crate) name: &'a CStr,
    /// What it is.
    pub(crate) stat: Stat,
}

/// Shows every entry below `root` in the order of names, a directory before its entries.
/// Entries that vanish meanwhile are left out.
pub(crate) fn walk<E: From<io::Error>>(
    root: BorrowedFd<'_>,
    mut visit: impl FnMut(Visit<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut open: Vec<RelPath> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let directory = match open_beneath(root, &path, READ_DIRECTORY) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(io::Error::from(errno).into()),
        };
        let mut below = Vec::new();
        for name in names(&directory).map_err(io::Error::from)? {
            let Some(stat) = lookup(&directory, name.to_bytes()).map_err(io::Error::from)? else { continue };
            let path = join(&path, name.to_bytes());
            visit(Visit { path: &path, directory: directory.as_fd(), name: &name, stat })?;
            if kind(&stat) == FileType::Directory {
                below.push(path);
            }
        }
        open.extend(below.into_iter().rev());
    }
    Ok(())
}

/// Deletes `name` in `directory` with everything below; nothing when it is not there.
///
/// No tree is too deep: what lies very deep is first moved up.
pub(crate) fn remove(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let mut todo = vec![name.to_owned()];
    while let Some(name) = todo.pop() {
        remove_levels(directory, directory, &name, 0, &mut todo)?;
    }
    Ok(())
}

fn remove_levels(
    top: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &CStr,
    depth: usize,
    todo: &mut Vec<CString>,
) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    if depth == DEPTH_MAX {
        let moved = CString::new(content::unique()).map_err(io::Error::other)?;
        rustix::fs::renameat(directory, name, top, &moved)?;
        todo.push(moved);
        return Ok(());
    }
    let flags = READ_DIRECTORY | OFlags::NOFOLLOW;
    let below = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(below) => below,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    for entry in names(&below)? {
        remove_levels(top, below.as_fd(), &entry, depth + 1, todo)?;
    }
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The attributes of what an `O_PATH` or other descriptor's `name` is, a symbolic link
/// itself, by the path that `/proc` gives it.
pub(crate) fn proc_path(directory: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(OsStr::from_bytes(name));
    path
}

/// All attributes of `name` in `directory`, a symbolic link's own.
pub(crate) fn xattrs(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<Xattr>, Errno> {
    let path = proc_path(directory, name);
    let mut list = vec![0; 4096];
    let list = loop {
        match rustix::fs::llistxattr(&path, &mut list[..]) {
            Ok(count) => break &list[..count],
            Err(Errno::RANGE) if list.len() < XATTR_BYTES_MAX => list.resize(XATTR_BYTES_MAX, 0),
            Err(Errno::OPNOTSUPP) => break &[],
            Err(errno) => return Err(errno),
        }
    };
    let mut found = Vec::new();
    for name in list.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        if let Some(value) = xattr_of_path(&path, name)? {
            found.push(Xattr { name: name.to_vec(), value });
        }
    }
    Ok(found)
}

/// One attribute of `name` in `directory`.
pub(crate) fn xattr(directory: BorrowedFd<'_>, name: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    xattr_of_path(&proc_path(directory, name), key)
}

pub(crate) fn xattr_of_path(path: &Path, key: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = vec![0; 256];
    loop {
        match rustix::fs::lgetxattr(path, key, &mut value[..]) {
            Ok(count) => {
                value.truncate(count);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) if value.len() < XATTR_BYTES_MAX => value.resize(XATTR_BYTES_MAX, 0),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// Sets an attribute of `name` in `directory`, a symbolic link's own.
pub(crate) fn set_xattr(
    directory: BorrowedFd<'_>,
    name: &[u8],
    key: &[u8],
    value: &[u8],
) -> Result<(), Errno> {
    rustix::fs::lsetxattr(proc_path(directory, name), key, value, XattrFlags::empty())
}

/// Opens a directory to list it, and for what `O_PATH` does not allow.
pub(crate) const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The attribute by which a directory hides what lower layers have in it.
pub(crate) fn opaque() -> &'static [u8] {
    if sys::user::mapped().is_some() { b"user.overlay.opaque" } else { b"trusted.overlay.opaque" }
}

/// Whether an attribute is one of overlayfs' own marks.
pub(crate) fn is_mark(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.")
        || (name.starts_with(b"user.overlay.") && sys::user::mapped().is_some())
}

/// How many directories are open at a time while a tree is deleted.
const DEPTH_MAX: usize = 64;

/// The kernel's limit of a value, and of the list of names: `xattr(7)`.
const XATTR_BYTES_MAX: usize = 64 << 10;
