//! Annotations of pods that stand for fields: profiles of older clients, mirrors, costs.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::{containers, scheduling, words};
use crate::validation::{Errors, PathRef};
use crate::value::{members, text};

/// Marks a pod that a node made by itself.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Values of annotations that pods give a meaning.
pub(super) fn check(annotations: &Value, spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let Some(all) = annotations.as_object().filter(|all| !all.is_empty()) else { return };
    if all.contains_key(MIRROR) && text(&spec["nodeName"]).is_empty() {
        let why = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(path.key(MIRROR), text(&annotations[MIRROR]), why));
    }
    let tolerations = text(&annotations[TOLERATIONS]);
    if !tolerations.is_empty() {
        match serde_json::from_str::<Value>(tolerations) {
            Ok(list) => scheduling::tolerations(&list, &path.child(TOLERATIONS), errors),
            Err(why) => errors.push(FieldError::invalid(path, TOLERATIONS, why.to_string())),
        }
    }
    if let Some(cost) = all.get(DELETION_COST).map(text)
        && !is_cost(cost)
    {
        errors.push(FieldError::invalid(path.key(DELETION_COST), cost, "must be a 32bit integer"));
    }
    let mut containers: Option<BTreeSet<String>> = None;
    for (key, profile) in all {
        if words::enough(errors) {
            return;
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(text(profile), &path.child(key), errors);
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let known = containers.get_or_insert_with(|| container_names(spec));
            app_armor(container, text(profile), known, &path.key(key), errors);
        }
    }
}

/// A number of 32 bits, written without plus and leading zeros.
fn is_cost(cost: &str) -> bool {
    let plain = !cost.starts_with('+') && (cost == "0" || !cost.trim_start_matches('-').starts_with('0'));
    plain && cost.parse::<i32>().is_ok()
}

fn seccomp(profile: &str, path: &PathRef<'_>, errors: &mut Errors) {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => {}
        _ => match profile.strip_prefix("localhost/") {
            Some(file) => words::descending_path(file, path, errors),
            None => errors.push(FieldError::invalid(path, profile, "must be a valid seccomp profile")),
        },
    }
}

fn container_names(spec: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    containers::each(spec, &PathRef::Root(""), &mut |container, _| {
        names.insert(text(&container["name"]).to_owned());
    });
    names
}

fn app_armor(
    container: &str,
    profile: &str,
    known: &BTreeSet<String>,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    if !known.contains(container) {
        errors.push(FieldError::invalid(path, container, "container not found"));
    }
    let known = matches!(profile, "" | "runtime/default" | "unconfined") || profile.starts_with("localhost/");
    if !known {
        let why = format!("invalid AppArmor profile name: {profile:?}");
        errors.push(FieldError::invalid(path, profile, why));
    }
}

/// Annotations that may not change in the life of a pod.
pub(super) fn update(new: &Value, old: &Value, spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (key, before) in members(old) {
        if new.get(key.as_str()) == Some(before) {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            errors
                .push(FieldError::forbidden(path.key(key), "may not remove or update AppArmor annotations"));
        }
        if key == MIRROR {
            let why = "may not remove or update mirror pod annotation";
            errors.push(FieldError::forbidden(path.key(key), why));
        }
    }
    for (key, _) in members(new).filter(|(key, _)| old.get(key.as_str()).is_none()) {
        if key.starts_with(APP_ARMOR) {
            errors.push(FieldError::forbidden(path.key(key), "may not add AppArmor annotations"));
        }
        if key == MIRROR {
            errors.push(FieldError::forbidden(path.key(key), "may not add mirror pod annotation"));
        }
    }
    check(new, spec, path, errors);
}

/// Where annotation and field both name a profile, they name the same.
pub(super) fn match_fields(annotations: &Value, spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if annotations.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    let of_pod = &spec["securityContext"]["seccompProfile"];
    if let (Some(annotation), false) = (annotations[SECCOMP_POD].as_str(), of_pod.is_null()) {
        let at = path.child("securityContext");
        match_seccomp(annotation, of_pod, &at.child("seccompProfile"), errors);
    }
    let windows = spec["os"]["name"] == "windows";
    let app_armor_of_pod = &spec["securityContext"]["appArmorProfile"];
    containers::each(spec, path, &mut |container, at| {
        let name = text(&container["name"]);
        let context = &container["securityContext"];
        let at = at.child("securityContext");
        let (seccomp, own) = (&context["seccompProfile"], &context["appArmorProfile"]);
        if let (Some(annotation), false) = (found(annotations, SECCOMP_CONTAINER, name), seccomp.is_null()) {
            match_seccomp(annotation, seccomp, &at.child("seccompProfile"), errors);
        }
        let profile = if own.is_null() { app_armor_of_pod } else { own };
        if let (Some(annotation), false) = (found(annotations, APP_ARMOR, name), profile.is_null() || windows)
        {
            match_app_armor(annotation, profile, &at.child("appArmorProfile"), errors);
        }
    });
}

fn found<'a>(annotations: &'a Value, prefix: &str, container: &str) -> Option<&'a str> {
    annotations.get(format!("{prefix}{container}"))?.as_str()
}

fn match_seccomp(annotation: &str, profile: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let same = match text(&profile["type"]) {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => matches!(annotation, "runtime/default" | "docker/default"),
        "Localhost" => match annotation.strip_prefix("localhost/") {
            Some(file) if profile["localhostProfile"].as_str() != Some(file) => {
                let why = "seccomp profile in annotation and field must match";
                errors.push(FieldError::forbidden(path.child("localhostProfile"), why));
                true
            }
            file => file.is_some(),
        },
        _ => true,
    };
    if !same {
        let why = "seccomp type in annotation and field must match";
        errors.push(FieldError::forbidden(path.child("type"), why));
    }
}

fn match_app_armor(annotation: &str, profile: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let same = match text(&profile["type"]) {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => annotation == "runtime/default",
        "Localhost" => match annotation.strip_prefix("localhost/") {
            Some(name) if profile["localhostProfile"].as_str() != Some(name) => {
                let why = "apparmor profile in annotation and field must match";
                errors.push(FieldError::forbidden(path.child("localhostProfile"), why));
                true
            }
            name => name.is_some(),
        },
        _ => true,
    };
    if !same {
        let why = "apparmor type in annotation and field must match";
        errors.push(FieldError::forbidden(path.child("type"), why));
    }
}
