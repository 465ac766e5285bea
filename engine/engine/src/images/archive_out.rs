//! `save`: images as an archive that docker, podman, skopeo and containerd read.
//!
//! The default is what newest docker writes: an OCI layout in a tar archive, with
//! docker's `manifest.json` beside it. Blobs are as they were pulled, so digests stay.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use archive::tar::{Header, TarError, Writer};
use base::Digest;
use oci_spec::Reference;
use oci_spec::image::{Descriptor, Document, Index, MediaType};
use serde_json::json;

use super::image::Name;
use super::lookup::{INDEX_DEPTH_MAX, children};
use super::{Error, Image, Images};

/// Which kind of archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveFormat {
    /// OCI layout and docker's `manifest.json` in a tar archive.
    #[default]
    DockerArchive,
    /// OCI layout in a tar archive.
    OciArchive,
    /// OCI layout as a directory.
    OciDir,
}

impl std::str::FromStr for SaveFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "docker-archive" | "docker" => Ok(Self::DockerArchive),
            "oci-archive" | "oci" => Ok(Self::OciArchive),
            "oci-dir" => Ok(Self::OciDir),
            _ => Err(Error::Archive {
                archive: text.to_owned(),
                problem: "use docker-archive, oci-archive or oci-dir".to_owned(),
            }),
        }
    }
}

/// Where to save to.
pub enum SaveTarget<'a> {
    /// A stream.
    Stream(&'a mut dyn Write),
    /// A file, which appears when it is complete.
    File(PathBuf),
    /// A directory, made if missing.
    Directory(PathBuf),
}

/// A name and the image to save under it.
struct Entry {
    reference: Option<Reference>,
    target: Descriptor,
    image: Image,
}

