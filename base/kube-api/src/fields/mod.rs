//! Fields that a field selector may name.

use kube_object::resource::GroupKind;
use serde_json::Value;

use crate::value::text;

/// The fields of a kind that selectors may name besides `metadata.name` and `metadata.namespace`.
pub fn selectable_fields(_kind: &GroupKind) -> &'static [&'static str] {
    &[]
}

/// The value of a selectable field; none if the kind has no such field.
pub fn selectable_field(kind: &GroupKind, object: &Value, name: &str) -> Option<String> {
    match name {
        "metadata.name" => Some(text(&object["metadata"]["name"]).to_owned()),
        "metadata.namespace" => Some(text(&object["metadata"]["namespace"]).to_owned()),
        _ if !selectable_fields(kind).contains(&name) => None,
        _ => None,
    }
}

/// What the API says of a selector that names a field it does not know.
pub fn unsupported_field(_kind: &GroupKind, name: &str) -> String {
    format!("{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
}
