//! JSON → a message, in one pass over the JSON: its text, or a value of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_schema::{Field, Object, Schema, Type};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::decode::{ALTERNATIVES, SCHEMA};
use super::wire::{self, InvalidProtobuf, put_bytes, put_double, put_number};
use crate::time::{MicroTime, Time};

/// Writes the message of an object, fields in the order of the JSON.
pub(super) fn message<'de, D>(object: &Object, json: D) -> Result<Vec<u8>, InvalidProtobuf>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    let mut out = Vec::new();
    Message { out: &mut out, object }.deserialize(json).map_err(InvalidProtobuf::Unfit)?;
    Ok(out)
}

/// A message's fields; nothing for `null`.
struct Message<'a> {
    out: &'a mut Vec<u8>,
    object: &'a Object,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = Presence;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Presence, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = Presence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Presence, E> {
        Ok(Presence::Absent)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Presence, A::Error> {
        let mut inner = Inner::default();
        while let Some(field) = map.next_key_seed(Name { object: self.object })? {
            match field.map(|field| (field, &*field.numbers)) {
                Some((field, [number])) => {
                    map.next_value_seed(One { out: self.out, number: *number, field, kind: &field.kind })?;
                }
                Some((field, [path @ .., number])) => {
                    let out = inner.at(path);
                    map.next_value_seed(One { out, number: *number, field, kind: &field.kind })?;
                }
                Some((_, [])) | None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        inner.put(self.out);
        Ok(Presence::Present)
    }
}

/// Messages within the message that JSON flattens: a path of field numbers, and what lies there.
#[derive(Default)]
struct Inner<'a> {
    parts: Vec<(&'a [u32], Vec<u8>)>,
}

impl<'a> Inner<'a> {
    fn at(&mut self, path: &'a [u32]) -> &mut Vec<u8> {
        let at = self.parts.iter().position(|(known, _)| *known == path).unwrap_or_else(|| {
            self.parts.push((path, Vec::new()));
            self.parts.len() - 1
        });
        &mut self.parts[at].1
    }

    fn put(mut self, out: &mut Vec<u8>) {
        self.parts.sort_unstable_by_key(|(path, _)| *path);
        below(out, &self.parts, 0);
    }
}

/// Writes parts whose paths agree up to `depth`, sorted by path.
fn below(out: &mut Vec<u8>, parts: &[(&[u32], Vec<u8>)], depth: usize) {
    for group in parts.chunk_by(|a, b| a.0.get(depth) == b.0.get(depth)) {
        let Some(((path, bytes), rest)) = group.split_first() else { continue };
        let Some(number) = path.get(depth) else { continue };
        let start = wire::open(out, *number);
        if path.len() == depth + 1 {
            out.extend_from_slice(bytes);
            below(out, rest, depth + 1);
        } else {
            below(out, group, depth + 1);
        }
        wire::close(out, start);
    }
}

/// The field of a name.
struct Name<'a> {
    object: &'a Object,
}

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.object.field(name))
    }
}

/// Whether there was a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
}

/// A field's value, or an item of it, under its number.
struct One<'a> {
    out: &'a mut Vec<u8>,
    number: u32,
    field: &'a Field,
    kind: &'a Type,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self.kind {
            Type::Object(id) => {
                let start = wire::open(self.out, self.number);
                let object = Schema::builtin().object(*id);
                match (Message { out: self.out, object }).deserialize(json)? {
                    Presence::Present => wire::close(self.out, start),
                    Presence::Absent => wire::undo(self.out, self.number, start),
                }
                Ok(())
            }
            Type::Any if ALTERNATIVES.contains(&self.field.name) => {
                let value: Value = de::Deserialize::deserialize(json)?;
                if !value.is_null() {
                    let bytes = alternative(self.field.name, &value).map_err(de::Error::custom)?;
                    put_bytes(self.out, self.number, &bytes);
                }
                Ok(())
            }
            Type::Any => {
                let raw: Box<RawValue> = de::Deserialize::deserialize(json)?;
                if raw.get() != "null" {
                    let start = wire::open(self.out, self.number);
                    put_bytes(self.out, 1, raw.get().as_bytes());
                    wire::close(self.out, start);
                }
                Ok(())
            }
            _ => json.deserialize_any(self),
        }
    }
}

