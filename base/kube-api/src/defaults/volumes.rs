//! Volumes of pods, and the fields that containers read from their pod.

use serde_json::{Value, json};

use super::fill::{at, below, blank, each, empty, text, unset};
use super::{image, storage};

/// Read and write for the owner, read for others: 0644.
const FILE_MODE: i64 = 0o644;
/// How long a projected token is good for, in seconds.
const TOKEN_SECONDS: i64 = 60 * 60;

/// A volume of a pod.
pub(super) fn volume(volume: &mut Value) {
    if volume
        .as_object()
        .is_some_and(|members| members.iter().all(|(name, value)| name == "name" || value.is_null()))
    {
        empty(volume, "emptyDir");
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = below(volume, name) {
            unset(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(source) = below(volume, "downwardAPI") {
        each(source, "items").for_each(field_sources);
    }
    if let Some(projected) = below(volume, "projected") {
        each(projected, "sources").for_each(projection);
    }
    if let Some(source) = below(volume, "image")
        && text(source, "pullPolicy").is_empty()
    {
        let policy = image::pull_policy(text(source, "reference"));
        blank(source, "pullPolicy", policy);
    }
    if let Some(spec) = at(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
        storage::claim_spec(spec);
    }
    source(volume);
}

/// Sources that volumes of pods and persistent volumes have in common.
pub(super) fn source(volume: &mut Value) {
    if let Some(path) = below(volume, "hostPath") {
        unset(path, "type", "");
    }
    if let Some(disk) = below(volume, "azureDisk") {
        unset(disk, "cachingMode", "ReadWrite");
        unset(disk, "kind", "Shared");
        unset(disk, "fsType", "ext4");
        unset(disk, "readOnly", false);
    }
    if let Some(disk) = below(volume, "scaleIO") {
        blank(disk, "storageMode", "ThinProvisioned");
        blank(disk, "fsType", "xfs");
    }
    if let Some(disk) = below(volume, "iscsi") {
        blank(disk, "iscsiInterface", "default");
    }
    if let Some(disk) = below(volume, "rbd") {
        blank(disk, "pool", "rbd");
        blank(disk, "user", "admin");
        blank(disk, "keyring", "/etc/ceph/keyring");
    }
}

fn projection(source: &mut Value) {
    if let Some(fields) = below(source, "downwardAPI") {
        each(fields, "items").for_each(field_sources);
    }
    if let Some(token) = below(source, "serviceAccountToken") {
        unset(token, "expirationSeconds", TOKEN_SECONDS);
    }
}

/// References to fields and resources of the pod.
pub(super) fn field_sources(source: &mut Value) {
    if let Some(field) = below(source, "fieldRef") {
        blank(field, "apiVersion", "v1");
    }
    if let Some(resource) = below(source, "resourceFieldRef") {
        unset(resource, "divisor", json!("0"));
    }
}
