//! Rules of `metadata`: names, labels, annotations, owners, finalizers, and what an update may not change.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use kube_schema::{Gvk, Schema, Scope};
use serde_json::Value;

use super::pod::words::enough;
use super::{Errors, NameRule, PathRef};
use crate::value::{is_empty, items, members, same, text};

/// What is wrong with an object's metadata, whatever its kind: for custom resources, and
/// for the metadata that stands inside of other objects.
pub fn validate_metadata(
    metadata: &Value,
    namespaced: bool,
    name: fn(&str, bool) -> Vec<String>,
    path: &PathRef<'_>,
) -> Vec<FieldError> {
    let mut errors = Errors::new();
    check_names(metadata, namespaced, name, path, &mut errors);
    check_content(metadata, path, &mut errors);
    errors
}

/// What is wrong with the change of an object's metadata, whatever its kind.
pub fn validate_metadata_update(new: &Value, old: &Value, path: &PathRef<'_>) -> Vec<FieldError> {
    let mut errors = Errors::new();
    update(new, old, path, &mut errors);
    errors
}

/// A prefix as a whole name would be read: it may end with a dash.
pub(crate) fn masked(name: &str, prefix: bool) -> String {
    if prefix { names::mask_trailing_dash(name) } else { name.to_owned() }
}

/// The metadata of an object on its own.
pub(crate) fn check(gvk: &GroupVersionKind, object: &Value, name: NameRule, errors: &mut Errors) {
    let key = Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind };
    let namespaced = Schema::builtin().kind(key).is_none_or(|kind| kind.scope == Scope::Namespaced);
    errors.extend(validate_metadata(&object["metadata"], namespaced, name, &PathRef::Root("metadata")));
    known_finalizers(&object["metadata"], errors);
}

/// Finalizers without a domain are Kubernetes' own.
fn known_finalizers(meta: &Value, errors: &mut Errors) {
    let path = PathRef::Root("metadata.finalizers");
    for (at, finalizer) in items(&meta["finalizers"]).iter().enumerate() {
        let name = text(finalizer);
        if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) && !enough(errors) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path.index(at), name, why));
        }
    }
}

const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// The change of an object's metadata.
pub(crate) fn check_update(new: &Value, old: &Value, errors: &mut Errors) {
    update(&new["metadata"], &old["metadata"], &PathRef::Root("metadata"), errors);
    known_finalizers(&new["metadata"], errors);
}

fn check_names(meta: &Value, namespaced: bool, rule: NameRule, path: &PathRef<'_>, errors: &mut Errors) {
    let (name, prefix) = (text(&meta["name"]), text(&meta["generateName"]));
    if !prefix.is_empty() {
        let wrong = rule(prefix, true);
        errors.extend(
            wrong.into_iter().map(|why| FieldError::invalid(path.child("generateName"), prefix, why)),
        );
    }
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "name or generateName is required"));
    } else {
        let wrong = rule(name, false);
        errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path.child("name"), name, why)));
    }
    let namespace = text(&meta["namespace"]);
    let at = path.child("namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(at, "")),
        (true, false) => {
            let wrong = names::dns1123_label(namespace);
            errors.extend(wrong.into_iter().map(|why| FieldError::invalid(at, namespace, why)));
        }
        (false, true) => {}
        (false, false) => errors.push(FieldError::forbidden(at, "not allowed on this type")),
    }
}

fn check_content(meta: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let generation = &meta["generation"];
    if generation.as_i64().is_some_and(|number| number < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child("generation"), generation.clone(), why));
    }
    labels(&meta["labels"], &path.child("labels"), errors);
    annotations(&meta["annotations"], &path.child("annotations"), errors);
    owners(&meta["ownerReferences"], &path.child("ownerReferences"), errors);
    finalizers(&meta["finalizers"], &path.child("finalizers"), errors);
    managed_fields(&meta["managedFields"], &path.child("managedFields"), errors);
}

/// Keys and values of labels.
pub(crate) fn labels(labels: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (key, value) in members(labels) {
        if enough(errors) {
            return;
        }
        label_name(key, path, errors);
        let value = text(value);
        let wrong = names::label_value(value);
        errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, value, why)));
    }
}

/// A key of labels.
pub(crate) fn label_name(key: &str, path: &PathRef<'_>, errors: &mut Errors) {
    errors.extend(names::qualified_name(key).into_iter().map(|why| FieldError::invalid(path, key, why)));
}

/// Keys of annotations, and their size together.
pub(crate) fn annotations(annotations: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut bytes = 0;
    for (key, value) in members(annotations) {
        if enough(errors) {
            return;
        }
        let wrong = names::qualified_name(&key.to_lowercase());
        errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)));
        bytes += key.len() + text(value).len();
    }
    if bytes > names::ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, names::ANNOTATIONS_BYTES_MAX));
    }
}

