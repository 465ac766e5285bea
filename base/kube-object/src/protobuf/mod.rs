//! Objects on the protobuf wire, `application/vnd.kubernetes.protobuf`, read and written by the
//! schema table instead of generated code.
//!
//! An object is four magic bytes and a `runtime.Unknown` around the message of its kind; see
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>. Go writes
//! every field that is no pointer, also when it is zero; such a zero is left out again here,
//! where JSON would leave it out.

mod decode;
mod encode;
mod lookup;
mod wire;

use kube_schema::{Object, Schema};
use serde_json::{Value, json};

pub use wire::InvalidProtobuf;

use decode::Reading;

use crate::json::Budget;
use crate::resource::GroupVersionKind;

/// What an object on the wire begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// Reads an object with its envelope; `apiVersion` and `kind` come from the envelope.
pub fn decode(bytes: &[u8]) -> Result<Value, InvalidProtobuf> {
    let mut budget = Budget::default();
    decode_at(bytes, Reading { depth: 0, budget: &mut budget })
}

fn decode_at(bytes: &[u8], mut reading: Reading<'_>) -> Result<Value, InvalidProtobuf> {
    let unknown = envelope(bytes)?;
    let gvk = GroupVersionKind::of(&unknown.api_version, &unknown.kind);
    if unknown.content_type == "application/json" {
        return decode::json_within(unknown.raw, &mut reading);
    }
    let mut value = decode::message(message_of(&gvk)?, unknown.raw, reading)?;
    value.insert("apiVersion".to_owned(), json!(unknown.api_version));
    value.insert("kind".to_owned(), json!(unknown.kind));
    Ok(Value::Object(value))
}

/// Whether objects of this kind can be written.
pub fn knows(gvk: &GroupVersionKind) -> bool {
    lookup::object(Schema::builtin(), gvk).is_some()
}

/// Writes an object with its envelope.
pub fn encode(value: &Value) -> Result<Vec<u8>, InvalidProtobuf> {
    let gvk = kind_of(value);
    let message = encode_message(&gvk, value)?;
    Ok(in_envelope(&gvk, &message))
}

/// Writes an object without its envelope, as it stands among the items of a list.
pub fn encode_message(gvk: &GroupVersionKind, value: &Value) -> Result<Vec<u8>, InvalidProtobuf> {
    if let Some(kind) = gvk.kind.strip_prefix("PartialObjectMetadata") {
        return metadata_only(value, kind == "List");
    }
    encode::message(message_of(gvk)?, value)
}

/// Writes an object from the text of its JSON, without its envelope.
pub fn transcode(gvk: &GroupVersionKind, json: &[u8]) -> Result<Vec<u8>, InvalidProtobuf> {
    encode::message(message_of(gvk)?, &mut serde_json::Deserializer::from_slice(json))
}

fn message_of(gvk: &GroupVersionKind) -> Result<&'static Object, InvalidProtobuf> {
    let unknown = || InvalidProtobuf::UnknownKind { gvk: gvk.clone() };
    lookup::object(Schema::builtin(), gvk).ok_or_else(unknown)
}

/// Puts the envelope around a message.
pub fn in_envelope(gvk: &GroupVersionKind, message: &[u8]) -> Vec<u8> {
    let mut out = before(gvk, message.len());
    out.extend_from_slice(message);
    out.extend_from_slice(BEHIND);
    out
}

/// What stands before a message of this length: the magic bytes, and the envelope up to it.
fn before(gvk: &GroupVersionKind, length: usize) -> Vec<u8> {
    let mut kind = Vec::new();
    wire::put_bytes(&mut kind, 1, gvk.api_version().as_bytes());
    wire::put_bytes(&mut kind, 2, gvk.kind.as_bytes());
    let mut out = Vec::with_capacity(length + 64);
    out.extend_from_slice(MAGIC);
    wire::put_bytes(&mut out, 1, &kind);
    wire::put_head(&mut out, 2, length);
    out
}

/// What stands behind the message: no encoding, no content type.
pub const BEHIND: &[u8] = b"\x1a\x00\x22\x00";

/// What stands before an item of this length in a list.
pub fn item_head(length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(6);
    wire::put_head(&mut head, 2, length);
    head
}

/// What stands before the items of a list, whose heads and messages together have this length;
/// behind them stands [`BEHIND`].
pub fn list_head(gvk: &GroupVersionKind, metadata: &Value, items: usize) -> Result<Vec<u8>, InvalidProtobuf> {
    let meta = encode_message(&GroupVersionKind::new("", "v1", "ListMeta"), metadata)?;
    let mut message = Vec::new();
    wire::put_bytes(&mut message, 1, &meta);
    let mut head = before(gvk, message.len() + items);
    head.extend_from_slice(&message);
    Ok(head)
}

/// `metav1.PartialObjectMetadata`, which no published description has: metadata 1; of its list
/// metadata 1 and items 2.
fn metadata_only(value: &Value, list: bool) -> Result<Vec<u8>, InvalidProtobuf> {
    let meta = GroupVersionKind::new("", "v1", if list { "ListMeta" } else { "ObjectMeta" });
    let mut out = Vec::new();
    let empty = json!({});
    wire::put_bytes(&mut out, 1, &encode_message(&meta, value.get("metadata").unwrap_or(&empty))?);
    let items = value.get("items").and_then(Value::as_array).filter(|_| list);
    for item in items.into_iter().flatten() {
        wire::put_bytes(&mut out, 2, &metadata_only(item, false)?);
    }
    Ok(out)
}

/// One frame of a watch: its length, and a `metav1.WatchEvent` around an object with its envelope.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    wire::put_bytes(&mut raw, 1, object);
    let mut message = Vec::new();
    wire::put_bytes(&mut message, 1, event.as_bytes());
    wire::put_bytes(&mut message, 2, &raw);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(message);
    frame
}

struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
    content_type: String,
}

/// `runtime.Unknown`: type meta 1, raw 2, encoding 3, content type 4.
fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, InvalidProtobuf> {
    let body = bytes.strip_prefix(MAGIC).ok_or(InvalidProtobuf::NoMagic)?;
    let mut found =
        Envelope { api_version: String::new(), kind: String::new(), raw: &[], content_type: String::new() };
    for field in wire::fields(body) {
        let (number, value) = field?;
        match (number, value.bytes()) {
            (1, Ok(meta)) => {
                for field in wire::fields(meta) {
                    match field? {
                        (1, value) => found.api_version = value.text()?,
                        (2, value) => found.kind = value.text()?,
                        _ => {}
                    }
                }
            }
            (2, Ok(raw)) => found.raw = raw,
            (4, Ok(_)) => found.content_type = value.text()?,
            _ => {}
        }
    }
    Ok(found)
}

fn kind_of(value: &Value) -> GroupVersionKind {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    GroupVersionKind::of(text("apiVersion"), text("kind"))
}

#[cfg(test)]
mod tests;
