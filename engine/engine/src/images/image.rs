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

    /// Whether it runs on a platform. Many configurations have no variant: such a one fits any.
    pub(super) fn is_for(&self, wanted: &Platform) -> bool {
        let own = self.platform();
        let variant = own.variant.as_ref().and(wanted.variant.clone());
        own.satisfies(&Platform { variant, ..wanted.clone() })
    }

    /// Why it is not the image for a platform.
    pub(super) fn not_for(&self, wanted: &Platform) -> Error {
        Error::OtherPlatform {
            reference: self.called.clone(),
            wanted: wanted.to_string(),
            found: self.platform().to_string(),
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

#[cfg(test)]
mod tests {
    use oci_spec::image::{Document, MediaType};

    use super::*;

    fn config(layers: usize) -> Vec<u8> {
        let diff_ids: Vec<_> = (0..layers).map(|n| Digest::sha256_of(&[n as u8])).collect();
        serde_json::json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } })
            .to_string()
            .into_bytes()
    }

    fn manifest(layers: usize, config: &[u8]) -> Vec<u8> {
        let layer = |n: usize| Descriptor::of(MediaType::OCI_LAYER_GZIP.into(), &[n as u8]);
        serde_json::json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": Descriptor::of(MediaType::OCI_CONFIG.into(), config),
            "layers": (0..layers).map(layer).collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes()
    }

    fn read(manifest: Vec<u8>, config: Vec<u8>) -> Option<Result<Image, Error>> {
        let document = Document::parse(manifest, None).ok()?;
        let descriptor = Descriptor::of(document.media_type(), document.raw());
        let Document::Manifest { manifest, .. } = document else { return None };
        Some(Image::read("test", descriptor.clone(), descriptor, manifest, config))
    }

    #[test]
    fn layers_form_the_chain_of_the_specification() {
        let image = read(manifest(3, &config(3)), config(3)).unwrap().unwrap();
        let layers = image.layers();
        assert_eq!(layers[0].chain_id, layers[0].diff_id);
        assert_eq!(layers[1].parent.as_ref(), Some(&layers[0].chain_id));
        let text = format!("{} {}", layers[1].chain_id, layers[2].diff_id);
        assert_eq!(layers[2].chain_id, Digest::sha256_of(text.as_bytes()));
        assert_eq!(image.chain_id().as_ref(), Some(&layers[2].chain_id));
    }

    #[test]
    fn contradictions_are_refused() {
        for (layers, diff_ids) in [(2, 3), (3, 2), (1, 0)] {
            let error = read(manifest(layers, &config(diff_ids)), config(diff_ids)).unwrap().unwrap_err();
            assert!(matches!(error, Error::NotAnImage { .. }), "{error:?}");
        }
        let foreign = String::from_utf8(manifest(1, &config(1))).unwrap().replace("tar+gzip", "squashfs");
        let error = read(foreign.into_bytes(), config(1)).unwrap().unwrap_err();
        assert!(error.to_string().contains("squashfs"), "{error}");
    }

    /// Whatever a registry sends: an image or an error, never a panic.
    #[test]
    fn mutated_documents_never_panic() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap()
        };
        let (sound_manifest, sound_config) = (manifest(3, &config(3)), config(3));
        let mut read_at_all = 0;
        for _ in 0..4000 {
            let (mut manifest, mut config) = (sound_manifest.clone(), sound_config.clone());
            for _ in 0..1 + next() % 4 {
                let bytes = if next() % 2 == 0 { &mut manifest } else { &mut config };
                let at = next() % bytes.len();
                match next() % 4 {
                    0 => bytes[at] = u8::try_from(next() % 256).unwrap(),
                    1 => drop(bytes.remove(at)),
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"0123456789{}[]\",:-"[next() % 18]),
                }
            }
            if let Some(Ok(image)) = read(manifest, config) {
                read_at_all += 1;
                assert_eq!(image.layers().len(), image.manifest.layers.len());
            }
        }
        assert!(read_at_all > 0);
    }
}
