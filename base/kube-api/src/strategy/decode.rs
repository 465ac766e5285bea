//! What decoding does to an object of a built-in kind.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::resource::GroupVersionKind;
use kube_schema::{Gvk, Object, Schema, Type};
use serde_json::{Map, Value, json};

use super::pod;
use crate::quantity;
use crate::value::{members, object_at, text};

/// Brings an object into the form in which it is kept, as reading it into upstream's types does:
/// nothing null, quantities canonical, `stringData` of secrets in `data`, addresses of pods both
/// alone and in the list.
pub fn decode(gvk: &GroupVersionKind, object: &mut Value) {
    let schema = Schema::builtin();
    let key = Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind };
    let Some(kind) = schema.kind(key) else { return };
    members_of(schema, schema.object(kind.object), object);
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Secret") => string_data(object),
        ("", "Pod") => {
            if let Some(status) = object.get_mut("status") {
                pod::addresses(status);
            }
        }
        _ => {}
    }
}

fn members_of(schema: &Schema, shape: &Object, value: &mut Value) {
    let Some(members) = value.as_object_mut() else { return };
    members.retain(|_, value| !value.is_null());
    for (name, value) in members {
        if let Some(field) = shape.field(name) {
            one(schema, &field.kind, value);
        }
    }
}

fn one(schema: &Schema, kind: &Type, value: &mut Value) {
    match kind {
        Type::Object(id) => members_of(schema, schema.object(*id), value),
        Type::Map(item) => {
            for value in value.as_object_mut().into_iter().flat_map(Map::values_mut) {
                null_in_map(item, value);
                one(schema, item, value);
            }
        }
        Type::List { item, .. } => {
            for value in value.as_array_mut().into_iter().flatten() {
                one(schema, item, value);
            }
        }
        Type::Quantity => {
            if let Some(quantity) = quantity::read(value) {
                *value = json!(quantity.to_string());
            }
        }
        _ => {}
    }
}

/// A key stays though its value is null, as Go's decoder has it.
fn null_in_map(kind: &Type, value: &mut Value) {
    if value.is_null() {
        *value = match kind {
            Type::String { .. } => json!(""),
            Type::Quantity => json!("0"),
            _ => return,
        };
    }
}

fn string_data(secret: &mut Value) {
    let Some(texts) = secret.as_object_mut().and_then(|secret| secret.remove("stringData")) else { return };
    let Some(data) = object_at(secret, "data") else { return };
    for (key, value) in members(&texts) {
        data.insert(key.clone(), json!(STANDARD.encode(text(value))));
    }
    if data.is_empty()
        && let Some(secret) = secret.as_object_mut()
    {
        secret.remove("data");
    }
}
