//! The way back: a snapshot's changes as a layer archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;

use archive::tar::{Header, Kind, TarError, Timestamp, Writer};
use base::ContainerId;
use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::path::{RelPath, WHITEOUT, join, split};
use crate::upper::is_opaque;
use crate::{Error, IdMap, Snapshots, idmap, tree};

/// What an archive of changes has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffSummary {
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Of these, whiteouts.
    pub whiteouts: u64,
    /// Bytes of file content.
    pub bytes: u64,
}

impl Snapshots {
    /// Writes a snapshot's changes as an uncompressed layer archive: entries in the order
    /// of their names, so that equal changes give equal bytes. The container should not
    /// write meanwhile (pause it). Sockets are left out: an archive cannot have them.
    pub fn diff<W: Write>(&self, key: &ContainerId, archive: W) -> Result<DiffSummary, Error> {
        self.diff_of(key, archive, |_| true)
    }

    /// Like [`Snapshots::diff`], of those entries only that are to be kept, by their path
    /// without a leading slash.
    pub fn diff_of<W: Write>(
        &self,
        key: &ContainerId,
        archive: W,
        keep: impl Fn(&[u8]) -> bool,
    ) -> Result<DiffSummary, Error> {
        let snapshot = self.snapshot(key)?;
        let upper = self.upper(key)?;
        let root = tree::open_directory(&upper).map_err(Error::io("open", &upper))?;
        let mut differ = Differ {
            writer: Writer::new(archive),
            idmap: snapshot.idmap,
            links: HashMap::new(),
            summary: DiffSummary::default(),
        };
        let written = tree::walk(root.as_fd(), |visit| match keep(visit.path) {
            true => differ.visit(&visit),
            false => Ok(()),
        });
        let finished = written.and_then(|()| differ.writer.finish().map(drop).map_err(Failure::Tar));
        match finished {
            Ok(()) => Ok(differ.summary),
            Err(Failure::Tar(source)) => Err(Error::Archive { key: key.to_string(), source }),
            Err(Failure::Io(source)) => Err(Error::io("look through", upper)(source)),
        }
    }
}

struct Differ<W: Write> {
    writer: Writer<W>,
    idmap: Option<IdMap>,
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), RelPath>,
    summary: DiffSummary,
}

enum Failure {
    Tar(TarError),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<W: Write> Differ<W> {
    fn visit(&mut self, visit: &tree::Visit<'_>) -> Result<(), Failure> {
        if tree::is_whiteout(&visit.stat) {
            let (directory, name) = split(visit.path);
            return self.whiteout(join(directory, &[WHITEOUT, name].concat()));
        }
        let Some(kind) = entry_kind(&visit.stat) else { return Ok(()) };
        let mut header = self.header(visit, kind)?;
        self.summary.entries += 1;
        if kind != Kind::Directory && visit.stat.st_nlink > 1 {
            let first = self.links.entry((visit.stat.st_dev, visit.stat.st_ino));
            match first {
                std::collections::hash_map::Entry::Occupied(first) => {
                    header.kind = Kind::HardLink;
                    header.link.clone_from(first.get());
                    header.size = 0;
                    header.xattrs.clear();
                    return self.writer.append_empty(&header).map_err(Failure::Tar);
                }
                std::collections::hash_map::Entry::Vacant(first) => drop(first.insert(visit.path.to_vec())),
            }
        }
        match kind {
            Kind::File => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(visit.directory, visit.name, flags, Mode::empty());
                let file = File::from(file.map_err(io::Error::from)?);
                self.summary.bytes += header.size;
                self.writer.append(&header, file).map_err(Failure::Tar)
            }
            _ => self.writer.append_empty(&header).map_err(Failure::Tar),
        }?;
        if kind == Kind::Directory && is_opaque(visit)? {
            self.whiteout(join(visit.path, OPAQUE_NAME))?;
        }
        Ok(())
    }

    fn whiteout(&mut self, path: RelPath) -> Result<(), Failure> {
        self.summary.entries += 1;
        self.summary.whiteouts += 1;
        self.writer.append_empty(&Header::file(path, 0)).map_err(Failure::Tar)
    }

    fn header(&self, visit: &tree::Visit<'_>, kind: Kind) -> Result<Header, Failure> {
        let stat = &visit.stat;
        let size = if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        let mut header = Header::new(visit.path, kind, stat.st_mode & 0o7777, size);
        (header.uid, header.gid) = match &self.idmap {
            None => (stat.st_uid.into(), stat.st_gid.into()),
            Some(map) => {
                let unmapped =
                    |id| io::Error::other(format!("the owner {id} is outside the container's id map"));
                let uid = idmap::inside(&map.uids, stat.st_uid).ok_or_else(|| unmapped(stat.st_uid))?;
                let gid = idmap::inside(&map.gids, stat.st_gid).ok_or_else(|| unmapped(stat.st_gid))?;
                (uid.into(), gid.into())
            }
        };
        header.mtime =
            Timestamp { seconds: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) };
        if kind == Kind::Symlink {
            let target = rustix::fs::readlinkat(visit.directory, visit.name, Vec::new());
            header.link = target.map_err(io::Error::from)?.into_bytes();
        }
        let xattrs = tree::xattrs(visit.directory, visit.name.to_bytes()).map_err(io::Error::from)?;
        let ours = |name: &[u8]| !tree::is_mark(name) && !name.starts_with(b"system.");
        header.xattrs = xattrs.into_iter().filter(|xattr| ours(&xattr.name)).collect();
        Ok(header)
    }
}

/// What kind of entry of an archive a file becomes; a socket none, which archives cannot have.
pub fn entry_kind(stat: &Stat) -> Option<Kind> {
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Some(match tree::kind(stat) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        _ => return None,
    })
}

/// OCI image-spec `layer.md`, "Opaque Whiteout".
const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
