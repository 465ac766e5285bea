//! What can go wrong with layers and snapshots.

use std::fmt;
use std::io;
use std::path::PathBuf;

use archive::tar::TarError;
use base::{Classified, Digest, ErrorClass};

/// An operation on the snapshot store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// On which file or object.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A layer could not be unpacked.
    #[error("unpack layer {diff_id}")]
    Apply {
        /// Which layer.
        diff_id: Digest,
        /// Why.
        #[source]
        source: ApplyError,
    },
    /// Leases, journal or lock failed.
    #[error("keep the books of the snapshots")]
    Books(#[from] content::Error),
    /// No such chain of layers.
    #[error("the layers {chain_id} are not unpacked: pull the image again")]
    ChainNotFound {
        /// The chain's id.
        chain_id: Digest,
    },
    /// No snapshot with this key.
    #[error("there is no snapshot {key}")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// The key is in use.
    #[error("snapshot {key} exists already: remove it first, or take another name")]
    AlreadyExists {
        /// The key.
        key: String,
    },
    /// The operation needs a writable snapshot.
    #[error("snapshot {key} is a read-only view: it has no changes of its own")]
    ReadOnly {
        /// Its key.
        key: String,
    },
    /// The kernel cannot mount this.
    #[error("mount the overlay of snapshot {key} ({layers} layers): {what}{}", said(kernel))]
    Mount {
        /// The snapshot's key.
        key: String,
        /// How many lower layers it has.
        layers: usize,
        /// Which step, and what would help.
        what: &'static str,
        /// What the kernel wrote about it.
        kernel: String,
        /// The error number.
        #[source]
        source: io::Error,
    },
    /// More layers than overlayfs stacks.
    #[error("the image has {layers} layers, overlayfs takes at most {max}: squash the image")]
    TooManyLayers {
        /// How many it has.
        layers: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The disk cannot limit what a snapshot takes of it.
    #[error("limit a container's layer to {bytes} bytes{}", why_unlimited(source))]
    Limit {
        /// The limit.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A map of ids is not usable.
    #[error("id map is not valid: {why}")]
    InvalidIdMap {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file of ours has another format than we know.
    #[error("{} is not a file of this store's format: remove the snapshot, or pull the image again", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Writing the archive of a snapshot's changes failed.
    #[error("write the changes of snapshot {key} as an archive")]
    Archive {
        /// The snapshot.
        key: String,
        /// Why.
        #[source]
        source: TarError,
    },
}

/// A layer could not be unpacked. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The archive is not well formed, or is beyond a limit of the format.
    #[error("read the layer's archive")]
    Tar(#[from] TarError),
    /// An entry is refused.
    #[error(transparent)]
    Refused(#[from] EntryError),
    /// An entry could not be created.
    #[error("create {entry:?}: {action}")]
    Entry {
        /// The entry's name in the archive.
        entry: String,
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The uncompressed layer is not what its configuration says.
    #[error(
        "the layer's content has diffID {actual} but its configuration says {expected}: the image is damaged or forged"
    )]
    WrongDiffId {
        /// What the image's configuration says.
        expected: Digest,
        /// What was unpacked.
        actual: Digest,
    },
    /// Reading the rest of the stream failed.
    #[error("read the layer")]
    Read(#[source] io::Error),
    /// The whole layer is too large.
    #[error(
        "the layer is beyond the limit of {limit} {what}: if it is meant to be so large, raise the limit"
    )]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
}

/// One entry of a layer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the layer is refused because of its entry {entry:?}: {refusal}")]
pub struct EntryError {
    /// The entry's name in the archive.
    pub entry: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name starts with a slash.
    #[error("its name is absolute")]
    Absolute,
    /// The name has a `..` component.
    #[error("its name climbs out by `..`")]
    DotDot,
    /// The name is empty or has a NUL byte.
    #[error("its name is empty or has a NUL byte")]
    BadName,
    /// A part of the name is longer than a file name may be.
    #[error("a part of its name is longer than 255 bytes, or the name than 4095")]
    NameTooLong,
    /// A hard link's target climbs out, is empty or is the link itself.
    #[error("it is a hard link to {target:?}, which is outside the layer or the link itself")]
    LinkTarget {
        /// Where it links to.
        target: String,
    },
    /// A hard link's target is nowhere.
    #[error("it is a hard link to {target:?}, which is neither in this layer nor in those below")]
    LinkMissing {
        /// Where it links to.
        target: String,
    },
    /// A hard link to a directory or to something that the layer deletes.
    #[error("it is a hard link to {target:?}, which cannot be linked to")]
    LinkKind {
        /// Where it links to.
        target: String,
    },
    /// A directory of its path is a symbolic link.
    #[error("its path goes through the symbolic link {through:?}")]
    ThroughSymlink {
        /// Which part of the path.
        through: String,
    },
    /// A directory of its path is no directory.
    #[error("its path goes through {through:?}, which is not a directory")]
    ThroughFile {
        /// Which part of the path.
        through: String,
    },
    /// A whiteout's name says nothing, `.` or `..`, or it is inside the path.
    #[error("it is a whiteout of nothing, of `.`, of `..`, or has a whiteout's name inside its path")]
    BadWhiteout,
    /// A whiteout that is not an empty file.
    #[error("it has a whiteout's name but is not an empty file")]
    WhiteoutKind,
    /// A character device 0:0, which overlayfs takes as a whiteout.
    #[error("it is the character device 0:0, which overlayfs takes as a deletion")]
    WhiteoutDevice,
    /// An attribute that overlayfs reads.
    #[error("it sets the attribute {name:?}, which belongs to overlayfs")]
    OverlayAttribute {
        /// The attribute.
        name: String,
    },
    /// It would replace a directory that has entries of this layer.
    #[error("it replaces a directory that this layer has filled")]
    ReplacesDirectory,
    /// It would replace the root directory.
    #[error("it makes the root directory something else")]
    RootKind,
    /// A kind of entry that no layer may have.
    #[error("its type {code:?} is not one that a layer may have")]
    UnknownKind {
        /// The type flag.
        code: char,
    },
    /// An owner that no file system can store.
    #[error("its owner or mode is out of range")]
    BadOwner,
    /// The owner is beyond the ids of the user namespace that we are in.
    #[error(
        "its owner {uid}:{gid} is beyond the {users} users and {groups} groups that you have: lines of \
         /etc/subuid and /etc/subgid give more, such as `YOU:100000:65536`, once none of your containers runs \
         and your keeper process has ended"
    )]
    UnknownOwner {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// Users that there are.
        users: u32,
        /// Groups that there are.
        groups: u32,
    },
    /// A device number that the kernel cannot have.
    #[error("its device number is out of range")]
    BadDevice,
    /// A symbolic link without a target or with one that is too long.
    #[error("it is a symbolic link with an empty target or one beyond 4095 bytes")]
    BadSymlink,
}

