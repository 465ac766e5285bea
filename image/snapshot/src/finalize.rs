//! Settles what of a layer's diff depends on the layers below it.
//!
//! Overlayfs takes a directory's metadata from the topmost layer that has it, follows no
//! symbolic link between layers and lists whiteouts of directories that only one layer
//! has. So a diff that was unpacked alone is corrected here:
//! - directories that the archive did not list get the metadata they have below, and when
//!   they are a symbolic link below, their content moves to where the link leads;
//! - whiteouts of what is not below go;
//! - hard links to files below copy the file up.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use archive::tar::{Timestamp, Xattr};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::apply::{DIRECTORY_MODE, LowerLink, Outcome, is_directory, set_times};
use crate::error::{ApplyError, Refusal, printable};
use crate::path::{self, RelPath, join, split};
use crate::tree;

/// Whether the diff fits on top of any parent whose root directory is as usual.
pub(crate) fn is_portable(outcome: &Outcome) -> bool {
    outcome.implied.is_empty()
        && outcome.whiteouts.is_empty()
        && outcome.opaque.is_empty()
        && outcome.links.is_empty()
}

/// Settles the diff at `diff` on top of `below`, the merged view of its parents.
pub(crate) fn finalize(
    diff: BorrowedFd<'_>,
    below: Option<BorrowedFd<'_>>,
    outcome: &mut Outcome,
) -> Result<(), ApplyError> {
    let mut times = std::mem::take(&mut outcome.times);
    let mut settle = Settle { diff, below, outcome };
    let was_portable = is_portable(settle.outcome);
    settle.root(&mut times)?;
    if was_portable {
        return Ok(());
    }
    settle.implied(&mut times)?;
    settle.whiteouts()?;
    settle.root_opaque()?;
    settle.links(&mut times)?;
    set_times(diff, &times)
}

struct Settle<'a> {
    diff: BorrowedFd<'a>,
    below: Option<BorrowedFd<'a>>,
    outcome: &'a mut Outcome,
}

