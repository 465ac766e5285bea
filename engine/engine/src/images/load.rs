//! `load`: images from an OCI layout (directory or archive) or a docker archive.
//!
//! A stream is read once, front to back. A member named by its digest goes straight
//! into the store, verified; an old docker archive's layers are spooled, because
//! which of them are meant is said only at its end.

pub(super) mod docker;
mod members;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use archive::compression::Decoder;
use base::Digest;
use oci_spec::Reference;
use oci_spec::image::{Descriptor, Index, Platform};

use super::archive_out::{CONTAINERD_NAME, REF_NAME};
use super::progress::Progress;
use super::{Error, Images, Leases};

/// Where to load from.
pub enum LoadSource {
    /// An archive, compressed or not.
    File(PathBuf),
    /// The same as a stream.
    Stream(Box<dyn Read>),
    /// An OCI layout.
    Directory(PathBuf),
}

/// One image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name, if the archive says one.
    pub reference: Option<Reference>,
    /// Its id.
    pub id: Digest,
}

/// What an archive says about its images, and where its members went.
#[derive(Default)]
struct Contents {
    /// `index.json`.
    index: Option<Vec<u8>>,
    /// `manifest.json`.
    docker: Option<Vec<u8>>,
    /// Members of old docker archives.
    members: members::Members,
}

/// An index or list is kilobytes.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

impl Images {
    /// Loads all images of `source` and unpacks those for `platform` (this host's when
    /// none). `name` is given to an image that the archive gives none.
    pub fn load(
        &self,
        source: LoadSource,
        name: Option<&Reference>,
        platform: Option<&Platform>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Loaded>, Error> {
        let load = Load { images: self, leases: &self.leases("load")?, name, platform };
        match source {
            LoadSource::Directory(path) => load.directory(&path, progress),
            LoadSource::File(path) => {
                let archive = path.display().to_string();
                let file = File::open(&path).map_err(|source| Error::ArchiveIo {
                    operation: "open",
                    archive: archive.clone(),
                    source,
                })?;
                load.stream(file, &archive, progress)
            }
            LoadSource::Stream(stream) => load.stream(stream, "the input", progress),
        }
    }
}

pub(super) struct Load<'a> {
    images: &'a Images,
    leases: &'a Leases,
    name: Option<&'a Reference>,
    platform: Option<&'a Platform>,
}

impl<'a> Load<'a> {
    pub(super) fn new(images: &'a Images, leases: &'a Leases) -> Self {
        Self { images, leases, name: None, platform: None }
    }
}

