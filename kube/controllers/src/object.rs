//! Reading and writing places in an object.

use std::collections::BTreeMap;

use kube_object::label_selector::LabelSelector;
use kube_object::time::{MicroTime, Time};
use serde_json::{Map, Value, json};

/// The value at a path of names.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// The text at a path, or an empty one.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a path.
pub fn number(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// Whether there is a `true` at a path.
pub fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of the list at a path.
pub fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of the list at a path.
pub fn texts<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a str> {
    items(value, path).iter().filter_map(Value::as_str).collect()
}

/// The map of texts at a path.
pub fn text_map(value: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let entries = at(value, path).and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

/// `metadata.namespace`.
pub fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// `metadata.resourceVersion`.
pub fn revision(object: &Value) -> &str {
    text(object, &["metadata", "resourceVersion"])
}

/// `metadata.generation`.
pub fn generation(object: &Value) -> i64 {
    number(object, &["metadata", "generation"]).unwrap_or_default()
}

/// `metadata.labels`.
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    text_map(object, &["metadata", "labels"])
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    at(object, &["metadata", "annotations", name]).and_then(Value::as_str)
}

/// One label.
pub fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    at(object, &["metadata", "labels", name]).and_then(Value::as_str)
}

/// Whether deletion was asked for.
pub fn is_deleting(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<&str> {
    texts(object, &["metadata", "finalizers"])
}

/// Whether a finalizer stands there.
pub fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    finalizers(object).contains(&finalizer)
}

/// A copy with a finalizer more.
pub fn with_finalizer(object: &Value, finalizer: &str) -> Value {
    let mut object = object.clone();
    let mut all: Vec<Value> = finalizers(&object).into_iter().map(Value::from).collect();
    all.push(finalizer.into());
    set(&mut object, &["metadata", "finalizers"], Value::Array(all));
    object
}

/// A copy with a finalizer less.
pub fn without_finalizer(object: &Value, finalizer: &str) -> Value {
    let mut object = object.clone();
    let all: Vec<Value> =
        finalizers(&object).into_iter().filter(|name| *name != finalizer).map(Value::from).collect();
    set(&mut object, &["metadata", "finalizers"], Value::Array(all));
    object
}

/// `metadata.ownerReferences`.
pub fn owners(object: &Value) -> &[Value] {
    items(object, &["metadata", "ownerReferences"])
}

/// The owner that manages the object.
pub fn controller_of(object: &Value) -> Option<&Value> {
    owners(object).iter().find(|owner| flag(owner, &["controller"]))
}

/// Whether the object with this identity manages it.
pub fn is_controlled_by(object: &Value, owner_uid: &str) -> bool {
    controller_of(object).is_some_and(|owner| text(owner, &["uid"]) == owner_uid)
}

/// The reference by which an object manages others.
pub fn controller_reference(owner: &Value, api_version: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Puts a value at a path, and maps on the way there.
pub fn set(value: &mut Value, path: &[&str], new: Value) {
    let Some((last, before)) = path.split_last() else {
        *value = new;
        return;
    };
    let mut place = value;
    for name in before {
        let map = as_map(place);
        place = map.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
    }
    as_map(place).insert((*last).to_owned(), new);
}

/// Takes away what is at a path.
pub fn remove(value: &mut Value, path: &[&str]) {
    let Some((last, before)) = path.split_last() else { return };
    let place = before.iter().try_fold(value, |value, name| value.get_mut(name));
    if let Some(map) = place.and_then(Value::as_object_mut) {
        map.remove(*last);
    }
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was just made a map"),
    }
}

/// The time at a path, in seconds since 1970.
pub fn time(value: &Value, path: &[&str]) -> Option<i64> {
    Time::parse(text(value, path)).ok().map(Time::unix)
}

/// The time at a path, in microseconds since 1970.
pub fn micro_time(value: &Value, path: &[&str]) -> Option<i64> {
    MicroTime::parse(text(value, path)).ok().map(MicroTime::unix_micros)
}

/// When the object was created, in seconds since 1970.
pub fn created(object: &Value) -> i64 {
    time(object, &["metadata", "creationTimestamp"]).unwrap_or_default()
}

/// A time as the API writes it.
pub fn time_text(seconds: i64) -> String {
    Time::from_unix(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// The `metav1.LabelSelector` at a path; what cannot be read selects nothing.
pub fn selector(value: &Value, path: &[&str]) -> LabelSelector {
    let Some(found) = at(value, path) else { return LabelSelector::nothing() };
    LabelSelector::from_value(found).unwrap_or_else(|_| LabelSelector::nothing())
}

/// The map of equal labels at a path, as services and replication controllers select; an empty one selects nothing.
pub fn map_selector(value: &Value, path: &[&str]) -> LabelSelector {
    let labels = text_map(value, path);
    if labels.is_empty() {
        return LabelSelector::nothing();
    }
    LabelSelector::from_labels(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// A number, or a share of a total in percent: `metav1.IntOrString`.
pub fn scaled(value: Option<&Value>, total: i64, round_up: bool) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let product = percent.checked_mul(total)?;
            Some(if round_up { product.saturating_add(99).div_euclid(100) } else { product.div_euclid(100) })
        }
        _ => None,
    }
}

/// Equal but for members that are null, or empty lists and maps.
pub fn same(one: &Value, other: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let half = |a: &Map<String, Value>, b: &Map<String, Value>| {
                a.iter().all(|(key, value)| match b.get(key) {
                    Some(other) => same(value, other),
                    None => empty(value),
                })
            };
            half(a, b) && b.iter().all(|(key, value)| a.contains_key(key) || empty(value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (one, other) => one == other || (empty(one) && empty(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_removes() {
        let mut value = json!({"a": {"b": 1}});
        set(&mut value, &["a", "c", "d"], json!(2));
        remove(&mut value, &["a", "b"]);
        remove(&mut value, &["x", "y"]);
        assert_eq!(value, json!({"a": {"c": {"d": 2}}}));
    }

    #[test]
    fn shares() {
        for (value, total, up, expected) in [
            (json!(3), 10, true, Some(3)),
            (json!("25%"), 10, true, Some(3)),
            (json!("25%"), 10, false, Some(2)),
            (json!("x"), 10, false, None),
        ] {
            assert_eq!(scaled(Some(&value), total, up), expected);
        }
    }

    #[test]
    fn sameness_forgives_what_is_empty() {
        assert!(same(&json!({"a": null, "b": [1]}), &json!({"b": [1], "c": {}})));
        assert!(!same(&json!({"a": 0}), &json!({})));
    }
}