fn owners(owners: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut controller: Option<&Value> = None;
    let mut told = false;
    for owner in items(owners) {
        if enough(errors) {
            return;
        }
        owner_reference(owner, path, errors);
        if owner["controller"].as_bool() != Some(true) {
            continue;
        }
        if let Some(first) = controller {
            // The list is shown: once, or a long one would be shown as often as it is long.
            if std::mem::replace(&mut told, true) {
                continue;
            }
            let why = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
                text(&first["kind"]),
                text(&first["name"]),
                text(&owner["kind"]),
                text(&owner["name"]),
            );
            errors.push(FieldError::invalid(path, owners.clone(), why));
        } else {
            controller = Some(owner);
        }
    }
}

fn owner_reference(owner: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let version = text(&owner["apiVersion"]);
    let at = path.child("apiVersion");
    let (group, number) = version.split_once('/').unwrap_or(("", version));
    if number.is_empty() || number.contains('/') {
        errors.push(FieldError::invalid(at, version, "version must not be empty"));
    }
    let kind = text(&owner["kind"]);
    if kind.is_empty() {
        errors.push(FieldError::invalid(path.child("kind"), kind, "must not be empty"));
    }
    for name in ["name", "uid"] {
        if text(&owner[name]).is_empty() {
            errors.push(FieldError::invalid(path.child(name), "", "must not be empty"));
        }
    }
    if group.is_empty() && number == "v1" && kind == "Event" {
        let why = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(FieldError::invalid(path, owner.clone(), why));
    }
}

fn finalizers(finalizers: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (mut orphans, mut foreground) = (false, false);
    for finalizer in items(finalizers) {
        if enough(errors) {
            return;
        }
        let name = text(finalizer);
        let wrong = names::qualified_name(name);
        errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, name, why)));
        orphans |= name == "orphan";
        foreground |= name == "foregroundDeletion";
    }
    if orphans && foreground {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, finalizers.clone(), why));
    }
}

/// Longest name of a field manager.
const MANAGER_LEN_MAX: usize = 128;
/// Longest name of a subresource.
const SUBRESOURCE_LEN_MAX: usize = 256;

fn managed_fields(entries: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, entry) in items(entries).iter().enumerate() {
        if enough(errors) {
            return;
        }
        let path = path.index(at);
        let operation = text(&entry["operation"]);
        if operation != "Apply" && operation != "Update" {
            let why = "must be `Apply` or `Update`";
            errors.push(FieldError::invalid(path.child("operation"), operation, why));
        }
        let kind = text(&entry["fieldsType"]);
        if !kind.is_empty() && kind != "FieldsV1" {
            errors.push(FieldError::invalid(path.child("fieldsType"), kind, "must be `FieldsV1`"));
        }
        field_manager(text(&entry["manager"]), &path.child("manager"), errors);
        if text(&entry["subresource"]).len() > SUBRESOURCE_LEN_MAX {
            errors.push(FieldError::too_long(path.child("subresource"), SUBRESOURCE_LEN_MAX));
        }
    }
}

/// The name of a field manager.
fn field_manager(manager: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if manager.len() > MANAGER_LEN_MAX {
        errors.push(FieldError::too_long(path, MANAGER_LEN_MAX));
    }
    for (at, character) in manager.char_indices().filter(|(_, character)| character.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(character));
        errors.push(FieldError::invalid(path, manager, why));
    }
}

fn update(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if !is_empty(&old["deletionTimestamp"]) {
        no_new_finalizers(new, old, &path.child("finalizers"), errors);
    }
    if text(&new["resourceVersion"]).is_empty() {
        // Shown as the number that a missing version stands for.
        let why = "must be specified for an update";
        errors.push(FieldError::invalid(path.child("resourceVersion"), 0, why));
    }
    let (before, after) = (old["generation"].as_i64().unwrap_or(0), new["generation"].as_i64().unwrap_or(0));
    if after < before {
        errors.push(FieldError::invalid(path.child("generation"), after, "must not be decremented"));
    }
    for name in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        immutable(&new[name], &old[name], &path.child(name), errors);
    }
    check_content_of_update(new, path, errors);
}

fn check_content_of_update(new: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    labels(&new["labels"], &path.child("labels"), errors);
    annotations(&new["annotations"], &path.child("annotations"), errors);
    owners(&new["ownerReferences"], &path.child("ownerReferences"), errors);
    managed_fields(&new["managedFields"], &path.child("managedFields"), errors);
}

fn no_new_finalizers(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let before: BTreeSet<&str> = items(&old["finalizers"]).iter().map(text).collect();
    let added = items(&new["finalizers"]).iter().map(text).filter(|name| !before.contains(name));
    let added: BTreeSet<_> = added.map(|name| format!("{name:?}")).collect();
    if !added.is_empty() {
        let names = added.into_iter().collect::<Vec<_>>().join(", ");
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
        );
        errors.push(FieldError::forbidden(path, why));
    }
}

/// The field may not change.
pub(crate) fn immutable(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if !same(new, old) {
        errors.push(FieldError::invalid(path, new.clone(), "field is immutable"));
    }
}
