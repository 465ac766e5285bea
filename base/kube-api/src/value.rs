//! Reading of values that may be anything.

use serde_json::{Map, Value};

/// The text, or an empty one.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a list, or none.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The members of an object, or none.
pub(crate) fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Whether nothing is said: absent, null, or empty text, list or object.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether two values are the same where absent, null and empty are one.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    left == right || (is_empty(left) && is_empty(right))
}

/// The object below a name, made if it is absent or null; none where something else stands.
pub(crate) fn object_at<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let member = value.as_object_mut()?.entry(name).or_insert(Value::Null);
    if member.is_null() {
        *member = Value::Object(Map::new());
    }
    member.as_object_mut()
}

/// Sets a member, or takes it away if the value is null; nothing where no object is.
pub(crate) fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value);
        }
    }
}

/// Takes a member over from another object, or away if that has none.
pub(crate) fn take_over(new: &mut Value, old: &Value, name: &str) {
    put(new, name, old.get(name).cloned().unwrap_or_default());
}
