//! Which secrets, config maps and claims a pod refers to.

use serde_json::Value;

use crate::read::{at, items, text};

/// Whether a pod refers to any secret.
pub(super) fn of_secrets(pod: &Value) -> bool {
    const VOLUME_REFERENCES: [&[&str]; 9] = [
        &["azureFile", "secretName"],
        &["cephfs", "secretRef", "name"],
        &["cinder", "secretRef", "name"],
        &["flexVolume", "secretRef", "name"],
        &["rbd", "secretRef", "name"],
        &["scaleIO", "secretRef", "name"],
        &["iscsi", "secretRef", "name"],
        &["storageos", "secretRef", "name"],
        &["csi", "nodePublishSecretRef", "name"],
    ];
    let in_volume = |volume: &Value| {
        at(volume, &["secret"]).is_object()
            || VOLUME_REFERENCES.iter().any(|path| !text(volume, path).is_empty())
            || items(volume, &["projected", "sources"])
                .iter()
                .any(|source| at(source, &["secret"]).is_object())
    };
    !items(pod, &["spec", "imagePullSecrets"]).is_empty()
        || in_env(pod, "secretRef", "secretKeyRef")
        || items(pod, &["spec", "volumes"]).iter().any(in_volume)
}

/// Whether a pod refers to any config map.
pub(super) fn of_config_maps(pod: &Value) -> bool {
    let in_volume = |volume: &Value| {
        at(volume, &["configMap"]).is_object()
            || items(volume, &["projected", "sources"])
                .iter()
                .any(|source| at(source, &["configMap"]).is_object())
    };
    in_env(pod, "configMapRef", "configMapKeyRef") || items(pod, &["spec", "volumes"]).iter().any(in_volume)
}

fn in_env(pod: &Value, whole: &str, key: &str) -> bool {
    let kinds = ["initContainers", "containers", "ephemeralContainers"];
    kinds.iter().flat_map(|kind| items(pod, &["spec", kind])).any(|container| {
        items(container, &["envFrom"]).iter().any(|source| at(source, &[whole]).is_object())
            || items(container, &["env"]).iter().any(|env| at(env, &["valueFrom", key]).is_object())
    })
}
