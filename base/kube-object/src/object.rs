//! An object as the store keeps it: its bytes, and its metadata parsed from them.
//!
//! Whatever else the bytes hold is left alone: an edit of the metadata replaces
//! only the members it names, so that order and unknown fields stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Classified, ErrorClass};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::json::{InvalidJson, Member, decode, members};

/// Bytes and the metadata parsed from them. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Object {
    bytes: Arc<[u8]>,
    head: Arc<Head>,
}

/// What is read of each object: `metav1.ObjectMeta` without `managedFields`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// The name; empty before one is generated.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// The prefix of a name to be generated.
    #[serde(deserialize_with = "or_default")]
    pub generate_name: String,
    /// The namespace; empty for objects of the cluster.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// The identity over time and space.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
    /// The revision of the last write.
    #[serde(deserialize_with = "or_default")]
    pub resource_version: String,
    /// Counts changes of the desired state.
    #[serde(deserialize_with = "or_default")]
    pub generation: i64,
    /// When it was created, as text.
    pub creation_timestamp: Option<String>,
    /// When deletion was asked for, as text.
    pub deletion_timestamp: Option<String>,
    /// How long it may take to end.
    pub deletion_grace_period_seconds: Option<i64>,
    /// What selectors see.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// What selectors don't see.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// The objects without which it is garbage.
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference>,
    /// Who must agree before it goes.
    #[serde(deserialize_with = "or_default")]
    pub finalizers: Vec<String>,
}

/// An owner: `metav1.OwnerReference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The identity.
    pub uid: String,
    /// Whether it is the one that manages the object.
    #[serde(deserialize_with = "or_default")]
    pub controller: bool,
    /// Whether the owner waits for the object's end.
    #[serde(deserialize_with = "or_default")]
    pub block_owner_deletion: bool,
}

/// The bytes are no object of the API.
#[derive(Debug, thiserror::Error)]
pub enum InvalidObject {
    /// Not JSON.
    #[error("object")]
    Json(#[source] InvalidJson),
    /// A member of the metadata has the wrong type or stands twice.
    #[error("object's apiVersion, kind or metadata")]
    Metadata(#[source] serde_json::Error),
}

impl Classified for InvalidObject {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    #[serde(deserialize_with = "or_default")]
    api_version: String,
    #[serde(deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    metadata: ObjectMeta,
}

impl Object {
    /// Reads an object. A member of the metadata that stands twice is refused:
    /// text of strangers goes through [`decode`] first.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, InvalidObject> {
        let bytes = bytes.into();
        let head = serde_json::from_slice(&bytes).map_err(InvalidObject::Metadata)?;
        Ok(Self { bytes, head: Arc::new(head) })
    }

    /// Encodes a value and reads it back.
    pub fn from_value(value: &Value) -> Result<Self, InvalidObject> {
        Self::parse(value.to_string().into_bytes())
    }

    /// The JSON.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Group and version, as in `apps/v1`.
    pub fn api_version(&self) -> &str {
        &self.head.api_version
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.head.kind
    }

    /// The metadata.
    pub fn meta(&self) -> &ObjectMeta {
        &self.head.metadata
    }

    /// All of it, decoded.
    pub fn to_value(&self) -> Result<Value, InvalidObject> {
        decode(&self.bytes).map(|decoded| decoded.value).map_err(InvalidObject::Json)
    }

    /// The raw JSON of a member of the metadata, as `managedFields`.
    pub fn metadata_member(&self, name: &str) -> Option<&[u8]> {
        let metadata = member(&self.bytes, 0, "metadata")?;
        let found = member(&self.bytes, metadata.value.start, name)?;
        Some(&self.bytes[found.value])
    }

    /// A copy in which members of the metadata are replaced, added at its end,
    /// or (by none) removed; every other byte stays.
    pub fn with_metadata(&self, changes: &[(&str, Option<Value>)]) -> Result<Self, InvalidObject> {
        let mut bytes = self.bytes.to_vec();
        if member(&bytes, 0, "metadata").is_none_or(|found| bytes[found.value.start] != b'{') {
            set(&mut bytes, 0, "metadata", Some("{}"));
        }
        for (name, value) in changes {
            if let Some(metadata) = member(&bytes, 0, "metadata") {
                let text = value.as_ref().map(Value::to_string);
                set(&mut bytes, metadata.value.start, name, text.as_deref());
            }
        }
        Self::parse(bytes)
    }
}

impl ObjectMeta {
    /// Whether deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The owner that manages it.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

fn member(bytes: &[u8], object: usize, name: &str) -> Option<Member> {
    let same = |member: &Member| {
        let key = &bytes[member.key.clone()];
        // A key may be written with escapes; only then it must be decoded.
        key == name.as_bytes()
            || (key.contains(&b'\\')
                && serde_json::from_slice::<String>(&bytes[member.key.start - 1..=member.key.end])
                    .is_ok_and(|key| key == name))
    };
    members(bytes, object).into_iter().find(same)
}

/// Replaces, adds or removes a member of the object that starts at or behind `object`.
fn set(bytes: &mut Vec<u8>, object: usize, name: &str, value: Option<&str>) {
    let all = members(bytes, object);
    let found = member(bytes, object, name);
    match (found, value) {
        (Some(found), Some(value)) => {
            bytes.splice(found.value, value.bytes());
        }
        (Some(found), None) => {
            let at = all.iter().position(|member| *member == found).unwrap_or(0);
            // From the key's quote to the next key, or from behind the one before.
            let range = match (all.get(at + 1), at.checked_sub(1).and_then(|at| all.get(at))) {
                (Some(next), _) => found.key.start - 1..next.key.start - 1,
                (None, Some(before)) => before.value.end..found.value.end,
                (None, None) => found.key.start - 1..found.value.end,
            };
            bytes.drain(range);
        }
        (None, Some(value)) => {
            let key = Value::from(name);
            match all.last() {
                Some(last) => {
                    let text = format!(",{key}:{value}");
                    bytes.splice(last.value.end..last.value.end, text.bytes());
                }
                None => {
                    let brace =
                        bytes.get(object..).and_then(|rest| rest.iter().position(|byte| *byte == b'{'));
                    if let Some(brace) = brace {
                        let at = object + brace + 1;
                        bytes.splice(at..at, format!("{key}:{value}").bytes());
                    }
                }
            }
        }
        (None, None) => {}
    }
}

/// Null is as good as nothing, as the API has it.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(text.as_bytes()).unwrap()
    }

