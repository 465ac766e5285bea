//! Unpacks one layer's archive into an overlayfs diff, without its parent.
//!
//! The diff's root is a directory that nobody else uses. Every access goes through a
//! descriptor of an entry's directory, opened below the root without following a
//! symbolic link, and one name in it. What depends on the layers below is noted in the
//! [`Outcome`] and settled when the layer is committed (see `finalize`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use archive::tar::{Entry, Header, Kind, Reader, Timestamp};
use base::failpoint;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::error::{ApplyError, Refusal, printable};
use crate::path::{self, RelPath, Whiteout, join, split};
use crate::{Limits, tree};

/// What unpacking has found out and the commit must know.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Entries of the archive.
    pub(crate) entries: u64,
    /// Bytes of file content.
    pub(crate) bytes: u64,
    /// Whether the archive says what the root directory is like.
    pub(crate) root_is_own: bool,
    /// Directories that the archive has no entry for.
    pub(crate) implied: BTreeSet<RelPath>,
    /// Deletions, now character devices 0:0.
    pub(crate) whiteouts: BTreeSet<RelPath>,
    /// Directories that hide what lower layers have in them.
    pub(crate) opaque: BTreeSet<RelPath>,
    /// Hard links to what is not in this layer.
    pub(crate) links: Vec<LowerLink>,
    /// When each directory was changed; set last, since each new entry changes it.
    pub(crate) times: BTreeMap<RelPath, Timestamp>,
    /// What could not be kept.
    pub(crate) warnings: Vec<String>,
    /// Bytes of the names above, so that a layer cannot fill the memory with them.
    noted_bytes: usize,
}

/// A hard link to a file of a lower layer.
#[derive(Debug)]
pub(crate) struct LowerLink {
    pub(crate) path: RelPath,
    pub(crate) target: RelPath,
}

/// Unpacks an archive into `root`.
pub(crate) fn unpack<R: Read>(
    reader: &mut Reader<R>,
    root: OwnedFd,
    limits: &Limits,
) -> Result<Outcome, ApplyError> {
    let root = Rc::new(root);
    let mut unpacker = Unpacker {
        root: Rc::clone(&root),
        parents: Parents::default(),
        limits,
        outcome: Outcome::default(),
        hidden: BTreeSet::new(),
    };
    while let Some(entry) = reader.next_entry()? {
        unpacker.entry(entry)?;
        failpoint::hit("snapshot.stage-entry");
    }
    let outcome = unpacker.outcome;
    set_times(root.as_fd(), &outcome.times)?;
    Ok(outcome)
}

/// Sets the modification times of directories.
pub(crate) fn set_times(
    root: BorrowedFd<'_>,
    times: &BTreeMap<RelPath, Timestamp>,
) -> Result<(), ApplyError> {
    for (path, time) in times {
        let directory = tree::open_beneath(root, path, tree::READ_DIRECTORY);
        let set = directory.and_then(|directory| rustix::fs::futimens(&directory, &timestamps(*time)));
        set.map_err(ApplyError::entry("set the times of the directory", path))?;
    }
    Ok(())
}

struct Unpacker<'a> {
    root: Rc<OwnedFd>,
    parents: Parents,
    limits: &'a Limits,
    outcome: Outcome,
    /// What is hidden of lower layers where the entry that hid it was replaced by one that does too: a
    /// directory that comes after that does not bring it back.
    hidden: BTreeSet<RelPath>,
}

