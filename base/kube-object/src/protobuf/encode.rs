//! JSON → a message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_schema::{Field, Object, Schema, Type};
use serde_json::{Map, Value};

use super::decode::{ALTERNATIVES, SCHEMA};
use super::wire::{InvalidProtobuf, put_bytes, put_double, put_number};
use crate::time::{MicroTime, Time};

/// Writes the message of an object, fields ascending.
pub(super) fn message(object: &Object, value: &Value) -> Result<Vec<u8>, InvalidProtobuf> {
    let map = value.as_object();
    map.map_or(Ok(Vec::new()), |map| at(object, map, &[]))
}

/// Writes what lies below `path`, the numbers of the messages around it that JSON flattens.
fn at(object: &Object, map: &Map<String, Value>, path: &[u32]) -> Result<Vec<u8>, InvalidProtobuf> {
    let mut here: BTreeMap<u32, Option<(&Field, &Value)>> = BTreeMap::new();
    for (name, value) in map {
        let Some(field) = object.field(name) else { continue };
        match field.numbers.strip_prefix(path) {
            Some([number]) => drop(here.insert(*number, Some((field, value)))),
            Some([number, _, ..]) => drop(here.entry(*number).or_default()),
            _ => {}
        }
    }
    let mut out = Vec::new();
    for (number, direct) in here {
        match direct {
            Some((field, value)) => one(&mut out, number, field, &field.kind, value)?,
            None => put_bytes(&mut out, number, &at(object, map, &[path, &[number]].concat())?),
        }
    }
    Ok(out)
}

fn one(
    out: &mut Vec<u8>,
    number: u32,
    field: &Field,
    kind: &Type,
    value: &Value,
) -> Result<(), InvalidProtobuf> {
    let unfit =
        || InvalidProtobuf::Unfit { field: field.name, value: value.to_string().chars().take(80).collect() };
    match (kind, value) {
        (_, Value::Null) => {}
        (Type::List { item, .. }, Value::Array(items)) => {
            for value in items {
                one(out, number, field, item, value)?;
            }
        }
        (Type::Map(item), Value::Object(map)) => {
            for (key, value) in map {
                let mut entry = Vec::new();
                put_bytes(&mut entry, 1, key.as_bytes());
                if let Type::List { .. } = **item {
                    let mut list = Vec::new();
                    one(&mut list, 1, field, item, value)?;
                    put_bytes(&mut entry, 2, &list);
                } else {
                    one(&mut entry, 2, field, item, value)?;
                }
                put_bytes(out, number, &entry);
            }
        }
        (Type::Object(id), value) => {
            put_bytes(out, number, &message(Schema::builtin().object(*id), value)?);
        }
        (Type::String { format: Some("byte"), .. }, Value::String(text)) => {
            let bytes = STANDARD.decode(text).map_err(|_| unfit())?;
            put_bytes(out, number, &bytes);
        }
        (Type::String { .. }, Value::String(text)) => put_bytes(out, number, text.as_bytes()),
        (Type::Int(_), value) => put_number(out, number, integer(value).ok_or_else(unfit)?),
        (Type::Bool, Value::Bool(set)) => put_number(out, number, i64::from(*set)),
        (Type::Double, value) => put_double(out, number, value.as_f64().ok_or_else(unfit)?),
        (Type::Quantity, value) => {
            let mut quantity = Vec::new();
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            put_bytes(&mut quantity, 1, text.as_bytes());
            put_bytes(out, number, &quantity);
        }
        (Type::IntOrString, value) => put_bytes(out, number, &int_or_string(value).ok_or_else(unfit)?),
        (Type::Time | Type::MicroTime, Value::String(text)) => {
            put_bytes(out, number, &time(text).ok_or_else(unfit)?);
        }
        (Type::Any, value) if ALTERNATIVES.contains(&field.name) => {
            put_bytes(out, number, &alternative(field.name, value)?);
        }
        (Type::Any, value) => {
            let mut raw = Vec::new();
            put_bytes(&mut raw, 1, value.to_string().as_bytes());
            put_bytes(out, number, &raw);
        }
        _ => return Err(unfit()),
    }
    Ok(())
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

fn integer(value: &Value) -> Option<i64> {
    // As JSON has it, 3.0 is the number 3.
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() < 9e15;
    value.as_i64().or_else(|| value.as_f64().filter(whole).map(|number| number as i64))
}

fn int_or_string(value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (kind, number, text) = match value {
        Value::String(text) => (1, 0, text.as_str()),
        value => (0, integer(value)?, ""),
    };
    put_number(&mut out, 1, kind);
    put_number(&mut out, 2, number);
    put_bytes(&mut out, 3, text.as_bytes());
    Some(out)
}

fn time(text: &str) -> Option<Vec<u8>> {
    let (seconds, nanos) = match MicroTime::parse(text) {
        Ok(time) => {
            let micros = time.unix_micros();
            (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) * 1000)
        }
        Err(_) => (Time::parse(text).ok()?.unix(), 0),
    };
    let mut out = Vec::new();
    put_number(&mut out, 1, seconds);
    put_number(&mut out, 2, nanos);
    Some(out)
}
