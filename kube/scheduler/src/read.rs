//! Reading places in an object that the API server has checked.

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The text of a member, or an empty one.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list member.
pub(crate) fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of a list member.
pub(crate) fn texts(value: &Value, name: &str) -> Vec<String> {
    items(value, name).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A member; null where there is none.
pub(crate) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// A number, or what it is otherwise.
pub(crate) fn number(value: &Value, name: &str, otherwise: i64) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or(otherwise)
}

/// A map of texts.
pub(crate) fn labels(value: &Value, name: &str) -> Labels {
    let entries = value.get(name).and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