impl One<'_> {
    fn unfit<T, E: de::Error>(&self, value: Unexpected<'_>) -> Result<T, E> {
        Err(E::invalid_type(value, self))
    }

    fn int_or_string(self, kind: i64, number: i64, text: &str) {
        let start = wire::open(self.out, self.number);
        put_number(self.out, 1, kind);
        put_number(self.out, 2, number);
        put_bytes(self.out, 3, text.as_bytes());
        wire::close(self.out, start);
    }

    fn quantity(self, text: &str) {
        let start = wire::open(self.out, self.number);
        put_bytes(self.out, 1, text.as_bytes());
        wire::close(self.out, start);
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Type::List { .. } => "a list",
            Type::Map(_) | Type::Object(_) => "an object",
            Type::String { format: Some("byte"), .. } => "base64",
            Type::String { .. } => "a string",
            Type::Int(_) => "a whole number",
            Type::Double => "a number",
            Type::Bool => "true or false",
            Type::Quantity => "a quantity",
            Type::IntOrString => "a number or a string",
            Type::Time | Type::MicroTime => "a time",
            Type::Any => "anything",
        };
        write!(f, "{what} in {}", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, set: bool) -> Result<(), E> {
        if !matches!(self.kind, Type::Bool) {
            return self.unfit(Unexpected::Bool(set));
        }
        put_number(self.out, self.number, i64::from(set));
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        match self.kind {
            Type::Int(_) => put_number(self.out, self.number, number),
            Type::Double => put_double(self.out, self.number, number as f64),
            Type::Quantity => self.quantity(&number.to_string()),
            Type::IntOrString => self.int_or_string(0, number, ""),
            _ => return self.unfit(Unexpected::Signed(number)),
        }
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        match (self.kind, i64::try_from(number)) {
            (_, Ok(number)) => self.visit_i64(number),
            (Type::Double, _) => self.visit_f64(number as f64),
            (Type::Quantity, _) => {
                self.quantity(&number.to_string());
                Ok(())
            }
            _ => self.unfit(Unexpected::Unsigned(number)),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        // As JSON has it, 3.0 is the number 3.
        let whole = number.fract() == 0.0 && number.abs() < 9e15;
        match self.kind {
            Type::Double => put_double(self.out, self.number, number),
            Type::Quantity => self.quantity(&Value::from(number).to_string()),
            Type::Int(_) | Type::IntOrString if whole => return self.visit_i64(number as i64),
            _ => return self.unfit(Unexpected::Float(number)),
        }
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.kind {
            Type::String { format: Some("byte"), .. } => {
                let Ok(bytes) = STANDARD.decode(text) else { return self.unfit(Unexpected::Other("text")) };
                put_bytes(self.out, self.number, &bytes);
            }
            Type::String { .. } => put_bytes(self.out, self.number, text.as_bytes()),
            Type::Quantity => self.quantity(text),
            Type::IntOrString => self.int_or_string(1, 0, text),
            Type::Time | Type::MicroTime => {
                let Some((seconds, nanos)) = time(text) else { return self.unfit(Unexpected::Str(text)) };
                let start = wire::open(self.out, self.number);
                put_number(self.out, 1, seconds);
                put_number(self.out, 2, nanos);
                wire::close(self.out, start);
            }
            // Never the text: it may be a secret's.
            _ => return self.unfit(Unexpected::Other("a string")),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Type::List { item, .. } = self.kind else { return self.unfit(Unexpected::Seq) };
        let Self { out, number, field, .. } = self;
        while items.next_element_seed(One { out: &mut *out, number, field, kind: item })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Type::Map(item) = self.kind else { return self.unfit(Unexpected::Map) };
        let Self { out, number, field, .. } = self;
        while let Some(key) = map.next_key::<String>()? {
            let entry = wire::open(out, number);
            put_bytes(out, 1, key.as_bytes());
            if let Type::List { .. } = **item {
                let list = wire::open(out, 2);
                map.next_value_seed(One { out: &mut *out, number: 1, field, kind: item })?;
                wire::close(out, list);
            } else {
                map.next_value_seed(One { out: &mut *out, number: 2, field, kind: item })?;
            }
            wire::close(out, entry);
        }
        Ok(())
    }
}

/// A schema, or something simpler; see the reader.
fn alternative(name: &str, value: &Value) -> Result<Vec<u8>, InvalidProtobuf> {
    let mut out = Vec::new();
    let Some(schema) = Schema::builtin().object_named(SCHEMA) else { return Ok(out) };
    match value {
        Value::Bool(allows) => put_number(&mut out, 1, i64::from(*allows)),
        Value::Array(list) => {
            for value in list {
                put_bytes(&mut out, 2, &message(schema, value)?);
            }
        }
        value if name == "items" => put_bytes(&mut out, 1, &message(schema, value)?),
        value => {
            put_number(&mut out, 1, 1);
            put_bytes(&mut out, 2, &message(schema, value)?);
        }
    }
    Ok(out)
}

/// Seconds since 1970, and nanoseconds.
fn time(text: &str) -> Option<(i64, i64)> {
    match MicroTime::parse(text) {
        Ok(time) => {
            let micros = time.unix_micros();
            Some((micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) * 1000))
        }
        Err(_) => Some((Time::parse(text).ok()?.unix(), 0)),
    }
}
