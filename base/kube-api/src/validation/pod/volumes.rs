//! Volumes of a pod.

use std::collections::{BTreeMap, BTreeSet};

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

use super::{sources, words};
use crate::validation::{Errors, PathRef};
use crate::value::{items, text};

/// Volumes without fault, by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

/// Where a volume stands, for the checks of its source.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// The volume's name.
    pub(super) name: &'a str,
    /// The pod's name; empty in templates.
    pub(super) pod: &'a str,
}

/// Checks volumes, and returns those that can be mounted.
pub(super) fn check<'a>(
    volumes: &'a Value,
    pod: &str,
    path: &PathRef<'_>,
    errors: &mut Errors,
) -> Volumes<'a> {
    let mut sound = Volumes::new();
    let created: BTreeSet<String> = if pod.is_empty() {
        BTreeSet::new()
    } else {
        let ephemeral = items(volumes).iter().filter(|volume| !volume["ephemeral"].is_null());
        ephemeral.map(|volume| format!("{pod}-{}", text(&volume["name"]))).collect()
    };
    for (at, volume) in items(volumes).iter().enumerate() {
        if words::enough(errors) {
            return sound;
        }
        let at = path.index(at);
        let before = errors.len();
        let name = text(&volume["name"]);
        source(volume, Site { name, pod }, &at, errors);
        let name_at = at.child("name");
        if name.is_empty() {
            errors.push(FieldError::required(name_at, ""));
        } else {
            words::label(name, &name_at, errors);
        }
        if sound.contains_key(name) {
            errors.push(FieldError::duplicate(name_at, name));
        }
        if errors.len() == before {
            sound.insert(name, volume);
        }
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if created.contains(claim) {
            let at = at.child("persistentVolumeClaim");
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(FieldError::invalid(at.child("claimName"), claim, why));
        }
    }
    sound
}

/// Exactly one kind of volume.
fn source(volume: &Value, site: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let mut found = false;
    for (name, forbidden_as, checked_as, check) in SOURCES {
        let source = &volume[*name];
        if source.is_null() {
            continue;
        }
        if found && *name != "emptyDir" {
            let why = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(path.child(forbidden_as), why));
        } else {
            check(source, site, &path.child(checked_as), errors);
        }
        found = true;
        beside(name, source, site, path, errors);
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

/// What a kind of volume asks of the volume's name.
fn beside(kind: &str, source: &Value, site: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    if kind == "iscsi" && !source["initiatorName"].is_null() {
        let portal = text(&source["targetPortal"]);
        if site.name.len() + 1 + portal.len() > ISCSI_NAME_LEN_MAX {
            let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                       iscsi.initiatorName is specified.";
            errors.push(FieldError::invalid(path.child("name"), site.name, why));
        }
    }
    if kind == "ephemeral" && !site.pod.is_empty() && !site.name.is_empty() {
        let claim = format!("{}-{}", site.pod, site.name);
        for why in names::dns1123_subdomain(&claim) {
            let why = format!("PVC name {claim:?}: {why}");
            errors.push(FieldError::invalid(path.child("name"), site.name, why));
        }
    }
}

const ISCSI_NAME_LEN_MAX: usize = 64;

type Check = fn(&Value, Site<'_>, &PathRef<'_>, &mut Errors);

/// Kinds of volumes in the order in which they are looked at: the member, the name under which
/// a second kind is refused, the name under which it is checked, the check.
const SOURCES: &[(&str, &str, &str, Check)] = &[
    ("emptyDir", "emptyDir", "emptyDir", sources::empty_dir),
    ("hostPath", "hostPath", "hostPath", sources::host_path),
    ("gitRepo", "gitRepo", "gitRepo", sources::git_repo),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", sources::gce_disk),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", sources::aws_disk),
    ("secret", "secret", "secret", sources::secret),
    ("nfs", "nfs", "nfs", sources::nfs),
    ("iscsi", "iscsi", "iscsi", sources::iscsi),
    ("glusterfs", "glusterfs", "glusterfs", |s, _, p, e| words::needs(s, &["endpoints", "path"], p, e)),
    ("flocker", "flocker", "flocker", sources::flocker),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", |s, _, p, e| {
        words::needs(s, &["claimName"], p, e);
    }),
    ("rbd", "rbd", "rbd", sources::rbd),
    ("cinder", "cinder", "cinder", sources::cinder),
    ("cephfs", "cephFS", "cephfs", sources::ceph_fs),
    ("quobyte", "quobyte", "quobyte", sources::quobyte),
    ("downwardAPI", "downwarAPI", "downwardAPI", sources::downward_api),
    ("fc", "fc", "fc", sources::fibre_channel),
    ("flexVolume", "flexVolume", "flexVolume", sources::flex_volume),
    ("configMap", "configMap", "configMap", sources::config_map),
    ("azureFile", "azureFile", "azureFile", |s, _, p, e| words::needs(s, &["secretName", "shareName"], p, e)),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", |s, _, p, e| words::needs(s, &["volumePath"], p, e)),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", |s, _, p, e| {
        words::needs(s, &["pdID"], p, e);
    }),
    ("portworxVolume", "portworxVolume", "portworxVolume", |s, _, p, e| words::needs(s, &["volumeID"], p, e)),
    ("azureDisk", "azureDisk", "azureDisk", sources::azure_disk),
    ("storageos", "storageos", "storageos", sources::storage_os),
    ("projected", "projected", "projected", super::projected::check),
    ("scaleIO", "scaleIO", "scaleIO", |s, _, p, e| {
        words::needs(s, &["gateway", "system", "volumeName"], p, e);
    }),
    ("csi", "csi", "csi", sources::csi),
    ("ephemeral", "ephemeral", "ephemeral", sources::ephemeral),
    ("image", "image", "image", sources::image),
];