impl Settle<'_> {
    /// Without an entry of its own, the root directory is what it is below.
    fn root(&self, times: &mut std::collections::BTreeMap<RelPath, Timestamp>) -> Result<(), ApplyError> {
        let Some(below) = self.below.filter(|_| !self.outcome.root_is_own) else { return Ok(()) };
        let time = copy_metadata(below, b"", self.diff, b"")?;
        times.insert(Vec::new(), time);
        set_times(self.diff, &[(Vec::new(), time)].into())
    }

    fn implied(
        &mut self,
        times: &mut std::collections::BTreeMap<RelPath, Timestamp>,
    ) -> Result<(), ApplyError> {
        let mut todo: Vec<RelPath> = self.outcome.implied.iter().cloned().collect();
        let mut at = 0;
        while at < todo.len() {
            let path = todo[at].clone();
            at += 1;
            let Some((below, found)) = self.lower(&path)? else { continue };
            match tree::kind(&found) {
                FileType::Directory => {
                    let time = copy_metadata(below, &path, self.diff, &path)?;
                    times.insert(path, time);
                }
                FileType::Symlink => {
                    let through = || Refusal::ThroughSymlink { through: printable(&path) };
                    let target =
                        resolve(below, &path)?.ok_or_else(|| ApplyError::refused(&path, through()))?;
                    self.relocate(&path, &target, times)?;
                    todo[at..].iter_mut().for_each(|later| rebase(later, &path, &target));
                }
                _ => {
                    return Err(ApplyError::refused(
                        &path,
                        Refusal::ThroughFile { through: printable(&path) },
                    ));
                }
            }
        }
        Ok(())
    }

    /// Moves what the diff has in `from` to `to`, which is a directory below.
    fn relocate(
        &mut self,
        from: &[u8],
        to: &[u8],
        times: &mut std::collections::BTreeMap<RelPath, Timestamp>,
    ) -> Result<(), ApplyError> {
        self.ensure_directory(to, times)?;
        merge(self.diff, from, to)?;
        let outcome = &mut *self.outcome;
        for set in [&mut outcome.whiteouts, &mut outcome.opaque] {
            *set = std::mem::take(set).into_iter().map(|path| rebased(path, from, to)).collect();
        }
        for link in &mut outcome.links {
            rebase(&mut link.path, from, to);
        }
        times.remove(from);
        *times =
            std::mem::take(times).into_iter().map(|(path, time)| (rebased(path, from, to), time)).collect();
        Ok(())
    }

    fn whiteouts(&mut self) -> Result<(), ApplyError> {
        for path in std::mem::take(&mut self.outcome.whiteouts) {
            if self.lower(&path)?.is_some() {
                self.outcome.whiteouts.insert(path);
                continue;
            }
            let (directory, name) = split(&path);
            let parent = tree::open_parent(self.diff, directory);
            let removed = parent.and_then(|parent| rustix::fs::unlinkat(&parent, name, AtFlags::empty()));
            match removed {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(ApplyError::entry("remove the needless whiteout", &path)(errno)),
            }
        }
        Ok(())
    }

    /// Overlayfs merges the roots of all layers whatever they are marked with: an opaque
    /// root needs a whiteout for each of its entries.
    fn root_opaque(&mut self) -> Result<(), ApplyError> {
        let Some(below) = self.below.filter(|_| self.outcome.opaque.contains(&b""[..])) else {
            return Ok(());
        };
        let failed = || ApplyError::entry("hide the root directory's entries", b"");
        let directory = tree::open_beneath(below, b"", tree::READ_DIRECTORY).map_err(failed())?;
        for name in tree::names(&directory).map_err(failed())? {
            match tree::lookup(self.diff, name.to_bytes()).map_err(failed())? {
                None => {
                    let made =
                        rustix::fs::mknodat(self.diff, &name, FileType::CharacterDevice, Mode::empty(), 0);
                    made.map_err(failed())?;
                }
                Some(found) if is_directory(&found) => {
                    let opened = tree::open_parent(self.diff, name.to_bytes()).map_err(failed())?;
                    tree::set_xattr(opened.as_fd(), b".", tree::opaque(), b"y").map_err(failed())?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn links(
        &mut self,
        times: &mut std::collections::BTreeMap<RelPath, Timestamp>,
    ) -> Result<(), ApplyError> {
        for link in std::mem::take(&mut self.outcome.links) {
            self.link(&link, times)?;
        }
        Ok(())
    }

    fn link(
        &mut self,
        link: &LowerLink,
        times: &mut std::collections::BTreeMap<RelPath, Timestamp>,
    ) -> Result<(), ApplyError> {
        let shown = || printable(&link.target);
        let missing = || ApplyError::refused(&link.path, Refusal::LinkMissing { target: shown() });
        // The way to the target may lead through symbolic links of lower layers.
        let (directory, name) = split(&link.target);
        let real = match self.below {
            Some(below) => resolve(below, directory)?.unwrap_or_else(|| directory.to_vec()),
            None => directory.to_vec(),
        };
        let target = join(&real, name);
        let failed = |path| ApplyError::entry("look at", path);
        match tree::lookup_beneath(self.diff, &target).map_err(failed(&target))? {
            Some(found) if is_directory(&found) || tree::is_whiteout(&found) => {
                return Err(ApplyError::refused(&link.path, Refusal::LinkKind { target: shown() }));
            }
            Some(_) => {}
            None => {
                let (below, found) = self.lower(&target)?.ok_or_else(missing)?;
                if is_directory(&found) {
                    return Err(ApplyError::refused(&link.path, Refusal::LinkKind { target: shown() }));
                }
                self.ensure_directory(&real, times)?;
                copy_up(below, self.diff, &target, &found)?;
            }
        }
        let (link_directory, link_name) = split(&link.path);
        let make = || -> Result<(), Errno> {
            let to = tree::open_parent(self.diff, link_directory)?;
            let from = tree::open_parent(self.diff, &real)?;
            // A whiteout of the link's own name hides what is below, not the link.
            if tree::lookup(&to, link_name)?.as_ref().is_some_and(tree::is_whiteout) {
                rustix::fs::unlinkat(&to, link_name, AtFlags::empty())?;
            }
            rustix::fs::linkat(&from, name, &to, link_name, AtFlags::empty())
        };
        match make() {
            // A later entry of the archive has the name.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(ApplyError::entry("create the hard link", &link.path)(errno)),
        }
    }

    /// What is at `path` below, unless this layer hides it.
    fn lower(&self, path: &[u8]) -> Result<Option<(BorrowedFd<'_>, Stat)>, ApplyError> {
        let Some(below) = self.below else { return Ok(None) };
        let hides = |directory: &[u8]| self.outcome.opaque.contains(directory);
        if path::ancestors(path).any(&hides) {
            return Ok(None);
        }
        let found = tree::lookup_beneath(below, path);
        let found = found.map_err(ApplyError::entry("look in the layers below at", path))?;
        Ok(found.filter(|found| !(is_directory(found) && hides(path))).map(|found| (below, found)))
    }

    /// Makes the directory `path` of the diff, and those above it, as they are below.
    fn ensure_directory(
        &self,
        path: &[u8],
        times: &mut std::collections::BTreeMap<RelPath, Timestamp>,
    ) -> Result<(), ApplyError> {
        let mut missing: Vec<&[u8]> = path::ancestors(path).collect();
        missing.reverse();
        missing.push(path);
        for path in missing.into_iter().filter(|path| !path.is_empty()) {
            let (directory, name) = split(path);
            let failed = || ApplyError::entry("create the directory", path);
            let parent = tree::open_parent(self.diff, directory).map_err(failed())?;
            match rustix::fs::mkdirat(&parent, name, DIRECTORY_MODE) {
                Ok(()) => {
                    let time = match self.below {
                        Some(below) => copy_metadata(below, path, self.diff, path)?,
                        None => Timestamp::default(),
                    };
                    times.insert(path.to_vec(), time);
                }
                Err(Errno::EXIST) => {
                    let found = tree::lookup(&parent, name).map_err(failed())?;
                    if !found.as_ref().is_some_and(is_directory) {
                        let through = Refusal::ThroughFile { through: printable(path) };
                        return Err(ApplyError::refused(path, through));
                    }
                }
                Err(errno) => return Err(failed()(errno)),
            }
        }
        Ok(())
    }
}

/// Where `path` leads within `root`, symbolic links followed as if `root` were `/`;
/// `None` unless it leads to a directory.
fn resolve(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<RelPath>, ApplyError> {
    let failed = |errno: Errno| ApplyError::entry("follow in the layers below", path)(errno);
    let mut real: RelPath = Vec::new();
    let mut rest: Vec<Vec<u8>> = components(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            real.truncate(split(&real).0.len());
            continue;
        }
        let here = join(&real, &name);
        let Some(found) = tree::lookup_beneath(root, &here).map_err(failed)? else { return Ok(None) };
        match tree::kind(&found) {
            FileType::Directory => real = here,
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Ok(None);
                }
                let parent = tree::open_parent(root, &real).map_err(failed)?;
                let target = rustix::fs::readlinkat(&parent, &name[..], Vec::new()).map_err(failed)?;
                if target.to_bytes().starts_with(b"/") {
                    real.clear();
                }
                rest.extend(components(target.to_bytes()));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(real))
}

/// The components of a path, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let named = path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".");
    named.map(<[u8]>::to_vec).rev().collect()
}

/// Moves everything in the directory `from` into the directory `to` and removes `from`.
fn merge(root: BorrowedFd<'_>, from: &[u8], to: &[u8]) -> Result<(), ApplyError> {
    let mut todo = vec![(from.to_vec(), to.to_vec())];
    let mut emptied = Vec::new();
    while let Some((from, to)) = todo.pop() {
        let failed = || ApplyError::entry("move to where the symbolic link below leads", &from);
        let source = tree::open_beneath(root, &from, tree::READ_DIRECTORY).map_err(failed())?;
        let target = tree::open_parent(root, &to).map_err(failed())?;
        for name in tree::names(&source).map_err(failed())? {
            match rustix::fs::renameat_with(&source, &name, &target, &name, RenameFlags::NOREPLACE) {
                Ok(()) => continue,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed()(errno)),
            }
            let both = [tree::lookup(&source, name.to_bytes()), tree::lookup(&target, name.to_bytes())];
            let path = join(&from, name.to_bytes());
            if !both.into_iter().all(|found| matches!(found, Ok(Some(found)) if is_directory(&found))) {
                let through = Refusal::ThroughSymlink { through: printable(&from) };
                return Err(ApplyError::refused(&path, through));
            }
            todo.push((path, join(&to, name.to_bytes())));
        }
        emptied.push(from);
    }
    for path in emptied.iter().rev() {
        let (directory, name) = split(path);
        let parent = tree::open_parent(root, directory);
        let removed = parent.and_then(|parent| rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR));
        removed.map_err(ApplyError::entry("remove the emptied directory", path))?;
    }
    Ok(())
}