    fn text(object: &Object) -> &str {
        std::str::from_utf8(object.bytes()).unwrap()
    }

    #[test]
    fn reads_the_metadata() {
        let pod = object(
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","uid":"u","resourceVersion":"7",
            "generation":2,"labels":{"a":"b"},"annotations":null,"finalizers":["x/y"],"deletionTimestamp":"2026-01-02T03:04:05Z",
            "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"r","controller":true}],
            "managedFields":[1]},"spec":{"x":1}}"#,
        );
        assert_eq!((pod.api_version(), pod.kind()), ("v1", "Pod"));
        let meta = pod.meta();
        assert_eq!((meta.name.as_str(), meta.namespace.as_str(), meta.generation), ("web", "shop", 2));
        assert_eq!((meta.labels["a"].as_str(), meta.finalizers[0].as_str()), ("b", "x/y"));
        assert!(meta.is_deleting());
        assert_eq!(meta.controller().map(|owner| owner.kind.as_str()), Some("ReplicaSet"));
        assert_eq!(pod.metadata_member("managedFields"), Some(&b"[1]"[..]));
        assert_eq!(pod.to_value().unwrap()["spec"], json!({"x": 1}));
        assert_eq!(object("{}").meta(), &ObjectMeta::default());
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in [
            "",
            "7",
            "{\"metadata\":1}",
            "{\"metadata\":{\"labels\":{\"a\":1}}}",
            "{\"kind\":\"a\",\"kind\":\"b\"}",
            "{\"metadata\":{\"name\":\"a\",\"name\":\"b\"}}",
            "{\"kind\":\"\\ud800\"}",
        ] {
            assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn edits_leave_the_rest_alone() {
        let check = |before: &str, name: &str, value: Option<Value>, after: &str| {
            assert_eq!(text(&object(before).with_metadata(&[(name, value)]).unwrap()), after);
        };
        let z = r#"{"z":1, "metadata": {"name":"a", "x":{}, "uid":"u"} ,"b":2}"#;
        check(z, "name", Some(json!("c")), r#"{"z":1, "metadata": {"name":"c", "x":{}, "uid":"u"} ,"b":2}"#);
        check(
            z,
            "new",
            Some(json!([1])),
            r#"{"z":1, "metadata": {"name":"a", "x":{}, "uid":"u","new":[1]} ,"b":2}"#,
        );
        check(z, "name", None, r#"{"z":1, "metadata": {"x":{}, "uid":"u"} ,"b":2}"#);
        check(z, "x", None, r#"{"z":1, "metadata": {"name":"a", "uid":"u"} ,"b":2}"#);
        check(z, "uid", None, r#"{"z":1, "metadata": {"name":"a", "x":{}} ,"b":2}"#);
        check(z, "absent", None, z);
        check(r#"{"metadata":{"uid":"u"}}"#, "uid", None, r#"{"metadata":{}}"#);
        check(r#"{ }"#, "uid", Some(json!("u")), r#"{"metadata":{"uid":"u"} }"#);
        check(r#"{"a":1,"metadata":null}"#, "uid", Some(json!("u")), r#"{"a":1,"metadata":{"uid":"u"}}"#);
        check(
            r#"{"metadata":{"u\u0069d":"u"}}"#,
            "uid",
            Some(json!("v")),
            r#"{"metadata":{"u\u0069d":"v"}}"#,
        );
    }

    proptest::proptest! {
        #[test]
        fn edits_agree_with_a_map(names in proptest::collection::vec("[abc]", 0..4), value in 0..9i64, remove in proptest::bool::ANY) {
            let metadata: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), 1)).collect();
            let before = Object::from_value(&json!({"metadata": metadata, "spec": {"a": [{}]}})).unwrap();
            let change = (!remove).then(|| json!(value));
            let after = before.with_metadata(&[("b", change.clone())]).unwrap().to_value().unwrap();
            let mut expected = before.to_value().unwrap();
            let fields = expected["metadata"].as_object_mut().unwrap();
            match change {
                Some(value) => drop(fields.insert("b".to_owned(), value)),
                None => drop(fields.remove("b")),
            }
            proptest::prop_assert_eq!(after, expected);
        }

        #[test]
        fn never_panics(text in "[{}\\[\\]:,\"metadata1\\\\ ]{0,40}") {
            if let Ok(object) = Object::parse(text.as_bytes()) {
                let _ = object.with_metadata(&[("a", None), ("m", Some(json!(1)))]);
            }
        }
    }
}
