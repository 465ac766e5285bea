//! What a client wants to read and what it sends: media types, and the API's transformations
//! of answers (`as=Table`, `as=PartialObjectMetadata`).

use kube_object::status::Status;

/// How bytes spell an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
    /// `application/cbor`, and `application/cbor-seq` of a watch.
    Cbor,
}

/// What becomes of the objects of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transform {
    /// They stay.
    #[default]
    None,
    /// `meta.k8s.io` Table of this version.
    Table(MetaVersion),
    /// Only their metadata, as `meta.k8s.io` PartialObjectMetadata of this version.
    Metadata(MetaVersion),
}

/// A served version of `meta.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`.
    V1,
    /// `v1beta1`.
    V1Beta1,
}

impl MetaVersion {
    /// As in `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The answer's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// The media type.
    pub encoding: Encoding,
    /// What becomes of the objects.
    pub transform: Transform,
    /// Whether the client wants line breaks and blanks.
    pub pretty: bool,
}

/// What an endpoint can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offer {
    /// It knows columns and metadata.
    pub transforms: bool,
    /// It has a protobuf form.
    pub protobuf: bool,
}

impl Encoding {
    /// The most wanted first by those who take anything.
    const ALL: [Self; 4] = [Self::Json, Self::Yaml, Self::Protobuf, Self::Cbor];

    /// The `Content-Type` of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
            Self::Cbor => "application/cbor",
        }
    }

    /// The `Content-Type` of a watch's answer.
    pub fn stream_content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            Self::Cbor => "application/cbor-seq",
        }
    }

    /// The encoding of a body; an absent type is JSON.
    pub fn of_content_type(content_type: Option<&str>) -> Option<Self> {
        let Some(content_type) = content_type else { return Some(Self::Json) };
        let essence = MediaRange::parse(content_type)?.essence();
        Self::ALL.into_iter().find(|encoding| encoding.content_type() == essence)
    }
}

/// Chooses the first range that can be answered, by the client's own order.
pub fn negotiate(accept: Option<&str>, offer: Offer) -> Result<Negotiated, Status> {
    let accept = accept.map(str::trim).filter(|accept| !accept.is_empty()).unwrap_or("*/*");
    let ranges = ranges(accept);
    ranges.iter().find_map(|range| match_range(range, offer)).ok_or_else(|| not_acceptable(offer))
}

/// 406, as the API says it.
pub fn not_acceptable(offer: Offer) -> Status {
    let types = media_types(offer.protobuf);
    Status::not_acceptable(format!("only the following media types are accepted: {types}"))
}

/// 415, as the API says it.
pub fn unsupported_media_type(types: &str) -> Status {
    Status::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: {types}"
    ))
}

/// The media types of objects, for messages: those of upstream without its gates, which tools know.
pub fn media_types(protobuf: bool) -> &'static str {
    if protobuf {
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    } else {
        "application/json, application/yaml"
    }
}

/// A range of `Accept`, most wanted first.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaRange {
    kind: String,
    subtype: String,
    quality: f32,
    parameters: Vec<(String, String)>,
}

impl MediaRange {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        let mut range = Self {
            kind: kind.trim().to_ascii_lowercase(),
            subtype: subtype.trim().to_ascii_lowercase(),
            quality: 1.0,
            parameters: Vec::new(),
        };
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            if name == "q" {
                range.quality = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
            } else {
                range.parameters.push((name, value.to_owned()));
            }
        }
        Some(range)
    }

    /// `type/subtype`.
    pub fn essence(&self) -> String {
        format!("{}/{}", self.kind, self.subtype)
    }

    /// A parameter's value, empty if it is absent.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether the range admits this media type.
    pub fn admits(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == kind && (self.subtype == subtype || self.subtype == "*"))
            || (self.kind == "*" && self.subtype == "*")
    }
}

/// The ranges of an `Accept` header by falling quality; what cannot be read is left out.
pub fn ranges(accept: &str) -> Vec<MediaRange> {
    // More than any client sends: sorting stays cheap.
    const RANGES_MAX: usize = 64;
    let mut ranges: Vec<_> = accept.split(',').take(RANGES_MAX).filter_map(MediaRange::parse).collect();
    ranges.retain(|range| range.quality > 0.0);
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges
}

