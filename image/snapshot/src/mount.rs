//! Detached overlay mounts.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};

use base::ContainerId;
use sys::mount::{Change, attr};

use crate::active::{Kind, clear_volatile};
use crate::overlay::Overlay;
use crate::{Error, IdMap, LayerInfo, Snapshots, idmap};

/// How a snapshot is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Never wait for the disk, neither on `fsync` inside nor when the mount goes away
    /// (overlayfs' `volatile`). For containers that are removed when they end: without it
    /// the last unmount writes out the whole file system that the upper directory is on.
    pub volatile: bool,
    /// Mount it read-only.
    pub read_only: bool,
    /// SELinux's label of all its files.
    pub context: Option<String>,
}

impl Snapshots {
    /// Mounts a snapshot; the mount is detached and lives as long as the descriptor or
    /// until it is moved somewhere with `move_mount(2)`. With an id map the caller must
    /// have one thread (see [`sys::idmap::user_namespace`]).
    pub fn mount(&self, key: &ContainerId, options: MountOptions) -> Result<OwnedFd, Error> {
        let snapshot = self.snapshot(key)?;
        let layers = snapshot.chain_id.as_ref().map(|chain| self.layers(chain));
        let layers = topmost_only(layers.transpose()?.unwrap_or_default());
        let id_map = snapshot.idmap.as_ref();
        let Some(upper) = snapshot.upper.filter(|_| snapshot.kind == Kind::Active) else {
            return read_only(key.as_str(), &layers, id_map);
        };
        let work = self.active_path(key).join("work");
        clear_volatile(&work)?;
        if layers.is_empty() {
            // Overlayfs needs a lower layer: without an image the upper is all there is.
            return clone(&upper, None, options.read_only);
        }
        let _room = snapshot.limit.map(|limit| limit.make_room(&upper)).transpose()?;
        let mut overlay = Overlay::open(key.as_str(), layers.len())?;
        overlay.lower(&layers, id_map)?;
        overlay.directory("upperdir", &upper)?;
        overlay.directory("workdir", &work)?;
        if options.volatile {
            overlay.flag("volatile")?;
        }
        if let Some(context) = options.context {
            overlay.option("context", &context)?;
        }
        overlay.mount(options.read_only)
    }
}

/// The layers merged, read-only.
pub(crate) fn read_only(key: &str, layers: &[LayerInfo], id_map: Option<&IdMap>) -> Result<OwnedFd, Error> {
    match layers {
        // Overlayfs wants two layers when there is no upper one.
        [layer] => clone(&layer.path, id_map, true),
        layers => {
            let mut overlay = Overlay::open(key, layers.len())?;
            overlay.lower(layers, id_map)?;
            overlay.mount(true)
        }
    }
}

/// A chain may have a layer twice (an empty one, most often), overlayfs may not. The
/// upper one hides everything that the lower one has, so the lower one goes.
pub(crate) fn topmost_only(mut layers: Vec<LayerInfo>) -> Vec<LayerInfo> {
    let mut seen = BTreeSet::new();
    layers.reverse();
    layers.retain(|layer| seen.insert(layer.number));
    layers.reverse();
    layers
}

/// A detached copy of the mount at a directory of ours, which is all of it.
fn clone(path: &std::path::Path, id_map: Option<&IdMap>, read_only: bool) -> Result<OwnedFd, Error> {
    let failed = || Error::io("mount", path);
    let mount = sys::mount::clone_path(path, false).map_err(failed())?;
    let user_namespace = id_map.map(idmap::user_namespace).transpose()?;
    let set = if read_only { attr::RDONLY } else { 0 };
    let change = Change {
        set,
        idmap: user_namespace.as_ref().map(|namespace| namespace.as_fd()),
        ..Change::default()
    };
    if !change.is_empty() {
        sys::mount::set_attributes(&mount, &change).map_err(failed())?;
    }
    Ok(mount)
}