impl Unpacker<'_> {
    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), ApplyError> {
        self.outcome.entries += 1;
        if self.outcome.entries > self.limits.entries {
            return Err(ApplyError::Limit { what: "entries", limit: self.limits.entries });
        }
        let header = entry.header().clone();
        let refuse = |refusal| ApplyError::refused(&header.path, refusal);
        let path = path::entry(&header.path, self.limits.absolute_names).map_err(refuse)?;
        let owner = check(&header).map_err(refuse)?;
        let (directory, name) = split(&path);
        if name.is_empty() {
            return self.root_entry(&header, owner);
        }
        if path::has_whiteout_inside(directory) {
            return Err(refuse(Refusal::BadWhiteout));
        }
        let whiteout = path::whiteout(name).map_err(refuse)?;
        if whiteout != Whiteout::No {
            if !matches!(header.kind, Kind::File | Kind::HardLink) || header.size > 0 {
                return Err(refuse(Refusal::WhiteoutKind));
            }
            return self.whiteout(&header.path, directory, &whiteout);
        }
        let parent = self.parent(directory, &header.path)?;
        let at = Place { parent: parent.as_fd(), name, path: &path, header: &header, owner };
        match header.kind {
            Kind::Directory => self.directory(&at),
            Kind::File => self.file(&at, &mut entry),
            Kind::Symlink => self.symlink(&at),
            Kind::HardLink => self.hard_link(&at),
            Kind::Fifo => self.node(&at, FileType::Fifo, 0),
            Kind::CharDevice { major, minor } => self.device(&at, FileType::CharacterDevice, major, minor),
            Kind::BlockDevice { major, minor } => self.device(&at, FileType::BlockDevice, major, minor),
            Kind::Other(code) => Err(refuse(Refusal::UnknownKind { code: code.into() })),
        }
    }

    fn root_entry(&mut self, header: &Header, owner: Owner) -> Result<(), ApplyError> {
        if header.kind != Kind::Directory {
            return Err(ApplyError::refused(&header.path, Refusal::RootKind));
        }
        self.outcome.root_is_own = true;
        let root = Rc::clone(&self.root);
        let at = Place { parent: root.as_fd(), name: b".", path: b"", header, owner };
        self.dress_directory(&at, root.as_fd())
    }

    fn directory(&mut self, at: &Place<'_>) -> Result<(), ApplyError> {
        self.make_directory(at.parent, at.name, at.path, &at.header.path, true)?;
        let flags = tree::READ_DIRECTORY | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(at.parent, at.name, flags, Mode::empty());
        let directory = Rc::new(opened.map_err(at.failed("open the directory"))?);
        self.outcome.implied.remove(at.path);
        self.dress_directory(at, directory.as_fd())?;
        self.parents.put(at.path, directory);
        Ok(())
    }

    /// Gives a directory what its entry says.
    fn dress_directory(&mut self, at: &Place<'_>, directory: BorrowedFd<'_>) -> Result<(), ApplyError> {
        rustix::fs::fchown(directory, Some(at.owner.uid), Some(at.owner.gid))
            .map_err(at.failed("set the owner"))?;
        rustix::fs::fchmod(directory, at.mode()).map_err(at.failed("set the mode"))?;
        self.attributes(at, directory, b".")?;
        self.note(at.path)?;
        self.outcome.times.insert(at.path.to_vec(), at.header.mtime);
        Ok(())
    }

    fn file<R: Read>(&mut self, at: &Place<'_>, entry: &mut Entry<'_, R>) -> Result<(), ApplyError> {
        if at.header.size > self.limits.file_length {
            return Err(ApplyError::Limit { what: "bytes of one file", limit: self.limits.file_length });
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(at.parent, at.name, flags, Mode::RUSR | Mode::WUSR);
        let file = self.make(at, create).map_err(at.failed_or_refused("create the file"))?;
        let is_sparse = at.header.extents.is_some();
        if is_sparse {
            rustix::fs::ftruncate(&file, at.header.size).map_err(at.failed("set the length"))?;
        }
        while let Some(chunk) = entry.next_chunk()? {
            let written = match is_sparse {
                true => rustix::io::pwrite(&file, chunk.bytes, chunk.offset),
                false => rustix::io::write(&file, chunk.bytes),
            };
            let count = match written {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(at.failed("write")(errno)),
            };
            entry.consume(count);
            self.outcome.bytes += count as u64;
            if self.outcome.bytes > self.limits.file_bytes {
                return Err(ApplyError::Limit {
                    what: "bytes of file content",
                    limit: self.limits.file_bytes,
                });
            }
        }
        // In this order: a new owner clears set-user-id and file capabilities, and
        // everything changes the time.
        rustix::fs::fchown(&file, Some(at.owner.uid), Some(at.owner.gid))
            .map_err(at.failed("set the owner"))?;
        rustix::fs::fchmod(&file, at.mode()).map_err(at.failed("set the mode"))?;
        self.attributes(at, at.parent, at.name)?;
        rustix::fs::futimens(&file, &timestamps(at.header.mtime)).map_err(at.failed("set the times"))
    }

    fn symlink(&mut self, at: &Place<'_>) -> Result<(), ApplyError> {
        let target = &at.header.link[..];
        if target.is_empty() || target.len() > 4095 || target.contains(&0) {
            return Err(at.refused(Refusal::BadSymlink));
        }
        let create = || rustix::fs::symlinkat(target, at.parent, at.name);
        self.make(at, create).map_err(at.failed_or_refused("create the symbolic link"))?;
        self.dress_by_name(at, None)
    }

    fn device(&mut self, at: &Place<'_>, kind: FileType, major: u32, minor: u32) -> Result<(), ApplyError> {
        if kind == FileType::CharacterDevice && (major, minor) == (0, 0) {
            return Err(at.refused(Refusal::WhiteoutDevice));
        }
        // Linux: 12 bits of major, 20 bits of minor.
        if major >= 1 << 12 || minor >= 1 << 20 {
            return Err(at.refused(Refusal::BadDevice));
        }
        if sys::user::mapped().is_some() {
            // Nobody in a user namespace may make devices; a container gets its own from the host.
            return self.leave_out(at);
        }
        self.node(at, kind, rustix::fs::makedev(major, minor))
    }

    fn leave_out(&mut self, at: &Place<'_>) -> Result<(), ApplyError> {
        if self.outcome.warnings.len() < WARNINGS_MAX {
            let entry = printable(at.path);
            self.outcome.warnings.push(format!("{entry}: a device is left out: only root can make it"));
        }
        Ok(())
    }

    fn node(&mut self, at: &Place<'_>, kind: FileType, device: u64) -> Result<(), ApplyError> {
        let create = || rustix::fs::mknodat(at.parent, at.name, kind, Mode::RUSR | Mode::WUSR, device);
        self.make(at, create).map_err(at.failed_or_refused("create the special file"))?;
        self.dress_by_name(at, Some(at.mode()))
    }

    /// Gives owner, mode, attributes and times to what cannot be opened. It was made
    /// just now by this name, in a directory that nobody else uses.
    fn dress_by_name(&mut self, at: &Place<'_>, mode: Option<Mode>) -> Result<(), ApplyError> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let owner = (Some(at.owner.uid), Some(at.owner.gid));
        rustix::fs::chownat(at.parent, at.name, owner.0, owner.1, nofollow)
            .map_err(at.failed("set the owner"))?;
        if let Some(mode) = mode {
            rustix::fs::chmodat(at.parent, at.name, mode, AtFlags::empty())
                .map_err(at.failed("set the mode"))?;
        }
        self.attributes(at, at.parent, at.name)?;
        let times = timestamps(at.header.mtime);
        rustix::fs::utimensat(at.parent, at.name, &times, nofollow).map_err(at.failed("set the times"))
    }

    fn hard_link(&mut self, at: &Place<'_>) -> Result<(), ApplyError> {
        let shown = || printable(&at.header.link);
        let target = path::link_target(&at.header.link).unwrap_or_default();
        if target.is_empty() || target == at.path {
            return Err(at.refused(Refusal::LinkTarget { target: shown() }));
        }
        let (directory, name) = split(&target);
        let found = match self.existing_parent(directory) {
            Ok(Some(parent)) => {
                let stat = tree::lookup(&parent, name).map_err(at.failed("look for the target"))?;
                stat.map(|stat| (parent, stat))
            }
            Ok(None) => None,
            Err(Errno::LOOP) => {
                return Err(at.refused(Refusal::ThroughSymlink { through: printable(directory) }));
            }
            Err(Errno::NOTDIR) => {
                return Err(at.refused(Refusal::ThroughFile { through: printable(directory) }));
            }
            Err(errno) => return Err(at.failed("look for the target")(errno)),
        };
        let Some((parent, stat)) = found else {
            // The name must not exist twice once the link is made.
            self.clear_way(at.parent, at.name, at.path).map_err(at.failed_or_refused("replace"))?;
            self.note(at.path)?;
            self.note(&target)?;
            self.outcome.links.push(LowerLink { path: at.path.to_vec(), target });
            return Ok(());
        };
        if tree::kind(&stat) == FileType::Directory || tree::is_whiteout(&stat) {
            return Err(at.refused(Refusal::LinkKind { target: shown() }));
        }
        let create = || rustix::fs::linkat(&parent, name, at.parent, at.name, AtFlags::empty());
        self.make(at, create).map_err(at.failed_or_refused("create the hard link"))
    }

    /// Makes a deletion of what lower layers have. What this layer has stays (OCI
    /// image-spec `layer.md`: a whiteout hides lower layers only), wherever the two
    /// stand in the archive.
    fn whiteout(
        &mut self,
        entry: &[u8],
        directory: &[u8],
        whiteout: &Whiteout<'_>,
    ) -> Result<(), ApplyError> {
        let name = match whiteout {
            Whiteout::No | Whiteout::Ignored => return Ok(()),
            Whiteout::Of(name) => name,
            Whiteout::Opaque => {
                self.parent(directory, entry)?;
                return self.make_opaque(directory);
            }
        };
        let parent = self.parent(directory, entry)?;
        let path = join(directory, name);
        let made = rustix::fs::mknodat(&parent, *name, FileType::CharacterDevice, Mode::empty(), 0);
        match made {
            Ok(()) => {
                self.note(&path)?;
                self.outcome.whiteouts.insert(path);
                Ok(())
            }
            Err(Errno::EXIST) => {
                let found = tree::lookup(&parent, name).map_err(ApplyError::entry("look at", entry))?;
                match found.as_ref().map(tree::kind) {
                    Some(FileType::Directory) => self.make_opaque(&path),
                    _ => {
                        self.hidden.insert(path);
                        Ok(())
                    }
                }
            }
            Err(errno) => Err(ApplyError::entry("create the whiteout", entry)(errno)),
        }
    }

    fn make_opaque(&mut self, directory: &[u8]) -> Result<(), ApplyError> {
        // Overlayfs does not look for the mark on a layer's root: the commit sees to it.
        if !directory.is_empty() {
            let opened = tree::open_parent(self.root.as_fd(), directory);
            let set = opened.and_then(|opened| tree::set_xattr(opened.as_fd(), b".", tree::opaque(), b"y"));
            set.map_err(ApplyError::entry("mark as opaque", directory))?;
        }
        self.note(directory)?;
        self.outcome.opaque.insert(directory.to_vec());
        Ok(())
    }

    /// The directory at `path`, made where the archive left it out.
    fn parent(&mut self, path: &[u8], entry: &[u8]) -> Result<Rc<OwnedFd>, ApplyError> {
        if let Some(parent) = self.find_parent(path) {
            return Ok(parent);
        }
        match tree::open_parent(self.root.as_fd(), path) {
            Ok(parent) => {
                let parent = Rc::new(parent);
                self.parents.put(path, Rc::clone(&parent));
                return Ok(parent);
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(ApplyError::entry("open the directory of", entry)(errno)),
        }
        // From the root down, so that the depth of a path is not the depth of the stack.
        let mut parent = Rc::clone(&self.root);
        let mut ends: Vec<usize> =
            path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).collect();
        ends.push(path.len());
        for end in ends {
            let here = &path[..end];
            let name = split(here).1;
            if self.make_directory(parent.as_fd(), name, here, entry, false)? {
                self.note(here)?;
                self.outcome.implied.insert(here.to_vec());
                self.outcome.times.insert(here.to_vec(), Timestamp::default());
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&parent, name, flags, Mode::empty());
            parent = Rc::new(opened.map_err(ApplyError::entry("open the directory of", entry))?);
        }
        self.parents.put(path, Rc::clone(&parent));
        Ok(parent)
    }

    fn find_parent(&mut self, path: &[u8]) -> Option<Rc<OwnedFd>> {
        if path.is_empty() {
            return Some(Rc::clone(&self.root));
        }
        self.parents.find(path)
    }

    /// The directory at `path` if it is there.
    fn existing_parent(&mut self, path: &[u8]) -> Result<Option<Rc<OwnedFd>>, Errno> {
        if let Some(parent) = self.find_parent(path) {
            return Ok(Some(parent));
        }
        match tree::open_parent(self.root.as_fd(), path) {
            Ok(parent) => Ok(Some(Rc::new(parent))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Makes a directory; whether it is new. A `listed` one (it has an entry) replaces
    /// another kind of thing, an implied one must not.
    fn make_directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        entry: &[u8],
        listed: bool,
    ) -> Result<bool, ApplyError> {
        let create = || rustix::fs::mkdirat(parent, name, DIRECTORY_MODE);
        let failed = || ApplyError::entry("create the directory", entry);
        match create() {
            Ok(()) => {
                // Whatever the process's umask is.
                rustix::fs::chmodat(parent, name, DIRECTORY_MODE, AtFlags::empty()).map_err(failed())?;
                return Ok(true);
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed()(errno)),
        }
        let Some(found) = tree::lookup(parent, name).map_err(failed())? else {
            return Err(failed()(Errno::NOENT));
        };
        let was_whiteout = tree::is_whiteout(&found);
        match tree::kind(&found) {
            FileType::Directory => return Ok(false),
            _ if listed || was_whiteout => {}
            FileType::Symlink => {
                return Err(ApplyError::refused(entry, Refusal::ThroughSymlink { through: printable(path) }));
            }
            _ => return Err(ApplyError::refused(entry, Refusal::ThroughFile { through: printable(path) })),
        }
        rustix::fs::unlinkat(parent, name, AtFlags::empty()).map_err(failed())?;
        create().map_err(failed())?;
        rustix::fs::chmodat(parent, name, DIRECTORY_MODE, AtFlags::empty()).map_err(failed())?;
        self.outcome.whiteouts.remove(path);
        if was_whiteout || self.hidden.contains(path) {
            self.make_opaque(path)?;
        }
        Ok(true)
    }

    /// Makes something, if need be after removing what has its name.
    fn make<T>(&mut self, at: &Place<'_>, create: impl Fn() -> Result<T, Errno>) -> Result<T, Failure> {
        match create() {
            Err(Errno::EXIST) => {
                self.clear_way(at.parent, at.name, at.path)?;
                create().map_err(Failure::Errno)
            }
            other => other.map_err(Failure::Errno),
        }
    }

    /// Removes what has an entry's name: a later entry replaces an earlier one. A
    /// directory goes only while it is empty.
    fn clear_way(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let Some(found) = tree::lookup(parent, name).map_err(Failure::Errno)? else { return Ok(()) };
        if tree::kind(&found) != FileType::Directory {
            rustix::fs::unlinkat(parent, name, AtFlags::empty()).map_err(Failure::Errno)?;
            if self.outcome.whiteouts.remove(path) {
                self.hidden.insert(path.to_vec());
            }
            return Ok(());
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(Failure::Refused(Refusal::ReplacesDirectory)),
            Err(errno) => return Err(Failure::Errno(errno)),
        }
        // A link to a lower file may be waiting for its place in this directory.
        if self.outcome.links.iter().any(|link| path::is_within(&link.path, path)) {
            return Err(Failure::Refused(Refusal::ReplacesDirectory));
        }
        self.parents.clear();
        self.outcome.implied.remove(path);
        if self.outcome.opaque.remove(path) {
            self.hidden.insert(path.to_vec());
        }
        self.outcome.times.remove(path);
        Ok(())
    }

    /// Sets an entry's attributes on `name` in `directory`.
    fn attributes(
        &mut self,
        at: &Place<'_>,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), ApplyError> {
        for xattr in &at.header.xattrs {
            if OVERLAY_PREFIXES.iter().any(|prefix| xattr.name.starts_with(prefix)) {
                return Err(at.refused(Refusal::OverlayAttribute { name: printable(&xattr.name) }));
            }
            let must = xattr.name == b"security.capability";
            match tree::set_xattr(directory, name, &xattr.name, &xattr.value) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) if !must => self.warn(at, &xattr.name),
                Err(errno) => return Err(at.failed("set an attribute")(errno)),
            }
        }
        Ok(())
    }

    fn warn(&mut self, at: &Place<'_>, attribute: &[u8]) {
        if self.outcome.warnings.len() < WARNINGS_MAX {
            let (entry, name) = (printable(at.path), printable(attribute));
            self.outcome
                .warnings
                .push(format!("{entry}: this file system does not take the attribute {name}"));
        }
    }

    /// Counts a name that stays in memory until the commit.
    fn note(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        self.outcome.noted_bytes += path.len() + NOTE_COST;
        if self.outcome.noted_bytes > NOTED_BYTES_MAX {
            return Err(ApplyError::Limit {
                what: "bytes of names of directories and deletions",
                limit: NOTED_BYTES_MAX as u64,
            });
        }
        Ok(())
    }
}

