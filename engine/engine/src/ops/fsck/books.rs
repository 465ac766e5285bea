//! Flaws of containers' and volumes' directories.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base::ContainerId;
use shim::Timestamp;

use super::{Cure, Flaw, FlawKind, OfContainer, remove_file};
use crate::container::{Lifecycle, StoreError};
use crate::engine::Engine;
use crate::error::Error;
use crate::volumes::{DATA, RECORD, Volume};

impl Engine {
    pub(super) fn examine_containers(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let mut volumes: BTreeSet<(String, String)> = BTreeSet::new();
        for id in self.containers().ids()? {
            // Who makes, starts or removes it holds its lock.
            if self.containers().is_locked(&id) {
                continue;
            }
            let of = |what| Cure::Container(id.clone(), what);
            let mut flaw = |kind, detail: &str, cure| flaws.push(Flaw::new(kind, id.as_str(), detail, cure));
            match self.containers().read(&id) {
                Err(StoreError::NotFound { .. }) if self.containers().exists(&id) => {
                    flaw(
                        FlawKind::ContainerUnfinished,
                        "its creation was cut off",
                        of(OfContainer::Unfinished),
                    );
                }
                Err(StoreError::NotFound { .. }) => {}
                Err(StoreError::TooNew { version, .. }) => {
                    let detail = format!("its record has version {version}: a newer strake's");
                    flaw(FlawKind::ContainerDamaged, &detail, Cure::None);
                }
                Err(error) => flaw(FlawKind::ContainerDamaged, &crate::error::chain(&error), Cure::None),
                Ok(record) => {
                    volumes.extend(record.volumes().map(|volume| (volume.to_owned(), record.name.clone())));
                    let state = self.paths().state_dir(&id);
                    let watched = shim::is_alive(&state);
                    match record.lifecycle {
                        Lifecycle::Removing => {
                            flaw(
                                FlawKind::ContainerRemoving,
                                "its removal was cut off",
                                of(OfContainer::Removing),
                            );
                        }
                        Lifecycle::Running { .. } | Lifecycle::Starting { .. } if !watched => {
                            let detail = "its supervisor is gone";
                            flaw(FlawKind::ContainerUnwatched, detail, of(OfContainer::Behind));
                        }
                        Lifecycle::Created { .. } | Lifecycle::Exited { .. }
                            if !watched && state.exists() =>
                        {
                            let detail = "files of a supervisor that is gone";
                            flaw(FlawKind::StateStale, detail, of(OfContainer::Stale));
                        }
                        _ => {}
                    }
                }
            }
            self.examine_files(&id, flaws);
        }
        for (name, owner) in self.containers().stale_names()? {
            let detail = format!("the name of container {owner}, which is not there");
            flaws.push(Flaw::new(FlawKind::NameWithoutContainer, name, detail, Cure::Names));
        }
        for (volume, container) in volumes {
            if self.volume(&volume).is_err() {
                let detail = format!("container {container} has it, and it is not there");
                flaws.push(Flaw::new(FlawKind::VolumeMissing, volume, detail, Cure::None));
            }
        }
        Ok(())
    }

