//! Answers: an object, a list, a status or a text, in the form that the client asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use audit::{ResponseStatus, Trail};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY};
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use kube_object::cbor;
use kube_object::protobuf::{self, InvalidProtobuf};
use kube_object::status::Status;
use serde_json::{Value, json};

use super::accept::{Encoding, Negotiated, Offer, Transform, negotiate};
use super::body::{self, Body};
use super::messages::Messages;
use crate::kinds::Resource;
use crate::registry::{Answer, List, Outcome};
use crate::table::{self, IncludeObject};
use kube_object::yaml;

/// Answers larger than this are compressed for who takes it.
const COMPRESS_MIN: u64 = 128 * 1024;

/// How an answer is to look.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Media type and transformation.
    pub(crate) negotiated: Negotiated,
    /// How much of an object a table's row carries.
    pub(crate) include: IncludeObject,
    /// Whether the client takes gzip.
    pub(crate) gzip: bool,
    /// For ages in tables.
    pub(crate) now: Timestamp,
    /// Messages that were made lately.
    pub(crate) messages: Arc<Messages>,
    /// Where the answer is recorded.
    pub(crate) trail: Option<Trail>,
}

impl Form {
    /// Whether bytes of the cache can go out as they are.
    fn is_plain(&self) -> bool {
        let Negotiated { encoding, transform, pretty } = self.negotiated;
        encoding == Encoding::Json && transform == Transform::None && !pretty
    }

    /// Records what is answered, if anybody wants to know.
    fn record(&self, value: impl FnOnce() -> Value) {
        if let Some(trail) = self.trail.as_ref().filter(|trail| trail.wants_response()) {
            trail.response_object(&value());
        }
    }

    /// Whether messages of the cache's objects can go out as they are.
    pub(super) fn is_message(&self) -> bool {
        let Negotiated { encoding, transform, .. } = self.negotiated;
        encoding == Encoding::Protobuf && transform == Transform::None
    }
}

/// Whether the client takes gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| {
        value.split(',').any(|token| {
            let (name, rest) = token.split_once(';').unwrap_or((token, ""));
            name.trim() == "gzip" && !matches!(rest.trim(), "q=0" | "q=0.0")
        })
    })
}

/// The answer to a request for one object.
pub(crate) fn outcome(outcome: &Outcome, resource: &Resource, form: &Form) -> Response<Body> {
    if let (Some(trail), "Status") = (&form.trail, outcome.gvk.kind.as_str()) {
        trail.response_status(ResponseStatus::of_value(&outcome.to_value(), outcome.code));
    }
    if form.is_plain() {
        form.record(|| Arc::unwrap_or_clone(outcome.to_value()));
        let bytes = match &outcome.answer {
            Answer::Item(item) => item.json(),
            Answer::Value(value) => value.to_string().into(),
        };
        return sized(outcome.code, bytes, form);
    }
    if let (true, Answer::Item(item)) = (form.is_message(), &outcome.answer)
        && let Ok(message) = form.messages.of(&outcome.gvk, item)
    {
        form.record(|| item.decode());
        return sized(outcome.code, protobuf::in_envelope(&outcome.gvk, &message).into(), form);
    }
    // What speaks of something else, as a Status does, has no columns.
    let transforms = outcome.gvk.kind == resource.gvk.kind;
    let object = outcome.to_value();
    let revision = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    let value = match form.negotiated.transform {
        Transform::Table(version) if transforms => {
            let mut made = table::Maker::new(resource, version, form.include, form.now).head(&revision, None);
            let row = table::Maker::new(resource, version, form.include, form.now).row(&object);
            if let Some(rows) = made.get_mut("rows").and_then(Value::as_array_mut) {
                rows.push(row);
            }
            made
        }
        Transform::Metadata(version) if transforms => table::metadata_only(&object, version),
        _ => object.as_ref().clone(),
    };
    value_answer(outcome.code, &value, form)
}

/// The answer to a list.
pub(crate) fn list(list: &List, resource: &Resource, form: &Form) -> Response<Body> {
    if form.is_plain() {
        form.record(|| list_value(list, &list_meta(list)));
        let parts = plain_list(list);
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        return finish(200, Encoding::Json, body::parts(parts), size, form.gzip);
    }
    let meta = list_meta(list);
    if form.is_message()
        && let Ok(parts) = message_list(list, resource, &meta, &form.messages)
    {
        form.record(|| list_value(list, &meta));
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        return finish(200, Encoding::Protobuf, body::parts(parts), size, form.gzip);
    }
    let value = match form.negotiated.transform {
        Transform::Table(version) => {
            let maker = table::Maker::new(resource, version, form.include, form.now);
            let mut made = maker.head(&Value::Null, Some(&meta));
            if let Some(rows) = made.get_mut("rows").and_then(Value::as_array_mut) {
                rows.extend(list.items.iter().map(|item| maker.row(&item.value())));
            }
            made
        }
        Transform::Metadata(version) => {
            let items = list.items.iter().map(|item| table::metadata_only(&item.value(), version));
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": version.api_version(),
                "metadata": meta, "items": items.collect::<Vec<_>>(),
            })
        }
        Transform::None => list_value(list, &meta),
    };
    value_answer(200, &value, form)
}

