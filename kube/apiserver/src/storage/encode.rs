//! An object's JSON as it is kept: type first, then the metadata, then the rest by name.
//!
//! The order lets a reader find the metadata without reading the rest, and lists of built-in
//! kinds leave the type out by beginning behind it.

use kube_object::resource::GroupVersionKind;
use serde_json::{Map, Value};

/// Encodes an object of a kind; what the object itself says of its type does not matter.
/// With a revision the JSON is complete, without it is what the store keeps.
pub(crate) fn encode(object: &Value, gvk: &GroupVersionKind, revision: Option<u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(CAPACITY);
    out.extend_from_slice(b"{\"kind\":");
    string(&mut out, &gvk.kind);
    out.extend_from_slice(b",\"apiVersion\":");
    string(&mut out, &gvk.api_version());
    out.extend_from_slice(b",\"metadata\":");
    let empty = Map::new();
    let fields = object.as_object().unwrap_or(&empty);
    let metadata = fields.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    write_metadata(&mut out, metadata, revision);
    for (name, value) in fields {
        if !matches!(name.as_str(), "kind" | "apiVersion" | "metadata") {
            member(&mut out, name, value);
        }
    }
    out.push(b'}');
    out
}

/// The API's own order of the members.
const FIRST: [&str; 4] = ["name", "generateName", "namespace", "uid"];
const LAST: [&str; 5] = ["labels", "annotations", "ownerReferences", "finalizers", "managedFields"];

fn write_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>, revision: Option<u64>) {
    out.push(b'{');
    for name in FIRST {
        if let Some(value) = metadata.get(name) {
            member(out, name, value);
        }
    }
    if let Some(revision) = revision {
        member(out, "resourceVersion", &Value::from(revision.to_string()));
    }
    let between = |name: &str| !FIRST.contains(&name) && !LAST.contains(&name) && name != "resourceVersion";
    for (name, value) in metadata.iter().filter(|(name, _)| between(name)) {
        member(out, name, value);
    }
    for name in LAST {
        if let Some(value) = metadata.get(name) {
            member(out, name, value);
        }
    }
    out.push(b'}');
}

fn member(out: &mut Vec<u8>, name: &str, value: &Value) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
    json(out, value);
}

fn string(out: &mut Vec<u8>, text: &str) {
    json(out, &text);
}

fn json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing JSON values and text to memory cannot fail.
    drop(serde_json::to_writer(out, value));
}

/// A pod with its managed fields has about 3 KiB.
const CAPACITY: usize = 4096;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_type_and_the_metadata_come_first() {
        let gvk = GroupVersionKind::new("", "v1", "ConfigMap");
        let object = json!({"data": {"a": "b"}, "apiVersion": "x", "metadata": {
            "uid": "u", "name": "n", "labels": {}, "creationTimestamp": "T", "resourceVersion": "old"}});
        let text = |revision| String::from_utf8(encode(&object, &gvk, revision)).unwrap();
        assert_eq!(
            text(None),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","uid":"u","creationTimestamp":"T","labels":{}},"data":{"a":"b"}}"#
        );
        assert!(text(Some(7)).contains(r#""uid":"u","resourceVersion":"7","creationTimestamp""#));
    }
}
