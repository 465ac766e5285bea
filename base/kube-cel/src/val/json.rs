//! Values from JSON, and back.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as Object, Number, Value};

use super::{ATOMIC, List, Map, Text, Val};
use crate::env::{Decl, Form};
use crate::library::time;
use crate::types::Type;

/// A value where it lies. What is not of its declared form is taken as it is.
pub(crate) fn from_json<'a>(value: &'a Value, decl: Option<&'a Decl>) -> Val<'a> {
    match value {
        Value::Null => Val::Null,
        Value::Bool(value) => Val::Bool(*value),
        Value::Number(number) => from_number(number, decl),
        Value::String(text) => from_text(text, decl),
        Value::Array(items) => match decl.map(|decl| &decl.form) {
            Some(Form::List { item, kind }) => Val::List(List::Json { items, item: Some(item), kind }),
            _ => Val::List(List::Json { items, item: None, kind: &ATOMIC }),
        },
        Value::Object(object) => match decl.map(|decl| &decl.form) {
            Some(Form::Map(value)) => Val::Map(Map::Json { object, value: Some(value) }),
            Some(Form::Object(_)) => match decl {
                Some(decl) => Val::Map(Map::Object { object, decl }),
                None => Val::Map(Map::Json { object, value: None }),
            },
            _ => Val::Map(Map::Json { object, value: None }),
        },
    }
}

fn from_number<'a>(number: &Number, decl: Option<&Decl>) -> Val<'a> {
    let double = || Val::Double(number.as_f64().unwrap_or(f64::NAN));
    match (decl.map(|decl| &decl.ty), number.as_i64()) {
        (Some(Type::Double), _) => double(),
        (Some(Type::Uint), _) => number.as_u64().map_or_else(double, Val::Uint),
        (_, Some(whole)) => Val::Int(whole),
        (Some(Type::Int), None) => match number.as_f64() {
            Some(real) if real.fract() == 0.0 && real.abs() < 9.2e18 => Val::Int(real as i64),
            _ => double(),
        },
        _ => double(),
    }
}

fn from_text<'a>(text: &'a str, decl: Option<&Decl>) -> Val<'a> {
    let plain = Val::Text(Text::Borrowed(text));
    match decl.map(|decl| &decl.form) {
        Some(Form::Bytes) => STANDARD.decode(text).map_or(plain, |bytes| Val::Bytes(bytes.into())),
        Some(Form::Date) => time::parse_timestamp(&format!("{text}T00:00:00Z")).map_or(plain, Val::Timestamp),
        Some(Form::DateTime) => time::parse_timestamp(text).map_or(plain, Val::Timestamp),
        Some(Form::Duration) => time::parse_duration(text).map_or(plain, Val::Duration),
        _ => plain,
    }
}

impl Val<'_> {
    /// The value as JSON: times as RFC 3339, bytes as base64, an optional as what is in
    /// it. None for what has no JSON: types, checks, a fraction that is no number.
    pub fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::Null | Self::Optional(None) => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::from(*value),
            Self::Uint(value) => Value::from(*value),
            Self::Double(value) => Value::Number(Number::from_f64(*value)?),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
            Self::List(List::Json { items, .. }) => Value::Array(items.to_vec()),
            Self::List(list) => Value::Array(list.iter().map(|item| item.to_json()).collect::<Option<_>>()?),
            Self::Map(Map::Json { object, .. } | Map::Object { object, .. }) => {
                Value::Object((*object).clone())
            }
            Self::Map(map) => {
                let mut object = Object::new();
                for (key, value) in map.entries() {
                    object.insert(key.as_key_text()?.to_string(), value.to_json()?);
                }
                Value::Object(object)
            }
            Self::Timestamp(at) => Value::from(time::print_timestamp(*at)),
            Self::Duration(span) => Value::from(time::print_duration(*span)),
            Self::Optional(Some(value)) => value.to_json()?,
            Self::Opaque(value) => Value::from(value.to_string()),
            Self::Type(_) | Self::Check(_) | Self::Decision(_) => return None,
        })
    }

    /// A key of a map as one of JSON.
    fn as_key_text(&self) -> Option<Arc<str>> {
        Some(match self {
            Self::Text(text) => text.as_str().into(),
            Self::Bool(value) => value.to_string().into(),
            Self::Int(value) => value.to_string().into(),
            Self::Uint(value) => value.to_string().into(),
            _ => return None,
        })
    }
}