fn match_range(range: &MediaRange, offer: Offer) -> Option<Negotiated> {
    let offered =
        Encoding::ALL.into_iter().filter(|encoding| offer.protobuf || *encoding != Encoding::Protobuf);
    for encoding in offered {
        if encoding.content_type().split_once('/').is_some_and(|(kind, subtype)| range.admits(kind, subtype))
        {
            let transform = transform(range, offer, encoding)?;
            let pretty = matches!(range.parameter("pretty"), "1" | "true");
            return Some(Negotiated { encoding, transform, pretty });
        }
    }
    None
}

fn transform(range: &MediaRange, offer: Offer, encoding: Encoding) -> Option<Transform> {
    let target = range.parameter("as");
    if target.is_empty() {
        return Some(Transform::None);
    }
    if !offer.transforms || range.parameter("g") != "meta.k8s.io" {
        return None;
    }
    let version = match range.parameter("v") {
        "v1" => MetaVersion::V1,
        "v1beta1" => MetaVersion::V1Beta1,
        _ => return None,
    };
    match target {
        // Cells have any type, which protobuf cannot say.
        "Table" if encoding != Encoding::Protobuf => Some(Transform::Table(version)),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Transform::Metadata(version)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(accept: &str, transforms: bool, protobuf: bool) -> Option<(Encoding, Transform)> {
        let negotiated = negotiate(Some(accept), Offer { transforms, protobuf }).ok()?;
        Some((negotiated.encoding, negotiated.transform))
    }

    #[test]
    fn negotiates() {
        use Encoding::*;
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let kubectl = format!("{table},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json");
        let client_go = "application/vnd.kubernetes.protobuf,application/json";
        for (accept, transforms, protobuf, expected) in [
            ("", true, true, Some((Json, Transform::None))),
            ("*/*", true, true, Some((Json, Transform::None))),
            ("application/*", false, true, Some((Json, Transform::None))),
            ("application/json, */*", true, true, Some((Json, Transform::None))),
            ("application/yaml", true, true, Some((Yaml, Transform::None))),
            (client_go, true, true, Some((Protobuf, Transform::None))),
            (client_go, true, false, Some((Json, Transform::None))),
            ("application/json;q=0.5,application/yaml;q=0.9", true, true, Some((Yaml, Transform::None))),
            (table, true, true, Some((Json, Transform::Table(MetaVersion::V1)))),
            (table, false, true, None),
            (&kubectl, true, true, Some((Json, Transform::Table(MetaVersion::V1)))),
            (&kubectl, false, true, Some((Json, Transform::None))),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                true,
                true,
                Some((Protobuf, Transform::Metadata(MetaVersion::V1))),
            ),
            ("application/json;as=Table;v=v2;g=meta.k8s.io", true, true, None),
            ("application/json;as=Table;v=v1;g=other", true, true, None),
            ("application/cbor", true, false, Some((Cbor, Transform::None))),
            (
                "application/cbor;as=Table;v=v1;g=meta.k8s.io",
                true,
                true,
                Some((Cbor, Transform::Table(MetaVersion::V1))),
            ),
            ("text/html", true, true, None),
            ("garbage", true, true, None),
            ("application/json;q=0", true, true, None),
            ("application/json;q=x,application/yaml", true, true, Some((Yaml, Transform::None))),
        ] {
            assert_eq!(choose(accept, transforms, protobuf), expected, "{accept}");
        }
        let refused = negotiate(Some("text/html"), Offer { transforms: true, protobuf: true }).unwrap_err();
        assert_eq!((refused.code, refused.reason), (406, "NotAcceptable"));
    }

    #[test]
    fn reads_content_types() {
        for (text, expected) in [
            (None, Some(Encoding::Json)),
            (Some("application/json; charset=utf-8"), Some(Encoding::Json)),
            (Some("application/YAML"), Some(Encoding::Yaml)),
            (Some("text/plain"), None),
            (Some("nonsense"), None),
        ] {
            assert_eq!(Encoding::of_content_type(text), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(accept in "[a-z*/;=,q0.9 ]{0,80}") {
            let _ = negotiate(Some(&accept), Offer { transforms: true, protobuf: true });
        }
    }
}
