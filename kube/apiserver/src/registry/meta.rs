//! Reading and writing the metadata of decoded objects.

use serde_json::{Map, Value, json};

/// A member of the metadata; null if there is none.
pub(crate) fn get<'a>(object: &'a Value, name: &str) -> &'a Value {
    object.get("metadata").and_then(|metadata| metadata.get(name)).unwrap_or(&Value::Null)
}

/// A text of the metadata, empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    get(object, name).as_str().unwrap_or_default()
}

/// The metadata, made if there is none.
pub(crate) fn of(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = object.as_object_mut()?.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut()
}

/// Sets a member of the metadata; null and empty text remove it.
pub(crate) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    let value = value.into();
    let Some(metadata) = of(object) else { return };
    if value.is_null() || value.as_str() == Some("") {
        metadata.remove(name);
    } else {
        metadata.insert(name.to_owned(), value);
    }
}

/// Makes members of the metadata those of another object.
pub(crate) fn take(object: &mut Value, other: &Value, names: &[&str]) {
    for name in names {
        set(object, name, get(other, name).clone());
    }
}

/// The finalizers.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    get(object, "finalizers").as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether deletion was asked for.
pub(crate) fn is_deleting(object: &Value) -> bool {
    !get(object, "deletionTimestamp").is_null()
}
