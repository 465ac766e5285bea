//! What a process sees as `/`: its distribution, its libc, its host name.
//!
//! The files belong to whoever owns the container, so they are opened by descriptor
//! below `/proc/PID/root` with `openat2(2)`: no symbolic link leads out, no FIFO
//! makes us wait, and only a bounded head is read.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::elf::{self, Linkage};
use crate::error::Error;
use crate::procfs::Process;
use crate::sourced::Sourced;

/// `os-release(5)`, as far as we print it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OsRelease {
    /// `debian`, `alpine`.
    pub id: Option<String>,
    /// `12`.
    pub version_id: Option<String>,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub pretty_name: Option<String>,
}

/// Which C library a program uses, or the root filesystem offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Libc {
    /// `glibc` or `musl`.
    pub kind: String,
    /// `2.36`; not every build tells.
    pub version: Option<String>,
}

impl OsRelease {
    /// Reads the file's text; unknown lines do not matter.
    pub fn parse(text: &str) -> Self {
        let mut release = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let slot = match key.trim() {
                "ID" => &mut release.id,
                "VERSION_ID" => &mut release.version_id,
                "PRETTY_NAME" => &mut release.pretty_name,
                _ => continue,
            };
            *slot = Some(unquote(value.trim()));
        }
        release
    }

    /// The best name it gives.
    pub fn name(&self) -> Option<String> {
        match (&self.pretty_name, &self.id, &self.version_id) {
            (Some(name), _, _) => Some(name.clone()),
            (None, Some(id), Some(version)) => Some(format!("{id} {version}")),
            (None, Some(id), None) => Some(id.clone()),
            _ => None,
        }
    }
}

impl Process {
    /// Its root directory, to open things below.
    pub fn root(&self) -> Result<OwnedFd, Error> {
        self.open("root", OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Is its root directory the same as `other`'s (same filesystem, same inode)?
    pub fn shares_root_with(&self, other: &Self) -> Result<bool, Error> {
        let identity = |process: &Self| {
            let stat =
                rustix::fs::fstat(process.root()?).map_err(|errno| process.failed("root", &errno.into()))?;
            Ok::<_, Error>((stat.st_dev, stat.st_ino))
        };
        Ok(identity(self)? == identity(other)?)
    }

    /// The distribution that its root filesystem says it is; `None` when it does not
    /// say, as an image of one static program.
    pub fn os_release(&self) -> Result<Option<Sourced<OsRelease>>, Error> {
        for path in ["etc/os-release", "usr/lib/os-release"] {
            if let Some(text) = beneath(self, path)? {
                return Ok(Some(text.map(|text| OsRelease::parse(&text))));
            }
        }
        Ok(None)
    }

    /// Whether its program is static, or which loader it needs.
    pub fn linkage(&self) -> Result<Sourced<Linkage>, Error> {
        let fd = self.open("exe", OFlags::RDONLY)?;
        let head = head(&fd, ELF_HEAD_BYTES).map_err(|errno| self.failed("exe", &errno))?;
        Ok(Sourced::new(elf::linkage(&head), self.path("exe")))
    }

    /// The C library in its root filesystem.
    pub fn libc(&self) -> Result<Option<Sourced<Libc>>, Error> {
        let root = self.root()?;
        for (path, kind) in LIBC_PATHS {
            let Ok(fd) = open_regular(root.as_fd(), path) else { continue };
            let bytes = head(&fd, LIBC_BYTES_MAX).map_err(|errno| self.failed("root", &errno))?;
            let version = if *kind == "glibc" { glibc_version(&bytes) } else { None };
            let source = self.path(&format!("root/{path}"));
            return Ok(Some(Sourced::new(Libc { kind: (*kind).to_owned(), version }, source)));
        }
        Ok(None)
    }
}

/// A small text file below the process's root; `None` when it is not there or is not
/// a regular file.
pub fn beneath(process: &Process, path: &str) -> Result<Option<Sourced<String>>, Error> {
    let root = process.root()?;
    let Ok(fd) = open_regular(root.as_fd(), path) else { return Ok(None) };
    let name = format!("root/{path}");
    let bytes = head(&fd, TEXT_BYTES_MAX).map_err(|errno| process.failed(&name, &errno))?;
    Ok(Some(Sourced::new(String::from_utf8_lossy(&bytes).into_owned(), process.path(&name))))
}

fn open_regular(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // NONBLOCK: opening a FIFO for reading would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let probe = rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&probe)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

fn head(fd: &OwnedFd, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::from(fd.try_clone()?).take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// glibc carries a banner: `… stable release version 2.36.`
fn glibc_version(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(GLIBC_BANNER.len()).position(|window| window == GLIBC_BANNER)?;
    let rest = &bytes[at + GLIBC_BANNER.len()..];
    let version: String = rest
        .iter()
        .take(16)
        .map(|byte| char::from(*byte))
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let version = version.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

fn unquote(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(value).replace('\\', "")
}

const GLIBC_BANNER: &[u8] = b"release version ";

/// Where distributions keep their C library, the usual ones first.
const LIBC_PATHS: &[(&str, &str)] = &[
    ("lib/x86_64-linux-gnu/libc.so.6", "glibc"),
    ("lib/aarch64-linux-gnu/libc.so.6", "glibc"),
    ("lib64/libc.so.6", "glibc"),
    ("lib/libc.so.6", "glibc"),
    ("usr/lib/libc.so.6", "glibc"),
    ("lib/ld-musl-x86_64.so.1", "musl"),
    ("lib/ld-musl-aarch64.so.1", "musl"),
];

const TEXT_BYTES_MAX: u64 = 64 << 10;
const ELF_HEAD_BYTES: u64 = 64 << 10;
const LIBC_BYTES_MAX: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_os_release() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\njunk\n=\nHOME_URL=x=y\n";
        let release = OsRelease::parse(text);
        assert_eq!(release.name().as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!((release.id.as_deref(), release.version_id.as_deref()), (Some("debian"), Some("12")));
        assert_eq!(OsRelease::parse("ID=alpine\nVERSION_ID=3.20").name().as_deref(), Some("alpine 3.20"));
        assert_eq!(OsRelease::parse("\"").name(), None);
    }

    #[test]
    fn finds_the_version_in_the_banner() {
        let version = |text: &str| glibc_version(text.as_bytes());
        assert_eq!(version("xx stable release version 2.36.\nCopy").as_deref(), Some("2.36"));
        assert_eq!(version("release version "), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn this_process_runs_on_what_the_host_offers() {
        let this = crate::Proc::open().unwrap().this().unwrap();
        assert!(this.os_release().unwrap().unwrap().value.name().is_some());
        let libc = this.libc().unwrap().unwrap();
        assert!(libc.source.contains("/root/"), "{}", libc.source);
        assert!(libc.value.version.is_some() || libc.value.kind == "musl");
        assert!(this.shares_root_with(&this).unwrap());
    }
}
