//! What a definition means by what it leaves out.

use serde_json::{Map, Value, json};

use super::texts;

/// Sets the defaults of a CustomResourceDefinition of apiextensions.k8s.io/v1, on writes and on reads.
pub fn default_crd(crd: &mut Value) {
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !kind.is_empty() {
            fill(names, "singular", kind.to_lowercase());
            fill(names, "listKind", format!("{kind}List"));
        }
    }
    if spec.get("conversion").is_none_or(Value::is_null) {
        spec.insert("conversion".to_owned(), json!({"strategy": "None"}));
    }
    let service = crd.pointer_mut("/spec/conversion/webhook/clientConfig/service");
    if let Some(service) = service.and_then(Value::as_object_mut)
        && service.get("port").is_none_or(Value::is_null)
    {
        service.insert("port".to_owned(), json!(443));
    }
    store_version(crd);
}

/// A definition without stored versions has stored in the storage version.
fn store_version(crd: &mut Value) {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let storage = versions
        .filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .find_map(|version| version.get("name").and_then(Value::as_str).map(str::to_owned));
    let stored = crd.get("status").map(|status| texts(status, "storedVersions")).unwrap_or_default();
    let (Some(storage), true, Some(crd)) = (storage, stored.is_empty(), crd.as_object_mut()) else { return };
    let status = crd.entry("status").or_insert_with(|| Value::Object(Map::new()));
    if status.is_null() {
        *status = Value::Object(Map::new());
    }
    if let Some(status) = status.as_object_mut() {
        status.insert("storedVersions".to_owned(), json!([storage]));
    }
}

fn fill(object: &mut Map<String, Value>, name: &str, value: String) {
    if object.get(name).and_then(Value::as_str).is_none_or(str::is_empty)
        && object.get(name).is_none_or(|value| value.is_null() || value.is_string())
    {
        object.insert(name.to_owned(), Value::String(value));
    }
}
