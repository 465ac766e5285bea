//! A directory tree that is not trusted, such as a container's root filesystem.
//!
//! Every access goes through `openat2(2)` with `RESOLVE_IN_ROOT` and
//! `RESOLVE_NO_MAGICLINKS`: symlinks are resolved as if the tree were `/`, so
//! nothing in it can lead out, whatever is renamed meanwhile. The results are
//! descriptors; what is made, is made by name in an open parent directory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The root of a tree that is not trusted.
#[derive(Debug)]
pub struct RootDir {
    fd: OwnedFd,
}

impl RootDir {
    /// Takes the directory at `path`, which the host is trusted to resolve.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Takes an open directory or detached mount.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The descriptor back.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Opens what `path` leads to, as `O_PATH`. Symlinks are followed inside the tree.
    pub fn resolve(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH, Mode::empty())
    }

    /// Like [`Self::resolve`], but a symlink in the last place is opened itself.
    pub fn resolve_no_follow(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
    }

    /// Like [`Self::resolve`], but symlinks that would lead out of the tree are errors (`EXDEV`), and so is every
    /// absolute one: `RESOLVE_BENEATH`.
    pub fn resolve_beneath(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_as(path, OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH)
    }

    /// Like [`Self::resolve`], but every symlink is an error (`ELOOP`).
    pub fn resolve_plain(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_as(path, OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
    }

    /// Opens what is at `path` with these flags; every symlink is an error (`ELOOP`).
    pub fn open_plain(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_as(path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
    }

    /// Opens a file with these flags; `O_CREAT` makes only the last component.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        self.open_as(path, flags, mode, ResolveFlags::IN_ROOT)
    }

    fn open_as(&self, path: &Path, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        let path = inside(path);
        let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..RACE_RETRIES {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // A rename somewhere on the host made `..` ambiguous: try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Makes the directory `path` with all parents, and opens it as `O_PATH`.
    ///
    /// Symlinks on the way are followed inside the tree, also those that lead to
    /// something that does not exist yet: that is made then.
    pub fn mkdir_all(&self, path: &Path, mode: u32) -> io::Result<OwnedFd> {
        self.mkdir_below(Path::new("."), path, mode)
    }

    /// Like [`Self::mkdir_all`] for `path` below the directory `base`, which is not made: it is an
    /// error (`ENOENT`) that it is gone.
    pub fn mkdir_below(&self, base: &Path, path: &Path, mode: u32) -> io::Result<OwnedFd> {
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        match self.open_at(&base.join(inside(path)), directory, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        if let Some(made) = self.mkdir_last(base, inside(path), mode) {
            return Ok(made);
        }
        let mut walk = Walk::new(base);
        self.walk(&mut walk, None)?;
        walk.push(path);
        self.walk(&mut walk, Some(mode))
    }

    /// The usual case: the parent is there, and nothing of that name in it. Whatever else it is, the
    /// walk does, or tells. Without a name below it `base` is what is missing, which nobody makes.
    fn mkdir_last(&self, base: &Path, path: &Path, mode: u32) -> Option<OwnedFd> {
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let name = path.file_name()?;
        let parent = base.join(path.parent()?);
        let parent = self.open_at(&parent, directory, Mode::empty()).ok()?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode)).ok()?;
        open_dir(&parent, name).ok()
    }

    /// Goes on to the walk's end; what is missing is made with this mode, or an error without one.
    fn walk(&self, walk: &mut Walk, make: Option<u32>) -> io::Result<OwnedFd> {
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let mut at = self.open_at(&walk.here, directory, Mode::empty())?;
        loop {
            let name = walk.next_name();
            if walk.take_stale() {
                at = self.open_at(&walk.here, directory, Mode::empty())?;
            }
            let Some(name) = name else { return Ok(at) };
            let next = walk.here.join(&name);
            match (self.open_at(&next, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()), make) {
                (Ok(fd), _) => match file_type(&fd)? {
                    FileType::Symlink => walk.follow(&rustix::fs::readlinkat(&fd, "", Vec::new())?)?,
                    FileType::Directory => (walk.here, at) = (next, fd),
                    _ => return Err(Errno::NOTDIR.into()),
                },
                (Err(error), Some(mode)) if error.kind() == io::ErrorKind::NotFound => {
                    (walk.here, at) = (next, make_dir(&at, &name, mode)?);
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Opens the directory that `path` lies in (made if missing) and the last name.
    pub fn parent_of(&self, path: &Path, mode: u32) -> io::Result<(OwnedFd, OsString)> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.mkdir_all(parent, mode)?, name))
    }

    /// Makes an empty regular file (and its parents) if nothing is there, and opens
    /// what is there as `O_PATH`.
    pub fn touch(&self, path: &Path, mode: u32) -> io::Result<OwnedFd> {
        match self.resolve(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        // The last name may be a symlink to nothing: what it names is made, as open(2) would.
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            let (parent, name) = self.parent_of(&path, 0o755)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(mode)) {
                Ok(_) => return self.resolve(&path),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            match rustix::fs::readlinkat(&parent, &name, Vec::new()) {
                Ok(target) => {
                    let target = PathBuf::from(OsStr::from_bytes(target.to_bytes()));
                    path = path.parent().unwrap_or(Path::new("/")).join(target);
                }
                // Somebody made it meanwhile.
                Err(_) => return self.resolve(&path),
            }
        }
        Err(Errno::LOOP.into())
    }

    /// Makes a device, FIFO or socket node `name` in the directory `parent`.
    pub fn mknod_in<Fd: AsFd>(parent: Fd, name: &OsStr, node: Node) -> io::Result<()> {
        let mode = Mode::from_raw_mode(node.mode & 0o7777);
        Ok(rustix::fs::mknodat(parent, name, node.kind, mode, rustix::fs::makedev(node.major, node.minor))?)
    }

    /// Makes a symlink `path`; parents are made. An existing file is an error.
    pub fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent_of(path, 0o755)?;
        Ok(rustix::fs::symlinkat(target, &parent, &name)?)
    }

    /// Reads a small file as text.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        use std::io::Read;
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty())?;
        if file_type(&fd)? != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::from(fd).take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl AsFd for RootDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A device, FIFO or socket to make.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What it is.
    pub kind: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Major number of a device.
    pub major: u32,
    /// Minor number of a device.
    pub minor: u32,
}

