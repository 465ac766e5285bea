//! A message → JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_schema::{Field, Object, Schema, Type};
use serde_json::{Map, Value, json};

use super::wire::{InvalidProtobuf, Wire, fields};
use crate::json::{self, Budget, InvalidJson};
use crate::time::{MicroTime, Time};

/// How far down a message lies, and what all have taken until now.
pub(super) struct Reading<'a> {
    pub(super) depth: usize,
    pub(super) budget: &'a mut Budget,
}

impl Reading<'_> {
    /// The same, a level below.
    fn below(&mut self) -> Reading<'_> {
        Reading { depth: self.depth + 1, budget: &mut *self.budget }
    }
}

/// Reads the message of an object.
pub(super) fn message(
    object: &Object,
    bytes: &[u8],
    reading: Reading<'_>,
) -> Result<Map<String, Value>, InvalidProtobuf> {
    let mut out = Map::new();
    into(&mut out, object, &[], bytes, reading)?;
    Ok(out)
}

/// Reads a message; `path` are the numbers of the messages around it that JSON flattens.
fn into(
    out: &mut Map<String, Value>,
    object: &Object,
    path: &[u32],
    bytes: &[u8],
    mut reading: Reading<'_>,
) -> Result<(), InvalidProtobuf> {
    if reading.depth > DEPTH_MAX {
        return Err(InvalidProtobuf::TooDeep);
    }
    // Most of a long message are occurrences of one field.
    let mut last: Option<(u32, Option<&Field>)> = None;
    for entry in fields(bytes) {
        let (number, wire) = entry?;
        let field = match last {
            Some((of, field)) if of == number => field,
            _ => {
                let below = |field: &&Field| {
                    field.numbers.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&number))
                };
                object.fields.iter().find(below)
            }
        };
        last = Some((number, field));
        let Some(field) = field else { continue };
        if field.numbers.len() > path.len() + 1 {
            into(out, object, &[path, &[number]].concat(), wire.bytes()?, reading.below())?;
            continue;
        }
        if out.is_empty() {
            reading.budget.object()?;
        }
        let read = one(field, &field.kind, wire, reading.below()).map_err(|error| match error {
            InvalidProtobuf::Malformed => InvalidProtobuf::WrongType { field: field.name },
            error => error,
        })?;
        put(out, field, read);
    }
    Ok(())
}

/// What one occurrence of a field says.
enum Read {
    Value(Value),
    Entry(String, Value),
    Items(Vec<Value>),
    /// The zero of what is not set.
    Nothing,
}

fn put(out: &mut Map<String, Value>, field: &Field, read: Read) {
    match read {
        Read::Nothing => {}
        Read::Value(value) => drop(out.insert(field.name.to_owned(), value)),
        Read::Entry(key, value) => {
            let map = out.entry(field.name).or_insert_with(|| json!({}));
            if let Some(map) = map.as_object_mut() {
                map.insert(key, value);
            }
        }
        Read::Items(items) => {
            let list = out.entry(field.name).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.extend(items);
            }
        }
    }
}

fn one(
    field: &Field,
    kind: &Type,
    wire: Wire<'_>,
    mut reading: Reading<'_>,
) -> Result<Read, InvalidProtobuf> {
    match kind {
        Type::List { item, .. } => Ok(Read::Items(match (&**item, wire) {
            // Numbers may come packed.
            (Type::Int(_) | Type::Bool, Wire::Bytes(mut packed)) => {
                let mut items = Vec::new();
                while !packed.is_empty() {
                    let number = super::wire::varint(&mut packed)?;
                    items.push(value(item, Wire::Varint(number), reading.below())?);
                }
                items
            }
            (item, wire) => vec![value(item, wire, reading)?],
        })),
        Type::Map(item) => {
            let (mut key, mut found) = (String::new(), None);
            reading.budget.value(wire.bytes()?.len())?;
            for entry in fields(wire.bytes()?) {
                match entry? {
                    (1, wire) => key = wire.text()?,
                    (2, wire) => found = Some(map_value(item, wire, reading.below())?),
                    _ => {}
                }
            }
            Ok(Read::Entry(key, found.map_or_else(|| zero(item), Ok)?))
        }
        Type::Any if ALTERNATIVES.contains(&field.name) => {
            Ok(Read::Value(alternative(field.name, wire.bytes()?, reading)?))
        }
        kind => {
            let value = value(kind, wire, reading)?;
            let unset = match &value {
                Value::Null => true,
                Value::String(text) => text.is_empty() && !field.keeps_zero && is_scalar(kind),
                Value::Number(number) => number.as_f64() == Some(0.0) && !field.keeps_zero && is_scalar(kind),
                Value::Bool(set) => !set && !field.keeps_zero,
                _ => false,
            };
            Ok(if unset { Read::Nothing } else { Read::Value(value) })
        }
    }
}

