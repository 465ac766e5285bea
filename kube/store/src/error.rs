//! What can go wrong, and what may be done about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::{Classified, ErrorClass};
use bytes::Bytes;

use crate::types::{LeaseId, Position, Revision};

/// An operation on the store that was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The revision was dropped by a compaction.
    #[error(
        "revision {requested} is compacted away, the oldest kept is {compacted}: list again and go on from there"
    )]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// The oldest that can be read.
        compacted: Revision,
    },
    /// The revision does not exist yet.
    #[error("revision {requested} is in the future, the store is at {current}")]
    Future {
        /// What was asked for.
        requested: Revision,
        /// Where the store is.
        current: Revision,
    },
    /// No such lease: it expired, was revoked, or never was.
    #[error("lease {id} does not exist: grant a new one")]
    LeaseNotFound {
        /// Which.
        id: LeaseId,
    },
    /// The lease is taken, or is 0.
    #[error("lease {id} is taken or not a lease's name: choose another number")]
    LeaseTaken {
        /// Which.
        id: LeaseId,
    },
    /// A put that keeps the value or the lease of a key that does not exist.
    #[error("key {key:?} does not exist: give its value and lease")]
    KeyNotFound {
        /// Which.
        key: Bytes,
    },
    /// The key is written twice in one transaction.
    #[error("key {key:?} is written twice in one transaction: split the transaction")]
    DuplicateKey {
        /// Which.
        key: Bytes,
    },
    /// A key of no bytes.
    #[error("a key must not be empty")]
    EmptyKey,
    /// A limit of the request is exceeded.
    #[error("the transaction has {given} {what}, the limit is {max}: split it")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many.
        given: usize,
        /// How many may be.
        max: usize,
    },
    /// A record is not what was written.
    #[error("the store is damaged: {what} at revision {}.{}: restore a backup", at.revision, at.sub)]
    Damaged {
        /// What was found.
        what: &'static str,
        /// Where.
        at: Position,
    },
    /// Stored bytes are not what was written.
    #[error("the store is damaged: {file}: {what}, at byte {offset}: restore a backup")]
    DamagedFile {
        /// What was found.
        what: &'static str,
        /// In which of its files.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// A write did not reach the disk. Nothing is acknowledged after that; reads go on.
    #[error("the store takes no more writes, the disk failed: free space or replace the disk, then restart")]
    ReadOnly {
        /// What the disk said.
        #[source]
        cause: Arc<io::Error>,
    },
    /// There was no space for a write. Reads go on, and writes do when there is space again.
    #[error(
        "the disk that holds the store {} is full: free space on it, and writes go on by themselves",
        path.display()
    )]
    Full {
        /// The store's directory.
        path: PathBuf,
        /// What the disk said.
        #[source]
        cause: Arc<io::Error>,
    },
    /// Reading from an open file failed.
    #[error("read from the store's files")]
    Read {
        /// Why.
        #[source]
        cause: Arc<io::Error>,
    },
    /// An operation on a file.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: Arc<io::Error>,
    },
    /// What an earlier build made, on another ground.
    #[error(
        "{} is the store of an earlier build, which this one cannot read: carry it over with that build's \
         `strake store migrate --to-etcd` and this one's `--from-etcd`, or move it away to begin anew",
        path.display()
    )]
    Earlier {
        /// Its file.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error(
        "{} is open in another process, which takes no commands for it: stop that process first", path.display()
    )]
    InUse {
        /// Its directory.
        path: PathBuf,
    },
    /// The server that has the store open refused a command, or could not carry it out.
    #[error("the running server says: {message}")]
    Server {
        /// Its words.
        message: String,
    },
    /// What came from the server is not an answer.
    #[error("the running server's answer is broken off or not understood: use the build that it runs")]
    Garbled,
    /// A file is of a format that this build does not know.
    #[error("the store has format {found}, this build knows {known}: use the build that wrote it")]
    Format {
        /// What the file says.
        found: u32,
        /// What this build writes.
        known: u32,
    },
    /// The target of a migration holds something.
    #[error("the target holds {keys} keys already: migrate into an empty store")]
    NotEmpty {
        /// How many.
        keys: usize,
    },
    /// No member of an etcd cluster was named.
    #[error("no etcd endpoint is given: name at least one, such as https://10.0.0.1:2379")]
    NoEndpoint,
    /// An address of an etcd member, or the certificates for it, cannot be used.
    #[error(
        "etcd endpoint {endpoint} cannot be used: give it as https://HOST:PORT, certificates and key as PEM"
    )]
    Endpoint {
        /// The address.
        endpoint: String,
        /// Why.
        #[source]
        cause: Arc<tonic::transport::Error>,
    },
    /// etcd did not do it. Of a write it is unknown whether it happened.
    #[error("{doing}: check that the endpoints are right and most members are up")]
    Etcd {
        /// What was being done.
        doing: &'static str,
        /// What etcd or the connection said.
        #[source]
        cause: Arc<tonic::Status>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    pub(crate) fn read(cause: io::Error) -> Self {
        Self::Read { cause: Arc::new(cause) }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Io { doing, path: path.into(), cause: Arc::new(cause) }
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Compacted { .. }
            | Self::Future { .. }
            | Self::LeaseTaken { .. }
            | Self::InUse { .. }
            | Self::NotEmpty { .. } => ErrorClass::Conflict,
            Self::LeaseNotFound { .. } | Self::KeyNotFound { .. } => ErrorClass::NotFound,
            Self::DuplicateKey { .. } | Self::EmptyKey | Self::TooLarge { .. } => ErrorClass::Invalid,
            Self::Damaged { .. } | Self::DamagedFile { .. } => ErrorClass::Corrupt,
            Self::ReadOnly { cause }
            | Self::Full { cause, .. }
            | Self::Read { cause }
            | Self::Io { cause, .. } => cause.class(),
            Self::NoEndpoint | Self::Endpoint { .. } => ErrorClass::Invalid,
            Self::Etcd { cause, .. } => of_etcd(cause.code()),
            Self::Format { .. } | Self::Earlier { .. } => ErrorClass::Unsupported,
            Self::Closed | Self::Server { .. } | Self::Garbled => ErrorClass::Unavailable,
        }
    }
}

fn of_etcd(code: tonic::Code) -> ErrorClass {
    match code {
        tonic::Code::InvalidArgument => ErrorClass::Invalid,
        tonic::Code::PermissionDenied => ErrorClass::PermissionDenied,
        tonic::Code::Unauthenticated => ErrorClass::Unauthenticated,
        tonic::Code::ResourceExhausted => ErrorClass::ResourceExhausted,
        tonic::Code::DeadlineExceeded => ErrorClass::TimedOut,
        _ => ErrorClass::Unavailable,
    }
}