/// Gives the directory `to_path` owner, mode and attributes of the directory `from_path`;
/// returns its time, which is to be set last.
pub(crate) fn copy_metadata(
    from: BorrowedFd<'_>,
    from_path: &[u8],
    to: BorrowedFd<'_>,
    to_path: &[u8],
) -> Result<Timestamp, ApplyError> {
    let failed =
        || ApplyError::entry("take over the directory's metadata from the layers below for", to_path);
    let source = tree::open_beneath(from, from_path, tree::READ_DIRECTORY).map_err(failed())?;
    let target = tree::open_beneath(to, to_path, tree::READ_DIRECTORY).map_err(failed())?;
    let stat = rustix::fs::fstat(&source).map_err(failed())?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&target, Some(uid), Some(gid)).map_err(failed())?;
    rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode)).map_err(failed())?;
    copy_xattrs(source.as_fd(), b".", target.as_fd(), b".").map_err(failed())?;
    Ok(time_of(&stat))
}

fn copy_xattrs(
    from: BorrowedFd<'_>,
    from_name: &[u8],
    to: BorrowedFd<'_>,
    to_name: &[u8],
) -> Result<(), Errno> {
    for Xattr { name: key, value } in tree::xattrs(from, from_name)? {
        if tree::is_mark(&key) {
            continue;
        }
        match tree::set_xattr(to, to_name, &key, &value) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Copies what is at `path` below, no directory, into the diff at the same path.
fn copy_up(below: BorrowedFd<'_>, diff: BorrowedFd<'_>, path: &[u8], stat: &Stat) -> Result<(), ApplyError> {
    let failed = || ApplyError::entry(COPY_UP, path);
    let (directory, name) = split(path);
    let source = tree::open_parent(below, directory).map_err(failed())?;
    let target = tree::open_parent(diff, directory).map_err(failed())?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match tree::kind(stat) {
        FileType::RegularFile => {
            copy_file(&source, &target, name).map_err(ApplyError::entry(COPY_UP, path))?;
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(&source, name, Vec::new()).map_err(failed())?;
            rustix::fs::symlinkat(&link, &target, name).map_err(failed())?;
        }
        kind => rustix::fs::mknodat(&target, name, kind, mode, stat.st_rdev).map_err(failed())?,
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(&target, name, Some(uid), Some(gid), nofollow).map_err(failed())?;
    if tree::kind(stat) != FileType::Symlink {
        rustix::fs::chmodat(&target, name, mode, AtFlags::empty()).map_err(failed())?;
    }
    copy_xattrs(source.as_fd(), name, target.as_fd(), name).map_err(failed())?;
    let time = time_of(stat);
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(&target, name, &times, nofollow).map_err(failed())
}

fn copy_file(source: &OwnedFd, target: &OwnedFd, name: &[u8]) -> std::io::Result<()> {
    let from =
        rustix::fs::openat(source, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)?;
    // Within one file system this becomes copy_file_range(2).
    std::io::copy(&mut std::fs::File::from(from), &mut std::fs::File::from(to)).map(drop)
}

fn time_of(stat: &Stat) -> Timestamp {
    Timestamp { seconds: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) }
}

fn rebase(path: &mut RelPath, from: &[u8], to: &[u8]) {
    *path = rebased(std::mem::take(path), from, to);
}

/// The path with `to` in the place of its beginning `from`, if it begins so.
fn rebased(path: RelPath, from: &[u8], to: &[u8]) -> RelPath {
    if !path::is_within(&path, from) {
        return path;
    }
    let rest = path[from.len()..].strip_prefix(b"/").unwrap_or_default();
    if rest.is_empty() { to.to_vec() } else { join(to, rest) }
}

/// A path below a root, as the host's types have it.
pub(crate) fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

const COPY_UP: &str = "copy up from the layers below";

/// As many symbolic links as the kernel follows on one path.
const LINKS_MAX: usize = 40;
