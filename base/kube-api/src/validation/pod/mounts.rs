//! Where a container mounts volumes, as folders and as devices.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::volumes::Volumes;
use super::words;
use crate::validation::{Errors, PathRef};
use crate::value::{items, text};

/// Mounts and devices of one container.
pub(super) fn check(container: &Value, volumes: &Volumes<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let (mounts, devices) = (items(&container["volumeMounts"]), items(&container["volumeDevices"]));
    if !mounts.is_empty() {
        let privileged = container["securityContext"]["privileged"].as_bool() == Some(true);
        folders(
            mounts,
            &Taken::of(devices, "devicePath"),
            volumes,
            privileged,
            &path.child("volumeMounts"),
            errors,
        );
    }
    if !devices.is_empty() {
        block_devices(
            devices,
            &Taken::of(mounts, "mountPath"),
            volumes,
            &path.child("volumeDevices"),
            errors,
        );
    }
}

/// Names and paths of the other list.
#[derive(Default)]
struct Taken<'a> {
    names: BTreeSet<&'a str>,
    paths: BTreeSet<&'a str>,
}

impl<'a> Taken<'a> {
    fn of(list: &'a [Value], member: &str) -> Self {
        Self {
            names: list.iter().map(|item| text(&item["name"])).collect(),
            paths: list.iter().map(|item| text(&item[member])).collect(),
        }
    }
}

fn folders(
    mounts: &[Value],
    devices: &Taken<'_>,
    volumes: &Volumes<'_>,
    privileged: bool,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    let mut points = BTreeSet::new();
    for (at, mount) in mounts.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let (name, point) = (text(&mount["name"]), text(&mount["mountPath"]));
        let (name_at, point_at) = (at.child("name"), at.child("mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(name_at, ""));
        }
        if !volumes.contains_key(name) {
            errors.push(FieldError::not_found(name_at, name));
        }
        if point.is_empty() {
            errors.push(FieldError::required(point_at, ""));
        }
        if !points.insert(point) {
            errors.push(FieldError::invalid(point_at, point, "must be unique"));
        }
        if devices.names.contains(name) {
            errors.push(FieldError::invalid(name_at, name, "must not already exist in volumeDevices"));
        }
        if devices.paths.contains(point) {
            let why = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(point_at, point, why));
        }
        sub_paths(mount, &at, path, errors);
        propagation(mount, privileged, &path.child("mountPropagation"), errors);
        recursive_read_only(mount, &path.child("recursiveReadOnly"), errors);
    }
}

fn sub_paths(mount: &Value, at: &PathRef<'_>, list: &PathRef<'_>, errors: &mut Errors) {
    let (plain, expanded) = (text(&mount["subPath"]), text(&mount["subPathExpr"]));
    if !plain.is_empty() {
        words::descending_path(plain, &list.child("subPath"), errors);
    }
    if !expanded.is_empty() {
        if !plain.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(at.child("subPathExpr"), expanded, why));
        }
        words::descending_path(expanded, &list.child("subPathExpr"), errors);
    }
}

fn propagation(mount: &Value, privileged: bool, path: &PathRef<'_>, errors: &mut Errors) {
    let mode = &mount["mountPropagation"];
    words::if_set_one_of(mode, &["Bidirectional", "HostToContainer", "None"], path, errors);
    if mode == "Bidirectional" && !privileged {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn recursive_read_only(mount: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match mount["recursiveReadOnly"].as_str() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if mount["readOnly"].as_bool() != Some(true) {
                errors.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
            }
            if mount["mountPropagation"].as_str().is_some_and(|mode| mode != "None") {
                let why = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, why));
            }
        }
        Some(other) => {
            errors.push(FieldError::not_supported(path, other, &["Disabled", "Enabled", "IfPossible"]));
        }
    }
}

fn block_devices(
    devices: &[Value],
    mounts: &Taken<'_>,
    volumes: &Volumes<'_>,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (at, device) in devices.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let (name, file) = (text(&device["name"]), text(&device["devicePath"]));
        let (name_at, file_at) = (at.child("name"), at.child("devicePath"));
        if name.is_empty() {
            errors.push(FieldError::required(name_at, ""));
        }
        if names.contains(name) {
            errors.push(FieldError::invalid(name_at, name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(FieldError::not_found(name_at, name)),
            Some(volume) if volume["persistentVolumeClaim"].is_null() && volume["ephemeral"].is_null() => {
                let why =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(name_at, name, why));
            }
            Some(_) => {}
        }
        if file.is_empty() {
            errors.push(FieldError::required(file_at, ""));
        }
        if paths.contains(file) {
            errors.push(FieldError::invalid(file_at, file, "must be unique"));
        }
        if file.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(file_at, file, "can not contain backsteps ('..')"));
        } else {
            paths.insert(file);
        }
        if mounts.names.contains(name) {
            errors.push(FieldError::invalid(name_at, name, "must not already exist in volumeMounts"));
        }
        if mounts.paths.contains(file) {
            let why = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(file_at, file, why));
        }
        if !name.is_empty() {
            names.insert(name);
        }
    }
}