/// What kind of file the descriptor is open on.
pub fn file_type<Fd: AsFd>(fd: Fd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// The way to a directory, component by component, with symlinks spliced in.
struct Walk {
    left: Vec<OsString>,
    here: PathBuf,
    stale: bool,
    links: u32,
}

impl Walk {
    fn new(path: &Path) -> Self {
        let mut walk = Self { left: Vec::new(), here: PathBuf::from("."), stale: false, links: 0 };
        walk.push(path);
        walk
    }

    fn push(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        });
        self.left.extend(names);
    }

    /// The next name to open; `..` is applied on the way, and stops at the root.
    fn next_name(&mut self) -> Option<OsString> {
        while let Some(name) = self.left.pop() {
            if name != ".." {
                return Some(name);
            }
            if self.here != Path::new(".") {
                self.here.pop();
            }
            self.stale = true;
        }
        None
    }

    fn follow(&mut self, target: &std::ffi::CStr) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt;
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        let target = Path::new(OsStr::from_bytes(target.to_bytes()));
        if target.is_absolute() {
            self.here = PathBuf::from(".");
        }
        self.stale = true;
        self.push(target);
        Ok(())
    }

    fn take_stale(&mut self) -> bool {
        std::mem::take(&mut self.stale)
    }
}

fn make_dir(parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    open_dir(parent, name)
}

