//! OCI image-spec `manifest.md` and `image-index.md`.

use std::collections::BTreeMap;

use base::Digest;
use serde::{Deserialize, Serialize};

use super::{Descriptor, MediaType, Platform};

/// The manifest of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The type of the artifact, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, bottom first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Arbitrary metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields that we do not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// An index of manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The type of the artifact, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, in order of preference.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Arbitrary metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields that we do not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Index {
    /// The first image for `wanted`; entries without a platform match anything.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        let images = || {
            self.manifests
                .iter()
                .filter(|entry| entry.media_type.is_manifest() || entry.media_type.is_index())
        };
        let fits =
            |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|platform| platform.satisfies(wanted));
        images().find(fits).or_else(|| images().find(|entry| entry.platform.is_none()))
    }
}

/// A manifest or an index with the bytes that it was read from.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them lives on the stack for a moment, never many")]
pub enum Document {
    /// One image.
    Manifest {
        /// What the bytes say.
        manifest: Manifest,
        /// The bytes that the digest is over.
        raw: Vec<u8>,
    },
    /// Several images.
    Index {
        /// What the bytes say.
        index: Index,
        /// The bytes that the digest is over.
        raw: Vec<u8>,
    },
}

/// The bytes are not a manifest or index that we take.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    /// Not JSON, or not of the shape.
    #[error("manifest is not valid JSON of its type")]
    Json(#[source] serde_json::Error),
    /// A type that is neither a manifest nor an index.
    #[error(
        "manifest has the unsupported type {media_type:?}: only OCI and Docker schema 2 images can be used"
    )]
    Type {
        /// The type met.
        media_type: String,
    },
    /// It could be read as a manifest and as an index (CVE-2021-41190).
    #[error("manifest has both layers and manifests, so its meaning would depend on the reader")]
    Ambiguous,
}

impl Document {
    /// Reads `raw`; `content_type` is what the transport called it, if it said.
    pub fn parse(raw: Vec<u8>, content_type: Option<&str>) -> Result<Self, InvalidDocument> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
        }
        let probe: Probe = serde_json::from_slice(&raw).map_err(InvalidDocument::Json)?;
        if probe.manifests.is_some() && probe.layers.is_some() {
            return Err(InvalidDocument::Ambiguous);
        }
        let transport = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
        let generic = |text: &&str| MediaType::MANIFESTS.contains(text);
        let by_shape = if probe.manifests.is_some() { MediaType::OCI_INDEX } else { MediaType::OCI_MANIFEST };
        let media_type = probe.media_type.as_deref().or(transport.filter(generic)).unwrap_or(by_shape);
        let media_type = MediaType::from(media_type);
        if media_type.is_index() {
            let index = serde_json::from_slice(&raw).map_err(InvalidDocument::Json)?;
            return Ok(Self::Index { index, raw });
        }
        if media_type.is_manifest() {
            let manifest = serde_json::from_slice(&raw).map_err(InvalidDocument::Json)?;
            return Ok(Self::Manifest { manifest, raw });
        }
        Err(InvalidDocument::Type { media_type: media_type.0 })
    }

    /// The bytes that it was read from.
    pub fn raw(&self) -> &[u8] {
        match self {
            Self::Manifest { raw, .. } | Self::Index { raw, .. } => raw,
        }
    }

    /// Its media type: what it says itself, or what its shape is in OCI's words.
    pub fn media_type(&self) -> MediaType {
        match self {
            Self::Manifest { manifest, .. } => {
                manifest.media_type.clone().unwrap_or_else(|| MediaType::OCI_MANIFEST.into())
            }
            Self::Index { index, .. } => {
                index.media_type.clone().unwrap_or_else(|| MediaType::OCI_INDEX.into())
            }
        }
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        Digest::sha256_of(self.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_document_with_two_meanings() {
        let raw = br#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#.to_vec();
        assert!(matches!(Document::parse(raw, None), Err(InvalidDocument::Ambiguous)));
    }

    #[test]
    fn keeps_unknown_fields() {
        let raw = br#"{"schemaVersion":2,"manifests":[],"x-new":{"a":1}}"#.to_vec();
        let Document::Index { index, .. } = Document::parse(raw, None).unwrap() else {
            panic!("not an index")
        };
        assert_eq!(serde_json::to_value(&index).unwrap()["x-new"]["a"], 1);
    }
}
