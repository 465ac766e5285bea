//! Claims to volumes that stand inside of pods and stateful sets.

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::{resources, words};
use crate::quantity;
use crate::validation::{Errors, PathRef, metadata};
use crate::value::{is_empty, items, members, text};

/// A template: labels and annotations are all of the metadata that it may have.
pub(super) fn template(template: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let at = path.child("metadata");
    let meta = &template["metadata"];
    metadata::annotations(&meta["annotations"], &at.child("annotations"), errors);
    metadata::labels(&meta["labels"], &at.child("labels"), errors);
    for (name, value) in members(meta) {
        if words::enough(errors) {
            break;
        }
        let allowed = name == "labels" || name == "annotations" || name == "creationTimestamp";
        if !allowed && !is_empty(value) {
            errors.push(FieldError::forbidden(at.child(name), "cannot be set"));
        }
    }
    spec(&template["spec"], &path.child("spec"), errors);
}

/// `PersistentVolumeClaimSpec`.
pub(in crate::validation) fn spec(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    access_modes(&spec["accessModes"], &path.child("accessModes"), errors);
    if !spec["selector"].is_null() {
        words::selector(&spec["selector"], &path.child("selector"), errors);
    }
    let at = path.child("resources");
    let size = &spec["resources"]["requests"]["storage"];
    match quantity::read(size) {
        None if size.is_null() => errors.push(FieldError::required(at.key("storage"), "")),
        Some(amount) if amount.is_negative() || amount.is_zero() => {
            errors.push(FieldError::invalid(at.key("storage"), amount.to_string(), words::NOT_POSITIVE));
        }
        _ => resources::quantity("storage", size, &at.key("storage"), errors),
    }
    for name in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(&spec[name]);
        if !class.is_empty() {
            words::subdomain(class, &path.child(name), errors);
        }
    }
    words::if_set_one_of(&spec["volumeMode"], &["Block", "Filesystem"], &path.child("volumeMode"), errors);
    data_sources(spec, path, errors);
}

fn access_modes(modes: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if items(modes).is_empty() {
        errors.push(FieldError::required(path, "at least 1 access mode is required"));
    }
    let (mut one_pod, mut other) = (false, false);
    for mode in items(modes) {
        let mode = text(mode);
        words::known_text(mode, &ACCESS_MODES, path, errors);
        one_pod |= mode == "ReadWriteOncePod";
        other |= mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode);
    }
    if one_pod && other {
        errors.push(FieldError::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
}

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn data_sources(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    for (found, name) in [(source, "dataSource"), (reference, "dataSourceRef")] {
        if found.is_null() {
            continue;
        }
        let at = path.child(name);
        words::needs(found, &["name", "kind"], &at, errors);
        let group = text(&found["apiGroup"]);
        if group.is_empty() && text(&found["kind"]) != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(FieldError::invalid(at, text(&found["kind"]), why));
        }
        if !group.is_empty() {
            words::subdomain(group, &at.child("apiGroup"), errors);
        }
    }
    if source.is_null() || reference.is_null() {
        return;
    }
    let same = |name: &str| text(&source[name]) == text(&reference[name]);
    let why = if !text(&reference["namespace"]).is_empty() {
        "may not be specified when dataSourceRef.namespace is specified"
    } else if !(same("apiGroup") && same("kind") && same("name")) {
        "must match dataSourceRef"
    } else {
        return;
    };
    errors.push(FieldError::invalid(path, String::from(path.child("dataSource")), why));
}
