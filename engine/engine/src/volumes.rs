//! Volumes: directories that outlive containers.
//!
//! ```text
//! <root>/volumes/<name>/volume.json
//! <root>/volumes/<name>/_data       what is mounted
//! ```

mod copy_up;
mod xattrs;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base::ContainerId;
use oci_spec::image::ContainerConfig;
use serde::{Deserialize, Serialize};
use shim::Timestamp;
use snapshot::{Part, part_of};

use crate::container::{MountRecord, MountSource, generate_id};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{CreateRequest, MountKind, MountRequest, TmpfsOptions, Vanish};

pub(crate) use copy_up::copy_up;

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it was made for one container.
    #[serde(default)]
    pub anonymous: bool,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a creation has made and must undo if it fails.
pub(crate) struct Undo<'e> {
    engine: &'e Engine,
    volumes: Vec<String>,
    snapshot: Option<ContainerId>,
}

impl<'e> Undo<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        Self { engine, volumes: Vec::new(), snapshot: None }
    }

    pub(crate) fn snapshot(&mut self, id: &ContainerId) {
        self.snapshot = Some(id.clone());
    }

    fn volume(&mut self, name: &str) {
        self.volumes.push(name.to_owned());
    }

    pub(crate) fn disarm(mut self) {
        self.volumes.clear();
        self.snapshot = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // Nobody is left to tell; `Engine::reconcile` finds what stays.
        for name in &self.volumes {
            let _ = fs::remove_dir_all(self.engine.paths().volumes().join(name));
        }
        if let Some(id) = &self.snapshot
            && let Ok(snapshots) = self.engine.snapshots()
        {
            let _ = snapshots.remove(id);
            let _ = snapshots.empty_trash();
        }
    }
}

impl Engine {
    /// Makes a volume; one that is there already is taken as it is.
    pub fn create_volume(
        &self,
        name: Option<&str>,
        labels: BTreeMap<String, String>,
    ) -> Result<Volume, Error> {
        let name = match name {
            Some(name) => crate::request::volume_name("volume", name)?,
            None => random_name()?,
        };
        self.ensure_volume(&name, false, labels).map(|(volume, _)| volume)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>, Error> {
        let directory = self.paths().volumes();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::file("list", &directory)(error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut volumes: Vec<Volume> = names.filter_map(|name| self.volume(&name).ok()).collect();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// One volume.
    pub fn volume(&self, name: &str) -> Result<Volume, Error> {
        let not_found = || Error::NoSuchVolume { name: name.to_owned() };
        let name = crate::request::volume_name("volume", name).map_err(|_| not_found())?;
        let path = self.paths().volumes().join(&name);
        if !path.join(DATA).is_dir() {
            return Err(not_found());
        }
        let read = fs::read(path.join(RECORD)).ok();
        let volume = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // A crash before the record was written: the directory is what counts.
        Ok(volume.unwrap_or(Volume {
            name,
            created: Timestamp::default(),
            anonymous: false,
            labels: BTreeMap::new(),
        }))
    }

    /// Where a volume's files are.
    pub fn volume_data(&self, name: &str) -> PathBuf {
        self.paths().volumes().join(name).join(DATA)
    }

    /// Bytes that the disk has given to a volume's files.
    pub fn volume_bytes(&self, name: &str) -> u64 {
        crate::ops::allocated(&self.volume_data(name))
    }

    /// Removes a volume that no container uses.
    pub fn remove_volume(&self, name: &str) -> Result<(), Error> {
        let volume = self.volume(name)?;
        if let Some(container) = self.volume_user(&volume.name)? {
            return Err(Error::VolumeInUse { name: volume.name, container });
        }
        self.delete_volume(&volume.name)
    }

    /// The name of a container that uses the volume.
    pub fn volume_user(&self, name: &str) -> Result<Option<String>, Error> {
        for id in self.containers().ids()? {
            if let Ok(record) = self.containers().read(&id)
                && record.volumes().any(|volume| volume == name)
            {
                return Ok(Some(record.name));
            }
        }
        Ok(None)
    }

    pub(crate) fn delete_volume(&self, name: &str) -> Result<(), Error> {
        let path = self.paths().volumes().join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::file("remove the volume", &path)(error))
            }
            Err(_) => Ok(()),
            Ok(()) => {
                self.tell_volume(name, "destroy", &[]);
                Ok(())
            }
        }
    }

    /// The volume `name`, and whether it was made now.
    fn ensure_volume(
        &self,
        name: &str,
        anonymous: bool,
        labels: BTreeMap<String, String>,
    ) -> Result<(Volume, bool), Error> {
        if let Ok(volume) = self.volume(name) {
            return Ok((volume, false));
        }
        let data = self.volume_data(name);
        let make = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
        let directory = self.paths().volumes().join(name);
        // Closed to the host's other users (CVE-2021-41091): what an image brings is below,
        // also programs that are set-user-id root.
        make(&directory, 0o700).map_err(Error::file("make the directory", &directory))?;
        let volume = Volume { name: name.to_owned(), created: Timestamp::now(), anonymous, labels };
        let record = directory.join(RECORD);
        let bytes =
            serde_json::to_vec(&volume).map_err(|error| Error::file("write", &record)(error.into()))?;
        fs::write(&record, bytes).map_err(Error::file("write", &record))?;
        // Last: a volume is there when its data directory is.
        make(&data, 0o755).map_err(Error::file("make the directory", &data))?;
        self.tell_volume(&volume.name, "create", &[]);
        Ok((volume, true))
    }

