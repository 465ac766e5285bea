//! What the runtime is told about a pod's sandbox and its containers: pure, from the pod's
//! specification, the objects that it refers to, and what the node knows.

mod container;
mod dns;
mod env;
mod expand;
mod fields;
mod hosts;
mod sandbox;
mod security;

use serde_json::Value;

pub use container::{Machine, Making, Mounted, container_config, container_resources};
pub use dns::{HostDns, NodeDns, dns};
pub(crate) use env::Kind;
pub use env::{Sources, environment};
pub use expand::expand;
pub use fields::{Place, field, resource};
pub use hosts::{host_domain, hostname, hosts_file};
pub use sandbox::{Node, sandbox_config};
pub use security::{ImageUser, forbidden_sysctl, verify_user};

use crate::read::{name, namespace, number, text, uid};

/// The specification cannot be turned into a container: `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The downward API has no such field.
    #[error("unsupported fieldPath: {0}")]
    FieldPath(String),
    /// No such container in the pod.
    #[error("no container named {0:?} in the pod")]
    NoContainer(String),
    /// An object that is referred to is not there.
    #[error("{kind} {name:?} not found")]
    NotFound {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The object is there, the key is not.
    #[error("couldn't find key {key} in {kind} {object}")]
    NoKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The key.
        key: String,
        /// `namespace/name`.
        object: String,
    },
    /// A user that is not allowed.
    #[error("{0}")]
    User(String),
    /// A mount of a volume that the pod does not have, or that is not there.
    #[error("{0}")]
    Mount(String),
}

/// What of a container cannot change without a restart, hashed.
pub fn container_hash(container: &Value) -> String {
    // FNV-1a: stable over versions of this program, as it outlives them in the runtime.
    let mut hash: u32 = 0x811c_9dc5;
    let name = text(container, &["name"]).as_bytes();
    for byte in name.iter().chain(b"\0").chain(text(container, &["image"]).as_bytes()) {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    format!("{hash:x}")
}

/// The labels by which all parts of a pod are known to the runtime.
pub fn pod_labels(pod: &Value) -> Vec<(String, String)> {
    let owned = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    vec![owned(POD_NAME, name(pod)), owned(POD_NAMESPACE, namespace(pod)), owned(POD_UID, uid(pod))]
}

/// Seconds that a pod's containers have to end.
pub(crate) fn grace(pod: &Value) -> i64 {
    number(pod, &["spec", "terminationGracePeriodSeconds"]).unwrap_or(DEFAULT_GRACE)
}

/// Where a pod's log files are, below the folder of all pods' logs.
pub fn log_folder(pod: &Value) -> String {
    format!("{}_{}_{}", namespace(pod), name(pod), uid(pod))
}

/// A container's log file below its pod's folder.
pub fn log_path(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}

/// Seconds that a pod has to end where it says nothing.
const DEFAULT_GRACE: i64 = 30;
/// Label of containers and sandboxes: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Likewise: its namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Likewise: its uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label of containers: the name in the pod.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation of containers: how long the pod has at its end, in seconds.
pub(crate) const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Annotation of containers: [`container_hash`].
pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
