//! A new volume gets what the image has where it is mounted.
//!
//! Everything below both directories is reached by descriptors: the image is foreign,
//! and its symbolic links must lead nowhere.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timestamps, Uid};
use sys::root::RootDir;

/// Copies what is at `target` in `root` into the empty directory `volume`; whether there
/// was anything to do. A volume with files in it is left alone.
///
/// A volume has the container's ids on disk; `base` is what was added to them in `root`. With the
/// volume comes the directory of ours that it is kept in.
pub(crate) fn copy_up(
    root: &RootDir,
    target: &Path,
    (volume, home): (&Path, &Path),
    base: u32,
) -> io::Result<bool> {
    // Two containers may begin with the same new volume.
    let _one_at_a_time = sys::lock::FileLock::exclusive(home)?;
    let to = open_dir(CWD, volume)?;
    let unfinished = home.join(UNFINISHED);
    if unfinished.exists() {
        // Whoever filled it was killed.
        clear(volume)?;
    } else if !is_empty(&to)? {
        return Ok(false);
    }
    let from = match root.open_at(target, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    {
        Ok(from) => from,
        // Nothing there, or a file: nothing to copy.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    std::fs::write(&unfinished, "")?;
    Copy { base }.directory(from.as_fd(), to.as_fd(), 0)?;
    let stat = rustix::fs::fstat(&from)?;
    let (uid, gid) = owner(&stat, base);
    rustix::fs::fchown(&to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode))?;
    super::xattrs::copy(&from, &to, base)?;
    std::fs::remove_file(&unfinished)?;
    Ok(true)
}

/// Empties the directory.
fn clear(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Beside the data while it is being copied.
const UNFINISHED: &str = ".filling";

/// Deeper than any tree that a path can name.
const DEPTH_MAX: usize = 2048;

/// A copy in the making.
#[derive(Clone, Copy)]
struct Copy {
    base: u32,
}

impl Copy {
    fn directory(self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the directories are nested too deeply"));
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.entry(from, to, name, depth)?;
        }
        Ok(())
    }

    fn entry(self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let (from, to) = (open_dir(from, name)?, open_dir(to, name)?);
                self.directory(from.as_fd(), to.as_fd(), depth + 1)?;
            }
            FileType::RegularFile => copy_file(from, to, name)?,
            FileType::Symlink => {
                let link: CString = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&link, to, name)?;
            }
            kind @ (FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice) => {
                rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
            }
            // A socket is of no use without its listener.
            _ => return Ok(()),
        }
        self.keep_attributes(from, to, name, &stat)
    }

    /// Owner, mode, extended attributes and times.
    fn keep_attributes(
        self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> io::Result<()> {
        let (uid, gid) = owner(stat, self.base);
        rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        // After the owner: changing that clears set-user-id and file capabilities.
        if kind != FileType::Symlink {
            rustix::fs::chmodat(to, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
        }
        if matches!(kind, FileType::Directory | FileType::RegularFile) {
            super::xattrs::copy(open_one(from, name)?, open_one(to, name)?, self.base)?;
        }
        let time = |seconds: i64, nanos: u64| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
        let times = Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        };
        Ok(rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// The owner as the container has it.
fn owner(stat: &Stat, base: u32) -> (Uid, Gid) {
    let inside = |id: u32| id.checked_sub(base).unwrap_or(id);
    (Uid::from_raw(inside(stat.st_uid)), Gid::from_raw(inside(stat.st_gid)))
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut source: std::fs::File = rustix::fs::openat(from, name, flags, Mode::empty())?.into();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut target: std::fs::File = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?.into();
    // `copy_file_range(2)` where the kernel can.
    io::copy(&mut source, &mut target)?;
    Ok(())
}

fn open_dir<P: rustix::path::Arg>(at: BorrowedFd<'_>, name: P) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

/// A file or directory that was just looked at or made.
fn open_one(at: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use testkit::TempDir;

    use super::*;

    fn image(dir: &TempDir) -> RootDir {
        fs::create_dir_all(dir.join("image/data/below")).unwrap();
        fs::write(dir.join("image/data/below/file"), "text").unwrap();
        fs::create_dir_all(dir.join("volume/_data")).unwrap();
        RootDir::open(&dir.join("image")).unwrap()
    }

    fn copy(dir: &TempDir, root: &RootDir, target: &str) -> io::Result<bool> {
        let owner = fs::metadata(dir.join("image")).unwrap().uid();
        // As nobody may give files away, all stay the user's own.
        assert_eq!(owner, rustix::process::geteuid().as_raw());
        copy_up(root, Path::new(target), (&dir.join("volume/_data"), &dir.join("volume")), 0)
    }

    #[test]
    fn cve_2022_23648_links_of_the_image_do_not_lead_to_the_host() {
        let dir = TempDir::new();
        let root = image(&dir);
        fs::create_dir(dir.join("secret")).unwrap();
        fs::write(dir.join("secret/key"), "secret").unwrap();
        symlink(dir.join("secret"), dir.join("image/absolute")).unwrap();
        symlink("../../../../../../../../proc/self/root", dir.join("image/upwards")).unwrap();
        for target in ["/absolute", "/upwards", "/../secret", "/absolute/../../secret"] {
            assert!(!copy(&dir, &root, target).unwrap_or(false), "{target}");
        }
        // A link inside is copied, not followed.
        symlink(dir.join("secret/key"), dir.join("image/data/link")).unwrap();
        assert!(copy(&dir, &root, "/data").unwrap());
        assert!(fs::symlink_metadata(dir.join("volume/_data/link")).unwrap().is_symlink());
    }

    #[test]
    fn set_id_bits_capabilities_and_attributes_are_kept() {
        testkit::isolated(|| {
            let dir = TempDir::new();
            let root = image(&dir);
            let source = dir.join("image/data/below");
            let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            let set = |path: &Path, name, value: &[u8]| {
                rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
            };
            // CAP_NET_BIND_SERVICE, permitted and effective.
            let capability = [&[1, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
            for path in [source.clone(), source.join("file")] {
                std::os::unix::fs::chown(&path, Some(7), Some(8)).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o6755);
                fs::set_permissions(&path, mode).unwrap();
            }
            set(&source.join("file"), "security.capability", &capability);
            set(&dir.join("image/data"), "trusted.mark", b"top");
            assert!(copy(&dir, &root, "/data").unwrap());
            let made = dir.join("volume/_data");
            for path in [made.join("below"), made.join("below/file")] {
                assert_eq!(mode(&path), 0o6755, "{}", path.display());
                assert_eq!(fs::metadata(&path).unwrap().gid(), 8);
            }
            let read = |path: &Path, name| {
                let mut value = [0; 64];
                let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
                value[..length].to_vec()
            };
            assert_eq!(read(&made.join("below/file"), "security.capability"), capability);
            assert_eq!(read(&made, "trusted.mark"), b"top");
        });
    }

    #[test]
    fn a_copy_that_was_cut_off_is_made_again() {
        let dir = TempDir::new();
        let root = image(&dir);
        fs::write(dir.join("volume").join(UNFINISHED), "").unwrap();
        fs::create_dir(dir.join("volume/_data/below")).unwrap();
        fs::write(dir.join("volume/_data/below/file"), "te").unwrap();
        assert!(copy(&dir, &root, "/data").unwrap());
        assert_eq!(fs::read_to_string(dir.join("volume/_data/below/file")).unwrap(), "text");
        // What the user has there afterwards stays.
        fs::write(dir.join("volume/_data/below/file"), "mine").unwrap();
        assert!(!copy(&dir, &root, "/data").unwrap());
        assert_eq!(fs::read_to_string(dir.join("volume/_data/below/file")).unwrap(), "mine");
    }
}