    /// Decides all mounts of a container, making the volumes that it needs.
    pub(crate) fn resolve_mounts(
        &self,
        request: &CreateRequest,
        image: &ContainerConfig,
        undo: &mut Undo<'_>,
    ) -> Result<Vec<MountRecord>, Error> {
        let mut mounts: Vec<MountRecord> = Vec::new();
        for from in &request.files.volumes_from {
            let record = self.containers().read(&self.resolve(&from.container)?)?;
            for mount in record.mounts {
                let source = match mount.source {
                    MountSource::Volume { name, path, copy_up, .. } => {
                        MountSource::Volume { name, path, copy_up, anonymous: false }
                    }
                    bind @ (MountSource::Bind { .. } | MountSource::Image { .. }) => bind,
                    MountSource::Tmpfs { .. } => continue,
                };
                put(
                    &mut mounts,
                    MountRecord { source, read_only: mount.read_only || from.read_only, ..mount },
                );
            }
        }
        for wanted in &request.files.mounts {
            let record = self.resolve_mount(wanted, undo)?;
            put(&mut mounts, record);
        }
        for target in image.volumes.keys() {
            // What an image declares is foreign data: it never names a path of the host.
            let Ok(wanted) = MountRequest::parse_volume(target) else { continue };
            let declared = MountRequest { kind: MountKind::Volume { name: None, no_copy: false }, ..wanted };
            if !mounts.iter().any(|mount| mount.target == declared.target) {
                mounts.push(self.resolve_mount(&declared, undo)?);
            }
        }
        Ok(mounts)
    }

    fn resolve_mount(&self, wanted: &MountRequest, undo: &mut Undo<'_>) -> Result<MountRecord, Error> {
        let source = match &wanted.kind {
            MountKind::Bind { source, options } => {
                let path = std::path::absolute(source).map_err(Error::file("resolve", source))?;
                ensure_source(&path, &wanted.target, options.if_missing)?;
                MountSource::Bind {
                    path,
                    propagation: options.propagation.clone(),
                    non_recursive: options.non_recursive,
                    recursive_read_only: options.recursive_read_only,
                }
            }
            MountKind::Volume { name, no_copy } => {
                let anonymous = name.is_none();
                let name = name.clone().map_or_else(random_name, Ok)?;
                let (_, is_new) = self.ensure_volume(&name, anonymous, BTreeMap::new())?;
                if is_new {
                    undo.volume(&name);
                }
                MountSource::Volume { path: self.volume_data(&name), name, anonymous, copy_up: !no_copy }
            }
            MountKind::Tmpfs(options) => MountSource::Tmpfs { options: tmpfs_options(options) },
            MountKind::Image { image, part } => self.image_layers(image, part.as_deref())?,
        };
        Ok(MountRecord { target: wanted.target.clone(), source, read_only: wanted.read_only })
    }
}

impl Engine {
    /// The layers of an image, unpacked, each once; of a part of it, what makes that.
    fn image_layers(&self, name: &str, part: Option<&Path>) -> Result<MountSource, Error> {
        let images = self.images()?;
        let image = images.find(name, None)?;
        images.unpack(&image, &mut crate::images::Silent)?;
        let mut layers: Vec<PathBuf> = Vec::new();
        if let Some(chain) = image.chain_id() {
            let found = self.snapshots()?.layers(&chain).map_err(Error::snapshot(name))?;
            for layer in found.into_iter().rev() {
                if !layers.contains(&layer.path) {
                    layers.push(layer.path);
                }
            }
        }
        if let Some(part) = part {
            layers = match part_of(&layers, part) {
                Ok(Part::Directory(directories)) => directories,
                Ok(Part::File(file)) => vec![file],
                Err(source) => {
                    return Err(Error::ImagePart { image: image.called, path: part.to_owned(), source });
                }
            };
        }
        Ok(MountSource::Image { name: image.called, layers })
    }
}

/// A later mount replaces an earlier one at the same place.
fn put(mounts: &mut Vec<MountRecord>, record: MountRecord) {
    mounts.retain(|mount| mount.target != record.target);
    mounts.push(record);
}

fn ensure_source(path: &Path, target: &Path, if_missing: Vanish) -> Result<(), Error> {
    match (fs::symlink_metadata(path), if_missing) {
        (Ok(_), _) => Ok(()),
        (Err(error), Vanish::MakeDirectory) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(Error::file("make the directory", path))
        }
        (Err(error), Vanish::Refuse) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::NoMountSource { path: path.to_owned(), target: target.to_owned() })
        }
        (Err(error), _) => Err(Error::file("look at", path)(error)),
    }
}

fn tmpfs_options(options: &TmpfsOptions) -> Vec<String> {
    let mut list = vec![format!("mode={:o}", options.mode.unwrap_or(0o1777))];
    list.extend(options.size_bytes.map(|size| format!("size={size}")));
    list.extend(options.options.iter().cloned());
    list
}

fn random_name() -> Result<String, Error> {
    let mut bytes = [0; 32];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|errno| Error::Random(errno.into()))?;
    Ok(generate_id(bytes).to_string())
}

const DATA: &str = "_data";
const RECORD: &str = "volume.json";
