//! Layers that are unpacked but not yet committed.

use base::Digest;

/// Which layer is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// What the uncompressed archive's digest must be; from the image configuration.
    pub diff_id: Digest,
    /// The digest of the blob that it comes from, for the record.
    pub blob: Option<Digest>,
    /// The length of that blob in bytes, for the record and the ratio limit.
    pub blob_size: Option<u64>,
}

/// An unpacked layer that nobody can see yet. Dropped, it is discarded.
#[derive(Debug)]
pub struct Staged {}
