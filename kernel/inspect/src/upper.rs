//! What a container wrote: a survey of an overlay's upper directory.
//!
//! The tree belongs to the container, so nothing in it is followed: every directory is
//! opened below the top with `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)`, and
//! only regular files of the short final list are opened at all.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::error::{Error, NEEDS_PTRACE};
use crate::sourced::Sourced;

/// What is in the upper directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Upper {
    /// Regular files.
    pub files: u64,
    /// Their sizes together.
    pub bytes: u64,
    /// The most that all of it may take of the disk, where a project quota says so.
    pub limit_bytes: Option<u64>,
    /// Character devices 0:0, which hide a lower file.
    pub whiteouts: u64,
    /// The biggest files, biggest first.
    pub biggest: Vec<UpperFile>,
    /// The tree was larger than we look at, so the figures are lower bounds.
    pub incomplete: bool,
}

/// A file of the upper directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpperFile {
    /// As the container names it.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// It was copied from a layer and then changed, not made new (overlayfs marks such
    /// files with the attribute `overlay.origin`); `None` if that cannot be read.
    pub copied_up: Option<bool>,
}

/// Surveys `dir`, naming at most `biggest` files.
pub fn survey(dir: &Path, biggest: usize) -> Result<Sourced<Upper>, Error> {
    let shown = dir.display().to_string();
    let failed = |errno: Errno| match errno {
        Errno::ACCESS | Errno::PERM => {
            Error::Denied { path: shown.clone(), needs: NEEDS_PTRACE, errno: errno.into() }
        }
        Errno::NOENT => Error::Missing {
            path: shown.clone(),
            why: "the upper directory is named by a mount of another namespace, or was removed",
        },
        _ => Error::Read { path: shown.clone(), errno: errno.into() },
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let top = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
    let limit = sys::quota::project(&top).and_then(|project| sys::quota::quota(&top, project));
    let limit_bytes = limit.ok().and_then(|quota| quota.limit_bytes);
    let mut upper = Upper { limit_bytes, ..Upper::default() };
    let mut open = vec![String::new()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        // A directory that was removed meanwhile holds nothing.
        let Ok(directory) = below(top.as_fd(), &path, OFlags::DIRECTORY) else { continue };
        upper.look_into(&directory, &path, &mut open, biggest, &mut seen);
        if seen > ENTRIES_MAX {
            upper.incomplete = true;
            break;
        }
    }
    for file in &mut upper.biggest {
        file.copied_up = below(top.as_fd(), file.path.trim_start_matches('/'), OFlags::NONBLOCK)
            .ok()
            .and_then(|fd| has_origin(&fd));
    }
    Ok(Sourced::new(upper, shown))
}

impl Upper {
    fn look_into(
        &mut self,
        dir: &OwnedFd,
        path: &str,
        open: &mut Vec<String>,
        biggest: usize,
        seen: &mut u64,
    ) {
        let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            *seen += 1;
            let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            // A name that is not UTF-8 is counted, but cannot be named or entered.
            let child = name
                .to_str()
                .ok()
                .map(|name| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") });
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => open.extend(child),
                FileType::CharacterDevice if stat.st_rdev == 0 => self.whiteouts += 1,
                FileType::RegularFile => {
                    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                    self.files += 1;
                    self.bytes = self.bytes.saturating_add(bytes);
                    if let Some(path) = child {
                        self.rank(UpperFile { path: format!("/{path}"), bytes, copied_up: None }, biggest);
                    }
                }
                _ => {}
            }
        }
    }

    fn rank(&mut self, file: UpperFile, most: usize) {
        let at = self.biggest.partition_point(|other| other.bytes >= file.bytes);
        if at < most {
            self.biggest.insert(at, file);
            self.biggest.truncate(most);
        }
    }
}

fn below(top: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { "." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(top, path, OFlags::RDONLY | OFlags::CLOEXEC | flags, Mode::empty(), resolve)
}

fn has_origin(fd: &OwnedFd) -> Option<bool> {
    for name in ["trusted.overlay.origin", "user.overlay.origin"] {
        match rustix::fs::fgetxattr(fd, name, &mut [0u8; 0]) {
            Ok(_) => return Some(true),
            Err(Errno::NODATA) => {}
            Err(_) => return None,
        }
    }
    Some(false)
}

/// A diagnosis should not read through millions of files.
const ENTRIES_MAX: u64 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn ranks_files_and_follows_nothing() {
        let top = std::env::temp_dir().join(format!("inspect-upper-{}", std::process::id()));
        fs::create_dir_all(top.join("etc/deep")).unwrap();
        fs::write(top.join("small"), [0; 10]).unwrap();
        fs::write(top.join("etc/big"), [0; 3000]).unwrap();
        fs::write(top.join("etc/deep/middle"), [0; 200]).unwrap();
        std::os::unix::fs::symlink("/usr", top.join("etc/link")).unwrap();
        let upper = survey(&top, 2).unwrap();
        fs::remove_dir_all(&top).unwrap();
        let biggest: Vec<_> = upper.value.biggest.iter().map(|f| (f.path.as_str(), f.bytes)).collect();
        assert_eq!(biggest, [("/etc/big", 3000), ("/etc/deep/middle", 200)]);
        assert_eq!((upper.value.files, upper.value.bytes, upper.value.whiteouts), (3, 3210, 0));
        assert!(!upper.value.incomplete);
    }

    #[test]
    fn a_directory_that_is_not_there_says_so() {
        assert!(matches!(survey(Path::new("/no/such/upper"), 1), Err(Error::Missing { .. })));
    }
}
