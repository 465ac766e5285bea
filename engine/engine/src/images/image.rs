//! One image of the store, read and checked.

use base::Digest;
use content::ImageName;
use oci_spec::Reference;
use oci_spec::image::{Compression, Descriptor, ImageConfig, Manifest, Platform};
use snapshot::LayerSpec;

use super::Error;

/// An image that is in the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// Docker's image id: the digest of the configuration.
    pub id: Digest,
    /// What it is called here for messages: the name asked for, or the short id.
    pub called: String,
    /// What its name stands for: the manifest, or an index that has it.
    pub target: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's descriptor.
    pub manifest_descriptor: Descriptor,
    /// The configuration.
    pub config: ImageConfig,
    /// The configuration's raw bytes.
    pub config_raw: Vec<u8>,
}

/// One layer: the blob, the archive in it, and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// How the blob is compressed, as its type says.
    pub compression: Option<Compression>,
    /// The digest of the plain archive.
    pub diff_id: Digest,
    /// The chain that ends with it.
    pub chain_id: Digest,
    /// The chain below it.
    pub parent: Option<Digest>,
}

impl Image {
    /// Reads manifest and configuration together; they must fit each other.
    pub(super) fn read(
        called: &str,
        target: Descriptor,
        manifest_descriptor: Descriptor,
        manifest: Manifest,
        config_raw: Vec<u8>,
    ) -> Result<Self, Error> {
        let digest = manifest.config.digest.clone();
        if let Some(kind) = &manifest.artifact_type {
            return Err(Error::not_an_image(called, format!("it is an artifact of type {kind:?}")));
        }
        let config: ImageConfig = serde_json::from_slice(&config_raw).map_err(|source| Error::Config {
            image: called.to_owned(),
            digest: digest.clone(),
            source,
        })?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            let problem = format!("its manifest has {layers} layers, its configuration {diff_ids}");
            return Err(Error::not_an_image(called, problem));
        }
        if let Some(odd) = manifest.layers.iter().find(|layer| layer.media_type.layer_compression().is_none())
        {
            return Err(Error::not_an_image(
                called,
                format!("a layer has the unknown type {:?}", odd.media_type.as_str()),
            ));
        }
        Ok(Self {
            id: digest,
            called: called.to_owned(),
            target,
            manifest,
            manifest_descriptor,
            config,
            config_raw,
        })
    }

    /// The layers, bottom first.
    pub fn layers(&self) -> Vec<Layer> {
        let chain = self.config.chain_ids();
        let mut parent = None;
        let mut layers = Vec::with_capacity(chain.len());
        for ((descriptor, diff_id), chain_id) in
            self.manifest.layers.iter().zip(&self.config.rootfs.diff_ids).zip(chain)
        {
            layers.push(Layer {
                descriptor: descriptor.clone(),
                compression: descriptor.media_type.layer_compression(),
                diff_id: diff_id.clone(),
                chain_id: chain_id.clone(),
                parent: parent.replace(chain_id),
            });
        }
        layers
    }

    /// The chain of all layers; `None` for an image without layers.
    pub fn chain_id(&self) -> Option<Digest> {
        self.config.chain_ids().pop()
    }

    /// What it runs on.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.config.architecture.clone(),
            os: self.config.os.clone(),
            variant: self.config.variant.clone(),
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// The sum of the blobs' lengths in bytes: what a pull transfers.
    pub fn compressed_bytes(&self) -> u64 {
        self.manifest.layers.iter().map(|layer| layer.size).sum()
    }
}

impl Layer {
    /// What the snapshot store must know of it.
    pub(super) fn spec(&self) -> LayerSpec {
        LayerSpec {
            diff_id: self.diff_id.clone(),
            blob: Some(self.descriptor.digest.clone()),
            blob_size: Some(self.descriptor.size),
        }
    }
}

/// A name in the store, as what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `repository:tag`.
    Tag(Reference),
    /// `repository@digest`: what was pulled by digest, or had a tag that has moved on.
    Digest(Reference),
    /// An image without any name: only its manifest's digest keeps it.
    Nameless(Digest),
}

impl Name {
    pub(super) fn of(record: &ImageName) -> Option<Self> {
        if let Ok(digest) = Digest::parse(&record.name) {
            return Some(Self::Nameless(digest));
        }
        let reference = Reference::parse(&record.name).ok()?;
        Some(match reference.digest() {
            Some(_) => Self::Digest(reference),
            None => Self::Tag(reference),
        })
    }
}

/// The label of a name that says by which `repository@digest` its image came or went.
pub(super) const REPO_DIGEST_LABEL: &str = "repo-digest";
/// The label of a name that says which platform of an index was asked for.
pub(super) const PLATFORM_LABEL: &str = "platform";
