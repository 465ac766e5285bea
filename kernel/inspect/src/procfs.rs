//! `/proc` and one process in it, held by directory descriptors.
//!
//! A [`Process`] keeps `/proc/PID` open: when the process ends and its number is
//! given to another one, reads through the old descriptor fail with `ESRCH` instead
//! of telling something about a stranger (`proc(5)`).

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Malformed, NEEDS_PTRACE};
use crate::sourced::Sourced;

/// A mounted procfs.
#[derive(Debug)]
pub struct Proc {
    dir: OwnedFd,
    path: String,
}

/// A process, by its open directory in procfs.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    dir: OwnedFd,
    path: String,
}

impl Proc {
    /// The procfs at `/proc`.
    pub fn open() -> Result<Self, Error> {
        Self::open_at(Path::new("/proc"))
    }

    /// The procfs at `path`; anything else there is refused, so that a file planted
    /// by a container is never taken for the kernel's word.
    pub fn open_at(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let read = |errno: Errno| Error::Read { path: shown.clone(), errno: errno.into() };
        let dir = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(read)?;
        let kind = rustix::fs::fstatfs(&dir).map_err(read)?.f_type;
        if kind != rustix::fs::PROC_SUPER_MAGIC {
            return Err(Error::NotProcfs { path: shown });
        }
        Ok(Self { dir, path: shown })
    }

    /// The directory's descriptor.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// One process.
    pub fn process(&self, pid: i32) -> Result<Process, Error> {
        let path = format!("{}/{pid}", self.path);
        if pid <= 0 {
            return Err(Error::NoProcess { pid });
        }
        match rustix::fs::openat(&self.dir, pid.to_string(), DIRECTORY, Mode::empty()) {
            Ok(dir) => Ok(Process { pid, dir, path }),
            Err(Errno::NOENT | Errno::SRCH) => Err(Error::NoProcess { pid }),
            // With hidepid=1 others' directories cannot be opened (proc(5)).
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                Err(Error::Denied { path, needs: NEEDS_PTRACE, errno: errno.into() })
            }
            Err(errno) => Err(Error::Read { path, errno: errno.into() }),
        }
    }

    /// The calling process.
    pub fn this(&self) -> Result<Process, Error> {
        self.process(rustix::process::getpid().as_raw_nonzero().get())
    }

    /// The PIDs of all processes that this procfs shows, ascending.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        let read = |errno: Errno| Error::Read { path: self.path.clone(), errno: errno.into() };
        let mut pids = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir).map_err(read)? {
            let entry = entry.map_err(read)?;
            if let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                pids.push(pid);
            }
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// A text file that belongs to no process, such as `stat` or `sys/kernel/osrelease`.
    pub fn text(&self, name: &str) -> Result<Sourced<String>, Error> {
        let path = format!("{}/{name}", self.path);
        match read_at(self.dir.as_fd(), name) {
            Ok(bytes) => Ok(Sourced::new(lossy(bytes), path)),
            Err(errno) => Err(classify(path, &errno)),
        }
    }
}

impl Process {
    /// Its number in the PID namespace of the procfs.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The open `/proc/PID`.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The path of `name` below `/proc/PID`, for messages.
    pub fn path(&self, name: &str) -> String {
        if name.is_empty() { self.path.clone() } else { format!("{}/{name}", self.path) }
    }

    /// The content of a file.
    pub fn bytes(&self, name: &str) -> Result<Sourced<Vec<u8>>, Error> {
        match read_at(self.dir.as_fd(), name) {
            Ok(bytes) => Ok(Sourced::new(bytes, self.path(name))),
            Err(errno) => Err(self.failed(name, &errno)),
        }
    }

    /// The content of a file as text; bytes that are not UTF-8 are shown as `�`.
    pub fn text(&self, name: &str) -> Result<Sourced<String>, Error> {
        Ok(self.bytes(name)?.map(lossy))
    }

    /// Reads `name` and hands the text to `parse`.
    pub fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Result<Sourced<T>, Error> {
        let text = self.text(name)?;
        match parse(&text.value) {
            Ok(value) => Ok(Sourced::new(value, text.source)),
            Err(at) => Err(Error::Malformed { path: text.source, at }),
        }
    }

    /// Where a symbolic link of `/proc/PID` points.
    pub fn link(&self, name: &str) -> Result<Sourced<String>, Error> {
        match rustix::fs::readlinkat(&self.dir, name, Vec::new()) {
            Ok(target) => Ok(Sourced::new(lossy(target.into_bytes()), self.path(name))),
            Err(errno) => Err(self.failed(name, &errno.into())),
        }
    }

    /// Opens what a magic link (`root`, `exe`, `ns/net`) leads to.
    pub fn open(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        rustix::fs::openat(&self.dir, name, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| self.failed(name, &errno.into()))
    }

    /// Is the process still there (a zombie is)?
    pub fn exists(&self) -> bool {
        read_at(self.dir.as_fd(), "stat").is_ok()
    }

    /// Names a failure: of a file, or of the whole process.
    pub(crate) fn failed(&self, name: &str, errno: &io::Error) -> Error {
        let gone = matches!(errno.raw_os_error(), Some(code) if code == Errno::SRCH.raw_os_error());
        let absent = errno.kind() == io::ErrorKind::NotFound;
        if (gone || absent) && !self.exists() {
            return Error::NoProcess { pid: self.pid };
        }
        classify(self.path(name), errno)
    }
}

fn classify(path: String, errno: &io::Error) -> Error {
    let code = errno.raw_os_error().unwrap_or(0);
    let errno = io::Error::from_raw_os_error(code);
    match errno.kind() {
        io::ErrorKind::PermissionDenied => Error::Denied { path, needs: NEEDS_PTRACE, errno },
        io::ErrorKind::NotFound => {
            Error::Missing { path, why: "this kernel lacks the feature, or the process has none of it" }
        }
        _ => Error::Read { path, errno },
    }
}

fn read_at(dir: BorrowedFd<'_>, name: &str) -> io::Result<Vec<u8>> {
    let fd = rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    std::fs::File::from(fd).take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A host with very many mounts or sockets has tables of some MiB; more than this
/// is not worth the memory of a diagnostic tool.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Classified as _, ErrorClass};

    #[test]
    fn finds_itself() {
        let proc = Proc::open().unwrap();
        let this = proc.this().unwrap();
        assert!(this.exists());
        assert!(proc.pids().unwrap().contains(&this.pid()));
        assert!(this.link("exe").unwrap().value.contains("inspect"));
    }

    #[test]
    fn a_process_that_is_not_there_is_not_found() {
        let proc = Proc::open().unwrap();
        for pid in [0, -1, i32::MAX] {
            assert_eq!(proc.process(pid).unwrap_err().class(), ErrorClass::NotFound, "{pid}");
        }
    }

    #[test]
    fn a_process_that_goes_away_is_not_found() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let process = Proc::open().unwrap().process(child.id() as i32).unwrap();
        child.wait().unwrap();
        for name in ["status", "cgroup", "mountinfo"] {
            assert_eq!(process.text(name).unwrap_err().class(), ErrorClass::NotFound, "{name}");
        }
        assert_eq!(process.link("ns/net").unwrap_err().class(), ErrorClass::NotFound);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_a_missing_process() {
        let this = Proc::open().unwrap().this().unwrap();
        assert_eq!(this.text("no-such-file").unwrap_err().class(), ErrorClass::Unsupported);
    }

    #[test]
    fn refuses_a_directory_that_is_no_procfs() {
        assert!(matches!(Proc::open_at(Path::new("/usr")), Err(Error::NotProcfs { .. })));
    }
}
