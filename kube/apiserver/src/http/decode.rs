//! Bodies of requests as values.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use kube_object::status::Status;
use kube_object::{cbor, json, protobuf, strict};
use serde_json::Value;

use super::accept::{Encoding, media_types, unsupported_media_type};
use crate::registry::{Body, Patch};
use kube_object::yaml;

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
        Some(Encoding::Cbor) => read_cbor(bytes),
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
        "application/apply-patch+cbor" => read_cbor(bytes).map(Patch::Apply),
        _ if custom => Err(unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        _ => Err(unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, \
             application/strategic-merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

/// A configuration to apply.
fn read_configuration(bytes: &Bytes) -> Result<Body, Status> {
    read_yaml(bytes).map_err(|status| match status.code {
        413 => status,
        _ => Status::bad_request(format!("error decoding YAML: {status}")),
    })
}

fn read_json(bytes: &Bytes) -> Result<Body, Status> {
    let decoded = json::decode(bytes).map_err(|error| {
        if matches!(error, json::InvalidJson::TooLarge(_)) {
            return Status::too_large(error.to_string());
        }
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Status::bad_request(format!("couldn't get version/kind; json parse error: {error}{cause}"))
    })?;
    let notes = strict::duplicate_notes(&decoded.duplicates);
    Ok(Body { value: decoded.value, notes, text: Some(bytes.clone()), ..Body::default() })
}

fn read_protobuf(bytes: &Bytes) -> Result<Body, Status> {
    let value = protobuf::decode(bytes).map_err(|error| {
        if matches!(error, protobuf::InvalidProtobuf::TooLarge(_)) {
            return Status::too_large(error.to_string());
        }
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Status::bad_request(format!("{error}{cause}"))
    })?;
    Ok(Body { value, typed: true, ..Body::default() })
}

fn read_cbor(bytes: &Bytes) -> Result<Body, Status> {
    cbor::decode(bytes).map(Body::from).map_err(|error| match error {
        cbor::InvalidCbor::TooLarge(error) => Status::too_large(error.to_string()),
        error => Status::bad_request(format!("error decoding CBOR: {error}")),
    })
}

fn read_yaml(bytes: &Bytes) -> Result<Body, Status> {
    // JSON is YAML too, and read much faster; but what is wrong with it is said in YAML's words.
    if bytes.trim_ascii_start().starts_with(b"{") {
        match json::decode(bytes) {
            Ok(decoded) if decoded.duplicates.is_empty() => return Ok(decoded.value.into()),
            Err(json::InvalidJson::TooLarge(error)) => return Err(Status::too_large(error.to_string())),
            Ok(_) | Err(_) => {}
        }
    }
    let decoded = yaml::read(bytes).map_err(|error| match error {
        yaml::InvalidYaml::OverBudget(error) => Status::too_large(error.to_string()),
        error => Status::bad_request(format!("error converting YAML to JSON: {error}")),
    })?;
    let notes = strict::yaml_note(&decoded.duplicates).into_iter().collect();
    Ok(Body { value: decoded.value, notes, notes_first: true, ..Body::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_may_begin_with_a_brace() {
        for text in ["{\"a\": [1]}", " {a: [1]}", "a: [1]"] {
            assert_eq!(
                read_yaml(&Bytes::from_static(text.as_bytes())).unwrap().value,
                json!({"a": [1]}),
                "{text}"
            );
        }
        let short = format!("{{\"a\": [{}0]}}", "{\"\":0},".repeat(400_000));
        for (body, code) in
            [(short, 413), ("{a: ".repeat(1000), 400), (format!("a: [{}]", ",".repeat(9)), 400)]
        {
            assert_eq!(read_yaml(&Bytes::from(body)).unwrap_err().code, code);
        }
    }
}
