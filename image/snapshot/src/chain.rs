//! Committed layers and the chains they form.

use std::path::PathBuf;

use base::Digest;
use serde::{Deserialize, Serialize};

/// A committed layer at its place in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// The chain that ends with this layer (OCI image-spec `config.md`, "Layer ChainID").
    pub chain_id: Digest,
    /// The chain below it.
    pub parent: Option<Digest>,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The digest of the blob that it came from, when one is known.
    pub blob: Option<Digest>,
    /// The length of that blob in bytes.
    pub blob_size: Option<u64>,
    /// Bytes of file content on disk.
    pub bytes: u64,
    /// How many files, directories and links.
    pub entries: u64,
    /// Seconds since 1970 when it was unpacked.
    pub created: u64,
    /// What could not be kept, such as an attribute that this file system does not take.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The number of its directory.
    pub(crate) number: u64,
    /// The directory with its files, as overlayfs sees them.
    #[serde(skip)]
    pub path: PathBuf,
}
