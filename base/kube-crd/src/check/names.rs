//! Names of resources and kinds.

use kube_object::field_error::FieldError;
use kube_object::names::dns1035_label;
use serde_json::Value;

use super::is_established;
use crate::definition::texts;

/// A definition is named after its resource.
pub(super) fn of_object(crd: &Value) -> Option<FieldError> {
    let text = |path: &str| crd.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let name = text("/metadata/name");
    let wanted = format!("{}.{}", text("/spec/names/plural"), text("/spec/group"));
    let detail = "must be spec.names.plural+\".\"+spec.group";
    (name != wanted).then(|| FieldError::invalid("metadata.name", name, detail))
}

pub(super) fn required(spec: &Value) -> Vec<FieldError> {
    let names = spec.get("names");
    let missing = |name: &&str| {
        let value = names.and_then(|names| names.get(name)).and_then(Value::as_str);
        value.is_none_or(str::is_empty)
    };
    let fields = ["plural", "singular", "kind", "listKind"];
    fields
        .iter()
        .filter(|name| missing(name))
        .map(|name| FieldError::required(format!("spec.names.{name}"), ""))
        .collect()
}

pub(super) fn check(names: &Value, path: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    let text = |name: &str| names.get(name).and_then(Value::as_str).unwrap_or_default();
    for name in ["plural", "singular"] {
        let wrong = dns1035_label(text(name));
        if !text(name).is_empty() && !wrong.is_empty() {
            found.push(FieldError::invalid(format!("{path}.{name}"), text(name), wrong.join(",")));
        }
    }
    for name in ["kind", "listKind"] {
        let wrong = dns1035_label(&text(name).to_lowercase());
        if !text(name).is_empty() && !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            found.push(FieldError::invalid(format!("{path}.{name}"), text(name), detail));
        }
    }
    found.extend(labels(names, "shortNames", path));
    if !text("kind").is_empty() && text("kind") == text("listKind") {
        let detail = "kind and listKind may not be the same";
        found.push(FieldError::invalid(format!("{path}.listKind"), text("listKind"), detail));
    }
    found.extend(labels(names, "categories", path));
    found
}

fn labels(names: &Value, field: &str, path: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    for (at, name) in texts(names, field).iter().enumerate() {
        let wrong = dns1035_label(name);
        if !wrong.is_empty() {
            found.push(FieldError::invalid(format!("{path}.{field}[{at}]"), name.as_str(), wrong.join(",")));
        }
    }
    found
}

/// What may not change: the places where objects are stored depend on it.
pub(super) fn immutable(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut fields = vec!["group", "names.plural"];
    if is_established(old) {
        fields.splice(0..0, ["scope", "names.kind"]);
    }
    let changed = |field: &&str| {
        let pointer = format!("/spec/{}", field.replace('.', "/"));
        let now = new.pointer(&pointer).cloned().unwrap_or_default();
        let before = old.pointer(&pointer).cloned().unwrap_or_default();
        (now != before).then(|| FieldError::invalid(format!("spec.{field}"), now, "field is immutable"))
    };
    fields.iter().filter_map(changed).collect()
}