impl Load<'_> {
    fn stream(
        &self,
        stream: impl Read,
        archive: &str,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Loaded>, Error> {
        let plain = Decoder::detect(stream).map_err(|source| Error::ArchiveIo {
            operation: "read",
            archive: archive.to_owned(),
            source,
        })?;
        let contents = self.read_members(plain, archive)?;
        self.take(&contents, archive, progress)
    }

    /// An OCI layout: only what its index names is read.
    fn directory(&self, path: &Path, progress: &mut dyn Progress) -> Result<Vec<Loaded>, Error> {
        let archive = path.display().to_string();
        let bytes = match fs::read(path.join("index.json")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.not_one(&archive, "the directory has no index.json"));
            }
            Err(source) => {
                return Err(Error::ArchiveIo { operation: "read the index.json of", archive, source });
            }
        };
        let index = self.index(&bytes, &archive)?;
        let mut open: Vec<(Descriptor, bool)> =
            index.manifests.iter().map(|entry| (entry.clone(), true)).collect();
        while let Some((descriptor, required)) = open.pop() {
            let file =
                path.join("blobs").join(descriptor.digest.algorithm().name()).join(descriptor.digest.hex());
            let file = match File::open(&file) {
                Ok(file) => file,
                // An index may name platforms that the layout does not have.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !required => continue,
                Err(source) => {
                    let archive = format!("blob {} of {archive}", descriptor.digest);
                    return Err(Error::ArchiveIo { operation: "open", archive, source });
                }
            };
            self.ingest(&descriptor.digest, file, &archive)?;
            if descriptor.media_type.is_index() || descriptor.media_type.is_manifest() {
                let document = self.images.document(&descriptor.digest)?;
                let is_index = descriptor.media_type.is_index();
                open.extend(children_of(&document).into_iter().map(|child| (child, !is_index)));
            }
        }
        self.take(&Contents { index: Some(bytes), ..Contents::default() }, &archive, progress)
    }

    /// Names and unpacks what the archive says it has.
    fn take(
        &self,
        contents: &Contents,
        archive: &str,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Loaded>, Error> {
        let mut targets: Vec<(Option<Reference>, Descriptor)> = Vec::new();
        if let Some(bytes) = &contents.index {
            for entry in self.index(bytes, archive)?.manifests {
                if entry.media_type.is_manifest() || entry.media_type.is_index() {
                    targets.push((reference_of(&entry), entry));
                }
            }
        } else if let Some(bytes) = &contents.docker {
            targets = self.docker(bytes, &contents.members, archive)?;
        } else {
            return Err(self.not_one(archive, "it has neither index.json nor manifest.json"));
        }
        // Newest docker says names only in its own list.
        if let (Some(bytes), true) = (&contents.docker, targets.iter().all(|(name, _)| name.is_none())) {
            self.add_docker_names(bytes, &mut targets)?;
        }
        if targets.is_empty() {
            return Err(self.not_one(archive, "it has no image"));
        }
        let single = targets.len() == 1;
        let mut loaded = Vec::new();
        for (reference, target) in targets {
            let reference = reference.or_else(|| self.name.filter(|_| single).cloned());
            loaded.push(self.finish(reference, &target, archive, progress)?);
        }
        Ok(loaded)
    }

    /// Unpacks an image and gives it its name.
    fn finish(
        &self,
        reference: Option<Reference>,
        target: &Descriptor,
        archive: &str,
        progress: &mut dyn Progress,
    ) -> Result<Loaded, Error> {
        let images = self.images;
        if !images.store.contains(&target.digest)? {
            return Err(self.not_one(archive, format!("it lacks the manifest {}", target.digest)));
        }
        let name = reference.as_ref().map_or_else(|| target.digest.to_string(), ToString::to_string);
        let called = reference.as_ref().map_or_else(|| target.digest.short().to_owned(), Reference::familiar);
        let bare = Descriptor::new(target.media_type.clone(), target.digest.clone(), target.size);
        self.leases.content.add(&bare.digest)?;
        let record = content::ImageName {
            name: name.clone(),
            target: bare.clone(),
            created: 0,
            updated: 0,
            labels: Default::default(),
        };
        let image = images.of_record(&record, &called, self.platform)?;
        let image =
            image.ok_or_else(|| self.not_one(archive, format!("it lacks the configuration of {called}")))?;
        for layer in image.layers() {
            if !images.store.contains(&layer.descriptor.digest)? {
                return Err(
                    self.not_one(archive, format!("it lacks layer {} of {called}", layer.descriptor.digest))
                );
            }
            self.leases.chains.add(&layer.chain_id)?;
        }
        let missing = images.missing_layers(&image)?;
        images.unpack_leased(&image, &missing, progress)?;
        let mut labels = content::Labels::new();
        labels.insert(super::image::PLATFORM_LABEL.to_owned(), image.platform().to_string());
        let _naming = images.naming()?;
        images.give_name(&name, &bare, &labels)?;
        base::failpoint::hit("load.named");
        let called = reference.as_ref().map_or_else(|| image.id.to_string(), Reference::familiar);
        images.tell("load", &image.id.to_string(), &called, &std::collections::BTreeMap::new());
        Ok(Loaded { reference, id: image.id })
    }

    fn index(&self, bytes: &[u8], archive: &str) -> Result<Index, Error> {
        serde_json::from_slice(bytes)
            .map_err(|error| self.not_one(archive, format!("its index.json is not valid: {error}")))
    }

    fn not_one(&self, archive: &str, problem: impl Into<String>) -> Error {
        Error::Archive { archive: archive.to_owned(), problem: problem.into() }
    }
}

fn children_of(document: &oci_spec::image::Document) -> Vec<Descriptor> {
    use oci_spec::image::Document;
    match document {
        Document::Manifest { manifest, .. } => {
            manifest.layers.iter().chain([&manifest.config]).cloned().collect()
        }
        Document::Index { index, .. } => index.manifests.clone(),
    }
}

/// The name of an index's entry: containerd's annotation, or a whole reference in OCI's.
fn reference_of(entry: &Descriptor) -> Option<Reference> {
    if let Some(name) = entry.annotations.get(CONTAINERD_NAME) {
        return Reference::parse(name).ok();
    }
    // A tag alone names nothing.
    let name = entry.annotations.get(REF_NAME).filter(|name| name.contains([':', '/']))?;
    Reference::parse(name).ok()
}
