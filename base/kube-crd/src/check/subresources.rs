//! Subresources, printer columns, selectable fields and the words of deprecation.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::field_path;
use crate::schema::Structural;

pub(super) fn deprecation(version: &Value, path: &str) -> Vec<FieldError> {
    let deprecated = version.get("deprecated").and_then(Value::as_bool) == Some(true);
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return Vec::new() };
    let mut wrong = Vec::new();
    if !deprecated {
        wrong.push("can only be set for deprecated versions".to_owned());
    } else {
        if warning.len() > WARNING_BYTES_MAX {
            wrong.push(format!("must be <= {WARNING_BYTES_MAX} characters long"));
        }
        if warning.is_empty() {
            wrong.push("must not be an empty string".to_owned());
        }
        let unprintable = |letter: char| letter.is_control() || (letter.is_whitespace() && letter != ' ');
        if let Some(at) = warning.find(unprintable) {
            let words =
                "must only contain printable UTF-8 characters; non-printable character found at index";
            wrong.push(format!("{words} {at}"));
        }
    }
    let path = format!("{path}.deprecationWarning");
    wrong.into_iter().map(|detail| FieldError::invalid(path.clone(), warning, detail)).collect()
}

pub(super) fn check(version: &Value, path: &str) -> Vec<FieldError> {
    let Some(scale) = version.pointer("/subresources/scale").filter(|scale| scale.is_object()) else {
        return Vec::new();
    };
    let text = |name: &str| scale.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut found = Vec::new();
    for (name, above) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let path = format!("{path}.scale.{name}");
        let value = text(name);
        if value.is_empty() {
            found.push(FieldError::required(path, ""));
        } else if !value.starts_with('.') {
            found.push(FieldError::invalid(path, value, NOT_SIMPLE));
        } else if !value.starts_with(above) {
            let detail = format!("should be a json path under {}", above.trim_end_matches('.'));
            found.push(FieldError::invalid(path, value, detail));
        }
    }
    let value = text("labelSelectorPath");
    let path = format!("{path}.scale.labelSelectorPath");
    if !value.is_empty() && !value.starts_with('.') {
        found.push(FieldError::invalid(path, value, NOT_SIMPLE));
    } else if !value.is_empty() && !value.starts_with(".spec.") && !value.starts_with(".status.") {
        let detail = "should be a json path under either .spec or .status";
        found.push(FieldError::invalid(path, value, detail));
    }
    found
}

pub(super) fn columns(version: &Value, path: &str) -> Vec<FieldError> {
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array).into_iter().flatten();
    columns.enumerate().flat_map(|(at, one)| column(one, &format!("{path}[{at}]"))).collect()
}

fn column(column: &Value, path: &str) -> Vec<FieldError> {
    let text = |name: &str| column.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut found = Vec::new();
    if text("name").is_empty() {
        found.push(FieldError::required(format!("{path}.name"), ""));
    }
    let one_of = |all: &[&str]| format!("must be one of {}", all.join(","));
    match text("type") {
        "" => found.push(FieldError::required(format!("{path}.type"), one_of(&TYPES))),
        kind if TYPES.contains(&kind) => {}
        kind => found.push(FieldError::invalid(format!("{path}.type"), kind, one_of(&TYPES))),
    }
    let format = text("format");
    if !format.is_empty() && !FORMATS.contains(&format) {
        found.push(FieldError::invalid(format!("{path}.format"), format, one_of(&FORMATS)));
    }
    let json_path = text("jsonPath");
    if json_path.is_empty() {
        found.push(FieldError::required(format!("{path}.JSONPath"), ""));
    } else if !json_path.starts_with('.') {
        found.push(FieldError::invalid(format!("{path}.JSONPath"), json_path, NOT_SIMPLE));
    }
    found
}

pub(super) fn selectable(version: &Value, path: &str) -> Vec<FieldError> {
    let fields = version.get("selectableFields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let schema = version.pointer("/schema/openAPIV3Schema").map(Structural::parse);
    let Some(Ok(schema)) = schema.filter(|_| !fields.is_empty()) else { return Vec::new() };
    let mut found = Vec::new();
    let mut unique = BTreeSet::new();
    for (at, field) in fields.iter().enumerate() {
        let text = field.get("jsonPath").and_then(Value::as_str).unwrap_or_default();
        let path = format!("{path}[{at}].jsonPath");
        if text.is_empty() {
            found.push(FieldError::required(path, ""));
            continue;
        }
        let (normal, node) = match field_path::resolve(text, &schema, false) {
            Ok(resolved) => resolved,
            Err(error) => {
                found.push(FieldError::invalid(path, text, format!("is an invalid path: {error}")));
                continue;
            }
        };
        if normal == "metadata" || normal.starts_with("metadata.") {
            found.push(FieldError::invalid(path.clone(), text, "must not point to fields in metadata"));
        }
        if !matches!(node.kind.as_str(), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                          with formats are allowed.";
            found.push(FieldError::invalid(path.clone(), text, detail));
        }
        if !unique.insert(normal) {
            found.push(FieldError::duplicate(path, text));
        }
    }
    if unique.len() > SELECTABLE_MAX {
        found.push(FieldError::too_many(path, unique.len(), SELECTABLE_MAX));
    }
    found
}

const NOT_SIMPLE: &str = "must be a simple json path starting with .";
const WARNING_BYTES_MAX: usize = 256;
const SELECTABLE_MAX: usize = 8;
const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