/// Where an entry goes.
struct Place<'a> {
    parent: BorrowedFd<'a>,
    name: &'a [u8],
    path: &'a [u8],
    header: &'a Header,
    owner: Owner,
}

impl Place<'_> {
    fn mode(&self) -> Mode {
        Mode::from_raw_mode(self.header.mode & 0o7777)
    }

    fn refused(&self, refusal: Refusal) -> ApplyError {
        ApplyError::refused(&self.header.path, refusal)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(Errno) -> ApplyError {
        ApplyError::entry(action, &self.header.path)
    }

    fn failed_or_refused(&self, action: &'static str) -> impl FnOnce(Failure) -> ApplyError {
        move |failure| match failure {
            Failure::Errno(errno) => self.failed(action)(errno),
            Failure::Refused(refusal) => self.refused(refusal),
        }
    }
}

/// Why something was not made.
enum Failure {
    Errno(Errno),
    Refused(Refusal),
}

#[derive(Clone, Copy)]
struct Owner {
    uid: Uid,
    gid: Gid,
}

/// Checks what a header's numbers are: the last id is `chown`'s "leave it".
fn check(header: &Header) -> Result<Owner, Refusal> {
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or(Refusal::BadOwner);
    let (uid, gid) = (id(header.uid)?, id(header.gid)?);
    match sys::user::mapped() {
        Some(known) if uid >= known.uids || gid >= known.gids => {
            Err(Refusal::UnknownOwner { uid, gid, users: known.uids, groups: known.gids })
        }
        _ => Ok(Owner { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) }),
    }
}

