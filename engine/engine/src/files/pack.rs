//! Files below a directory become entries of an archive.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use archive::tar::{Header, Kind, Timestamp, Writer, Xattr};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use snapshot::entry_kind;
use sys::root::RootDir;

use super::FilesError;

/// How files are packed.
#[derive(Clone, Debug, Default)]
pub struct PackOptions {
    /// What is taken off owners, for a container with ids of its own.
    pub id_base: u32,
    /// Where mounts are entered; at others, such as `/proc`, only the directory is packed.
    /// None: everywhere.
    pub mounts: Option<Vec<PathBuf>>,
}

/// Packs files.
pub struct Packer<W: Write> {
    writer: Writer<W>,
    options: PackOptions,
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// A directory whose entries are to be packed.
struct Pending {
    /// Its path below the root of the walk; empty for the root.
    path: PathBuf,
    /// Its name in the archive; empty for none.
    name: Vec<u8>,
    /// Its device.
    device: u64,
}

impl<W: Write> Packer<W> {
    /// Packs into `writer`.
    pub fn new(writer: Writer<W>, options: PackOptions) -> Self {
        Self { writer, options, links: HashMap::new() }
    }

    /// Packs `name` in `directory`, a symbolic link itself, a directory with everything in it;
    /// its entries are called `shown`. `at` is where the directory is, to know mounts by.
    pub fn add(
        &mut self,
        directory: &OwnedFd,
        name: &OsStr,
        at: &Path,
        shown: &[u8],
    ) -> Result<(), FilesError> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| FilesError::io("look at", at.join(name))(errno.into()))?;
        let shown = if shown == b"/" { &b"."[..] } else { shown };
        self.entry(directory.as_fd(), name, &stat, shown)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(directory, name, flags, Mode::empty())
            .map_err(|errno| FilesError::io("open", at.join(name))(errno.into()))?;
        let at = if name == "." { at.to_owned() } else { at.join(name) };
        let shown = if shown == b"." { Vec::new() } else { shown.to_vec() };
        self.walk(&RootDir::from_fd(root), &at, shown, stat.st_dev)
    }

    /// Packs everything below a root, which itself gets no entry.
    pub fn add_below(&mut self, root: &RootDir) -> Result<(), FilesError> {
        let stat = rustix::fs::fstat(root.as_fd())
            .map_err(|errno| FilesError::io("look at", Path::new("/"))(errno.into()))?;
        self.walk(root, Path::new("/"), Vec::new(), stat.st_dev)
    }

    /// Writes the end of the archive.
    pub fn finish(self) -> Result<W, FilesError> {
        Ok(self.writer.finish()?)
    }

    /// Everything below `root`, in the order of names, a directory before its entries. One
    /// directory is open at a time, however deep they are; what vanishes meanwhile is left out.
    fn walk(&mut self, root: &RootDir, at: &Path, name: Vec<u8>, device: u64) -> Result<(), FilesError> {
        let mut pending = vec![Pending { path: PathBuf::new(), name, device }];
        while let Some(next) = pending.pop() {
            let failed = || FilesError::io("read the directory", at.join(&next.path));
            let directory = match root.open_plain(&next.path, OFlags::RDONLY | OFlags::DIRECTORY) {
                Err(error) if is_gone(&error) => continue,
                opened => opened.map_err(failed())?,
            };
            let mut below = Vec::new();
            for entry in names(&directory).map_err(failed())? {
                let entry = OsStr::from_bytes(entry.as_bytes());
                let path = next.path.join(entry);
                let stat = match rustix::fs::statat(&directory, entry, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => continue,
                    stat => stat.map_err(|errno| FilesError::io("look at", at.join(&path))(errno.into()))?,
                };
                let shown = match next.name.is_empty() {
                    true => entry.as_bytes().to_vec(),
                    false => [&next.name[..], b"/", entry.as_bytes()].concat(),
                };
                self.entry(directory.as_fd(), entry, &stat, &shown)?;
                let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                if is_directory && (stat.st_dev == next.device || self.enters(&at.join(&path))) {
                    below.push(Pending { path, name: shown, device: stat.st_dev });
                }
            }
            pending.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// Whether a mount is packed.
    fn enters(&self, path: &Path) -> bool {
        self.options.mounts.as_ref().is_none_or(|mounts| mounts.iter().any(|mount| path.starts_with(mount)))
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        shown: &[u8],
    ) -> Result<(), FilesError> {
        let path = || PathBuf::from(OsStr::from_bytes(shown));
        let Some(kind) = entry_kind(stat) else { return Ok(()) };
        let mut header = match self.header(directory, name, stat, kind, shown) {
            Err(error) if is_gone(&error) => return Ok(()),
            header => header.map_err(FilesError::io("look at", path()))?,
        };
        if kind != Kind::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                header.kind = Kind::HardLink;
                header.link.clone_from(first);
                header.size = 0;
                header.xattrs.clear();
                return Ok(self.writer.append_empty(&header)?);
            }
            self.links.insert((stat.st_dev, stat.st_ino), shown.to_vec());
        }
        if kind != Kind::File {
            return Ok(self.writer.append_empty(&header)?);
        }
        match open_file(directory, name, stat) {
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(FilesError::io("open", path())(error)),
            // A file that shrinks meanwhile is filled up, as other archivers do it.
            Ok(file) => Ok(self.writer.append(&header, file.chain(io::repeat(0)))?),
        }
    }

    fn header(
        &self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        kind: Kind,
        shown: &[u8],
    ) -> io::Result<Header> {
        let size = if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        let mut header = Header::new(shown, kind, stat.st_mode & 0o7777, size);
        let inside = |id: u32| u64::from(id.checked_sub(self.options.id_base).unwrap_or(id));
        (header.uid, header.gid) = (inside(stat.st_uid), inside(stat.st_gid));
        header.mtime =
            Timestamp { seconds: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) };
        match kind {
            Kind::Symlink => {
                header.link = rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes();
            }
            Kind::File | Kind::Directory => header.xattrs = xattrs(directory, name)?,
            _ => {}
        }
        Ok(header)
    }
}

/// A file that was just looked at, and nothing that was put in its place since.
fn open_file(directory: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&file)?;
    if (found.st_ino, FileType::from_raw_mode(found.st_mode)) != (stat.st_ino, FileType::RegularFile) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(file.into())
}

/// Whether something was removed or replaced while we looked.
fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE))
        || error.kind() == io::ErrorKind::NotFound
}

fn names(directory: &OwnedFd) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The attributes that mean the same elsewhere: file capabilities, and the user's own.
pub(super) fn is_portable(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.")
}

fn xattrs(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<Xattr>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let path = super::unpack::proc_path(&opened);
    let mut list = vec![0; XATTR_BYTES_MAX];
    let count = match rustix::fs::listxattr(&path, &mut list[..]) {
        Ok(count) => count,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut found = Vec::new();
    for name in list[..count].split(|b| *b == 0).filter(|name| is_portable(name)) {
        let mut value = vec![0; XATTR_BYTES_MAX];
        match rustix::fs::getxattr(&path, name, &mut value[..]) {
            Ok(count) => {
                value.truncate(count);
                found.push(Xattr { name: name.to_vec(), value });
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(found)
}

/// The kernel's limit of a value, and of the list of names: `xattr(7)`.
const XATTR_BYTES_MAX: usize = 64 << 10;
