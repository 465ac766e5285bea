//! Committed layers and the chains they form.

use std::path::PathBuf;

use base::Digest;
use serde::{Deserialize, Serialize};

use crate::files::{list, read_json};
use crate::{Error, Snapshots};

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
    /// How many entries the archive has.
    pub entries: u64,
    /// Seconds since 1970 when it was unpacked.
    pub created: u64,
    /// What could not be kept, such as an attribute that this file system does not take.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The number of its directory; chains that share a layer have the same.
    pub(crate) number: u64,
    /// Whether the layer's diff does not depend on its parent.
    pub(crate) portable: bool,
    /// Whether the layer says what the root directory is like.
    pub(crate) root_is_own: bool,
    /// The directory with its files, as overlayfs sees them.
    #[serde(skip)]
    pub path: PathBuf,
}

/// The id of the chain of `diff_id` on top of `parent` (OCI image-spec `config.md`).
pub(crate) fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::sha256_of(format!("{parent} {diff_id}").as_bytes()),
    }
}

impl Snapshots {
    /// Whether a chain is unpacked and can be trusted.
    pub fn contains(&self, chain_id: &Digest) -> Result<bool, Error> {
        Ok(self.find_chain(chain_id)?.is_some())
    }

    /// The layers of a chain, bottom first.
    pub fn layers(&self, chain_id: &Digest) -> Result<Vec<LayerInfo>, Error> {
        let mut layers = Vec::new();
        let mut next = Some(chain_id.clone());
        while let Some(chain_id) = next.take() {
            let layer = self.find_chain(&chain_id)?.ok_or(Error::ChainNotFound { chain_id })?;
            next.clone_from(&layer.parent);
            layers.push(layer);
        }
        layers.reverse();
        Ok(layers)
    }

    /// All committed layers, one for each chain that ends with it.
    pub fn chains(&self) -> Result<Vec<LayerInfo>, Error> {
        let mut chains = Vec::new();
        for name in list(&self.path("chains"))? {
            let digest = name.strip_suffix(".json").map(|hex| Digest::parse(&format!("sha256:{hex}")));
            if let Some(Ok(digest)) = digest {
                chains.extend(self.find_chain(&digest)?);
            }
        }
        Ok(chains)
    }

    /// Whether some image has unpacked this layer such that it fits any parent; then
    /// [`Snapshots::share`] most likely spares unpacking it.
    pub fn has_shareable(&self, diff_id: &Digest) -> Result<bool, Error> {
        Ok(self.chains()?.iter().any(|layer| layer.portable && layer.diff_id == *diff_id))
    }

    /// A chain's top layer; `None` when it is not there or suspect after a crash of the
    /// machine.
    pub(crate) fn find_chain(&self, chain_id: &Digest) -> Result<Option<LayerInfo>, Error> {
        let Some(layer) = self.read_chain(chain_id)? else { return Ok(None) };
        let suspect = self.journal().is_suspect(chain_id.hex())?;
        Ok(Some(layer).filter(|_| !suspect))
    }

    pub(crate) fn read_chain(&self, chain_id: &Digest) -> Result<Option<LayerInfo>, Error> {
        let layer: Option<LayerInfo> = read_json(&self.chain_path(chain_id))?;
        Ok(layer.map(|layer| LayerInfo { path: self.layer_path(layer.number).join("fs"), ..layer }))
    }

    pub(crate) fn chain_path(&self, chain_id: &Digest) -> PathBuf {
        self.path("chains").join(format!("{}.json", chain_id.hex()))
    }

    pub(crate) fn layer_path(&self, number: u64) -> PathBuf {
        self.path("layers").join(number.to_string())
    }
}