fn list_value(list: &List, meta: &Value) -> Value {
    let items = list.items.iter().map(|item| {
        let mut value = item.decode();
        if let (false, Some(fields)) = (list.typed_items, value.as_object_mut()) {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        value
    });
    json!({
        "kind": list.gvk.kind, "apiVersion": list.gvk.api_version(),
        "metadata": meta, "items": items.collect::<Vec<_>>(),
    })
}

/// A value in the negotiated encoding.
pub(crate) fn value_answer(code: u16, value: &Value, form: &Form) -> Response<Body> {
    form.record(|| value.clone());
    sized(code, encode(value, form.negotiated), form)
}

/// A refusal, in an encoding that the client reads, or JSON.
pub(crate) fn status(status: &Status, accept: Option<&str>) -> Response<Body> {
    let offer = Offer { protobuf: true, ..Offer::default() };
    let negotiated = negotiate(accept, offer).unwrap_or_default();
    let bytes = encode(&status.to_value(), negotiated);
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = bytes_answer(code.as_u16(), negotiated.encoding.content_type(), bytes);
    let retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry_after > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
    }
    response
}

/// A plain text.
pub(crate) fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    bytes_answer(code, "text/plain; charset=utf-8", text)
}

/// Bytes of a type.
pub(crate) fn bytes_answer(code: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What is at a path where nothing is.
pub(crate) fn page_not_found() -> Response<Body> {
    text(404, "404 page not found\n")
}

/// Encodes a value. What has no message, which negotiation does not let come here, is empty.
pub(crate) fn encode(value: &Value, negotiated: Negotiated) -> Bytes {
    match negotiated.encoding {
        Encoding::Yaml => yaml::write(value).into(),
        Encoding::Protobuf => protobuf::encode(value).unwrap_or_default().into(),
        Encoding::Cbor => cbor::encode(value).into(),
        Encoding::Json if negotiated.pretty => {
            let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
            bytes.push(b'\n');
            bytes.into()
        }
        Encoding::Json => value.to_string().into(),
    }
}

fn sized(code: u16, bytes: Bytes, form: &Form) -> Response<Body> {
    let size = bytes.len() as u64;
    finish(code, form.negotiated.encoding, body::full(bytes), size, form.gzip)
}

fn finish(code: u16, encoding: Encoding, body: Body, size: u64, gzip: bool) -> Response<Body> {
    let compress = gzip && size > COMPRESS_MIN;
    let mut response = Response::new(if compress { body::gzip(body) } else { body });
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    if compress {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

fn list_meta(list: &List) -> Value {
    let mut meta = json!({"resourceVersion": list.revision.to_string()});
    if let Some(fields) = meta.as_object_mut() {
        if !list.continue_token.is_empty() {
            fields.insert("continue".to_owned(), list.continue_token.clone().into());
        }
        if let Some(remaining) = list.remaining {
            fields.insert("remainingItemCount".to_owned(), remaining.into());
        }
    }
    meta
}

fn plain_list(list: &List) -> VecDeque<Bytes> {
    let mut parts = VecDeque::with_capacity(list.items.len() * 2 + 2);
    let kind = Value::from(list.gvk.kind.as_str());
    let api_version = Value::from(list.gvk.api_version());
    let meta = list_meta(list);
    let head = format!("{{\"kind\":{kind},\"apiVersion\":{api_version},\"metadata\":{meta},\"items\":[");
    parts.push_back(head.into());
    for (at, item) in list.items.iter().enumerate() {
        let tail = if list.typed_items { None } else { item.untyped_pieces() };
        let lead = match (at > 0, tail.is_some()) {
            (true, true) => ",{",
            (true, false) => ",",
            (false, true) => "{",
            (false, false) => "",
        };
        if !lead.is_empty() {
            parts.push_back(Bytes::from_static(lead.as_bytes()));
        }
        match tail {
            Some(tail) => parts.extend(tail),
            None => parts.extend(item.pieces()),
        }
    }
    parts.push_back(Bytes::from_static(b"]}\n"));
    parts
}

fn message_list(
    list: &List,
    resource: &Resource,
    meta: &Value,
    messages: &Messages,
) -> Result<VecDeque<Bytes>, InvalidProtobuf> {
    let mut parts = VecDeque::with_capacity(list.items.len() * 2 + 2);
    for item in &list.items {
        let message = messages.of(&resource.gvk, item)?;
        parts.push_back(protobuf::item_head(message.len()).into());
        parts.push_back(message);
    }
    let items = parts.iter().map(Bytes::len).sum();
    parts.push_front(protobuf::list_head(&list.gvk, meta, items)?.into());
    parts.push_back(Bytes::from_static(protobuf::BEHIND));
    Ok(parts)
}
