//! What can go wrong with an archive.

use std::io;

use base::{Classified, ErrorClass};

/// An archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source failed.
    #[error("read the archive at byte {offset}")]
    Read {
        /// How many bytes were read before.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sink failed.
    #[error("write the archive")]
    Write(#[source] io::Error),
    /// Reading what an entry is to contain failed.
    #[error("read the content of {entry:?} for the archive")]
    Content {
        /// The entry.
        entry: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive ends within an entry.
    #[error("the archive is cut: it ends within {what} at byte {offset}")]
    Truncated {
        /// Within what.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// A header's sum is wrong.
    #[error("no tar header at byte {offset}: its check sum is wrong")]
    Checksum {
        /// Where the header starts.
        offset: u64,
    },
    /// A number is not one, or out of range.
    #[error("the tar header at byte {offset} has no valid {field}")]
    Number {
        /// Which field.
        field: &'static str,
        /// Where the header starts.
        offset: u64,
    },
    /// A pax record is malformed.
    #[error("the extended header at byte {offset} is malformed: {why}")]
    Pax {
        /// What is wrong.
        why: &'static str,
        /// Where the header starts.
        offset: u64,
    },
    /// A sparse map is malformed.
    #[error("the sparse file at byte {offset} has a malformed map: {why}")]
    Sparse {
        /// What is wrong.
        why: &'static str,
        /// Where the header starts.
        offset: u64,
    },
    /// Something is beyond a limit.
    #[error("the archive is beyond a limit at byte {offset}: more than {limit} {what}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
        /// Where.
        offset: u64,
    },
    /// The content of an entry is not as long as its header says.
    #[error(
        "the content of {entry:?} has {actual} bytes but its header says {expected}: did it change meanwhile?"
    )]
    ContentSize {
        /// The entry.
        entry: String,
        /// What the header says.
        expected: u64,
        /// How long it is, or more.
        actual: u64,
    },
    /// A header cannot be expressed in the format.
    #[error("the entry {entry:?} cannot be put in an archive: {why}")]
    Unencodable {
        /// The entry.
        entry: String,
        /// Why not.
        why: &'static str,
    },
}

impl Classified for TarError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { source, .. } | Self::Write(source) | Self::Content { source, .. } => {
                ErrorClass::of_io(source)
            }
            Self::Truncated { .. } | Self::Checksum { .. } => ErrorClass::Corrupt,
            Self::Number { .. } | Self::Pax { .. } | Self::Sparse { .. } => ErrorClass::Invalid,
            Self::Limit { .. } => ErrorClass::ResourceExhausted,
            Self::ContentSize { .. } => ErrorClass::Conflict,
            Self::Unencodable { .. } => ErrorClass::Invalid,
        }
    }
}
