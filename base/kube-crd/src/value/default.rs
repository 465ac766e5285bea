//! Puts defaults where a value says nothing.

use serde_json::Value;

use crate::schema::Structural;

/// Sets the defaults of a schema, also in what came as a default.
pub(crate) fn default(value: &mut Value, schema: &Structural) {
    match value {
        Value::Object(fields) => {
            for (name, below) in &schema.properties {
                let Some(default) = &below.default else { continue };
                let unset = fields.get(name).is_none_or(|value| value.is_null() && !below.nullable);
                if unset {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(below) = schema.child(name) {
                    one(value, below);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                items.iter_mut().for_each(|item| one(item, below));
            }
        }
        _ => {}
    }
}

fn one(value: &mut Value, schema: &Structural) {
    if value.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
    default(value, schema);
}