fn is_scalar(kind: &Type) -> bool {
    matches!(kind, Type::String { .. } | Type::Int(_) | Type::Double)
}

/// A list within a map lies in a message of its own, in field 1.
fn map_value(item: &Type, wire: Wire<'_>, mut reading: Reading<'_>) -> Result<Value, InvalidProtobuf> {
    let Type::List { item, .. } = item else { return value(item, wire, reading) };
    let mut items = Vec::new();
    for entry in fields(wire.bytes()?) {
        if let (1, wire) = entry? {
            items.push(value(item, wire, reading.below())?);
        }
    }
    Ok(Value::Array(items))
}

fn zero(kind: &Type) -> Result<Value, InvalidProtobuf> {
    let mut budget = Budget::default();
    let mut reading = Reading { depth: 0, budget: &mut budget };
    map_value(kind, Wire::Bytes(&[]), reading.below()).or_else(|_| value(kind, Wire::Varint(0), reading))
}

fn value(kind: &Type, wire: Wire<'_>, reading: Reading<'_>) -> Result<Value, InvalidProtobuf> {
    reading.budget.value(if let (Type::String { .. }, Wire::Bytes(text)) = (kind, wire) {
        text.len()
    } else {
        0
    })?;
    Ok(match kind {
        Type::Object(id) => {
            let mut out = Map::new();
            let budget = &mut *reading.budget;
            into(&mut out, Schema::builtin().object(*id), &[], wire.bytes()?, Reading { budget, ..reading })?;
            if out.is_empty() {
                // It gets its defaults.
                reading.budget.object()?;
            }
            Value::Object(out)
        }
        Type::String { format: Some("byte"), .. } => json!(STANDARD.encode(wire.bytes()?)),
        Type::String { .. } => json!(wire.text()?),
        // A negative int32 is written as ten bytes too.
        Type::Int(_) => json!(wire.number()?),
        Type::Bool => json!(wire.number()? != 0),
        Type::Double => match wire {
            Wire::Fixed64(bits) => json!(f64::from_bits(bits)),
            Wire::Fixed32(bits) => json!(f32::from_bits(bits)),
            _ => return Err(InvalidProtobuf::Malformed),
        },
        Type::Quantity => {
            let text = only(wire.bytes()?, 1)?.map_or(Ok(String::new()), Wire::text)?;
            json!(if text.is_empty() { "0" } else { &text })
        }
        Type::IntOrString => int_or_string(wire.bytes()?)?,
        Type::Time | Type::MicroTime => time(kind, wire.bytes()?)?,
        Type::Any => raw(wire.bytes()?, reading)?,
        Type::List { .. } | Type::Map(_) => return Err(InvalidProtobuf::Malformed),
    })
}

/// The last occurrence of one field.
fn only(bytes: &[u8], wanted: u32) -> Result<Option<Wire<'_>>, InvalidProtobuf> {
    let mut found = None;
    for entry in fields(bytes) {
        let (number, wire) = entry?;
        if number == wanted {
            found = Some(wire);
        }
    }
    Ok(found)
}

