//! apiVersion, kind and metadata of a resource and of resources embedded in it.

use base::{Classified, ErrorClass};
use kube_object::field_error::FieldError;
use kube_object::{names, schema_shape, strict};
use serde_json::{Map, Value};

use crate::path::Path;
use crate::schema::{OBJECT_META, Structural, is_meta_field};

/// What happens to metadata that does not fit its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is refused: it comes from a request.
    Refuse,
    /// It is dropped: it comes from the store.
    Drop,
}

/// Metadata does not fit its type. The words are the API's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MalformedObject {
    /// The object's own.
    #[error("{0}")]
    Metadata(String),
    /// That of an embedded object.
    #[error("{0}")]
    Embedded(Box<FieldError>),
}

impl Classified for MalformedObject {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Coerces the metadata of the object itself; gives the paths of unknown fields.
pub(crate) fn root(object: &mut Value, malformed: Malformed) -> Result<Vec<String>, String> {
    match object.get_mut("metadata") {
        None => Ok(Vec::new()),
        Some(metadata) => coerce(metadata, malformed),
    }
}

/// Coerces the metadata of embedded objects; gives the paths of unknown fields, sorted.
pub(crate) fn embedded(
    object: &mut Value,
    schema: &Structural,
    malformed: Malformed,
) -> Result<Vec<String>, FieldError> {
    let mut unknown = Vec::new();
    walk(object, schema, malformed, &Path::Root, &mut unknown)?;
    unknown.sort();
    unknown.truncate(strict::UNKNOWN_MAX);
    Ok(unknown)
}

fn walk(
    value: &mut Value,
    schema: &Structural,
    malformed: Malformed,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) -> Result<(), FieldError> {
    if schema.embedded {
        coerce_embedded(value, malformed, path, unknown)?;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (schema.properties.get(name), schema.values_schema()) {
                    (Some(below), _) => walk(value, below, malformed, &path.child(name), unknown)?,
                    (None, Some(below)) => walk(value, below, malformed, &path.key(name), unknown)?,
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                for (at, item) in items.iter_mut().enumerate() {
                    walk(item, below, malformed, &path.index(at), unknown)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn coerce_embedded(
    value: &mut Value,
    malformed: Malformed,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) -> Result<(), FieldError> {
    let Value::Object(fields) = value else { return Ok(()) };
    for name in ["apiVersion", "kind"] {
        if let Some(wrong) = fields.get(name).filter(|value| !value.is_string()) {
            if malformed == Malformed::Refuse {
                let wrong = wrong.clone();
                return Err(FieldError::invalid(path.child(name).to_string(), wrong, "must be a string"));
            }
            fields.remove(name);
        }
    }
    let Some(metadata) = fields.get_mut("metadata") else { return Ok(()) };
    match coerce(metadata, malformed) {
        Ok(found) => {
            let above = path.to_string();
            let dot = if above.is_empty() { "" } else { "." };
            unknown.extend(found.into_iter().map(|name| format!("{above}{dot}{name}")));
            Ok(())
        }
        Err(_) if malformed == Malformed::Drop => Ok(()),
        Err(text) => Err(FieldError::invalid(path.child("metadata").to_string(), metadata.clone(), text)),
    }
}

fn coerce(metadata: &mut Value, malformed: Malformed) -> Result<Vec<String>, String> {
    if let Some(text) = schema_shape::type_errors_of(OBJECT_META, metadata) {
        match (malformed, &mut *metadata) {
            (Malformed::Drop, Value::Object(fields)) => fields.retain(|name, value| fits(name, value)),
            _ => return Err(text),
        }
    }
    let shape = schema_shape::of_definition(OBJECT_META);
    let unknown = shape.map(|shape| strict::unknown_fields(metadata, shape)).unwrap_or_default();
    schema_shape::normalize_of(OBJECT_META, metadata);
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    Ok(unknown.into_iter().map(|path| format!("metadata.{path}")).collect())
}

/// Whether a field of metadata fits its type. The value comes back as it was.
fn fits(name: &str, value: &mut Value) -> bool {
    let mut alone = Map::new();
    alone.insert(name.to_owned(), value.take());
    let mut alone = Value::Object(alone);
    let fits = schema_shape::type_errors_of(OBJECT_META, &alone).is_none();
    if let Some(inner) = alone.get_mut(name) {
        *value = inner.take();
    }
    fits
}

/// What is wrong with apiVersion, kind and metadata of embedded objects.
pub(crate) fn check(value: &Value, schema: &Structural, path: &Path<'_>) -> Vec<FieldError> {
    let mut found = Vec::new();
    check_at(value, schema, path, &mut found);
    found
}

/// As [`check`], also of the value itself.
pub(crate) fn check_resource(value: &Value, schema: &Structural, path: &Path<'_>) -> Vec<FieldError> {
    let mut found = Vec::new();
    if !schema.embedded {
        resource(value, path, &mut found);
    }
    check_at(value, schema, path, &mut found);
    found
}

fn check_at(value: &Value, schema: &Structural, path: &Path<'_>, found: &mut Vec<FieldError>) {
    if schema.embedded {
        resource(value, path, found);
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (schema.properties.get(name), schema.values_schema()) {
                    (Some(below), _) => check_at(value, below, &path.child(name), found),
                    (None, Some(below)) => check_at(value, below, &path.key(name), found),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    check_at(item, below, &path.index(at), found);
                }
            }
        }
        _ => {}
    }
}

fn resource(value: &Value, path: &Path<'_>, found: &mut Vec<FieldError>) {
    let Value::Object(fields) = value else { return };
    for name in ["apiVersion", "kind"] {
        if !fields.contains_key(name) {
            found.push(FieldError::required(path.child(name).to_string(), ""));
        }
    }
    for (name, value) in fields.iter().filter(|(name, _)| is_meta_field(name)) {
        let path = path.child(name);
        let mut invalid = |detail: String| {
            found.push(FieldError::invalid(path.to_string(), value.clone(), detail));
        };
        match (name.as_str(), value) {
            ("metadata", value) => found.extend(object_meta(value, &path)),
            (_, Value::String(text)) if text.is_empty() => invalid("must not be empty".to_owned()),
            ("apiVersion", Value::String(text)) => {
                if text.matches('/').count() > 1 {
                    invalid(format!("unexpected GroupVersion string: {text}"));
                }
            }
            (_, Value::String(text)) => {
                let wrong = names::dns1035_label(&text.to_lowercase());
                if !wrong.is_empty() {
                    let wrong = wrong.join(",");
                    invalid(format!("may have mixed case, but should otherwise match: {wrong}"));
                }
            }
            _ => invalid("must be a string".to_owned()),
        }
    }
}

/// The rules of `ObjectMeta` that hold for any kind.
fn object_meta(meta: &Value, path: &Path<'_>) -> Vec<FieldError> {
    let mut found = Vec::new();
    let mut one = |name: &str, rule: fn(&str) -> Vec<String>| {
        let text = meta.get(name).and_then(Value::as_str).unwrap_or_default();
        if !text.is_empty() {
            let path = path.child(name).to_string();
            found.extend(rule(text).into_iter().map(|wrong| FieldError::invalid(path.clone(), text, wrong)));
        }
    };
    one("generateName", names::path_segment);
    one("name", names::path_segment);
    one("namespace", names::dns1123_label);
    if meta.get("generation").and_then(Value::as_i64).is_some_and(|generation| generation < 0) {
        let value = meta.get("generation").cloned().unwrap_or_default();
        let detail = "must be greater than or equal to 0";
        found.push(FieldError::invalid(path.child("generation").to_string(), value, detail));
    }
    found.extend(keys(meta, "labels", path));
    found.extend(keys(meta, "annotations", path));
    for (at, finalizer) in meta.get("finalizers").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        let text = finalizer.as_str().unwrap_or_default();
        let above = path.child("finalizers");
        let wrong = names::qualified_name(text).into_iter();
        found.extend(wrong.map(|wrong| FieldError::invalid(above.index(at).to_string(), text, wrong)));
    }
    found
}

fn keys(meta: &Value, name: &str, path: &Path<'_>) -> Vec<FieldError> {
    let path = path.child(name).to_string();
    let mut found = Vec::new();
    let mut bytes = 0;
    for (key, value) in meta.get(name).and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        bytes += key.len() + text.len();
        let lower = key.to_lowercase();
        let checked = if name == "annotations" { lower.as_str() } else { key.as_str() };
        let wrong = names::qualified_name(checked).into_iter();
        found.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), key.as_str(), wrong)));
        if name == "labels" {
            let wrong = names::label_value(text).into_iter();
            found.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), text, wrong)));
        }
    }
    if name == "annotations" && bytes > names::ANNOTATIONS_BYTES_MAX {
        found.push(FieldError::too_long(path, names::ANNOTATIONS_BYTES_MAX));
    }
    found
}
