//! Reading places in an object that the API server has checked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

/// The value at a path of names; nothing where there is none or a null.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// The text at a path, or an empty one.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a path.
pub(crate) fn number(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// Whether there is a `true` at a path.
pub(crate) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The boolean at a path.
pub(crate) fn maybe_flag(value: &Value, path: &[&str]) -> Option<bool> {
    at(value, path).and_then(Value::as_bool)
}

/// The items of the list at a path.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of the list at a path.
pub(crate) fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    items(value, path).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The map of texts at a path.
pub(crate) fn text_map(value: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let entries = at(value, path).and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The item of a list that has this name.
pub(crate) fn named<'a>(list: &'a [Value], name: &str) -> Option<&'a Value> {
    list.iter().find(|item| text(item, &["name"]) == name)
}

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

/// `metadata.namespace`.
pub(crate) fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// Whether deletion was asked for.
pub(crate) fn is_deleting(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
}

/// Whether the pod uses the node's network.
pub(crate) fn host_network(pod: &Value) -> bool {
    flag(pod, &["spec", "hostNetwork"])
}

/// `namespace/name`, as pods are called in messages; the upstream form is `name_namespace(uid)`.
pub(crate) fn long_name(pod: &Value) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// The time at a path.
pub(crate) fn time(value: &Value, path: &[&str]) -> Option<Timestamp> {
    text(value, path).parse().ok()
}

/// A time as `metav1.Time` is written: whole seconds.
pub(crate) fn time_text(at: Timestamp) -> String {
    let seconds = Timestamp::from_second(at.as_second()).unwrap_or(at);
    seconds.to_string()
}

/// A time from nanoseconds; nothing for zero, which CRI uses for "not yet".
pub(crate) fn from_nanos(nanos: i64) -> Option<Timestamp> {
    if nanos <= 0 { None } else { Timestamp::from_nanosecond(i128::from(nanos)).ok() }
}
