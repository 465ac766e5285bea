//! What the schema alone says: fields that must be there, and values that are known.
//!
//! It gives breadth where no rules are written by hand. Where the schema demands a field
//! that upstream in fact fills in or does without, a kind is better off without this.

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use kube_schema::{Gvk, Object, Schema, Type};
use serde_json::Value;

use super::pod::words::enough;
use super::{Errors, PathRef};
use crate::value::is_empty;

/// Adds what is wrong by the schema with fields of which nothing is said yet.
pub(super) fn check(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let schema = Schema::builtin();
    let key = Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind };
    let Some(kind) = schema.kind(key) else { return };
    let mut found = Errors::new();
    for field in &schema.object(kind.object).fields {
        // The metadata has rules of its own, and statuses are written by those who know.
        if !matches!(field.name, "metadata" | "status" | "apiVersion" | "kind") {
            let value = &object[field.name];
            one(schema, &field.kind, value, &PathRef::Root(field.name), &mut found);
        }
    }
    found.retain(|error| !errors.iter().any(|known| known.field == error.field));
    errors.append(&mut found);
}

fn one(schema: &Schema, kind: &Type, value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match (kind, value) {
        (Type::Object(id), Value::Object(_)) => members(schema, schema.object(*id), value, path, errors),
        (Type::Map(item), Value::Object(entries)) => {
            for (key, value) in entries {
                if enough(errors) {
                    break;
                }
                one(schema, item, value, &path.key(key), errors);
            }
        }
        (Type::List { item, .. }, Value::Array(values)) => {
            for (at, value) in values.iter().enumerate() {
                if enough(errors) {
                    break;
                }
                one(schema, item, value, &path.index(at), errors);
            }
        }
        (Type::String { values, .. }, Value::String(text))
            if !values.is_empty() && !text.is_empty() && !values.contains(&text.as_str()) =>
        {
            errors.push(FieldError::not_supported(path, text.as_str(), values));
        }
        _ => {}
    }
}

fn members(schema: &Schema, shape: &Object, value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for field in &shape.fields {
        let value = &value[field.name];
        let path = path.child(field.name);
        let demanded = field.required && matches!(field.kind, Type::String { .. } | Type::List { .. });
        if demanded && is_empty(value) {
            errors.push(FieldError::required(path, ""));
        }
        one(schema, &field.kind, value, &path, errors);
    }
}
