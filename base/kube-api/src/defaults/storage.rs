//! Volumes, claims to them, and who provides them.

use serde_json::{Value, json};

use super::fill::{at, below, blank, made, no_items, unset};
use super::volumes;

/// The kind PersistentVolume.
pub(super) fn volume(object: &mut Value) {
    if let Some(status) = made(object, "status") {
        blank(status, "phase", "Pending");
    }
    if let Some(spec) = below(object, "spec") {
        volume_spec(spec);
    }
}

fn volume_spec(spec: &mut Value) {
    blank(spec, "persistentVolumeReclaimPolicy", "Retain");
    unset(spec, "volumeMode", "Filesystem");
    volumes::source(spec);
}

/// The kind PersistentVolumeClaim.
pub(super) fn claim(object: &mut Value) {
    if let Some(status) = made(object, "status") {
        blank(status, "phase", "Pending");
    }
    if let Some(spec) = below(object, "spec") {
        claim_spec(spec);
    }
}

/// What claims and their templates have in common.
pub(super) fn claim_spec(spec: &mut Value) {
    unset(spec, "volumeMode", "Filesystem");
}

/// The kind VolumeAttachment: the volume may stand in it.
pub(super) fn attachment(object: &mut Value) {
    if let Some(spec) = at(object, &["spec", "source", "inlineVolumeSpec"]) {
        unset(spec, "volumeMode", "Filesystem");
        volumes::source(spec);
    }
}

/// The kind StorageClass.
pub(super) fn class(object: &mut Value) {
    unset(object, "reclaimPolicy", "Delete");
    unset(object, "volumeBindingMode", "Immediate");
}

/// The kind CSIDriver.
pub(super) fn csi_driver(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    unset(spec, "attachRequired", true);
    unset(spec, "podInfoOnMount", false);
    unset(spec, "storageCapacity", false);
    unset(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    no_items(spec, "volumeLifecycleModes", json!(["Persistent"]));
    unset(spec, "requiresRepublish", false);
    unset(spec, "seLinuxMount", false);
}
