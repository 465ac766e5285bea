//! Which layers are still needed, and what all of them take up.

use std::collections::{BTreeMap, BTreeSet};

use base::Digest;

/// What a prune has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The chains, each with the bytes of its own layer.
    pub chains: Vec<Digest>,
    /// Bytes of file content that went.
    pub bytes: u64,
}

/// What the snapshots take up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Committed layers, each counted once however many images share it.
    pub layers: u64,
    /// Bytes that the disk gave them.
    pub layer_bytes: u64,
    /// Snapshots of containers.
    pub snapshots: u64,
    /// Bytes that the disk gave them.
    pub snapshot_bytes: u64,
    /// Bytes in staging and in the trash.
    pub other_bytes: u64,
}

/// The chains that `roots` need: themselves and everything below. Pure.
pub fn mark(parents: &BTreeMap<Digest, Option<Digest>>, roots: impl IntoIterator<Item = Digest>) -> BTreeSet<Digest> {
    let mut marked = BTreeSet::new();
    for root in roots {
        let mut next = Some(root);
        while let Some(chain) = next.take() {
            if let Some(parent) = parents.get(&chain)
                && marked.insert(chain)
            {
                next.clone_from(parent);
            }
        }
    }
    marked
}
