//! Deployments and the other kinds that keep pods running.

use serde_json::Value;

use super::fill::{below, blank, each, made, text, unset};
use super::{pod, storage};

/// The kind Deployment.
pub(super) fn deployment(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    pod::template(spec);
    unset(spec, "replicas", 1);
    if let Some(strategy) = made(spec, "strategy") {
        blank(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            unset(rolling, "maxUnavailable", "25%");
            unset(rolling, "maxSurge", "25%");
        }
    }
    unset(spec, "revisionHistoryLimit", 10);
    unset(spec, "progressDeadlineSeconds", 600);
}

/// The kind ReplicaSet.
pub(super) fn replica_set(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    pod::template(spec);
    unset(spec, "replicas", 1);
}

/// The kind DaemonSet.
pub(super) fn daemon_set(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    pod::template(spec);
    if let Some(strategy) = made(spec, "updateStrategy") {
        blank(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            unset(rolling, "maxUnavailable", 1);
            unset(rolling, "maxSurge", 0);
        }
    }
    unset(spec, "revisionHistoryLimit", 10);
}

/// The kind StatefulSet.
pub(super) fn stateful_set(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    pod::template(spec);
    blank(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = made(spec, "updateStrategy") {
        blank(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            unset(rolling, "partition", 0);
            unset(rolling, "maxUnavailable", 1);
        }
    }
    if let Some(policy) = made(spec, "persistentVolumeClaimRetentionPolicy") {
        blank(policy, "whenDeleted", "Retain");
        blank(policy, "whenScaled", "Retain");
    }
    unset(spec, "replicas", 1);
    unset(spec, "revisionHistoryLimit", 10);
    for claim in each(spec, "volumeClaimTemplates") {
        blank(claim, "apiVersion", "v1");
        blank(claim, "kind", "PersistentVolumeClaim");
        storage::claim(claim);
        if let Some(status) = made(claim, "status") {
            blank(status, "phase", "Pending");
        }
    }
}

/// The kind ReplicationController: selector and labels come from the template.
pub(super) fn replication_controller(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    pod::template(spec);
    unset(spec, "replicas", 1);
    let labels = template_labels(spec);
    if let Some(labels) = &labels
        && is_empty_map(spec.get("selector"))
        && let Some(members) = spec.as_object_mut()
    {
        members.insert("selector".to_owned(), labels.clone());
    }
    if let Some(labels) = labels {
        own_labels(object, labels);
    }
}

/// The labels of the template, if there are any.
pub(super) fn template_labels(spec: &Value) -> Option<Value> {
    let labels = spec.get("template")?.get("metadata")?.get("labels")?;
    labels.as_object().is_some_and(|labels| !labels.is_empty()).then(|| labels.clone())
}

/// An object without labels takes these.
pub(super) fn own_labels(object: &mut Value, labels: Value) {
    if let Some(metadata) = made(object, "metadata")
        && is_empty_map(metadata.get("labels"))
        && let Some(members) = metadata.as_object_mut()
    {
        members.insert("labels".to_owned(), labels);
    }
}

fn is_empty_map(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(members)) => members.is_empty(),
        Some(_) => false,
    }
}