    /// Logs of others, and records that were being written.
    fn examine_files(&self, id: &ContainerId, flaws: &mut Vec<Flaw>) {
        let directory = self.paths().record_dir(id);
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_log = name.contains("-json.log");
            let (kind, detail) = if is_log && !name.starts_with(id.as_str()) {
                (FlawKind::LogStray, "a log in the directory of another container")
            } else if name.starts_with('.') && name.ends_with(".new") {
                (FlawKind::TemporaryFile, "its writer is gone")
            } else {
                continue;
            };
            let object = format!("containers/{id}/{name}");
            flaws.push(Flaw::new(kind, object, detail, Cure::File(entry.path())));
        }
    }

    pub(super) fn mend_container(&self, id: &ContainerId, what: OfContainer) -> Result<(), Error> {
        match what {
            OfContainer::Unfinished => self.remove_unfinished(id).map(drop),
            OfContainer::Removing => {
                let locked = self.lock(id)?;
                match locked.record.lifecycle {
                    Lifecycle::Removing => self.remove_locked(locked, false),
                    _ => Ok(()),
                }
            }
            OfContainer::Behind => {
                let locked = self.settled(id)?;
                let ended = matches!(locked.record.lifecycle, Lifecycle::Exited { .. });
                match ended && locked.record.request.auto_remove {
                    true => self.remove_locked(locked, true),
                    false => Ok(()),
                }
            }
            OfContainer::Stale => {
                let locked = self.lock(id)?;
                let state = self.paths().state_dir(id);
                if locked.record.lifecycle.is_up() || shim::is_alive(&state) {
                    return Ok(());
                }
                remove_directory(&state)
            }
        }
    }

    /// What is below the state root without a container.
    pub(super) fn examine_states(&self, flaws: &mut Vec<Flaw>) {
        for name in ids_in(&self.paths().state.join("containers")) {
            let path = self.paths().state.join("containers").join(&name);
            if self.containers().exists(&name) || shim::is_alive(&path) {
                continue;
            }
            let detail = "sockets and files of a container that is not there";
            let cure = Cure::State(name.to_string());
            flaws.push(Flaw::new(FlawKind::StateWithoutContainer, name.as_str(), detail, cure));
        }
        for id in ids_in(&self.paths().runtime()) {
            if self.containers().exists(&id) || shim::is_alive(&self.paths().state_dir(&id)) {
                continue;
            }
            let detail = "the runtime's record of a container that is not there";
            let cure = if self.lives(&id) { Cure::None } else { Cure::Runtime(id.clone()) };
            flaws.push(Flaw::new(FlawKind::RuntimeWithoutContainer, id.as_str(), detail, cure));
        }
    }

    pub(super) fn remove_state(&self, name: &str) -> Result<(), Error> {
        let Ok(id) = ContainerId::parse(name) else { return Ok(()) };
        let path = self.paths().state_dir(&id);
        if self.containers().exists(&id) || shim::is_alive(&path) {
            return Ok(());
        }
        remove_directory(&path)
    }

    pub(super) fn examine_volumes(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let directory = self.paths().volumes();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(Error::file("list", &directory))?,
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            if !path.is_dir() || name.starts_with('.') {
                continue;
            }
            match (path.join(DATA).is_dir(), path.join(RECORD).is_file()) {
                (true, true) => {}
                (false, _) => {
                    let cure = Cure::Volume(name.clone());
                    flaws.push(Flaw::new(
                        FlawKind::VolumeWithoutData,
                        name,
                        "a volume without its files",
                        cure,
                    ));
                }
                (true, false) => {
                    let detail = "files without a record: they are kept, and get one";
                    let cure = Cure::VolumeRecord(name.clone());
                    flaws.push(Flaw::new(FlawKind::VolumeWithoutRecord, name, detail, cure));
                }
            }
        }
        Ok(())
    }

    /// A volume is there when its data directory is; this one is not.
    pub(super) fn remove_half_volume(&self, name: &str) -> Result<(), Error> {
        let path = self.paths().volumes().join(name);
        if name.contains('/') || path.join(DATA).exists() {
            return Ok(());
        }
        remove_file(&path.join(RECORD))?;
        match fs::remove_dir(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn write_volume_record(&self, name: &str) -> Result<(), Error> {
        let path = self.paths().volumes().join(name).join(RECORD);
        let volume = Volume { created: Timestamp::now(), ..self.volume(name)? };
        let bytes = serde_json::to_vec(&volume).map_err(|error| Error::file("write", &path)(error.into()))?;
        fs::write(&path, bytes).map_err(Error::file("write", &path))
    }
}

fn ids_in(directory: &Path) -> Vec<ContainerId> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| ContainerId::parse(&name).ok()).collect()
}

fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}
