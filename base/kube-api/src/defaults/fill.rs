//! Filling in: each function sets a member only where nothing was said.

use serde_json::{Map, Value};

/// Sets a member that is absent or null: the rule of optional (pointer) fields.
pub(super) fn unset(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut()
        && members.get(name).is_none_or(Value::is_null)
    {
        members.insert(name.to_owned(), value.into());
    }
}

/// Sets a member that is absent, null or an empty text: the rule of plain strings.
pub(super) fn blank(object: &mut Value, name: &str, text: &str) {
    let empty = |value: &Value| value.is_null() || value.as_str().is_some_and(str::is_empty);
    if let Some(members) = object.as_object_mut()
        && members.get(name).is_none_or(empty)
    {
        members.insert(name.to_owned(), Value::from(text));
    }
}

/// Sets a member that is absent, null or 0: the rule of plain numbers.
pub(super) fn zero(object: &mut Value, name: &str, number: i64) {
    let empty = |value: &Value| value.is_null() || value.as_i64() == Some(0);
    if let Some(members) = object.as_object_mut()
        && members.get(name).is_none_or(empty)
    {
        members.insert(name.to_owned(), Value::from(number));
    }
}

/// Sets a member that is absent, null or an empty list.
pub(super) fn no_items(object: &mut Value, name: &str, value: Value) {
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if let Some(members) = object.as_object_mut()
        && members.get(name).is_none_or(empty)
    {
        members.insert(name.to_owned(), value);
    }
}

/// Sets a member that is absent or null to an empty object.
pub(super) fn empty(object: &mut Value, name: &str) {
    unset(object, name, Value::Object(Map::new()));
}

/// The object below a name, if there is one.
pub(super) fn below<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    object.as_object_mut()?.get_mut(name).filter(|value| value.is_object())
}

/// The object at a path of names, if there is one.
pub(super) fn at<'a>(object: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(object, |value, name| below(value, name))
}

/// The object below a name, made if nothing is there; none where something else stands.
pub(super) fn made<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    empty(object, name);
    below(object, name)
}

/// The items of the list below a name.
pub(super) fn each<'a>(object: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = object.as_object_mut().and_then(|members| members.get_mut(name));
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// The text below a name, or an empty one.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the member is absent or null.
pub(super) fn is_unset(object: &Value, name: &str) -> bool {
    object.get(name).is_none_or(Value::is_null)
}