impl Error {
    /// Wraps an I/O error with what was being done on which path.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }
}

impl ApplyError {
    /// Wraps a failed system call for one entry.
    pub(crate) fn entry<E: Into<io::Error>>(action: &'static str, name: &[u8]) -> impl FnOnce(E) -> Self {
        let entry = printable(name);
        move |source| Self::Entry { entry, action, source: source.into() }
    }

    /// Refuses an entry.
    pub(crate) fn refused(name: &[u8], refusal: Refusal) -> Self {
        Self::Refused(EntryError { entry: printable(name), refusal })
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Io { source, .. } => ErrorClass::of_io(source),
            Self::Apply { source, .. } => source.class(),
            Self::Books(source) => source.class(),
            Self::ChainNotFound { .. } | Self::NotFound { .. } => ErrorClass::NotFound,
            Self::AlreadyExists { .. } => ErrorClass::AlreadyExists,
            Self::ReadOnly { .. } => ErrorClass::Conflict,
            Self::Mount { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                ErrorClass::ResourceExhausted
            }
            Self::Mount { .. } | Self::Limit { .. } => ErrorClass::Unsupported,
            Self::TooManyLayers { .. } | Self::InvalidIdMap { .. } => ErrorClass::Invalid,
            Self::Format { .. } => ErrorClass::Corrupt,
            Self::Archive { .. } => ErrorClass::Internal,
        }
    }
}

impl Classified for ApplyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Tar(source) => source.class(),
            Self::Refused(_) => ErrorClass::Invalid,
            Self::Entry { source, .. } | Self::Read(source) => ErrorClass::of_io(source),
            Self::WrongDiffId { .. } => ErrorClass::Corrupt,
            Self::Limit { .. } => ErrorClass::ResourceExhausted,
        }
    }
}

/// A name from an archive for people: bad bytes replaced, cut when very long.
pub(crate) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    match text.char_indices().nth(NAME_SHOWN_CHARS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into_owned(),
    }
}

fn why_unlimited(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ": only root can",
        _ => {
            " (--storage-opt size): that is supported only for overlay over xfs with 'pquota' mount option, or over ext4 \
             made with `-O quota,project` and mounted with prjquota"
        }
    }
}

fn said(kernel: &str) -> impl fmt::Display {
    if kernel.is_empty() { String::new() } else { format!(" (kernel: {kernel})") }
}

/// How much of an entry's name an error shows.
const NAME_SHOWN_CHARS: usize = 200;
