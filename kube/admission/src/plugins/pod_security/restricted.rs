//! The checks of the restricted level.

use std::collections::BTreeSet;

use serde_json::Value;

use super::baseline::{bad_seccomp, is_fine_seccomp};
use super::checks::{Pod, Violation, containers, plural, quoted, setters, violation};
use crate::read::{at, items, text};

const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const OTHER_VOLUMES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn escalation(pod: Pod<'_>) -> Option<Violation> {
    let path = ["securityContext", "allowPrivilegeEscalation"];
    let bad = pod.bad_containers(|container| at(container, &path).as_bool() != Some(false));
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad));
    violation("allowPrivilegeEscalation != false", detail)
}

pub(super) fn escalation_1_25(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { escalation(pod) }
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    fn list<'a>(container: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
        items(container, &["securityContext", "capabilities", name]).iter().filter_map(Value::as_str)
    }
    let keeping = pod.bad_containers(|container| !list(container, "drop").any(|name| name == "ALL"));
    let mut added = BTreeSet::new();
    let adding = pod.bad_containers(|container| {
        let own: Vec<_> = list(container, "add").filter(|name| *name != "NET_BIND_SERVICE").collect();
        added.extend(own.iter().copied());
        !own.is_empty()
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details
            .push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        let (who, what) = (containers(&adding), quoted(added));
        details.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    if details.is_empty() {
        return None;
    }
    violation("unrestricted capabilities", details.join("; "))
}

pub(super) fn capabilities_1_25(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { capabilities(pod) }
}

pub(super) fn volumes(pod: Pod<'_>) -> Option<Violation> {
    let mut types = BTreeSet::new();
    let has = |volume: &Value, kind: &str| at(volume, &[kind]).is_object();
    let bad: Vec<_> = items(pod.spec, &["volumes"])
        .iter()
        .filter(|volume| !VOLUMES.iter().any(|kind| has(volume, kind)))
        .inspect(|volume| {
            let kind = OTHER_VOLUMES.iter().find(|kind| has(volume, kind));
            types.insert(kind.copied().unwrap_or("unknown"));
        })
        .map(|volume| text(volume, &["name"]))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let (volumes, uses) = (plural("volume", "volumes", bad.len()), plural("uses", "use", bad.len()));
    let what = plural("restricted volume type", "restricted volume types", types.len());
    let detail = format!("{volumes} {} {uses} {what} {}", quoted(bad), quoted(types));
    violation("restricted volume types", detail)
}

pub(super) fn non_root(pod: Pod<'_>) -> Option<Violation> {
    let stated = |holder: &Value| at(holder, &["securityContext", "runAsNonRoot"]).as_bool();
    let refusing = pod.bad_containers(|container| stated(container) == Some(false));
    if let Some(who) = setters(stated(pod.spec) == Some(false), &refusing) {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return violation("runAsNonRoot != true", detail);
    }
    if stated(pod.spec) == Some(true) {
        return None;
    }
    let silent = pod.bad_containers(|container| stated(container).is_none());
    if silent.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent));
    violation("runAsNonRoot != true", detail)
}

pub(super) fn non_root_1_35(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { non_root(pod) }
}

pub(super) fn user(pod: Pod<'_>) -> Option<Violation> {
    let is_root = |holder: &Value| at(holder, &["securityContext", "runAsUser"]).as_i64() == Some(0);
    let who = setters(is_root(pod.spec), &pod.bad_containers(is_root))?;
    violation("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub(super) fn user_1_35(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { user(pod) }
}

pub(super) fn seccomp(pod: Pod<'_>) -> Option<Violation> {
    if let Some(bad) = bad_seccomp(pod) {
        return Some(bad);
    }
    if is_fine_seccomp(text(pod.spec, &["securityContext", "seccompProfile", "type"])) {
        return None;
    }
    let silent =
        pod.bad_containers(|container| !at(container, &["securityContext", "seccompProfile"]).is_object());
    if silent.is_empty() {
        return None;
    }
    let who = containers(&silent);
    let what = "securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    violation("seccompProfile", format!("pod or {who} must set {what}"))
}

pub(super) fn seccomp_1_25(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { seccomp(pod) }
}