fn timestamps(time: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// The directories used last, by path. Archives come in the order of directories.
#[derive(Default)]
struct Parents {
    last: Vec<(RelPath, Rc<OwnedFd>)>,
    next: usize,
}

impl Parents {
    fn find(&self, path: &[u8]) -> Option<Rc<OwnedFd>> {
        self.last.iter().find(|(known, _)| known == path).map(|(_, directory)| Rc::clone(directory))
    }

    fn put(&mut self, path: &[u8], directory: Rc<OwnedFd>) {
        let slot = (path.to_vec(), directory);
        if let Some(known) = self.last.iter_mut().find(|(known, _)| known == path) {
            *known = slot;
        } else if self.last.len() < PARENTS_OPEN {
            self.last.push(slot);
        } else {
            self.last[self.next] = slot;
            self.next = (self.next + 1) % PARENTS_OPEN;
        }
    }

    fn clear(&mut self) {
        self.last.clear();
        self.next = 0;
    }
}

/// Whether what was found is a directory.
pub(crate) fn is_directory(stat: &Stat) -> bool {
    tree::kind(stat) == FileType::Directory
}

/// What a directory gets that no archive describes.
pub(crate) const DIRECTORY_MODE: Mode =
    Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);

/// Attributes that overlayfs reads: with them a layer could redirect lookups.
const OVERLAY_PREFIXES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Descriptors kept open.
const PARENTS_OPEN: usize = 16;

const WARNINGS_MAX: usize = 20;

/// About 400,000 directories with names of usual length.
const NOTED_BYTES_MAX: usize = 48 << 20;

/// What the maps take for a name besides its bytes.
const NOTE_COST: usize = 64;
