//! The way back: a snapshot's changes as a layer archive.

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
