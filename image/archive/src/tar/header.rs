//! What an archive says about an entry.

use std::borrow::Cow;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, sparse or not.
    File,
    /// Another name of the file that [`Header::link`] names.
    HardLink,
    /// A symbolic link to [`Header::link`].
    Symlink,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A type flag that we do not know.
    Other(u8),
}

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970, rounded down.
    pub seconds: i64,
    /// And nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// A piece of a sparse file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Its name with the namespace: `security.capability`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// What an archive says about an entry. Names are bytes as they stand in the archive:
/// nothing is normalised, and nothing is safe to be used as a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The entry's name.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The target of a link.
    pub link: Vec<u8>,
    /// Permission bits with set-uid, set-gid and sticky: 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// The owner's name, often empty.
    pub user: Vec<u8>,
    /// The group's name, often empty.
    pub group: Vec<u8>,
    /// The length of a file in bytes, holes included.
    pub size: u64,
    /// When it was changed.
    pub mtime: Timestamp,
    /// Extended attributes in the archive's order.
    pub xattrs: Vec<Xattr>,
    /// Where a sparse file has data; `None` when it is not sparse.
    pub extents: Option<Vec<Extent>>,
}

impl Header {
    /// A regular file, 0644, owned by root, of 1970.
    pub fn file(path: impl Into<Vec<u8>>, size: u64) -> Self {
        Self::new(path, Kind::File, 0o644, size)
    }

    /// A directory, 0755.
    pub fn directory(path: impl Into<Vec<u8>>) -> Self {
        Self::new(path, Kind::Directory, 0o755, 0)
    }

    /// A symbolic link.
    pub fn symlink(path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Self { link: target.into(), ..Self::new(path, Kind::Symlink, 0o777, 0) }
    }

    /// Another name for an earlier entry.
    pub fn hard_link(path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Self { link: target.into(), ..Self::new(path, Kind::HardLink, 0o644, 0) }
    }

    /// An entry of any kind.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind, mode: u32, size: u64) -> Self {
        Self {
            path: path.into(),
            kind,
            link: Vec::new(),
            mode,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            size,
            mtime: Timestamp::default(),
            xattrs: Vec::new(),
            extents: None,
        }
    }

    /// The same with another mode.
    #[must_use]
    pub fn with_mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// The same with another owner.
    #[must_use]
    pub fn with_owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn with_xattr(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.xattrs.push(Xattr { name: name.into(), value: value.into() });
        self
    }

    /// The name for people.
    pub fn path_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.path)
    }

    /// The name without leading `./` and `/` and trailing `/`: how two archives' names
    /// are compared. `..` is not touched.
    pub fn trimmed_path(&self) -> &[u8] {
        let mut path = &self.path[..];
        loop {
            path = match path {
                [b'/', rest @ ..] | [b'.', b'/', rest @ ..] | [rest @ .., b'/'] => rest,
                b"." => &[],
                _ => return path,
            };
        }
    }
}
