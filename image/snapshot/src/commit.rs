//! From a staged layer to the top of a chain.

use std::os::fd::{AsFd as _, OwnedFd};

use base::{Digest, failpoint};
use content::Lock;

use crate::chain::chain_id;
use crate::files::{list, now, remove_file, write_json};
use crate::finalize::{finalize, is_portable};
use crate::{Error, LayerInfo, LayerSpec, Snapshots, Staged, mount, tree};

impl Snapshots {
    /// Makes an unpacked layer the top of the chain `parent`; bottom up, one after the other.
    ///
    /// Another process may have committed the same chain meanwhile: then this one's work
    /// is discarded.
    pub fn commit(&self, staged: Staged, parent: Option<&Digest>) -> Result<LayerInfo, Error> {
        let Staged { spec, mut outcome, staging } = staged;
        let chain_id = chain_id(parent, &spec.diff_id);
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        if let Some(layer) = self.settled_chain(&chain_id)? {
            return Ok(layer);
        }
        let diff = tree::open_directory(&staging.path().join("fs"));
        let diff = diff.map_err(Error::io("open", staging.path()))?;
        let portable = is_portable(&outcome);
        let below = parent.map(|parent| self.merged_view(parent)).transpose()?;
        let below = below.as_ref().map(|below| below.as_fd());
        let settled = finalize(diff.as_fd(), below, &mut outcome);
        settled.map_err(|source| Error::Apply { diff_id: spec.diff_id.clone(), source })?;
        failpoint::hit("snapshot.finalized");

        let number = self.next_number()?;
        self.journal().note(chain_id.hex())?;
        staging.keep(&self.layer_path(number))?;
        failpoint::hit("snapshot.layer-renamed");
        let layer = LayerInfo {
            chain_id,
            parent: parent.cloned(),
            diff_id: spec.diff_id,
            blob: spec.blob,
            blob_size: spec.blob_size,
            bytes: outcome.bytes,
            entries: outcome.entries,
            created: now(),
            warnings: outcome.warnings,
            number,
            portable,
            root_is_own: outcome.root_is_own,
            path: self.layer_path(number).join("fs"),
        };
        write_json(&self.chain_path(&layer.chain_id), &layer)?;
        failpoint::hit("snapshot.chain-recorded");
        Ok(layer)
    }

    /// Puts a layer that another image has unpacked on top of `parent` without unpacking
    /// it again; `None` when there is none that fits.
    pub fn share(&self, spec: &LayerSpec, parent: Option<&Digest>) -> Result<Option<LayerInfo>, Error> {
        let chain_id = chain_id(parent, &spec.diff_id);
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        if let Some(layer) = self.settled_chain(&chain_id)? {
            return Ok(Some(layer));
        }
        let plain_root = match parent {
            Some(parent) => self.has_plain_root(parent)?,
            None => true,
        };
        let fits = |layer: &LayerInfo| {
            layer.portable && layer.diff_id == spec.diff_id && (layer.root_is_own || plain_root)
        };
        for found in self.chains()?.into_iter().filter(fits) {
            if !found.root_is_own && !is_plain(&found)? {
                continue;
            }
            self.journal().note(chain_id.hex())?;
            let (blob, blob_size) = match spec.blob {
                Some(_) => (spec.blob.clone(), spec.blob_size),
                None => (found.blob, found.blob_size),
            };
            let layer =
                LayerInfo { chain_id, parent: parent.cloned(), blob, blob_size, created: now(), ..found };
            write_json(&self.chain_path(&layer.chain_id), &layer)?;
            failpoint::hit("snapshot.chain-recorded");
            return Ok(Some(layer));
        }
        Ok(None)
    }

    /// A chain that is there and can be trusted. One that cannot is removed.
    fn settled_chain(&self, chain_id: &Digest) -> Result<Option<LayerInfo>, Error> {
        if let Some(layer) = self.find_chain(chain_id)? {
            return Ok(Some(layer));
        }
        if remove_file(&self.chain_path(chain_id))? {
            self.journal().settle_one(chain_id.hex())?;
        }
        Ok(None)
    }

    /// What a container of the chain sees, without a mount where one layer is all there is.
    fn merged_view(&self, chain_id: &Digest) -> Result<OwnedFd, Error> {
        let layers = mount::topmost_only(self.layers(chain_id)?);
        match &layers[..] {
            [layer] => tree::open_directory(&layer.path).map_err(Error::io("open", &layer.path)),
            layers => mount::read_only(chain_id.hex(), layers, None),
        }
    }

    fn has_plain_root(&self, chain_id: &Digest) -> Result<bool, Error> {
        let layer = self.find_chain(chain_id)?;
        let layer = layer.ok_or_else(|| Error::ChainNotFound { chain_id: chain_id.clone() })?;
        is_plain(&layer)
    }

    /// One more than any layer in use has.
    fn next_number(&self) -> Result<u64, Error> {
        let numbers = list(&self.path("layers"))?;
        let largest = numbers.iter().filter_map(|name| name.parse::<u64>().ok()).max();
        Ok(largest.map_or(1, |largest| largest + 1))
    }
}

/// Whether the layer's root directory is 0755 of root: what it is without an entry.
fn is_plain(layer: &LayerInfo) -> Result<bool, Error> {
    let stat = rustix::fs::stat(&layer.path).map_err(Error::io("look at", &layer.path))?;
    Ok(stat.st_mode & 0o7777 == 0o755 && stat.st_uid == 0 && stat.st_gid == 0)
}
