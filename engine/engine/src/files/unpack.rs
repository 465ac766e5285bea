//! Entries of an archive become files below a directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use archive::tar::{Entry, Header, Kind, Reader};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use sys::root::{Node, RootDir};

use super::FilesError;

/// Whose the files become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Those whom the archive names.
    Archive,
    /// One user's.
    Fixed {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Ours.
    Creator,
}

/// The first name of every entry that has `from` there becomes `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// What the archive has; `.` and `/`, whose entries have no such name, put `to` before all.
    pub from: String,
    /// What is made of it.
    pub to: String,
}

/// How an archive is unpacked.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// Whose the files become.
    pub owner: Owner,
    /// What is added to owners, for a container with ids of its own.
    pub id_base: u32,
    /// What entries are called instead.
    pub rename: Option<Rename>,
}

/// Unpacks `archive` in the directory `to` of `root`. Symbolic links, the archive's own
/// too, lead nowhere but inside the root.
pub fn unpack(
    archive: impl Read,
    root: &RootDir,
    to: &Path,
    options: &UnpackOptions,
) -> Result<(), FilesError> {
    let mut unpacker = Unpacker { root, to, options, directories: Vec::new() };
    let mut reader = Reader::new(archive);
    while let Some(mut entry) = reader.next_entry()? {
        unpacker.entry(&mut entry)?;
    }
    // Whoever writes into a pipe is to see its end read.
    reader.drain()?;
    unpacker.finish();
    Ok(())
}

struct Unpacker<'a> {
    root: &'a RootDir,
    to: &'a Path,
    options: &'a UnpackOptions,
    /// Directories, whose times change while files are made in them.
    directories: Vec<(OwnedFd, Header)>,
}

