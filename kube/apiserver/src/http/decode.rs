//! Bodies of requests as values.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use kube_object::status::Status;
use kube_object::{json, protobuf, strict};
use serde_json::Value;

use super::accept::{Encoding, media_types, unsupported_media_type};
use super::yaml;
use crate::registry::{Body, Patch};

/// The text of `Content-Type`, if there is one.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?")).filter(|text| !text.is_empty())
}

/// An object; `protobuf` says whether its kind has a message.
pub(super) fn object(headers: &HeaderMap, bytes: &Bytes, protobuf: bool) -> Result<Body, Status> {
    match Encoding::of_content_type(content_type(headers)) {
        Some(Encoding::Json) => read_json(bytes),
        Some(Encoding::Yaml) => read_yaml(bytes),
        Some(Encoding::Protobuf) if protobuf => read_protobuf(bytes),
        Some(Encoding::Protobuf) | None => Err(unsupported_media_type(media_types(protobuf))),
    }
}

/// Options, for which an empty body is nothing.
pub(super) fn options(headers: &HeaderMap, bytes: &Bytes) -> Result<Option<Value>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    object(headers, bytes, true).map(|body| Some(body.value))
}

/// A patch; `custom` kinds have no strategic merge.
pub(super) fn patch(headers: &HeaderMap, bytes: &Bytes, custom: bool) -> Result<Patch, Status> {
    let content_type = content_type(headers).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json-patch+json" => read_json(bytes).map(Patch::Json),
        "application/merge-patch+json" => read_json(bytes).map(Patch::Merge),
        "application/strategic-merge-patch+json" if !custom => read_json(bytes).map(Patch::Strategic),
        "application/apply-patch+yaml" => read_configuration(bytes).map(Patch::Apply),
        _ if custom => Err(unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        _ => Err(unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, \
             application/strategic-merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

/// A configuration to apply. JSON is YAML too, and read much faster; but what stands in it twice is
/// said in YAML's words, as is all that is wrong with it.
fn read_configuration(bytes: &Bytes) -> Result<Body, Status> {
    if bytes.starts_with(b"{")
        && let Ok(decoded) = json::decode(bytes)
        && decoded.duplicates.is_empty()
    {
        return Ok(decoded.value.into());
    }
    read_yaml(bytes).map_err(|status| Status::bad_request(format!("error decoding YAML: {status}")))
}

fn read_json(bytes: &Bytes) -> Result<Body, Status> {
    let decoded = json::decode(bytes).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Status::bad_request(format!("couldn't get version/kind; json parse error: {error}{cause}"))
    })?;
    let notes = strict::duplicate_notes(&decoded.duplicates);
    Ok(Body { value: decoded.value, notes, text: Some(bytes.clone()), ..Body::default() })
}

fn read_protobuf(bytes: &Bytes) -> Result<Body, Status> {
    let value = protobuf::decode(bytes).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Status::bad_request(format!("{error}{cause}"))
    })?;
    Ok(Body { value, typed: true, ..Body::default() })
}

fn read_yaml(bytes: &Bytes) -> Result<Body, Status> {
    let decoded = yaml::read(bytes)
        .map_err(|error| Status::bad_request(format!("error converting YAML to JSON: {error}")))?;
    let notes = strict::yaml_note(&decoded.duplicates).into_iter().collect();
    Ok(Body { value: decoded.value, notes, notes_first: true, ..Body::default() })
}