/// A directory in an open one. Somebody may have put a symlink there meanwhile: that is not followed.
fn open_dir(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// The path relative to the root; `.` for the root itself.
fn inside(path: &Path) -> &Path {
    let relative = path.strip_prefix("/").unwrap_or(path);
    if relative.as_os_str().is_empty() { Path::new(".") } else { relative }
}

/// Removes a name in a directory.
pub fn remove_in<Fd: AsFd>(dir: Fd, name: &OsStr, is_dir: bool) -> io::Result<()> {
    let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    Ok(rustix::fs::unlinkat(dir, name, flags)?)
}

// openat2(2): EAGAIN "can be retried"; every rename on the host may cause one.
const RACE_RETRIES: u32 = 256;
// As the kernel's own limit, path_resolution(7).
const LINKS_MAX: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempdir::Dir, RootDir) {
        let dir = tempdir::Dir::new();
        let root = RootDir::open(dir.path()).unwrap();
        (dir, root)
    }

    mod tempdir {
        use std::path::{Path, PathBuf};
        use std::sync::atomic::{AtomicU32, Ordering};
        pub(super) struct Dir(PathBuf);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        impl Dir {
            pub(super) fn new() -> Self {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let path = std::env::temp_dir().join(format!("sys-root-{}-{number}", std::process::id()));
                std::fs::create_dir_all(path.join("in")).unwrap();
                Self(path)
            }
            pub(super) fn path(&self) -> &Path {
                &self.0
            }
        }
        impl Drop for Dir {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }

    #[test]
    fn what_is_to_be_there_is_not_made() {
        let (dir, root) = tree();
        let below = |base: &str| root.mkdir_below(Path::new(base), Path::new("a/b"), 0o755);
        for path in ["", ".", "a", "a/b"] {
            let made = root.mkdir_below(Path::new("/gone"), Path::new(path), 0o755);
            assert_eq!(made.unwrap_err().kind(), io::ErrorKind::NotFound, "{path}");
        }
        assert!(!dir.path().join("gone").exists());
        symlink("in", dir.path().join("link")).unwrap();
        symlink("../beside", dir.path().join("in/up")).unwrap();
        below("/link").unwrap();
        assert!(dir.path().join("in/a/b").is_dir());
        root.mkdir_below(Path::new("link"), Path::new("up/c"), 0o755).unwrap();
        assert!(dir.path().join("beside/c").is_dir());
    }

    #[test]
    fn symlinks_stay_inside() {
        let (dir, _) = tree();
        let inner = dir.path().join("in");
        let root = RootDir::open(&inner).unwrap();
        symlink("/etc", inner.join("abs")).unwrap();
        symlink("../../..", inner.join("up")).unwrap();
        root.mkdir_all(Path::new("/abs/made"), 0o755).unwrap();
        assert!(inner.join("etc/made").is_dir());
        root.mkdir_all(Path::new("up/x/../y"), 0o755).unwrap();
        assert!(inner.join("y").is_dir());
        assert!(!dir.path().join("y").exists());
        root.touch(Path::new("/abs/file"), 0o644).unwrap();
        assert!(inner.join("etc/file").is_file());
    }

    #[test]
    fn what_leads_out_can_be_refused() {
        let (dir, _) = tree();
        let inner = dir.path().join("in");
        std::fs::create_dir(inner.join("d")).unwrap();
        for (name, target) in [("abs", "/"), ("up", ".."), ("down", "d"), ("round", "d/../d")] {
            symlink(target, inner.join(name)).unwrap();
        }
        let root = RootDir::open(&inner).unwrap();
        for (path, beneath, plain) in [
            ("d", true, true),
            ("down", true, false),
            ("round", true, false),
            ("abs", false, false),
            ("up", false, false),
            ("..", false, false),
        ] {
            let path = Path::new(path);
            assert_eq!(root.resolve_beneath(path).is_ok(), beneath, "{}", path.display());
            assert_eq!(root.resolve_plain(path).is_ok(), plain, "{}", path.display());
        }
    }

    #[test]
    fn loops_and_files_in_the_way_are_errors() {
        let (dir, root) = tree();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        std::fs::write(dir.path().join("f"), "").unwrap();
        assert!(root.mkdir_all(Path::new("a/x"), 0o755).is_err());
        assert!(root.mkdir_all(Path::new("f/x"), 0o755).is_err());
        assert!(root.parent_of(Path::new("/"), 0o755).is_err());
    }

    #[test]
    fn magic_links_are_refused() {
        let root = RootDir::open(Path::new("/proc")).unwrap();
        assert!(root.resolve(Path::new("self/cwd")).is_err());
        assert!(root.resolve(Path::new("self/stat")).is_ok());
    }
}
