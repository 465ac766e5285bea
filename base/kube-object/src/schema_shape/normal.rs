//! The form that an object gets by being decoded into Go's types and encoded again.

use kube_schema::{Field, Object, Type};
use serde_json::{Map, Value};

use super::object_of;
use crate::quantity;
use crate::time::{MicroTime, Time};

pub(super) fn normalize(value: &mut Value, object: &Object) {
    if let Value::Object(fields) = value {
        members(fields, object);
    }
}

fn members(fields: &mut Map<String, Value>, object: &Object) {
    fields.retain(|name, value| {
        let Some(field) = object.field(name) else { return false };
        if value.is_null() {
            return false;
        }
        one(value, &field.kind);
        !is_nothing(value, field)
    });
}

/// Whether Go's encoder leaves the field out: an empty list or map that need not be
/// there, or the zero of a scalar that is no pointer.
fn is_nothing(value: &Value, field: &Field) -> bool {
    match (&field.kind, value) {
        (Type::List { .. }, Value::Array(items)) => items.is_empty() && !field.required,
        (Type::Map(_), Value::Object(members)) => members.is_empty() && !field.required,
        (Type::String { .. }, Value::String(text)) => text.is_empty() && !field.keeps_zero,
        (Type::Int(_) | Type::Double, Value::Number(number)) => {
            number.as_f64() == Some(0.0) && !field.keeps_zero
        }
        (Type::Bool, Value::Bool(set)) => !set && !field.keeps_zero,
        _ => false,
    }
}

fn one(value: &mut Value, kind: &Type) {
    match (kind, &mut *value) {
        (Type::Object(_), Value::Object(fields)) => {
            if let Some(object) = object_of(kind) {
                members(fields, object);
            }
        }
        (Type::Map(kind), Value::Object(members)) => {
            for value in members.values_mut() {
                item(value, kind);
            }
        }
        (Type::List { item: kind, .. }, Value::Array(items)) => {
            for value in items {
                item(value, kind);
            }
        }
        (Type::Quantity, Value::String(text)) => {
            if let Ok(canonical) = quantity::canonical(text)
                && canonical != *text
            {
                *text = canonical;
            }
        }
        (Type::Quantity, Value::Number(number)) => {
            if let Ok(canonical) = quantity::canonical(&number.to_string()) {
                *value = Value::String(canonical);
            }
        }
        (Type::Time, Value::String(text)) => {
            if let Ok(time) = Time::parse(text) {
                *text = time.to_string();
            }
        }
        (Type::MicroTime, Value::String(text)) => {
            if let Ok(time) = MicroTime::parse(text) {
                *text = time.to_string();
            }
        }
        (Type::String { format: Some("byte"), .. }, Value::String(text)) if text.contains(['\r', '\n']) => {
            text.retain(|letter| letter != '\r' && letter != '\n');
        }
        _ => {}
    }
}

/// A value in a list or map, where null is the type's zero.
fn item(value: &mut Value, kind: &Type) {
    if !value.is_null() {
        return one(value, kind);
    }
    *value = match kind {
        Type::Object(_) | Type::Map(_) => Value::Object(Map::new()),
        Type::List { .. } => Value::Array(Vec::new()),
        Type::String { .. } => Value::String(String::new()),
        Type::Quantity => Value::from("0"),
        Type::Int(_) | Type::Double | Type::IntOrString => Value::from(0),
        Type::Bool => Value::Bool(false),
        Type::Time | Type::MicroTime | Type::Any => return,
    };
}
