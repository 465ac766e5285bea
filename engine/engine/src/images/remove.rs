//! `rmi`: names go first; content goes when no name is left.

use std::collections::{BTreeMap, BTreeSet};

use base::{Digest, failpoint};
use content::ImageName;
use oci_spec::Reference;
use oci_spec::image::Document;

use super::image::{Name, REPO_DIGEST_LABEL};
use super::lookup::children;
use super::{Error, Image, Images};

/// A container that was made of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// The image's id.
    pub image: Digest,
    /// The container's name or short id, for people.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

/// What a removal did, in docker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// An image or the chain of one of its layers is gone.
    Deleted(Digest),
}

impl Images {
    /// Removes the image or name that `name` means.
    ///
    /// A name of several goes alone. The last one, or an id, takes the image with it:
    /// not while a container uses it, unless `force` and the container does not run.
    /// The layers of a container that was made of it stay until it is gone too.
    pub fn remove(&self, name: &str, force: bool, uses: &[ImageUse]) -> Result<Vec<Removed>, Error> {
        let image = self.find(name, self.platform.as_ref())?;
        if self.platform.is_some() && self.has_others(&image)? {
            return Err(Error::SeveralPlatforms { name: name.to_owned() });
        }
        let removed = self.remove_locked(name, force, uses)?;
        self.tell_removed(&removed, &[image.id]);
        self.delete_collected()?;
        Ok(removed)
    }

