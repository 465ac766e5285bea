//! Docker's `manifest.json`: old archives whose members are not named by their digests.

use std::io::Read as _;

use archive::compression::{Compression, Decoder, detect};
use oci_spec::Reference;
use oci_spec::image::{Descriptor, Document, Manifest, MediaType};
use serde::Deserialize;

use super::members::{Members, Spool};
use super::{DOCUMENT_BYTES_MAX, Error, Load};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

impl Load<'_> {
    /// Makes a manifest for each image of the list.
    pub(super) fn docker(
        &self,
        list: &[u8],
        members: &Members,
        archive: &str,
    ) -> Result<Vec<(Option<Reference>, Descriptor)>, Error> {
        let mut targets = Vec::new();
        for entry in self.entries(list, archive)? {
            let target = self.assemble(&entry, members, archive)?;
            let names = entry.repo_tags.unwrap_or_default();
            let names: Vec<Reference> = names.iter().filter_map(|name| Reference::parse(name).ok()).collect();
            if names.is_empty() {
                targets.push((None, target.clone()));
            }
            targets.extend(names.into_iter().map(|name| (Some(name), target.clone())));
        }
        Ok(targets)
    }

    /// Gives the images of an index the names that docker's list has for them.
    pub(super) fn add_docker_names(
        &self,
        list: &[u8],
        targets: &mut Vec<(Option<Reference>, Descriptor)>,
    ) -> Result<(), Error> {
        let Ok(entries) = self.entries(list, "") else { return Ok(()) };
        let mut named = Vec::new();
        for (reference, target) in targets.drain(..) {
            let config = match target.media_type.is_manifest() {
                true => match self.images.document(&target.digest)? {
                    Document::Manifest { manifest, .. } => Some(manifest.config.digest),
                    Document::Index { .. } => None,
                },
                false => None,
            };
            let same =
                |entry: &&Entry| config.as_ref().is_some_and(|config| entry.config.contains(config.hex()));
            let tags =
                entries.iter().find(same).and_then(|entry| entry.repo_tags.clone()).unwrap_or_default();
            let tags: Vec<Reference> = tags.iter().filter_map(|tag| Reference::parse(tag).ok()).collect();
            if tags.is_empty() {
                named.push((reference, target));
            } else {
                named.extend(tags.into_iter().map(|tag| (Some(tag), target.clone())));
            }
        }
        *targets = named;
        Ok(())
    }

    fn entries(&self, list: &[u8], archive: &str) -> Result<Vec<Entry>, Error> {
        serde_json::from_slice(list)
            .map_err(|error| self.not_one(archive, format!("its manifest.json is not valid: {error}")))
    }

    fn assemble(&self, entry: &Entry, members: &Members, archive: &str) -> Result<Descriptor, Error> {
        let find = |name: &str| {
            let name = name.trim_start_matches("./");
            members.get(name).ok_or_else(|| self.not_one(archive, format!("it lacks its member {name}")))
        };
        let config = find(&entry.config)?;
        if config.size > DOCUMENT_BYTES_MAX {
            return Err(self.not_one(archive, "an image's configuration is too large"));
        }
        let mut manifest = Manifest {
            schema_version: 2,
            media_type: Some(MediaType::OCI_MANIFEST.into()),
            artifact_type: None,
            config: self.store_member(config, MediaType::OCI_CONFIG, archive)?,
            layers: Vec::with_capacity(entry.layers.len()),
            subject: None,
            annotations: Default::default(),
            extra: Default::default(),
        };
        for layer in &entry.layers {
            let layer = find(layer)?;
            let kind = self.kind_of(layer, archive)?;
            manifest.layers.push(self.store_member(layer, kind, archive)?);
        }
        let raw = serde_json::to_vec(&manifest)
            .map_err(|error| self.not_one(archive, format!("its manifest cannot be written: {error}")))?;
        let target = Descriptor::of(MediaType::OCI_MANIFEST.into(), &raw);
        self.leases.content.add(&target.digest)?;
        self.images.store_bytes(&target, &raw, archive)?;
        Ok(target)
    }

    fn store_member(&self, member: &Spool, kind: &str, archive: &str) -> Result<Descriptor, Error> {
        let file = member.open().map_err(|source| Error::ArchiveIo {
            operation: "read a member of",
            archive: archive.to_owned(),
            source,
        })?;
        self.ingest(&member.digest, file, archive)?;
        Ok(Descriptor::new(kind.into(), member.digest.clone(), member.size))
    }

    /// The media type of a layer, from its first bytes: some writers compress them.
    fn kind_of(&self, layer: &Spool, archive: &str) -> Result<&'static str, Error> {
        let failed =
            |source| Error::ArchiveIo { operation: "read a layer of", archive: archive.to_owned(), source };
        let mut first = [0; 4];
        let count = layer.open().and_then(|mut file| file.read(&mut first)).map_err(failed)?;
        Ok(layer_type(detect(&first[..count])))
    }
}

/// The media type of a layer that is compressed so.
pub(in super::super) fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => MediaType::OCI_LAYER,
        Compression::Gzip => MediaType::OCI_LAYER_GZIP,
        Compression::Zstd => MediaType::OCI_LAYER_ZSTD,
    }
}

/// The digest of the plain archive in a spooled layer.
pub(in super::super) fn diff_id(layer: &Spool) -> std::io::Result<base::Digest> {
    let mut plain = Decoder::detect(layer.open()?)?;
    let mut hasher = base::DigestHasher::new(base::digest::Algorithm::Sha256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = plain.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
    }
}
