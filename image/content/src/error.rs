//! What can go wrong with the store.

use std::io;
use std::path::PathBuf;

use base::{Classified, Digest, ErrorClass};

/// An operation on the content store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The content is not what its digest says.
    #[error(
        "content has digest {actual} but {expected} was expected: it was changed or damaged on its way, fetch it again"
    )]
    WrongDigest {
        /// The digest that the content must have.
        expected: Digest,
        /// The digest that it has.
        actual: Digest,
    },
    /// The content is not as long as announced.
    #[error(
        "content of {digest} has {actual} bytes but {expected} were expected: it was cut or padded on its way, fetch it again"
    )]
    WrongSize {
        /// Which content.
        digest: Digest,
        /// The announced length in bytes.
        expected: u64,
        /// The length met; when more came than announced, what had come until then.
        actual: u64,
    },
    /// No such blob.
    #[error("blob {digest} is not in the store: pull the image that has it")]
    BlobNotFound {
        /// Which one.
        digest: Digest,
    },
    /// No such image name.
    #[error("image {name} is not known: pull or load it first")]
    NameNotFound {
        /// Which one.
        name: String,
    },
    /// A file of ours has another format than we know.
    #[error("{} is not a file of this store's format: remove it, or check the store", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A lease's id cannot be used in a path.
    #[error(
        "lease id {id:?} is not valid: use 1 to 200 characters of [A-Za-z0-9_.-], not starting with a dot"
    )]
    InvalidLeaseId {
        /// What was given.
        id: String,
    },
    /// A document is too large to be read into memory.
    #[error("blob {digest} has {size} bytes: a document may have at most {limit}")]
    DocumentTooLarge {
        /// Which one.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl Error {
    /// Wraps an I/O error with what was being done on which path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Io { source, .. } => ErrorClass::of_io(source),
            Self::WrongDigest { .. } | Self::WrongSize { .. } | Self::Format { .. } => ErrorClass::Corrupt,
            Self::BlobNotFound { .. } | Self::NameNotFound { .. } => ErrorClass::NotFound,
            Self::InvalidLeaseId { .. } | Self::DocumentTooLarge { .. } => ErrorClass::Invalid,
        }
    }
}