    /// Whether other platforms of an image's index are here.
    fn has_others(&self, image: &Image) -> Result<bool, Error> {
        if image.target.digest == image.manifest_descriptor.digest {
            return Ok(false);
        }
        let Document::Index { index, .. } = self.document(&image.target.digest)? else { return Ok(false) };
        for child in children(&index) {
            if child.digest != image.manifest_descriptor.digest && self.store.contains(&child.digest)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells of names that are gone, and of those of `images` that went with them.
    pub(super) fn tell_removed(&self, removed: &[Removed], images: &[Digest]) {
        for one in removed {
            match one {
                Removed::Untagged(name) => {
                    let id = images.first().map_or_else(|| name.clone(), ToString::to_string);
                    self.tell("untag", &id, name, &BTreeMap::new());
                }
                Removed::Deleted(digest) if images.contains(digest) => {
                    self.tell("delete", &digest.to_string(), &digest.to_string(), &BTreeMap::new());
                }
                Removed::Deleted(_) => {}
            }
        }
    }

    fn remove_locked(&self, name: &str, force: bool, uses: &[ImageUse]) -> Result<Vec<Removed>, Error> {
        let _collecting = self.collecting()?;
        let image = self.find(name, None)?;
        let records = self.names_of(&image)?;
        let asked = self.find_record(name)?;
        let going = match &asked {
            Some(asked) => going_with(asked, &records),
            None => {
                let tags: Vec<String> = records.iter().filter_map(tag_of).map(|tag| tag.familiar()).collect();
                let repositories: BTreeSet<_> =
                    records.iter().filter_map(tag_of).map(|tag| tag.repository()).collect();
                if repositories.len() > 1 && !force {
                    let id = image.id.short().to_owned();
                    return Err(Error::SeveralNames { id, count: tags.len(), names: tags.join(", ") });
                }
                records.clone()
            }
        };
        if going.len() == records.len() {
            refuse_used(&image, name, force, asked.is_none(), uses)?;
        }
        let mut removed = Vec::new();
        for record in &going {
            self.store.remove_name(&record.name)?;
            failpoint::hit("images.name-removed");
            removed.extend(untagged(record));
        }
        removed.extend(self.collect()?);
        Ok(removed)
    }

    /// Removes everything that no name needs. The caller holds the collection lock.
    pub(super) fn collect(&self) -> Result<Vec<Removed>, Error> {
        let (removed, _) = self.collect_counted()?;
        Ok(removed)
    }

    /// The same, with the bytes that were freed.
    pub(super) fn collect_counted(&self) -> Result<(Vec<Removed>, u64), Error> {
        let keep = self.chains_of_images()?;
        // Configurations are the images; manifests and layers need no line.
        let configs = self.configs()?;
        let collected = self.store.gc()?;
        failpoint::hit("images.content-collected");
        let pruned = self.snapshots.prune(&keep).map_err(Error::snapshot("store"))?;
        failpoint::hit("images.pruned");
        let mut removed: Vec<Removed> = collected
            .blobs
            .iter()
            .filter(|blob| configs.contains(blob))
            .cloned()
            .map(Removed::Deleted)
            .collect();
        removed.extend(pruned.chains.into_iter().map(Removed::Deleted));
        Ok((removed, collected.bytes + pruned.bytes))
    }

    /// The layers that images are unpacked to.
    pub(crate) fn chains_of_images(&self) -> Result<Vec<Digest>, Error> {
        let mut keep = Vec::new();
        for (_, record) in self.named()? {
            keep.extend(self.images_of(&record)?.iter().filter_map(Image::chain_id));
        }
        Ok(keep)
    }

    /// Deletes the files of collected layers. They are out of everyone's way already, so
    /// this needs no lock and may be cut short.
    pub(super) fn delete_collected(&self) -> Result<(), Error> {
        self.snapshots.empty_trash().map_err(Error::snapshot("store"))
    }

    /// All images behind a record, of all platforms that are here.
    pub(super) fn images_of(&self, record: &ImageName) -> Result<Vec<Image>, Error> {
        let mut images = Vec::new();
        for (descriptor, manifest) in self.manifests_of(&record.target, 0)? {
            let config = match self.store.read(&manifest.config.digest) {
                Ok(config) => config,
                Err(content::Error::BlobNotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            images
                .extend(Image::read(&record.name, record.target.clone(), descriptor, manifest, config).ok());
        }
        Ok(images)
    }

    /// The configurations of all manifests in the store, named or not.
    fn configs(&self) -> Result<BTreeSet<Digest>, Error> {
        let mut configs = BTreeSet::new();
        for digest in self.store.blobs()? {
            // Manifests are small; layers are not read.
            if self.store.size(&digest)? > MANIFEST_BYTES_MAX {
                continue;
            }
            if let Ok(Ok(Document::Manifest { manifest, .. })) = self.store.document(&digest) {
                configs.insert(manifest.config.digest);
            }
        }
        Ok(configs)
    }

    /// The records of all names that an image has.
    pub(super) fn names_of(&self, image: &Image) -> Result<Vec<ImageName>, Error> {
        let mut records = Vec::new();
        for (_, record) in self.named()? {
            let same = record.target.digest == image.target.digest
                || self.images_of(&record)?.iter().any(|other| other.id == image.id);
            if same {
                records.push(record);
            }
        }
        Ok(records)
    }
}

/// What goes with a name: itself, and when it is the last tag of its repository, the
/// digests by which the image is known there.
fn going_with(asked: &ImageName, records: &[ImageName]) -> Vec<ImageName> {
    let Some(Name::Tag(tag)) = Name::of(asked) else { return vec![asked.clone()] };
    let same_repository = |record: &&ImageName| match Name::of(record) {
        Some(Name::Tag(other) | Name::Digest(other)) => other.repository() == tag.repository(),
        _ => false,
    };
    let others = records.iter().filter(same_repository).filter(|record| record.name != asked.name);
    let is_tag = |record: &&ImageName| tag_of(record).is_some();
    let mut going = vec![asked.clone()];
    if !others.clone().any(|record| is_tag(&record)) {
        going.extend(others.cloned());
    }
    going
}

fn tag_of(record: &ImageName) -> Option<Reference> {
    match Name::of(record)? {
        Name::Tag(tag) => Some(tag),
        _ => None,
    }
}

fn untagged(record: &ImageName) -> Vec<Removed> {
    let mut lines = Vec::new();
    match Name::of(record) {
        Some(Name::Tag(tag)) => {
            lines.push(tag.familiar());
            let digest = record.labels.get(REPO_DIGEST_LABEL).and_then(|text| Reference::parse(text).ok());
            lines.extend(digest.map(|digest| digest.familiar()));
        }
        Some(Name::Digest(digest)) => lines.push(digest.familiar()),
        Some(Name::Nameless(_)) | None => {}
    }
    lines.into_iter().map(Removed::Untagged).collect()
}

/// Docker's rule: a running container always protects its image, a stopped one
/// unless forced; a name may go by force even then.
fn refuse_used(image: &Image, name: &str, force: bool, by_id: bool, uses: &[ImageUse]) -> Result<(), Error> {
    let users = || uses.iter().filter(|one| one.image == image.id);
    let running = users().find(|one| one.running).filter(|_| by_id || !force);
    let user = running.or_else(|| users().find(|_| !force));
    match user {
        None => Ok(()),
        Some(user) => Err(Error::InUse {
            image: name.to_owned(),
            container: user.container.clone(),
            running: user.running && by_id,
        }),
    }
}

/// Registries take no larger ones.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
