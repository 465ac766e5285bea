//! Environment variables, and the fields of the pod and resources of the container they are read from.

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::words;
use crate::quantity;
use crate::validation::{Errors, PathRef, common};
use crate::value::{items, text};

/// Variables one by one.
pub(super) fn variables(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, variable) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let name = text(&variable["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        } else {
            words::faults(words::variable_name(name), name, &at.child("name"), errors);
        }
        let source = &variable["valueFrom"];
        if !source.is_null() {
            value_from(source, text(&variable["value"]), &at.child("valueFrom"), errors);
        }
    }
}

fn value_from(source: &Value, value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let mut sources = 0;
    let mut each = |name: &'static str, check: fn(&Value, &PathRef<'_>, &mut Errors)| {
        if !source[name].is_null() {
            sources += 1;
            check(&source[name], &path.child(name), errors);
        }
    };
    each("fieldRef", |s, p, e| field(s, &FIELDS_OF_VARIABLES, p, e));
    each("resourceFieldRef", |s, p, e| resource(s, false, p, e));
    each("configMapKeyRef", key_of);
    each("secretKeyRef", key_of);
    each("fileKeyRef", file_key);
    if sources == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(FieldError::invalid(path, "", why));
    } else if !value.is_empty() {
        errors.push(FieldError::invalid(path, "", "may not be specified when `value` is not empty"));
    } else if sources > 1 {
        errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time"));
    }
}

fn key_of(source: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    words::subdomain(text(&source["name"]), &path.child("name"), errors);
    let key = text(&source["key"]);
    if key.is_empty() {
        errors.push(FieldError::required(path.child("key"), ""));
    } else {
        words::faults(common::config_key_faults(key), key, &path.child("key"), errors);
    }
}

/// A check of a text.
type TextCheck = fn(&str, &PathRef<'_>, &mut Errors);

fn file_key(source: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let checks: [(&str, TextCheck); 3] = [
        ("key", |key, p, e| words::faults(words::variable_name(key), key, p, e)),
        ("volumeName", words::label),
        ("path", words::no_backsteps),
    ];
    for (member, check) in checks {
        let value = text(&source[member]);
        if value.is_empty() {
            errors.push(FieldError::required(path.child(member), ""));
        } else {
            check(value, &path.child(member), errors);
        }
    }
}

/// Variables of whole config maps and secrets.
pub(super) fn from(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, source) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let prefix = text(&source["prefix"]);
        if !prefix.is_empty() {
            words::faults(words::variable_name(prefix), prefix, &at.child("prefix"), errors);
        }
        let mut sources = 0;
        for member in ["configMapRef", "secretRef"] {
            let reference = &source[member];
            if reference.is_null() {
                continue;
            }
            sources += 1;
            let at = at.child(member);
            let name = text(&reference["name"]);
            if name.is_empty() {
                errors.push(FieldError::required(at.child("name"), ""));
            } else {
                let masked = kube_object::names::mask_trailing_dash(name);
                let wrong = kube_object::names::dns1123_subdomain(&masked);
                words::faults(wrong, name, &at.child("name"), errors);
            }
        }
        if sources == 0 {
            let why = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(FieldError::invalid(path, "", why));
        } else if sources > 1 {
            errors.push(FieldError::invalid(
                path,
                "",
                "may not have more than one field specified at a time",
            ));
        }
    }
}

/// A file that shows a field of the pod or a resource of a container.
pub(super) fn downward_file(file: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(file, &["path"], path, errors);
    words::unreserved_path(text(&file["path"]), &path.child("path"), errors);
    let (of_pod, of_container) = (&file["fieldRef"], &file["resourceFieldRef"]);
    if !of_pod.is_null() {
        field(of_pod, &FIELDS_OF_VOLUMES, &path.child("fieldRef"), errors);
        if !of_container.is_null() {
            let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", why));
        }
    } else if !of_container.is_null() {
        resource(of_container, true, &path.child("resourceFieldRef"), errors);
    } else {
        errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
    }
    words::file_mode(&file["mode"], &path.child("mode"), errors);
}

fn field(source: &Value, known: &[&str], path: &PathRef<'_>, errors: &mut Errors) {
    let version = text(&source["apiVersion"]);
    if version.is_empty() {
        errors.push(FieldError::required(path.child("apiVersion"), ""));
        return;
    }
    let field = text(&source["fieldPath"]);
    let at = path.child("fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    let subscripted = subscript(field);
    let convertible = match subscripted {
        Some((name, _)) => matches!(name, "metadata.annotations" | "metadata.labels"),
        None => CONVERTIBLE.contains(&field),
    };
    if version != "v1" {
        let why = format!("error converting fieldPath: unsupported pod version: {version}");
        errors.push(FieldError::invalid(at, field, why));
    } else if !convertible {
        let why = match subscripted {
            Some(_) => format!("error converting fieldPath: field label does not support subscript: {field}"),
            None => format!("error converting fieldPath: field label not supported: {field}"),
        };
        errors.push(FieldError::invalid(at, field, why));
    } else if let Some((name, key)) = subscripted {
        let key = if name == "metadata.annotations" { key.to_lowercase() } else { key.to_owned() };
        words::qualified(&key, path, errors);
    } else {
        // What has two names is shown by the newer one.
        words::known_text(if field == "spec.host" { "spec.nodeName" } else { field }, known, &at, errors);
    }
}

/// `metadata.labels['key']` in its two parts.
fn subscript(field: &str) -> Option<(&str, &str)> {
    let (name, rest) = field.strip_suffix("']")?.split_once("['")?;
    (!name.is_empty() && !rest.is_empty()).then_some((name, rest))
}

const CONVERTIBLE: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];
const FIELDS_OF_VARIABLES: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const FIELDS_OF_VOLUMES: [&str; 5] =
    ["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];

fn resource(source: &Value, of_volume: bool, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(&source["resource"]);
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if of_volume && text(&source["containerName"]).is_empty() {
        errors.push(FieldError::required(path.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(FieldError::required(path.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(FieldError::not_supported(path.child("resource"), name, &RESOURCES));
    }
    let Some(divisor) = quantity::read(&source["divisor"]).filter(|divisor| !divisor.is_zero()) else {
        return;
    };
    let divisor = divisor.to_string();
    let (known, what): (&[&str], _) = match name {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&UNITS, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (&UNITS, "local ephemeral storage"),
        _ if huge => (&UNITS, "hugepages"),
        _ => return,
    };
    if !known.contains(&divisor.as_str()) {
        let list = if what == "cpu" { "1m and 1".to_owned() } else { UNITS.join(", ") };
        let why = format!("only divisor's values {list} are supported with the {what} resource");
        errors.push(FieldError::invalid(path.child("divisor"), name, why));
    }
}

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const UNITS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