/// Type 1 (0 is a number), number 2, string 3.
fn int_or_string(bytes: &[u8]) -> Result<Value, InvalidProtobuf> {
    let is_string = only(bytes, 1)?.map_or(Ok(0), Wire::number)? == 1;
    Ok(if is_string {
        json!(only(bytes, 3)?.map_or(Ok(String::new()), Wire::text)?)
    } else {
        json!(only(bytes, 2)?.map_or(Ok(0), Wire::number)?)
    })
}

/// Seconds 1, nanoseconds 2; a message without either is the zero time, which is not set.
fn time(kind: &Type, bytes: &[u8]) -> Result<Value, InvalidProtobuf> {
    let (seconds, nanos) = (only(bytes, 1)?, only(bytes, 2)?);
    if seconds.is_none() && nanos.is_none() {
        return Ok(Value::Null);
    }
    let seconds = seconds.map_or(Ok(0), Wire::number)?;
    let nanos = nanos.map_or(Ok(0), Wire::number)?;
    let text = if matches!(kind, Type::MicroTime) {
        let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(nanos / 1000));
        micros.and_then(MicroTime::from_unix_micros).map(|time| time.to_string())
    } else {
        Time::from_unix(seconds).map(|time| time.to_string())
    };
    // Year 1, Go's zero time, or what no calendar has.
    Ok(text.filter(|text| !text.starts_with("0001-")).map_or(Value::Null, Value::String))
}

/// JSON or an object with its envelope, in field 1.
fn raw(bytes: &[u8], mut reading: Reading<'_>) -> Result<Value, InvalidProtobuf> {
    let Some(raw) = only(bytes, 1)? else { return Ok(Value::Null) };
    let raw = raw.bytes()?;
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    if raw.starts_with(super::MAGIC) {
        return super::decode_at(raw, reading.below());
    }
    json_within(raw, &mut reading)
}

/// JSON within a message, which nests no deeper with the message around it than JSON alone may.
pub(super) fn json_within(text: &[u8], reading: &mut Reading<'_>) -> Result<Value, InvalidProtobuf> {
    let value = json::decode_within(text, reading.budget).map_err(|error| match error {
        InvalidJson::Syntax(error) => InvalidProtobuf::Json(error),
        InvalidJson::TooDeep => InvalidProtobuf::TooDeep,
        InvalidJson::TooLarge(error) => InvalidProtobuf::TooLarge(error),
    })?;
    if reading.depth + json::depth(&value.value) > json::DEPTH_MAX {
        return Err(InvalidProtobuf::TooDeep);
    }
    Ok(value.value)
}

/// A schema, or something simpler, in a schema of a custom resource: `items` may be a list of
/// schemas (schema 1, list 2), the others may be a boolean (boolean 1, schema 2).
fn alternative(name: &str, bytes: &[u8], mut reading: Reading<'_>) -> Result<Value, InvalidProtobuf> {
    let Some(schema) = Schema::builtin().object_named(SCHEMA) else { return Ok(Value::Null) };
    let (mut allows, mut one, mut list) = (false, None, Vec::new());
    for entry in fields(bytes) {
        let (number, wire) = entry?;
        if name != "items" && number == 1 {
            allows = wire.number()? != 0;
            continue;
        }
        let mut out = Map::new();
        into(&mut out, schema, &[], wire.bytes()?, reading.below())?;
        if name == "items" && number == 2 {
            list.push(Value::Object(out));
        } else {
            one = Some(Value::Object(out));
        }
    }
    Ok(match one {
        Some(schema) => schema,
        None if name == "items" => Value::Array(list),
        None => json!(allows),
    })
}

/// Fields of [`SCHEMA`] that hold a schema or something simpler.
pub(super) const ALTERNATIVES: &[&str] = &["additionalItems", "additionalProperties", "items"];
/// The definition of a custom resource's schema.
pub(super) const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Deeper than any object of the API but a hostile schema of a custom resource.
const DEPTH_MAX: usize = 64;
