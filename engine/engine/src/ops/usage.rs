//! What is where on the disk, to the byte: every file below the data root belongs to one part.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base::Digest;

use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;

/// What the data root takes up, in bytes that the disk has given to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images: blobs and unpacked layers. Active are those that a container is made of.
    pub images: Part,
    /// Containers: writable layers and records. Active are those that run.
    pub containers: Part,
    /// What containers have written to their logs.
    pub logs: Part,
    /// Volumes. Active are those that a container has.
    pub volumes: Part,
    /// Everything else: names, networks, events, locks, and what waits to be deleted.
    pub state: Part,
    /// The sum of all, which is what `du` says.
    pub total_bytes: u64,
}

/// One part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// How many there are.
    pub total: u64,
    /// How many are in use.
    pub active: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes that a prune would free.
    pub reclaimable_bytes: u64,
}

impl Engine {
    /// What is where on the disk.
    pub fn disk_usage(&self) -> Result<DiskUsage, Error> {
        let records: Vec<Record> = self.list()?.into_iter().map(|listed| listed.record).collect();
        let mut usage = DiskUsage::default();
        let mut walk = Walk { seen: BTreeSet::new() };
        walk.tree(&self.paths().root, &mut |path, bytes| {
            usage.total_bytes += bytes;
            usage.part_of(path.strip_prefix(&self.paths().root).unwrap_or(path)).bytes += bytes;
        });
        let running = |record: &&Record| record.lifecycle.is_running();
        usage.containers.total = records.len() as u64;
        usage.containers.active = records.iter().filter(running).count() as u64;
        let idle = records.iter().filter(|record| !record.lifecycle.is_running());
        usage.containers.reclaimable_bytes = idle.map(|record| self.bytes_of(record)).sum();
        usage.logs.total =
            records.iter().filter(|record| self.paths().log(&record.id).exists()).count() as u64;
        usage.logs.active = usage.logs.total.min(usage.containers.active);
        self.count_volumes(&records, &mut usage.volumes)?;
        self.count_images(&records, &mut usage.images)?;
        Ok(usage)
    }

    fn count_volumes(&self, records: &[Record], part: &mut Part) -> Result<(), Error> {
        let used: BTreeSet<&str> = records.iter().flat_map(Record::volumes).collect();
        for volume in self.volumes()? {
            part.total += 1;
            if used.contains(volume.name.as_str()) {
                part.active += 1;
            } else {
                part.reclaimable_bytes += allocated(&self.paths().volumes().join(&volume.name));
            }
        }
        Ok(())
    }

    /// Reclaimable is what would be left of nothing if all images that no container is made of
    /// went: the rest is what the others share with them.
    fn count_images(&self, records: &[Record], part: &mut Part) -> Result<(), Error> {
        let images = self.images()?;
        let used: BTreeSet<&Digest> = records.iter().map(|record| &record.image.id).collect();
        let mut seen = BTreeSet::new();
        let (mut kept_blobs, mut kept_chains) = (BTreeSet::new(), BTreeSet::new());
        for record in records {
            kept_chains.extend(self.chain_of(record));
        }
        for row in images.list(&[])? {
            if !seen.insert(row.id.clone()) {
                continue;
            }
            part.total += 1;
            if !used.contains(&row.id) {
                continue;
            }
            part.active += 1;
            let Some(image) = images.try_find(row.id.hex(), None)? else { continue };
            kept_blobs.extend(image.manifest.layers.iter().map(|layer| layer.digest.clone()));
            kept_blobs.extend([image.id.clone(), image.manifest_descriptor.digest, image.target.digest]);
        }
        for digest in images.store().blobs().map_err(crate::images::Error::from)? {
            if !kept_blobs.contains(&digest) {
                part.reclaimable_bytes += allocated(&images.store().blob_path(&digest));
            }
        }
        for layer in self.snapshots()?.chains().map_err(Error::snapshot("store"))? {
            if !kept_chains.contains(&layer.chain_id) {
                part.reclaimable_bytes += allocated(&layer.path);
            }
        }
        part.reclaimable_bytes = part.reclaimable_bytes.min(part.bytes);
        Ok(())
    }

    /// The chains below a container.
    fn chain_of(&self, record: &Record) -> Vec<Digest> {
        let layers = record.image.chain.as_ref().zip(self.snapshots().ok());
        let layers = layers.and_then(|(chain, snapshots)| snapshots.layers(chain).ok()).unwrap_or_default();
        layers.into_iter().map(|layer| layer.chain_id).collect()
    }
}

impl DiskUsage {
    /// Which part a path below the data root belongs to.
    fn part_of(&mut self, path: &Path) -> &mut Part {
        let mut names = path.components().map(|name| name.as_os_str().to_string_lossy().into_owned());
        let (first, second) = (names.next().unwrap_or_default(), names.next());
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        match (first.as_str(), second.as_deref()) {
            ("content", Some("blobs" | "names" | "labels")) => &mut self.images,
            ("snapshots", Some("layers" | "chains")) => &mut self.images,
            ("snapshots", Some("active")) => &mut self.containers,
            ("containers", Some(_)) if last.contains("-json.log") => &mut self.logs,
            ("containers", Some(_)) => &mut self.containers,
            ("volumes", Some(_)) => &mut self.volumes,
            _ => &mut self.state,
        }
    }
}

/// Bytes that the disk has given to a file or a tree, each file once however many names it has.
pub(crate) fn allocated(path: &Path) -> u64 {
    let mut bytes = 0;
    Walk { seen: BTreeSet::new() }.tree(path, &mut |_, more| bytes += more);
    bytes
}

struct Walk {
    /// Files that have several names.
    seen: BTreeSet<(u64, u64)>,
}

impl Walk {
    /// Shows everything at and below `path`; what vanishes meanwhile takes up nothing.
    fn tree(&mut self, path: &Path, show: &mut impl FnMut(&Path, u64)) {
        let mut pending: Vec<PathBuf> = vec![path.to_owned()];
        while let Some(path) = pending.pop() {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if self.counts(&metadata) {
                show(&path, metadata.blocks() * 512);
            }
            if metadata.is_dir() {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                pending.extend(entries.map(|entry| entry.path()));
            }
        }
    }

    fn counts(&mut self, metadata: &Metadata) -> bool {
        metadata.is_dir() || metadata.nlink() == 1 || self.seen.insert((metadata.dev(), metadata.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_belongs_somewhere() {
        for (path, part) in [
            ("content/blobs/sha256/00", "images"),
            ("snapshots/layers/7/fs/etc", "images"),
            ("snapshots/active/0/fs/etc", "containers"),
            ("snapshots/trash/1", "state"),
            ("containers/0/container.json", "containers"),
            ("containers/0/0-json.log.1", "logs"),
            ("volumes/data/_data/x", "volumes"),
            ("events/events.jsonl", "state"),
            ("", "state"),
        ] {
            let mut usage = DiskUsage::default();
            usage.part_of(Path::new(path)).bytes = 1;
            let parts = [
                ("images", usage.images),
                ("containers", usage.containers),
                ("logs", usage.logs),
                ("volumes", usage.volumes),
                ("state", usage.state),
            ];
            let found: Vec<_> =
                parts.iter().filter(|(_, part)| part.bytes == 1).map(|(name, _)| *name).collect();
            assert_eq!(found, [part], "{path}");
        }
    }
}
