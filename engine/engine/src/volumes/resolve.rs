//! Which mounts a container gets: asked for, taken over, or declared by its image.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::ContainerConfig;
use snapshot::{Part, part_of};

use super::local::{Backing, backing};
use super::{NewVolume, Undo, random_name};
use crate::container::{MountRecord, MountSource};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{
    CreateRequest, InvalidOption, MountKind, MountOption, MountRequest, TmpfsOptions, Vanish, VolumeOptions,
};

impl Engine {
    /// Decides all mounts of a container, making the volumes that it needs.
    pub(crate) fn resolve_mounts(
        &self,
        request: &CreateRequest,
        image: &ContainerConfig,
        undo: &mut Undo<'_>,
    ) -> Result<Vec<MountRecord>, Error> {
        let asked = places(request)?;
        let mut mounts: Vec<MountRecord> = Vec::new();
        for from in &request.files.volumes_from {
            let record = self.containers().read(&self.resolve(&from.container)?)?;
            for mount in record.mounts {
                let source = match mount.source {
                    MountSource::Volume { name, path, copy_up, device, part, .. } => {
                        MountSource::Volume { name, path, copy_up, anonymous: false, device, part }
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
        for wanted in asked {
            // As docker: `-v /place` alone says that something is to be there, as an image does.
            if gives_way(wanted) && mounts.iter().any(|mount| mount.target == wanted.target) {
                continue;
            }
            let record = self.resolve_mount(wanted, undo)?;
            if request.sandbox.is_none() {
                check_propagation(&record)?;
            }
            put(&mut mounts, record);
        }
        for target in image.volumes.keys() {
            // What an image declares is foreign data: it never names a path of the host.
            let Ok(wanted) = MountRequest::parse_volume(target) else { continue };
            let declared = MountRequest {
                kind: MountKind::Volume { name: None, no_copy: false, options: VolumeOptions::default() },
                ..wanted
            };
            if !mounts.iter().any(|mount| mount.target == declared.target) {
                mounts.push(self.resolve_mount(&declared, undo)?);
            }
        }
        Ok(mounts)
    }

    fn resolve_mount(&self, wanted: &MountRequest, undo: &mut Undo<'_>) -> Result<MountRecord, Error> {
        let mut read_only = wanted.read_only;
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
            MountKind::Volume { name, no_copy, options } => {
                let anonymous = name.is_none();
                let name = name.clone().map_or_else(random_name, Ok)?;
                let new = NewVolume {
                    anonymous,
                    labels: options.labels.clone(),
                    options: options.driver_options.clone(),
                };
                let (volume, is_new) = self.ensure_volume(&name, new)?;
                if is_new {
                    undo.volume(&name);
                }
                let (path, device) = match backing(&volume.options) {
                    Backing::Directory => (self.volume_data(&name), None),
                    Backing::Bind { path, read_only: for_all } => {
                        read_only |= for_all;
                        (path, None)
                    }
                    Backing::Device(device) => (self.volume_data(&name), Some(device)),
                };
                let copy_up = !no_copy && device.is_none() && options.part.is_none();
                MountSource::Volume { name, path, anonymous, copy_up, device, part: options.part.clone() }
            }
            MountKind::Tmpfs(options) => MountSource::Tmpfs { options: tmpfs_options(options) },
            MountKind::Image { image, part } => self.image_layers(image, part.as_deref())?,
        };
        Ok(MountRecord { target: wanted.target.clone(), source, read_only })
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

/// The mounts asked for, one a place: two cannot both be meant, but that an anonymous volume of
/// `--volume` gives way to any other, and of two `--tmpfs` the later one counts. A front's list is in
/// its own order: there the later one always counts.
fn places(request: &CreateRequest) -> Result<Vec<&MountRequest>, InvalidOption> {
    let mounts = &request.files.mounts;
    if request.sandbox.is_some() {
        return Ok(mounts.iter().collect());
    }
    let mut kept: Vec<&MountRequest> = Vec::with_capacity(mounts.len());
    for mount in mounts {
        match kept.iter_mut().find(|other| other.target == mount.target) {
            None => kept.push(mount),
            Some(other) if gives_way(other) => *other = mount,
            Some(_) if gives_way(mount) => {}
            Some(other) if other.by == MountOption::Tmpfs && mount.by == MountOption::Tmpfs => *other = mount,
            Some(_) => {
                let option = match mount.by {
                    MountOption::Volume => "--volume",
                    MountOption::Mount => "--mount",
                    MountOption::Tmpfs => "--tmpfs",
                };
                let target = mount.target.display().to_string();
                let why = format!("Duplicate mount point: {target}; leave one of the two out");
                return Err(InvalidOption::new(option, &target, why));
            }
        }
    }
    Ok(kept)
}

/// Whether it is a place only, as in `-v /data`.
fn gives_way(mount: &MountRequest) -> bool {
    mount.by == MountOption::Volume && matches!(mount.kind, MountKind::Volume { name: None, .. })
}

/// Mounts travel only between peers: the source must be on a mount that takes part.
fn check_propagation(record: &MountRecord) -> Result<(), Error> {
    let MountSource::Bind { path, propagation: Some(propagation), .. } = &record.source else {
        return Ok(());
    };
    let (kinds, what): (&[&str], _) = match propagation.as_str() {
        "shared" | "rshared" => (&["shared:"], "a shared mount"),
        "slave" | "rslave" => (&["shared:", "master:"], "a shared or slave mount"),
        _ => return Ok(()),
    };
    let real = fs::canonicalize(path).map_err(Error::file("look at", path))?;
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some((point, takes_part)) = mount_of(&table, &real, kinds) else { return Ok(()) };
    if takes_part {
        return Ok(());
    }
    let path = path.display().to_string();
    let why = format!(
        "path {path} is mounted on {point} but it is not {what}; `mount --make-rshared {point}` makes it one"
    );
    Err(InvalidOption::new("bind propagation", propagation, why).into())
}

/// The mount that holds `path`, and whether it is of one of the kinds (`proc_pid_mountinfo(5)`).
fn mount_of(table: &str, path: &Path, kinds: &[&str]) -> Option<(String, bool)> {
    let mut found: Option<(String, bool)> = None;
    for line in table.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(point), Some(end)) = (words.get(4), words.iter().position(|word| *word == "-")) else {
            continue;
        };
        let is_longer = found.as_ref().is_none_or(|(best, _)| best.len() <= point.len());
        if path.starts_with(point) && is_longer {
            let tags = words.get(6..end).unwrap_or_default();
            let takes_part = tags.iter().any(|tag| kinds.iter().any(|kind| tag.starts_with(kind)));
            found = Some(((*point).to_owned(), takes_part));
        }
    }
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_below_a_path_is_the_longest() {
        let table = "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n2 1 0:5 / /srv rw - tmpfs t rw\n\
                     3 2 0:6 / /srv/slave rw master:7 - tmpfs t rw\n";
        let find = |path: &str, kinds: &[&str]| mount_of(table, Path::new(path), kinds);
        assert_eq!(find("/home", &["shared:"]), Some(("/".to_owned(), true)));
        assert_eq!(find("/srv/x", &["shared:"]), Some(("/srv".to_owned(), false)));
        assert_eq!(find("/srv/slave/x", &["shared:"]), Some(("/srv/slave".to_owned(), false)));
        assert_eq!(find("/srv/slave/x", &["shared:", "master:"]), Some(("/srv/slave".to_owned(), true)));
        assert_eq!(find("/srvx", &["shared:"]), Some(("/".to_owned(), true)));
    }

    #[test]
    fn two_mounts_at_one_place_are_refused() {
        let volume = |text: &str| MountRequest::parse_volume(text).unwrap();
        let tmpfs = |text: &str| MountRequest::parse_tmpfs(text).unwrap();
        let kept = |mounts: &[&MountRequest]| {
            let mut request = CreateRequest::default();
            request.files.mounts = mounts.iter().copied().cloned().collect();
            places(&request).map(|kept| kept.into_iter().cloned().collect::<Vec<_>>())
        };
        for other in [tmpfs("/x"), volume("/b:/x"), volume("vol:/x")] {
            let error = kept(&[&volume("/a:/x"), &other]).unwrap_err().to_string();
            assert!(error.contains("Duplicate mount point: /x"), "{error}");
        }
        // As docker: what only names a place gives way.
        let sized = tmpfs("/x:size=1m");
        assert_eq!(kept(&[&tmpfs("/x"), &sized]).unwrap(), std::slice::from_ref(&sized));
        assert_eq!(kept(&[&volume("/x"), &sized]).unwrap(), [sized]);
        for other in [volume("/a:/x"), volume("vol:/x"), volume("/x")] {
            assert_eq!(kept(&[&volume("/x"), &other]).unwrap(), std::slice::from_ref(&other));
            assert_eq!(kept(&[&other, &volume("/x")]).unwrap(), std::slice::from_ref(&other));
        }
    }
}
