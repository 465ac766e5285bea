//! Version 2 in protobuf: the message `openapi.v2.Document`, which is what client-go asks for.
//!
//! A message is a table of its fields, and a value of JSON is written by walking both: whatever
//! a table does not name is left out, as the message has no place for it. Extensions, defaults and
//! enumerated values are of any type: they stand in the message as the text of their YAML.

mod messages;

use std::io;

use serde_json::Value;

use kube_object::yaml;
use messages::{DEFINITION, DOCUMENT, PATH};

/// A message type.
pub(super) struct Message {
    /// Members of the JSON that have a field of their own.
    fields: &'static [(&'static str, u32, Kind)],
    /// The field that takes members whose names begin with `x-`.
    extensions: Option<u32>,
    /// The field that takes all other members, with their names.
    others: Option<(u32, Kind)>,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Flag,
    Whole,
    Number,
    /// Any value, as YAML.
    Any,
    One(&'static Message),
    /// A field for each item of the list; a value that is no list is its only item.
    Each(&'static Kind),
    /// Messages around the value, each with one field, outermost first.
    Within(&'static [u32], &'static Kind),
    /// What it holds depends on the value.
    Choice(fn(&Value) -> Kind),
}

/// A document that is written piece by piece.
pub(super) struct Document {
    paths: Vec<u8>,
    definitions: Vec<u8>,
}

impl Document {
    pub(super) fn new() -> Self {
        Self { paths: Vec::new(), definitions: Vec::new() }
    }

    pub(super) fn path(&mut self, path: &str, item: &Value) {
        named(&mut self.paths, 2, path, item, PATH);
    }

    pub(super) fn definition(&mut self, name: &str, schema: &Value) {
        named(&mut self.definitions, 1, name, schema, DEFINITION);
    }

    /// Writes the whole: `rest` is the document's JSON without paths and definitions.
    pub(super) fn finish(self, rest: &Value, out: &mut impl io::Write) -> io::Result<()> {
        let mut head = Vec::new();
        message(&mut head, rest, &DOCUMENT);
        out.write_all(&head)?;
        for (number, part) in [(8, self.paths), (9, self.definitions)] {
            head.clear();
            begin(&mut head, number, part.len());
            out.write_all(&head)?;
            out.write_all(&part)?;
        }
        Ok(())
    }
}

fn message(out: &mut Vec<u8>, value: &Value, message: &Message) {
    let Some(members) = value.as_object() else { return };
    for (name, number, kind) in message.fields {
        if let Some(value) = members.get(*name) {
            field(out, *number, value, *kind, false);
        }
    }
    for (name, value) in members {
        let own = message.fields.iter().any(|(field, ..)| field == name);
        match (message.extensions, message.others) {
            _ if own => {}
            (Some(number), _) if name.starts_with("x-") => named(out, number, name, value, Kind::Any),
            (_, Some((number, kind))) => named(out, number, name, value, kind),
            _ => {}
        }
    }
}

/// A member of a map: a message of its name and its value.
fn named(out: &mut Vec<u8>, number: u32, name: &str, value: &Value, kind: Kind) {
    let mut pair = Vec::new();
    bytes(&mut pair, 1, name.as_bytes());
    field(&mut pair, 2, value, kind, true);
    bytes(out, number, &pair);
}

/// Writes a field; `always` also where its value is that of an absent one.
fn field(out: &mut Vec<u8>, number: u32, value: &Value, kind: Kind, always: bool) {
    match kind {
        Kind::Text => {
            if let Some(text) = value.as_str().filter(|text| always || !text.is_empty()) {
                bytes(out, number, text.as_bytes());
            }
        }
        Kind::Flag => {
            if let Some(flag) = value.as_bool().filter(|flag| always || *flag) {
                tag(out, number, VARINT);
                varint(out, flag.into());
            }
        }
        Kind::Whole => {
            if let Some(whole) = value.as_i64().filter(|whole| always || *whole != 0) {
                tag(out, number, VARINT);
                varint(out, whole.cast_unsigned());
            }
        }
        Kind::Number => {
            if let Some(real) = value.as_f64().filter(|real| always || *real != 0.0) {
                tag(out, number, FIXED64);
                out.extend(real.to_le_bytes());
            }
        }
        Kind::Any => {
            let mut any = Vec::new();
            bytes(&mut any, 2, yaml::write(value).as_bytes());
            bytes(out, number, &any);
        }
        Kind::One(of) => {
            let mut inner = Vec::new();
            message(&mut inner, value, of);
            bytes(out, number, &inner);
        }
        Kind::Each(kind) => {
            let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            items.iter().for_each(|item| field(out, number, item, *kind, true));
        }
        Kind::Within(numbers, kind) => within(out, number, numbers, value, *kind),
        Kind::Choice(choose) => field(out, number, value, choose(value), always),
    }
}

fn within(out: &mut Vec<u8>, number: u32, inner: &[u32], value: &Value, kind: Kind) {
    match inner.split_first() {
        None => field(out, number, value, kind, true),
        Some((first, rest)) => {
            let mut content = Vec::new();
            within(&mut content, *first, rest, value, kind);
            bytes(out, number, &content);
        }
    }
}

fn bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    begin(out, number, content.len());
    out.extend_from_slice(content);
}

fn begin(out: &mut Vec<u8>, number: u32, length: usize) {
    tag(out, number, LENGTH);
    varint(out, length as u64);
}

fn tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Seven bits a byte, the low ones first.
fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_nothing_of_what_is_absent() {
        let mut out = Vec::new();
        let schema = json!({"type": "", "readOnly": false, "minLength": 0, "minimum": 0.0, "unheard": 1});
        message(&mut out, &schema, &messages::SCHEMA);
        // Only the list of types, with its one empty text.
        assert_eq!(out, [0xb2, 0x01, 2, 0x0a, 0]);
    }

    #[test]
    fn writes_each_kind_of_field() {
        for (schema, expected) in [
            (json!({"$ref": "#/a"}), &[0x0a, 3, b'#', b'/', b'a'][..]),
            (json!({"maxLength": 300}), &[0x58, 0xac, 0x02][..]),
            (json!({"minimum": 1}), &[0x49, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..]),
            (json!({"default": true}), &[0x2a, 7, 0x12, 5, b't', b'r', b'u', b'e', b'\n'][..]),
            (json!({"additionalProperties": false}), &[0xaa, 0x01, 2, 0x10, 0][..]),
            (json!({"additionalProperties": {"format": "x"}}), &[0xaa, 0x01, 5, 0x0a, 3, 0x12, 1, b'x'][..]),
            (json!({"items": {"format": "x"}}), &[0xba, 0x01, 5, 0x0a, 3, 0x12, 1, b'x'][..]),
            (
                json!({"x-a": 1}),
                &[0xfa, 0x01, 11, 0x0a, 3, b'x', b'-', b'a', 0x12, 4, 0x12, 2, b'1', b'\n'][..],
            ),
        ] {
            let mut out = Vec::new();
            message(&mut out, &schema, &messages::SCHEMA);
            assert_eq!(out, expected, "{schema}");
        }
    }
}
