//! From what a person typed to an image of the store.

use base::Digest;
use content::ImageName;
use oci_spec::Reference;
use oci_spec::image::{Descriptor, Document, Index, Manifest, Platform};

use super::image::{Name, PLATFORM_LABEL};
use super::{Error, Image, Images};

/// Indexes within indexes are legal but nobody nests them deeply.
pub(super) const INDEX_DEPTH_MAX: usize = 4;

impl Images {
    /// The image that `name` means: a reference, an id, or the beginning of one.
    ///
    /// Of an index the manifest for `platform` counts; without one that for this
    /// host, else the one that was pulled.
    pub fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Image, Error> {
        if let Some(image) = self.try_find(name, platform)? {
            return Ok(image);
        }
        match (self.try_find(name, None)?, platform) {
            (Some(other), Some(wanted)) => Err(other.not_for(wanted)),
            _ => Err(Error::NoSuchImage { name: name.to_owned() }),
        }
    }

    /// Like [`Images::find`]; `None` when there is no such image.
    pub fn try_find(&self, name: &str, platform: Option<&Platform>) -> Result<Option<Image>, Error> {
        if let Some(record) = self.find_record(name)? {
            return self.of_record(&record, &called(&record, name), platform);
        }
        self.find_by_id(name, platform)
    }

    /// The record of the name that `name` means as a reference.
    pub(super) fn find_record(&self, name: &str) -> Result<Option<ImageName>, Error> {
        let Ok(reference) = Reference::parse(name) else { return Ok(None) };
        // `name:tag@digest` means the digest.
        let full = match reference.digest() {
            Some(digest) => reference.at(digest.clone()).to_string(),
            None => reference.to_string(),
        };
        if let Some(record) = self.store.find_name(&full)? {
            return Ok(Some(record));
        }
        let Some(digest) = reference.digest() else { return Ok(None) };
        let same = |record: &ImageName| match Name::of(record) {
            Some(Name::Tag(tag)) => {
                tag.repository() == reference.repository() && record.target.digest == *digest
            }
            _ => false,
        };
        Ok(self.store.names()?.into_iter().find(same))
    }

    /// Ids, whole or their beginning, with or without `sha256:`.
    fn find_by_id(&self, name: &str, platform: Option<&Platform>) -> Result<Option<Image>, Error> {
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex =
            prefix.len() <= 64 && prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_hex || prefix.len() < ID_PREFIX_MIN {
            return Ok(None);
        }
        let mut found: Option<Image> = None;
        for record in self.store.names()? {
            let Some(image) = self.of_record(&record, &record.name, platform)? else { continue };
            let ids = [&image.id, &image.manifest_descriptor.digest, &image.target.digest];
            if !ids.iter().any(|id| id.hex().starts_with(prefix)) {
                continue;
            }
            if found.as_ref().is_some_and(|other| other.id != image.id) {
                return Err(Error::AmbiguousId { prefix: name.to_owned() });
            }
            found = Some(Image { called: image.id.short().to_owned(), ..image });
        }
        Ok(found)
    }

    /// The image that a record stands for; `None` when none of its manifests is here.
    pub(super) fn of_record(
        &self,
        record: &ImageName,
        called: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<Image>, Error> {
        let host = Platform::host();
        let pulled = record.labels.get(PLATFORM_LABEL).and_then(|text| Platform::parse(text).ok());
        let wanted: Vec<&Platform> = match platform {
            Some(platform) => vec![platform],
            None => [Some(&host), pulled.as_ref()].into_iter().flatten().collect(),
        };
        let manifests = self.manifests_of(&record.target, 0)?;
        let mut images = Vec::with_capacity(manifests.len());
        for (descriptor, manifest) in manifests {
            // Artifacts beside the images of an index have no configuration of an image.
            let Ok(config) = self.store.read(&manifest.config.digest) else { continue };
            let read = Image::read(called, record.target.clone(), descriptor, manifest, config);
            match read {
                Ok(image) => images.push(image),
                Err(_) if record.target.media_type.is_index() => {}
                Err(error) => return Err(error),
            }
        }
        for wanted in &wanted {
            if let Some(at) = images.iter().position(|image| image.platform().satisfies(wanted)) {
                return Ok(Some(images.swap_remove(at)));
            }
        }
        match platform {
            None => Ok(images.into_iter().next()),
            Some(_) => Ok(None),
        }
    }

    /// The manifests behind a target that are in the store.
    pub(super) fn manifests_of(
        &self,
        target: &Descriptor,
        depth: usize,
    ) -> Result<Vec<(Descriptor, Manifest)>, Error> {
        if depth > INDEX_DEPTH_MAX || !self.store.contains(&target.digest)? {
            return Ok(Vec::new());
        }
        match self.document(&target.digest)? {
            Document::Manifest { manifest, .. } => Ok(vec![(target.clone(), manifest)]),
            Document::Index { index, .. } => {
                let mut manifests = Vec::new();
                for entry in children(&index) {
                    manifests.extend(self.manifests_of(entry, depth + 1)?);
                }
                Ok(manifests)
            }
        }
    }

    pub(super) fn document(&self, digest: &Digest) -> Result<Document, Error> {
        self.store.document(digest)?.map_err(|source| Error::Document { digest: digest.clone(), source })
    }
}

/// The entries of an index that can be or have images.
pub(super) fn children(index: &Index) -> impl Iterator<Item = &Descriptor> {
    index.manifests.iter().filter(|entry| entry.media_type.is_manifest() || entry.media_type.is_index())
}

fn called(record: &ImageName, asked: &str) -> String {
    Reference::parse(&record.name).map_or_else(|_| asked.to_owned(), |reference| reference.familiar())
}

/// Shorter beginnings of ids are more likely a mistyped name.
const ID_PREFIX_MIN: usize = 2;
