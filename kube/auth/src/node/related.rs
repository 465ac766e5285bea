//! Which objects belong to a node: what its pods mount, use and refer to.
//!
//! Asked of the cluster each time: an answer looks at the pods of one namespace.

use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use serde_json::Value;

use crate::rbac::index::str_at;

/// The relations of one node.
pub(super) struct Related<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) node: &'a str,
}

impl Related<'_> {
    /// A pod that is bound to the node.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> bool {
        let pod = self.cluster.get(&core("pods"), namespace, name);
        pod.is_some_and(|pod| self.is_mine(&pod))
    }

    /// A secret that a pod uses, or that a volume of a pod's claim needs.
    pub(super) fn secret(&self, namespace: &str, name: &str) -> bool {
        self.any_pod(namespace, |pod| uses_secret(pod, name)) || self.secret_of_volume(namespace, name)
    }

    /// A config map that a pod uses.
    pub(super) fn config_map(&self, namespace: &str, name: &str) -> bool {
        self.any_pod(namespace, |pod| uses_config_map(pod, name))
    }

    /// A service account that a pod runs as.
    pub(super) fn service_account(&self, namespace: &str, name: &str) -> bool {
        self.any_pod(namespace, |pod| str_at(pod, &["spec", "serviceAccountName"]) == name)
    }

    /// A claim that a pod mounts.
    pub(super) fn claim(&self, namespace: &str, name: &str) -> bool {
        self.any_pod(namespace, |pod| uses_claim(pod, name))
    }

    /// A resource claim that a pod refers to.
    pub(super) fn resource_claim(&self, namespace: &str, name: &str) -> bool {
        self.any_pod(namespace, |pod| {
            let named =
                |path: &[&str]| items(pod, path).any(|claim| str_at(claim, &["resourceClaimName"]) == name);
            named(&["spec", "resourceClaims"])
                || named(&["status", "resourceClaimStatuses"])
                || str_at(pod, &["status", "extendedResourceClaimStatus", "resourceClaimName"]) == name
        })
    }

    /// A volume that is bound to a claim that a pod mounts.
    pub(super) fn volume(&self, _: &str, name: &str) -> bool {
        let volume = self.cluster.get(&core("persistentvolumes"), "", name);
        volume.is_some_and(|volume| self.is_volume_mine(&volume))
    }

    /// A volume that is a folder on the node, made by our own provisioner.
    pub(super) fn local_volume(&self, _: &str, name: &str) -> bool {
        let volume = self.cluster.get(&core("persistentvolumes"), "", name);
        volume.is_some_and(|volume| {
            str_at(&volume, &["metadata", "annotations", SELECTED_NODE]) == self.node
                && self.is_labelled(&[(LOCAL_NODE, str_at(&volume, &["metadata", "labels", LOCAL_NODE]))])
        })
    }

    /// Whether the labels are those of volumes that are folders on the node.
    pub(super) fn is_labelled(&self, labels: &[(&str, &str)]) -> bool {
        let node = self.cluster.get(&core("nodes"), "", self.node);
        let host = node.as_ref().map(|node| str_at(node, &["metadata", "labels", HOSTNAME]).to_owned());
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| self.node.to_owned());
        labels.iter().any(|(key, value)| *key == LOCAL_NODE && *value == host)
    }

    /// An attachment to the node.
    pub(super) fn attachment(&self, _: &str, name: &str) -> bool {
        self.names_me(&GroupResource::new("storage.k8s.io", "volumeattachments"), name)
    }

    /// A slice of the node's devices.
    pub(super) fn resource_slice(&self, _: &str, name: &str) -> bool {
        self.names_me(&GroupResource::new("resource.k8s.io", "resourceslices"), name)
    }

    fn names_me(&self, resource: &GroupResource, name: &str) -> bool {
        self.cluster.get(resource, "", name).is_some_and(|object| self.is_mine(&object))
    }

    fn is_mine(&self, object: &Value) -> bool {
        str_at(object, &["spec", "nodeName"]) == self.node
    }

    /// Static pods are the node's own idea: they give it nothing.
    fn any_pod(&self, namespace: &str, uses: impl Fn(&Value) -> bool) -> bool {
        let pods = self.cluster.list(&core("pods"), Some(namespace));
        pods.iter().any(|pod| self.is_mine(pod) && !is_mirror(pod) && uses(pod))
    }

    fn is_volume_mine(&self, volume: &Value) -> bool {
        let claim = |field| str_at(volume, &["spec", "claimRef", field]);
        !claim("name").is_empty() && self.claim(claim("namespace"), claim("name"))
    }

    fn secret_of_volume(&self, namespace: &str, name: &str) -> bool {
        let volumes = self.cluster.list(&core("persistentvolumes"), None);
        volumes
            .iter()
            .any(|volume| volume_needs_secret(volume, namespace, name) && self.is_volume_mine(volume))
    }
}

