//! The snapshot store.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use base::{ContainerId, Digest};

use crate::{
    Active, DiffStream, DiffSummary, Error, IdMap, LayerInfo, LayerSpec, Limits, MountOptions, Pruned, Staged,
    UpperReport, Usage,
};

/// A snapshot store on disk. Values are cheap; any number of processes may have one open.
#[derive(Clone, Debug)]
pub struct Snapshots {
    root: PathBuf,
}

impl Snapshots {
    /// Opens the store at `root` and makes it if there is none.
    pub fn open(root: &Path) -> Result<Self, Error> {
        Ok(Self { root: root.to_owned() })
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a chain is unpacked and can be trusted.
    pub fn contains(&self, chain_id: &Digest) -> Result<bool, Error> {
        let _ = chain_id;
        todo!()
    }

    /// The layers of a chain, bottom first.
    pub fn layers(&self, chain_id: &Digest) -> Result<Vec<LayerInfo>, Error> {
        let _ = chain_id;
        todo!()
    }

    /// All committed layers.
    pub fn chains(&self) -> Result<Vec<LayerInfo>, Error> {
        todo!()
    }

    /// Unpacks a layer where nobody sees it; any number at the same time. Verifies the
    /// diffID. `stream` is the uncompressed archive (see [`crate::open_layer`]).
    pub fn stage<S: DiffStream>(&self, spec: &LayerSpec, stream: S, limits: &Limits) -> Result<Staged, Error> {
        let _ = (spec, stream, limits);
        todo!()
    }

    /// Makes an unpacked layer the top of the chain `parent`; bottom up, one after the other.
    pub fn commit(&self, staged: Staged, parent: Option<&Digest>) -> Result<LayerInfo, Error> {
        let _ = (staged, parent);
        todo!()
    }

    /// Puts a layer that another image has unpacked on top of `parent` without unpacking
    /// it again; `None` when there is none that fits.
    pub fn share(&self, spec: &LayerSpec, parent: Option<&Digest>) -> Result<Option<LayerInfo>, Error> {
        let _ = (spec, parent);
        todo!()
    }

    /// Protects chains from [`Snapshots::prune`] while an image is pulled; the lease's
    /// objects are chain ids.
    pub fn leases(&self) -> content::Leases {
        todo!()
    }

    /// What was committed since the last sync; settle it with the sync that
    /// [`content::Store::set_name`] makes, or call [`Snapshots::sync`].
    pub fn journal(&self) -> content::Journal {
        todo!()
    }

    /// Waits until the disk has every committed layer.
    pub fn sync(&self) -> Result<(), Error> {
        todo!()
    }

    /// Makes a writable snapshot on top of `chain`; without a chain it is empty.
    pub fn prepare(&self, key: &ContainerId, chain: Option<&Digest>, idmap: Option<&IdMap>) -> Result<Active, Error> {
        let _ = (key, chain, idmap);
        todo!()
    }

    /// Makes a read-only snapshot of `chain`.
    pub fn view(&self, key: &ContainerId, chain: &Digest, idmap: Option<&IdMap>) -> Result<Active, Error> {
        let _ = (key, chain, idmap);
        todo!()
    }

    /// The snapshot `key`.
    pub fn snapshot(&self, key: &ContainerId) -> Result<Active, Error> {
        let _ = key;
        todo!()
    }

    /// All snapshots.
    pub fn snapshots(&self) -> Result<Vec<Active>, Error> {
        todo!()
    }

    /// Mounts a snapshot; the mount is detached and lives as long as the descriptor or
    /// until it is moved somewhere with `move_mount(2)`.
    pub fn mount(&self, key: &ContainerId, options: MountOptions) -> Result<OwnedFd, Error> {
        let _ = (key, options);
        todo!()
    }

    /// Removes a snapshot; whether there was one. Its files are deleted later, by
    /// [`Snapshots::empty_trash`].
    pub fn remove(&self, key: &ContainerId) -> Result<bool, Error> {
        let _ = key;
        todo!()
    }

    /// Deletes what was removed.
    pub fn empty_trash(&self) -> Result<(), Error> {
        todo!()
    }

    /// The largest files of a snapshot's upper directory, and what it deletes.
    pub fn copied_up(&self, key: &ContainerId, largest: usize) -> Result<UpperReport, Error> {
        let _ = (key, largest);
        todo!()
    }

    /// Writes a snapshot's changes as a layer archive.
    pub fn diff<W: Write>(&self, key: &ContainerId, archive: W) -> Result<DiffSummary, Error> {
        let _ = (key, archive);
        todo!()
    }

    /// Removes layers that neither `keep`, a snapshot nor a live lease needs.
    pub fn prune(&self, keep: &[Digest]) -> Result<Pruned, Error> {
        let _ = keep;
        todo!()
    }

    /// What the store takes up.
    pub fn usage(&self) -> Result<Usage, Error> {
        todo!()
    }

    /// Clears away what a killed process or a crash of the machine left half done. Idempotent.
    pub fn recover(&self) -> Result<(), Error> {
        todo!()
    }

    /// Unpacks an uncompressed archive whose diffID is not known before.
    pub fn stage_import<R: Read>(&self, archive: R, limits: &Limits) -> Result<Staged, Error> {
        let _ = (archive, limits);
        todo!()
    }
}
