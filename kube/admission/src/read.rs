//! Reading of values that may be anything: what is absent or of the wrong type is null.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at the end of a path of members.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    let mut value = value;
    for name in path {
        match value.get(name) {
            Some(next) => value = next,
            None => return &NULL,
        }
    }
    value
}

/// The text at the end of a path, or an empty one.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The items at the end of a path, or none.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The members at the end of a path, or none.
pub(crate) fn members<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = (&'a String, &'a Value)> {
    at(value, path).as_object().into_iter().flatten()
}

/// Whether the boolean at the end of a path is set.
pub(crate) fn is_true(value: &Value, path: &[&str]) -> bool {
    at(value, path).as_bool() == Some(true)
}

/// Whether nothing is said: null, or empty text, list or object.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The object at the end of a path, made where nothing stands; none where something else does.
pub(crate) fn object_mut<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut value = value;
    for name in path {
        value = value.as_object_mut()?.entry(*name).or_insert(Value::Null);
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
    }
    value.as_object_mut()
}

/// The list at the end of a path, made where nothing stands; none where something else does.
pub(crate) fn list_mut<'a>(value: &'a mut Value, path: &[&str], name: &str) -> Option<&'a mut Vec<Value>> {
    let member = object_mut(value, path)?.entry(name).or_insert(Value::Null);
    if member.is_null() {
        *member = Value::Array(Vec::new());
    }
    member.as_array_mut()
}

/// Sets a member below a path; nothing happens where no object can be.
pub(crate) fn set(value: &mut Value, path: &[&str], name: &str, new: impl Into<Value>) {
    if let Some(object) = object_mut(value, path) {
        object.insert(name.to_owned(), new.into());
    }
}