fn is_mirror(pod: &Value) -> bool {
    !str_at(pod, &["metadata", "annotations", "kubernetes.io/config.mirror"]).is_empty()
}

fn uses_secret(pod: &Value, name: &str) -> bool {
    items(pod, &["spec", "imagePullSecrets"]).any(|secret| str_at(secret, &["name"]) == name)
        || env_refers(pod, "secretRef", "secretKeyRef", name)
        || items(pod, &["spec", "volumes"]).any(|volume| {
            str_at(volume, &["secret", "secretName"]) == name
                || projects(volume, "secret", name)
                || str_at(volume, &["azureFile", "secretName"]) == name
                || SECRET_VOLUMES.iter().any(|kind| str_at(volume, &[kind, "secretRef", "name"]) == name)
                || str_at(volume, &["csi", "nodePublishSecretRef", "name"]) == name
        })
}

fn uses_config_map(pod: &Value, name: &str) -> bool {
    env_refers(pod, "configMapRef", "configMapKeyRef", name)
        || items(pod, &["spec", "volumes"]).any(|volume| {
            str_at(volume, &["configMap", "name"]) == name || projects(volume, "configMap", name)
        })
}

/// A claim by name, or the one that an ephemeral volume makes: `POD-VOLUME`.
fn uses_claim(pod: &Value, name: &str) -> bool {
    items(pod, &["spec", "volumes"]).any(|volume| {
        if str_at(volume, &["persistentVolumeClaim", "claimName"]) == name {
            return true;
        }
        let own = name
            .strip_prefix(str_at(pod, &["metadata", "name"]))
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest == str_at(volume, &["name"]));
        own && volume.get("ephemeral").is_some_and(Value::is_object)
    })
}

fn env_refers(pod: &Value, all: &str, key: &str, name: &str) -> bool {
    ["initContainers", "containers", "ephemeralContainers"].iter().any(|kind| {
        items(pod, &["spec", kind]).any(|container| {
            items(container, &["envFrom"]).any(|from| str_at(from, &[all, "name"]) == name)
                || items(container, &["env"]).any(|env| str_at(env, &["valueFrom", key, "name"]) == name)
        })
    })
}

fn projects(volume: &Value, kind: &str, name: &str) -> bool {
    items(volume, &["projected", "sources"]).any(|source| str_at(source, &[kind, "name"]) == name)
}

fn volume_needs_secret(volume: &Value, namespace: &str, name: &str) -> bool {
    let claim_namespace = str_at(volume, &["spec", "claimRef", "namespace"]);
    let at = |reference: &Value| {
        let home = match (str_at(reference, &["namespace"]), str_at(reference, &["secretNamespace"])) {
            ("", "") => claim_namespace,
            ("", home) | (home, _) => home,
        };
        let names = [str_at(reference, &["name"]), str_at(reference, &["secretName"])];
        home == namespace && names.contains(&name)
    };
    let spec = volume.get("spec");
    let source =
        |kind: &str, field: &str| spec.and_then(|spec| spec.get(kind)).and_then(|kind| kind.get(field));
    SECRET_VOLUMES.iter().any(|kind| source(kind, "secretRef").is_some_and(at))
        || spec.and_then(|spec| spec.get("azureFile")).is_some_and(at)
        || CSI_SECRETS.iter().any(|field| source("csi", field).is_some_and(at))
}

fn items<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    let found = path.iter().try_fold(value, |value, field| value.get(field));
    found.and_then(Value::as_array).into_iter().flatten()
}

fn core(plural: &str) -> GroupResource {
    GroupResource::new("", plural)
}

const HOSTNAME: &str = "kubernetes.io/hostname";
/// What the provisioner of local volumes writes on them.
const LOCAL_NODE: &str = "strake.dev/local-path-node";
const SELECTED_NODE: &str = "local.path.provisioner/selected-node";
const SECRET_VOLUMES: &[&str] = &["cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos", "cinder"];
const CSI_SECRETS: &[&str] = &[
    "nodePublishSecretRef",
    "nodeStageSecretRef",
    "nodeExpandSecretRef",
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
];
