//! Which layers are still needed, and what all of them take up.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use base::{Digest, failpoint};
use content::Lock;

use crate::files::{list, remove_file};
use crate::{Error, Snapshots, tree};

/// What a prune has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The chains.
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
pub fn mark(
    parents: &BTreeMap<Digest, Option<Digest>>,
    roots: impl IntoIterator<Item = Digest>,
) -> BTreeSet<Digest> {
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

impl Snapshots {
    /// Removes layers that neither `keep`, a snapshot nor a live lease needs. Their files
    /// are deleted later, by [`Snapshots::empty_trash`].
    pub fn prune(&self, keep: &[Digest]) -> Result<Pruned, Error> {
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        let chains = self.chains()?;
        let parents = chains.iter().map(|layer| (layer.chain_id.clone(), layer.parent.clone())).collect();
        let leased = self.leases().protected()?;
        let leased = leased.iter().filter_map(|text| Digest::parse(text).ok());
        let used = self.snapshots()?.into_iter().filter_map(|snapshot| snapshot.chain_id);
        let marked = mark(&parents, keep.iter().cloned().chain(leased).chain(used));

        let mut pruned = Pruned::default();
        let in_use: BTreeSet<u64> = chains
            .iter()
            .filter(|layer| marked.contains(&layer.chain_id))
            .map(|layer| layer.number)
            .collect();
        let mut gone = BTreeSet::new();
        for layer in chains.into_iter().filter(|layer| !marked.contains(&layer.chain_id)) {
            remove_file(&self.chain_path(&layer.chain_id))?;
            failpoint::hit("snapshot.prune-record-removed");
            self.journal().settle_one(layer.chain_id.hex())?;
            if !in_use.contains(&layer.number) && gone.insert(layer.number) {
                self.discard(&self.layer_path(layer.number))?;
                failpoint::hit("snapshot.prune-layer-removed");
                pruned.bytes += layer.bytes;
            }
            pruned.chains.push(layer.chain_id);
        }
        Ok(pruned)
    }

    /// What the store takes up.
    pub fn usage(&self) -> Result<Usage, Error> {
        let sum = |name: &str| -> Result<(u64, u64), Error> {
            let directory = self.path(name);
            let (mut count, mut bytes) = (0, 0);
            for name in list(&directory)? {
                let path = directory.join(name);
                bytes += allocated(&path).map_err(Error::io("look through", path))?;
                count += 1;
            }
            Ok((count, bytes))
        };
        let (layers, layer_bytes) = sum("layers")?;
        let (snapshots, snapshot_bytes) = sum("active")?;
        let other_bytes = sum("staging")?.1 + sum("trash")?.1;
        Ok(Usage { layers, layer_bytes, snapshots, snapshot_bytes, other_bytes })
    }

    /// Bytes that the disk gave to a snapshot's own changes.
    pub fn changes_bytes(&self, key: &base::ContainerId) -> Result<u64, Error> {
        let upper = self.upper(key)?;
        allocated(&upper).map_err(Error::io("look through", upper))
    }
}

/// Bytes that the disk gave to a tree, each file once however many names it has.
fn allocated(path: &Path) -> io::Result<u64> {
    let root = match tree::open_directory(path) {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut blocks = rustix::fs::fstat(&root)?.st_blocks;
    let mut seen = BTreeSet::new();
    tree::walk(root.as_fd(), |visit| -> io::Result<()> {
        let stat = &visit.stat;
        if stat.st_nlink == 1
            || tree::kind(stat) == rustix::fs::FileType::Directory
            || seen.insert(stat.st_ino)
        {
            blocks += stat.st_blocks;
        }
        Ok(())
    })?;
    Ok(u64::try_from(blocks).unwrap_or(0) * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: char) -> Digest {
        Digest::sha256_of(name.to_string().as_bytes())
    }

    /// `ab bc` says that a is below b and b below c.
    #[track_caller]
    fn check(edges: &str, roots: &str, marked: &str) {
        let mut parents: BTreeMap<Digest, Option<Digest>> = BTreeMap::new();
        for edge in edges.split(' ') {
            let mut names = edge.chars();
            let (Some(parent), child) = (names.next(), names.next()) else { continue };
            parents.entry(digest(parent)).or_insert(None);
            child.map(|child| parents.insert(digest(child), Some(digest(parent))));
        }
        let found = mark(&parents, roots.chars().map(digest));
        assert_eq!(found, marked.chars().map(digest).collect());
    }

    #[test]
    fn marks_down_to_the_base() {
        check("ab bc bd", "c", "abc");
        check("ab bc bd", "cd", "abcd");
        check("ab e", "e", "e");
        check("ab", "", "");
        check("ab", "z", "");
    }
}
