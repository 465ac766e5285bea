//! Volumes: directories that outlive containers.
//!
//! ```text
//! <root>/volumes/<name>/volume.json
//! <root>/volumes/<name>/_data       what is mounted
//! ```

mod copy_up;
mod local;
mod resolve;
mod sources;
mod xattrs;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base::ContainerId;
use serde::{Deserialize, Serialize};
use shim::Timestamp;

use crate::container::generate_id;
use crate::engine::Engine;
use crate::error::Error;

pub(crate) use copy_up::copy_up;
pub use local::DeviceMount;
pub(crate) use sources::{VolumeSources, open_part};

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
    /// What its driver was told: `type`, `device`, `o`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// How a volume that is not there is made.
#[derive(Clone, Debug, Default)]
pub struct NewVolume {
    /// Whether it is for one container.
    pub anonymous: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What its driver is told.
    pub options: BTreeMap<String, String>,
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
    pub fn create_volume(&self, name: Option<&str>, wanted: NewVolume) -> Result<Volume, Error> {
        let (name, anonymous) = match name {
            Some(name) => (crate::request::volume_name("volume", name)?, wanted.anonymous),
            None => (random_name()?, true),
        };
        let wanted = NewVolume { anonymous, ..wanted };
        self.ensure_volume(&name, wanted).map(|(volume, _)| volume)
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
            options: BTreeMap::new(),
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
        let users = self.volume_users(&volume.name)?;
        if let Some((_, container)) = users.first() {
            let ids = users.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::VolumeInUse { name: volume.name, container: container.clone(), ids });
        }
        self.delete_volume(&volume.name)
    }

    /// Id and name of each container that has the volume.
    pub fn volume_users(&self, name: &str) -> Result<Vec<(ContainerId, String)>, Error> {
        let mut users = Vec::new();
        for id in self.containers().ids()? {
            if let Ok(record) = self.containers().read(&id)
                && record.volumes().any(|volume| volume == name)
            {
                users.push((id, record.name));
            }
        }
        Ok(users)
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
    fn ensure_volume(&self, name: &str, wanted: NewVolume) -> Result<(Volume, bool), Error> {
        if let Ok(volume) = self.volume(name) {
            return Ok((volume, false));
        }
        local::validate(&wanted.options)?;
        let NewVolume { anonymous, labels, options } = wanted;
        let data = self.volume_data(name);
        let make = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
        let directory = self.paths().volumes().join(name);
        // Closed to the host's other users (CVE-2021-41091): what an image brings is below,
        // also programs that are set-user-id root.
        make(&directory, 0o700).map_err(Error::file("make the directory", &directory))?;
        let volume = Volume { name: name.to_owned(), created: Timestamp::now(), anonymous, labels, options };
        let record = directory.join(RECORD);
        let bytes =
            serde_json::to_vec(&volume).map_err(|error| Error::file("write", &record)(error.into()))?;
        fs::write(&record, bytes).map_err(Error::file("write", &record))?;
        // Last: a volume is there when its data directory is.
        make(&data, 0o755).map_err(Error::file("make the directory", &data))?;
        self.tell_volume(&volume.name, "create", &[]);
        Ok((volume, true))
    }
}

fn random_name() -> Result<String, Error> {
    let mut bytes = [0; 32];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|errno| Error::Random(errno.into()))?;
    Ok(generate_id(bytes).to_string())
}

pub(crate) const DATA: &str = "_data";
pub(crate) const RECORD: &str = "volume.json";