/// Annotation by which containerd names an image of an index.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Annotation by which the OCI layout names one.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Images {
    /// Saves the images that `names` mean. An id is saved with all its tags.
    pub fn save(&self, names: &[String], format: SaveFormat, target: SaveTarget<'_>) -> Result<(), Error> {
        let leases = self.leases("save")?;
        let mut entries: Vec<Entry> = Vec::new();
        for name in names {
            for entry in self.entries(name)? {
                leases.content.add(&entry.target.digest)?;
                let known =
                    |other: &Entry| other.reference == entry.reference && other.image.id == entry.image.id;
                if !entries.iter().any(known) {
                    entries.push(entry);
                }
            }
        }
        let saved = match (format, target) {
            (SaveFormat::OciDir, SaveTarget::Directory(path) | SaveTarget::File(path)) => {
                self.save_directory(&entries, &path)
            }
            (SaveFormat::OciDir, SaveTarget::Stream(_)) => Err(Error::Archive {
                archive: "the standard output".to_owned(),
                problem: "an oci-dir is a directory: name one with --output".to_owned(),
            }),
            (format, SaveTarget::Stream(stream)) => self.save_tar(&entries, format, stream, "the output"),
            (format, SaveTarget::File(path) | SaveTarget::Directory(path)) => {
                self.save_file(&entries, format, &path)
            }
        };
        saved?;
        for entry in &entries {
            let name =
                entry.reference.as_ref().map_or_else(|| entry.image.id.to_string(), Reference::familiar);
            self.tell("save", &entry.image.id.to_string(), &name, &entry.image.config.config.labels);
        }
        Ok(())
    }

    fn entries(&self, name: &str) -> Result<Vec<Entry>, Error> {
        let image = self.find(name, self.platform.as_ref())?;
        // The whole index only when all of it is here: a partial one helps nobody.
        let whole = self.platform.is_none() && self.is_complete(&image.target, 0)?;
        let target = if whole { &image.target } else { &image.manifest_descriptor };
        let entry = |reference| Entry { reference, target: target.clone(), image: image.clone() };
        if let Some(record) = self.find_record(name)? {
            return Ok(vec![entry(match Name::of(&record) {
                Some(Name::Tag(reference)) => Some(reference),
                _ => None,
            })]);
        }
        let mut entries = Vec::new();
        for record in self.names_of(&image)? {
            if let Some(Name::Tag(reference)) = Name::of(&record) {
                entries.push(entry(Some(reference)));
            }
        }
        if entries.is_empty() {
            entries.push(entry(None));
        }
        Ok(entries)
    }

    fn is_complete(&self, target: &Descriptor, depth: usize) -> Result<bool, Error> {
        if depth > INDEX_DEPTH_MAX || !self.store.contains(&target.digest)? {
            return Ok(false);
        }
        match self.document(&target.digest)? {
            Document::Index { index, .. } => {
                for child in children(&index) {
                    if !self.is_complete(child, depth + 1)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Document::Manifest { manifest, .. } => {
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    if !self.store.contains(&blob.digest)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// All blobs of the entries, each once, documents included.
    fn blobs(&self, entries: &[Entry]) -> Result<Vec<Digest>, Error> {
        let mut seen = BTreeSet::new();
        let mut blobs = Vec::new();
        let mut open: Vec<Digest> = entries.iter().rev().map(|entry| entry.target.digest.clone()).collect();
        while let Some(digest) = open.pop() {
            if !seen.insert(digest.clone()) {
                continue;
            }
            if let Ok(Ok(document)) = self.store.document(&digest) {
                open.extend(content::references(&document));
            }
            if self.store.contains(&digest)? {
                blobs.push(digest);
            }
        }
        Ok(blobs)
    }

    fn save_tar(
        &self,
        entries: &[Entry],
        format: SaveFormat,
        stream: &mut dyn Write,
        archive: &str,
    ) -> Result<(), Error> {
        let failed = |source: TarError| Error::ArchiveIo {
            operation: "write",
            archive: archive.to_owned(),
            source: io_of(source),
        };
        let mut writer = Writer::new(stream);
        writer.append_empty(&Header::directory("blobs/")).map_err(failed)?;
        writer.append_empty(&Header::directory("blobs/sha256/")).map_err(failed)?;
        for digest in self.blobs(entries)? {
            let blob = self.store.open_blob(&digest)?;
            let header = Header::file(blob_name(&digest), blob.size);
            writer.append(&header, blob.file).map_err(failed)?;
        }
        let mut documents = vec![("index.json", index(entries)?)];
        if format == SaveFormat::DockerArchive {
            documents.push(("manifest.json", docker_manifest(entries)?));
        }
        documents.push(("oci-layout", LAYOUT.to_vec()));
        for (name, bytes) in documents {
            writer.append_bytes(&Header::file(name, bytes.len() as u64), &bytes).map_err(failed)?;
        }
        writer.finish().map_err(failed)?;
        Ok(())
    }

    /// A file appears complete or not at all; a device or pipe is written to as it is.
    fn save_file(&self, entries: &[Entry], format: SaveFormat, path: &Path) -> Result<(), Error> {
        let archive = path.display().to_string();
        let failed = |operation| {
            let archive = archive.clone();
            move |source| Error::ArchiveIo { operation, archive, source }
        };
        let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        let scratch = if special { path.to_owned() } else { partial(path) };
        let file = File::create(&scratch).map_err(failed("create"))?;
        let mut buffered = io::BufWriter::with_capacity(1 << 20, file);
        let saved = self.save_tar(entries, format, &mut buffered, &archive);
        let saved = saved.and_then(|()| buffered.flush().map_err(failed("write")));
        if special {
            return saved;
        }
        let saved = saved.and_then(|()| fs::rename(&scratch, path).map_err(failed("rename to")));
        if saved.is_err() {
            let _ = fs::remove_file(&scratch);
        }
        saved
    }

    fn save_directory(&self, entries: &[Entry], path: &Path) -> Result<(), Error> {
        let archive = path.display().to_string();
        let failed = |source| Error::ArchiveIo { operation: "write", archive: archive.clone(), source };
        fs::create_dir_all(path.join("blobs/sha256")).map_err(failed)?;
        for digest in self.blobs(entries)? {
            let target = path.join(blob_name(&digest));
            if target.exists() {
                continue;
            }
            let mut blob = self.store.open_blob(&digest)?;
            let scratch = partial(&target);
            fs::create_dir_all(target.parent().unwrap_or(path)).map_err(failed)?;
            let mut file = File::create(&scratch).map_err(failed)?;
            io::copy(&mut blob.file, &mut file).map_err(failed)?;
            fs::rename(&scratch, &target).map_err(failed)?;
        }
        // The index is last: until then the layout is what it was.
        let merged = merge(path, index(entries)?);
        for (name, bytes) in [("oci-layout", LAYOUT.to_vec()), ("index.json", merged)] {
            let scratch = partial(&path.join(name));
            fs::write(&scratch, bytes)
                .and_then(|()| fs::rename(&scratch, path.join(name)))
                .map_err(failed)?;
        }
        Ok(())
    }
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    path.with_file_name(name)
}

fn index(entries: &[Entry]) -> Result<Vec<u8>, Error> {
    let manifests = entries.iter().map(|entry| {
        let mut descriptor = entry.target.clone();
        if descriptor.media_type.is_manifest() {
            descriptor.platform = Some(entry.image.platform());
        }
        if let Some(reference) = &entry.reference {
            descriptor.annotations.insert(CONTAINERD_NAME.to_owned(), reference.to_string());
            let tag = reference.tag().unwrap_or("latest").to_owned();
            descriptor.annotations.insert(REF_NAME.to_owned(), tag);
        }
        descriptor
    });
    let index = Index {
        schema_version: 2,
        media_type: Some(MediaType::OCI_INDEX.into()),
        artifact_type: None,
        manifests: manifests.collect(),
        subject: None,
        annotations: Default::default(),
        extra: Default::default(),
    };
    to_json(&index)
}

/// The entries of a layout that is there already, with ours in place of those of the same name.
fn merge(path: &Path, ours: Vec<u8>) -> Vec<u8> {
    let read = |bytes: &[u8]| serde_json::from_slice::<Index>(bytes).ok();
    let (Some(mut new), Some(old)) =
        (read(&ours), fs::read(path.join("index.json")).ok().and_then(|bytes| read(&bytes)))
    else {
        return ours;
    };
    let name = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
    let kept = old.manifests.into_iter().filter(|entry| {
        !new.manifests
            .iter()
            .any(|ours| ours.digest == entry.digest || (name(ours).is_some() && name(ours) == name(entry)))
    });
    let mut manifests: Vec<Descriptor> = kept.collect();
    manifests.append(&mut new.manifests);
    serde_json::to_vec(&Index { manifests, ..new }).unwrap_or(ours)
}

/// Docker's own list: configuration, tags and layers of each image.
fn docker_manifest(entries: &[Entry]) -> Result<Vec<u8>, Error> {
    let mut images: Vec<(&Image, Vec<String>)> = Vec::new();
    for entry in entries {
        let tag = entry.reference.as_ref().map(Reference::familiar);
        match images.iter_mut().find(|(image, _)| image.id == entry.image.id) {
            Some((_, tags)) => tags.extend(tag),
            None => images.push((&entry.image, tag.into_iter().collect())),
        }
    }
    let list: Vec<_> = images
        .into_iter()
        .map(|(image, tags)| {
            let layers: Vec<String> =
                image.manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
            json!({ "Config": blob_name(&image.id), "RepoTags": tags, "Layers": layers })
        })
        .collect();
    to_json(&list)
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|source| Error::ArchiveIo {
        operation: "write",
        archive: "the index of the archive".to_owned(),
        source: source.into(),
    })
}

/// The system's error inside an archive's, so that a full disk is known as one.
pub(super) fn io_of(error: TarError) -> io::Error {
    let mut source = std::error::Error::source(&error);
    let mut kind = io::ErrorKind::InvalidData;
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            kind = cause.kind();
        }
        source = cause.source();
    }
    io::Error::new(kind, error)
}
