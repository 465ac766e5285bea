//! Detached overlay mounts.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use base::ContainerId;
use rustix::fs::{Mode, OFlags};
use sys::mount::{Change, FsContext, attr};

use crate::active::{Kind, clear_volatile};
use crate::{Error, IdMap, LayerInfo, Snapshots, idmap, tree};

/// How a snapshot is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Never wait for the disk, neither on `fsync` inside nor when the mount goes away
    /// (overlayfs' `volatile`). For containers that are removed when they end: without it
    /// the last unmount writes out the whole file system that the upper directory is on.
    pub volatile: bool,
    /// Mount it read-only.
    pub read_only: bool,
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
        let mut overlay = Overlay::open(key.as_str(), layers.len())?;
        overlay.lower(&layers, id_map)?;
        overlay.directory("upperdir", &upper)?;
        overlay.directory("workdir", &work)?;
        if options.volatile {
            overlay.flag("volatile")?;
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

/// An overlay that is being configured.
struct Overlay<'a> {
    context: FsContext,
    key: &'a str,
    layers: usize,
    /// Whether the kernel takes layers as descriptors (Linux 6.13).
    by_descriptor: bool,
    /// What the configuration refers to by number until it is mounted.
    held: Vec<OwnedFd>,
}

impl<'a> Overlay<'a> {
    fn open(key: &'a str, layers: usize) -> Result<Self, Error> {
        if layers > LAYERS_MAX {
            return Err(Error::TooManyLayers { layers, max: LAYERS_MAX });
        }
        let failed = |source| Error::Mount {
            key: key.to_owned(),
            layers,
            what: "this kernel has no overlayfs: load the module `overlay`",
            kernel: String::new(),
            source,
        };
        let context = FsContext::open("overlay").map_err(failed)?;
        let overlay = Self { context, key, layers, by_descriptor: true, held: Vec::new() };
        overlay.set("source", "overlay")?;
        for (option, value) in OPTIONS {
            overlay.set(option, value)?;
        }
        Ok(overlay)
    }

    /// Adds the layers, the topmost first.
    fn lower(&mut self, layers: &[LayerInfo], id_map: Option<&IdMap>) -> Result<(), Error> {
        let user_namespace = id_map.map(idmap::user_namespace).transpose()?;
        for layer in layers.iter().rev() {
            match &user_namespace {
                None => self.directory("lowerdir+", &layer.path)?,
                Some(namespace) => {
                    let failed = || Error::io("map the owners of", &layer.path);
                    let (mount, directory) = idmapped(&layer.path, namespace.as_fd()).map_err(failed())?;
                    // A detached mount goes with its last descriptor, though a directory in
                    // it is open: it must live until overlayfs has its own copy.
                    self.held.push(mount);
                    self.descriptor("lowerdir+", directory, &layer.path)?;
                }
            }
        }
        Ok(())
    }

    /// Gives the option `key` a directory, by descriptor if the kernel takes one.
    fn directory(&mut self, key: &str, path: &std::path::Path) -> Result<(), Error> {
        let directory = tree::open_directory(path).map_err(Error::io("open", path))?;
        self.descriptor(key, directory, path)
    }

    fn descriptor(&mut self, key: &str, directory: OwnedFd, path: &std::path::Path) -> Result<(), Error> {
        use std::os::fd::AsRawFd as _;
        if self.by_descriptor {
            match self.context.set_fd(key, &directory) {
                Ok(()) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                    self.by_descriptor = false;
                }
                Err(error) => return Err(self.failed("set a layer", error)),
            }
        }
        // The path by which our own descriptor is reached is short, whatever the store's is.
        let short = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let set = self.context.set(key, &short);
        self.held.push(directory);
        set.map_err(|error| {
            let _ = path;
            self.failed("set a layer: images with several layers need Linux 6.8 or newer", error)
        })
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        self.context.set(key, value).map_err(|error| self.failed("set an option", error))
    }

    fn flag(&self, key: &str) -> Result<(), Error> {
        self.context.set_flag(key).map_err(|error| self.failed("set an option", error))
    }

    fn mount(self, read_only: bool) -> Result<OwnedFd, Error> {
        let attributes = if read_only { attr::RDONLY } else { 0 };
        self.context.mount(attributes).map_err(|error| self.failed(REFUSED, error))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> Error {
        let kernel = self.context.messages().join("; ");
        Error::Mount { key: self.key.to_owned(), layers: self.layers, what, kernel, source }
    }
}

/// A detached mount whose owners are mapped, and the directory of ours in it.
fn idmapped(path: &std::path::Path, user_namespace: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let mount = sys::mount::clone_path(path, false)?;
    sys::mount::set_attributes(&mount, &Change { idmap: Some(user_namespace), ..Change::default() })?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&mount, c".", flags, Mode::empty())?;
    Ok((mount, directory))
}

/// What the module's defaults must not change: the upper directory has whole files and
/// whole directories, so that it can be read, measured and committed as it is, and lower
/// layers may be used by many mounts.
const OPTIONS: [(&str, &str); 3] = [("metacopy", "off"), ("redirect_dir", "off"), ("index", "off")];

const REFUSED: &str = "the kernel refuses it; the store must be on a file system that can hold an upper directory, such as ext4, xfs or tmpfs";

/// `OVL_MAX_STACK` of the kernel.
const LAYERS_MAX: usize = 500;
