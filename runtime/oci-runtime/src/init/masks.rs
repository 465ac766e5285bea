//! Masked and read-only paths.
//!
//! What covers a masked path comes from one read-only tmpfs of our own, made for the
//! purpose and attached nowhere: neither a path nor the container's `/dev/null` is
//! involved, so nothing can be exchanged under it (CVE-2025-31133).

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use sys::mount::{self, Change, FsContext, attr};
use sys::root::{Node, RootDir, file_type};

use super::{Doing, InitError, Setup};
use crate::plan::Plan;

/// Covers masked paths and makes read-only paths read-only. Missing ones are skipped.
pub(super) fn hide(setup: &mut Setup, plan: &Plan, keeps_old_root: bool) -> Result<(), InitError> {
    for path in &plan.readonly {
        readonly(setup, path)?;
    }
    if plan.masked.is_empty() {
        return Ok(());
    }
    let cover = Cover::make().doing(|| "make the cover of masked paths".to_owned())?;
    let stands = (keeps_old_root || !cover.goes_with_the_old_root())
        && cover.stand_where_it_must(setup).doing(|| "attach the cover of masked paths".to_owned())?;
    for path in &plan.masked {
        let Some(target) = existing(setup, path)? else { continue };
        let is_dir =
            file_type(&target).doing(|| format!("look at {}", path.display()))? == FileType::Directory;
        let piece = cover.piece(is_dir).doing(|| format!("cover {}", path.display()))?;
        mount::attach(&piece, &target).doing(|| format!("mask {}", path.display()))?;
    }
    if stands {
        cover.go(setup).doing(|| "detach the cover of masked paths".to_owned())?;
    }
    Ok(())
}

fn readonly(setup: &Setup, path: &Path) -> Result<(), InitError> {
    let doing = || format!("make {} read-only", path.display());
    let Some(target) = existing(setup, path)? else { return Ok(()) };
    let copy = mount::clone_fd(&target, true).doing(doing)?;
    make_readonly(&copy).doing(doing)?;
    mount::attach(&copy, &target).doing(doing)
}

fn existing(setup: &Setup, path: &Path) -> Result<Option<OwnedFd>, InitError> {
    match setup.root.resolve(path) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).doing(|| format!("find {}", path.display())),
    }
}

/// Makes the mount read-only; its other attributes stay.
pub(super) fn make_readonly(mount: &OwnedFd) -> io::Result<()> {
    mount::set_attributes(mount, &Change { set: attr::RDONLY, ..Change::default() })
}

/// A tmpfs with an empty directory and a null device.
pub(crate) struct Cover {
    tmpfs: OwnedFd,
    has_null: bool,
}

impl Cover {
    /// Its source, as the mount table shows it.
    pub(crate) const NAME: &str = "mask";

    pub(crate) fn make() -> io::Result<Self> {
        let context = FsContext::open("tmpfs")?;
        context.set("source", Self::NAME)?;
        context.set("nr_inodes", "4")?;
        context.set("mode", "0555")?;
        let tmpfs = context.mount(attr::NOSUID | attr::NOEXEC)?;
        rustix::fs::mkdirat(&tmpfs, "d", Mode::from_raw_mode(0o555))?;
        let null = Node { kind: FileType::CharacterDevice, mode: 0o666, major: 1, minor: 3 };
        // In a user namespace devices cannot be made: an empty file covers as well.
        let has_null = match RootDir::mknod_in(&tmpfs, OsStr::new("f"), null) {
            Ok(()) => true,
            Err(_) => {
                let file = Node { kind: FileType::RegularFile, mode: 0o444, major: 0, minor: 0 };
                RootDir::mknod_in(&tmpfs, OsStr::new("f"), file)?;
                false
            }
        };
        make_readonly(&tmpfs)?;
        Ok(Self { tmpfs, has_null })
    }

    /// Opens the null device, or the empty file where there is none.
    pub(super) fn open(&self, access: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.tmpfs, "f", access | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Attached in the old root it goes with that. One that is attached nowhere costs an RCU grace
    /// period when its last descriptor is closed: 0.1 ms on a quiet machine, up to 10 on a busy one.
    fn goes_with_the_old_root(&self) -> bool {
        // Nothing is looked up there any more.
        mount::attach_path(&self.tmpfs, Path::new("/dev")).is_ok()
    }

    /// Before Linux 6.15 only what is attached can be cloned: there it stands on the container's root, where paths
    /// below an open root do not meet it, until all pieces are made.
    fn stand_where_it_must(&self, setup: &Setup) -> io::Result<bool> {
        match self.piece(true) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                mount::attach(&self.tmpfs, &setup.root)?;
                Ok(true)
            }
            other => other.map(|_| false),
        }
    }

    fn go(&self, setup: &Setup) -> io::Result<()> {
        rustix::process::fchdir(&self.tmpfs)?;
        mount::unmount(Path::new("."), mount::UnmountFlags::DETACH)?;
        Ok(rustix::process::fchdir(&setup.root)?)
    }

    /// Attaches it: what covers a directory is `d` in it, what covers a file `f`.
    pub(crate) fn attach(&self, at: &Path) -> io::Result<()> {
        mount::attach_path(&self.tmpfs, at)
    }

    /// A detached mount that covers a directory or a file.
    fn piece(&self, is_dir: bool) -> io::Result<OwnedFd> {
        let piece = mount::clone_at(&self.tmpfs, Path::new(if is_dir { "d" } else { "f" }), false)?;
        debug_assert!(
            is_dir || !self.has_null || file_type(&piece).is_ok_and(|t| t == FileType::CharacterDevice)
        );
        Ok(piece)
    }
}