impl Unpacker<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), FilesError> {
        let header = entry.header().clone();
        if matches!(header.kind, Kind::Other(_)) {
            return Ok(());
        }
        let name = self.renamed(&header.path)?;
        let Some(last) = name.file_name().map(OsStr::to_owned) else {
            // The directory itself, which is there and stays as it is.
            return Ok(());
        };
        let target = self.to.join(&name);
        let parent = self.parent(&name)?;
        self.make_room(&parent, &last, &header, &target)?;
        let made = self.make(&parent, &last, &header, entry, &target)?;
        if let Some(made) = made {
            self.settle(&parent, &last, made, header, &target)?;
        }
        Ok(())
    }

    /// The path below the target directory that an entry's name stands for.
    fn renamed(&self, raw: &[u8]) -> Result<PathBuf, FilesError> {
        let escapes = || FilesError::Escapes { name: String::from_utf8_lossy(raw).into_owned() };
        let mut path = PathBuf::new();
        for part in raw.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(escapes()),
                part if part.contains(&0) => return Err(escapes()),
                part => path.push(OsStr::from_bytes(part)),
            }
        }
        let Some(rename) = &self.options.rename else { return Ok(path) };
        if matches!(rename.from.as_str(), "" | "." | "/") {
            return Ok(Path::new(&rename.to).join(path));
        }
        let mut parts = path.components();
        match parts.next() {
            Some(first) if first.as_os_str() == rename.from.as_str() => {
                Ok(Path::new(&rename.to).join(parts.as_path()))
            }
            _ => Ok(path),
        }
    }

    /// The directory an entry goes to. What is unpacked into is not made, should it be gone by now.
    fn parent(&self, name: &Path) -> Result<OwnedFd, FilesError> {
        let parent = name.parent().unwrap_or(Path::new(""));
        let made = self.root.mkdir_below(self.to, parent, 0o755);
        made.map_err(FilesError::io("make the directory", &self.to.join(parent)))
    }

    /// What is in the way goes; a directory only makes way for nothing, and nothing for one.
    fn make_room(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        header: &Header,
        target: &Path,
    ) -> Result<(), FilesError> {
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat.map_err(|errno| FilesError::io("look at", target)(errno.into()))?,
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let name_of = || header.path_lossy().into_owned();
        match (is_directory, header.kind == Kind::Directory) {
            (true, true) => Ok(()),
            (true, false) => {
                Err(FilesError::OverwritesDirectory { target: target.to_owned(), name: name_of() })
            }
            (false, true) => Err(FilesError::OverwritesFile { target: target.to_owned(), name: name_of() }),
            (false, false) => {
                sys::root::remove_in(parent, name, false).map_err(FilesError::io("replace", target))
            }
        }
    }

    /// Makes the file; a descriptor to give it its attributes by, none for a hard link.
    fn make<R: Read>(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        header: &Header,
        entry: &mut Entry<'_, R>,
        target: &Path,
    ) -> Result<Option<OwnedFd>, FilesError> {
        let failed = || FilesError::io("make", target);
        let errno = |errno: Errno| failed()(errno.into());
        let permissions = Mode::from_raw_mode(header.mode & 0o700);
        match header.kind {
            Kind::File => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
                let mut file = File::from(made.map_err(errno)?);
                io::copy(entry, &mut file).map_err(FilesError::io("write", target))?;
                return Ok(Some(file.into()));
            }
            Kind::HardLink => {
                let to = self.to.join(self.renamed(&header.link)?);
                let (directory, last) = (to.parent().unwrap_or(Path::new("/")), to.file_name());
                let last = last.ok_or_else(|| failed()(io::ErrorKind::InvalidInput.into()))?;
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let directory = self.root.open_at(directory, flags, Mode::empty()).map_err(failed())?;
                rustix::fs::linkat(&directory, last, parent, name, AtFlags::empty()).map_err(errno)?;
                return Ok(None);
            }
            Kind::Directory => match rustix::fs::mkdirat(parent, name, permissions | Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(other) => return Err(errno(other)),
            },
            Kind::Symlink => {
                let link = OsString::from_vec(header.link.clone());
                rustix::fs::symlinkat(&link, parent, name).map_err(errno)?;
            }
            Kind::Fifo => self.node(parent, name, FileType::Fifo, (0, 0)).map_err(failed())?,
            Kind::CharDevice { major, minor } => {
                self.node(parent, name, FileType::CharacterDevice, (major, minor)).map_err(failed())?;
            }
            Kind::BlockDevice { major, minor } => {
                self.node(parent, name, FileType::BlockDevice, (major, minor)).map_err(failed())?;
            }
            Kind::Other(_) => return Ok(None),
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(parent, name, flags, Mode::empty()).map(Some).map_err(errno)
    }

    fn node(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        kind: FileType,
        (major, minor): (u32, u32),
    ) -> io::Result<()> {
        RootDir::mknod_in(parent, name, Node { kind, mode: 0o600, major, minor })
    }

    /// Owner, mode, attributes and times, by the descriptor: whatever has taken the name by now
    /// is not touched.
    fn settle(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        made: OwnedFd,
        header: Header,
        target: &Path,
    ) -> Result<(), FilesError> {
        self.chown(&made, &header).map_err(FilesError::io("change the owner of", target))?;
        if header.kind == Kind::Symlink {
            // Times of a link: by its name only, and not followed.
            let set = rustix::fs::utimensat(parent, name, &times(&header), AtFlags::SYMLINK_NOFOLLOW);
            return set.map_err(|errno| FilesError::io("set the times of", target)(errno.into()));
        }
        // After the owner: changing that clears set-user-id and file capabilities.
        let path = proc_path(&made);
        rustix::fs::chmod(&path, Mode::from_raw_mode(header.mode & 0o7777))
            .map_err(|errno| FilesError::io("change the mode of", target)(errno.into()))?;
        for xattr in header.xattrs.iter().filter(|xattr| super::pack::is_portable(&xattr.name)) {
            match rustix::fs::setxattr(&path, &xattr.name[..], &xattr.value, XattrFlags::empty()) {
                // Not every file system has them, and not everybody may set them.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
                Err(errno) => return Err(FilesError::io("set an attribute of", target)(errno.into())),
            }
        }
        if header.kind == Kind::Directory && self.directories.len() < DIRECTORIES_MAX {
            self.directories.push((made, header));
            return Ok(());
        }
        set_times(&made, &header).map_err(FilesError::io("set the times of", target))
    }

    fn chown(&self, made: &OwnedFd, header: &Header) -> io::Result<()> {
        let id = |id: u64| u32::try_from(id).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
        let (uid, gid) = match self.options.owner {
            Owner::Archive => (id(header.uid)?, id(header.gid)?),
            Owner::Fixed { uid, gid } => (uid, gid),
            Owner::Creator => return Ok(()),
        };
        let outside = |id: u32| {
            id.checked_add(self.options.id_base).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
        };
        let (uid, gid) = (Uid::from_raw(outside(uid)?), Gid::from_raw(outside(gid)?));
        Ok(rustix::fs::chownat(made.as_fd(), "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
    }

    /// Directories get their times when nothing is made in them any more.
    fn finish(self) {
        for (made, header) in self.directories.iter().rev() {
            // A time that cannot be set spoils nothing.
            let _ = set_times(made, header);
        }
    }
}

fn set_times(made: &OwnedFd, header: &Header) -> io::Result<()> {
    let path = proc_path(made);
    Ok(rustix::fs::utimensat(rustix::fs::CWD, &path, &times(header), AtFlags::empty())?)
}

fn times(header: &Header) -> Timestamps {
    let time = Timespec { tv_sec: header.mtime.seconds, tv_nsec: header.mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// What a descriptor is open on, also an `O_PATH` one, as a path of ours.
pub(super) fn proc_path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Each is an open descriptor until the end; the times of further ones are what unpacking makes them.
const DIRECTORIES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use archive::tar::Writer;
    use testkit::TempDir;

    use super::*;

    fn tar(entries: &[(Header, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (header, content) in entries {
            let size = if header.kind == Kind::File { content.len() as u64 } else { 0 };
            writer.append_bytes(&Header { size, ..header.clone() }, content).unwrap();
        }
        writer.finish().unwrap()
    }

    fn into(
        dir: &TempDir,
        entries: &[(Header, &[u8])],
        rename: Option<(&str, &str)>,
    ) -> Result<(), FilesError> {
        let rename = rename.map(|(from, to)| Rename { from: from.to_owned(), to: to.to_owned() });
        let options = UnpackOptions { owner: Owner::Creator, id_base: 0, rename };
        let root = RootDir::open(&dir.join("root")).unwrap();
        unpack(&tar(entries)[..], &root, Path::new("/to"), &options)
    }

    fn tree() -> TempDir {
        let dir = TempDir::new();
        fs::create_dir_all(dir.join("root/to")).unwrap();
        fs::create_dir(dir.join("outside")).unwrap();
        fs::write(dir.join("outside/key"), "secret").unwrap();
        dir
    }

    fn outside(dir: &TempDir) -> Vec<String> {
        let names = fs::read_dir(dir.join("outside")).unwrap().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn cve_2018_15664_links_lead_nowhere_but_inside() {
        let dir = tree();
        let link = dir.join("outside").to_string_lossy().into_owned();
        symlink(&link, dir.join("root/to/there")).unwrap();
        let entries: &[(Header, &[u8])] = &[
            (Header::file("there/planted", 0), b"x"),
            (Header::symlink("own", link.clone()), b""),
            (Header::file("own/planted", 0), b"x"),
            (Header::symlink("up", "../../../../.."), b""),
            (Header::file("up/planted", 0), b"x"),
        ];
        into(&dir, entries, None).unwrap();
        assert_eq!(outside(&dir), ["key"]);
        // The links are taken for paths of the root.
        let inside = dir.join("root").join(link.trim_start_matches('/'));
        assert!(inside.join("planted").is_file() && dir.join("root/planted").is_file());
        // What replaces a link does not go through it.
        symlink(dir.join("outside/key"), dir.join("root/to/file")).unwrap();
        into(&dir, &[(Header::file("file", 0), b"new")], None).unwrap();
        assert_eq!(fs::read_to_string(dir.join("outside/key")).unwrap(), "secret");
        assert_eq!(fs::read_to_string(dir.join("root/to/file")).unwrap(), "new");
    }

    #[test]
    fn what_climbs_is_refused() {
        let dir = tree();
        for header in [
            Header::file("../x", 0),
            Header::file("a/../../x", 0),
            Header::hard_link("x", "../../outside/key"),
        ] {
            let error = into(&dir, &[(header, b"")], None).unwrap_err();
            assert!(matches!(error, FilesError::Escapes { .. }), "{error:?}");
        }
        assert_eq!(outside(&dir), ["key"]);
    }

    #[test]
    fn what_is_unpacked_into_is_not_made() {
        let dir = tree();
        fs::remove_dir(dir.join("root/to")).unwrap();
        for name in ["f", "d/f"] {
            let error = into(&dir, &[(Header::file(name, 0), b"x")], None).unwrap_err();
            let missing = |cause: &io::Error| cause.kind() == io::ErrorKind::NotFound;
            assert!(matches!(&error, FilesError::Io { source, .. } if missing(source)), "{error:?}");
        }
        assert!(!dir.join("root/to").exists());
    }

    #[test]
    fn directories_and_files_do_not_replace_each_other() {
        let dir = tree();
        fs::create_dir(dir.join("root/to/d")).unwrap();
        fs::write(dir.join("root/to/f"), "").unwrap();
        let error = into(&dir, &[(Header::file("d", 0), b"")], None).unwrap_err();
        assert!(error.to_string().starts_with("cannot overwrite directory"), "{error}");
        let error = into(&dir, &[(Header::directory("f"), b"")], None).unwrap_err();
        assert!(error.to_string().starts_with("cannot overwrite non-directory"), "{error}");
        into(&dir, &[(Header::directory("d"), b""), (Header::file("f", 0), b"new")], None).unwrap();
        assert_eq!(fs::read_to_string(dir.join("root/to/f")).unwrap(), "new");
    }

    #[test]
    fn first_names_are_changed() {
        let entries: &[(Header, &[u8])] = &[
            (Header::directory("a"), b""),
            (Header::file("a/f", 0), b"f"),
            (Header::hard_link("a/l", "a/f"), b""),
            (Header::file("ab", 0), b"ab"),
        ];
        for (rename, expected) in [
            (("a", "b"), ["b/f", "b/l", "ab"]),
            ((".", "b"), ["b/a/f", "b/a/l", "b/ab"]),
            (("/", "b"), ["b/a/f", "b/a/l", "b/ab"]),
        ] {
            let dir = tree();
            into(&dir, entries, Some(rename)).unwrap();
            for path in expected {
                assert!(dir.join("root/to").join(path).is_file(), "{rename:?} {path}");
            }
        }
    }

    #[test]
    fn modes_and_times_are_kept_of_directories_too() {
        let dir = tree();
        let mut directory = Header::directory("d").with_mode(0o1750);
        directory.mtime.seconds = 1000;
        let mut file = Header::file("d/f", 0).with_mode(0o4711);
        file.mtime.seconds = 2000;
        into(&dir, &[(directory, b""), (file, b"f")], None).unwrap();
        let look = |path: &str| {
            let metadata = fs::metadata(dir.join("root/to").join(path)).unwrap();
            (metadata.mode() & 0o7777, metadata.mtime())
        };
        assert_eq!((look("d"), look("d/f")), ((0o1750, 1000), (0o4711, 2000)));
    }
}
