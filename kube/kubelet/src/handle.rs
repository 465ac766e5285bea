//! What the kubelet's server and others on this node may ask of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use client::Api;
use rpc::cri::{ImageService, RuntimeService};
use serde_json::Value;

use crate::config::Config;
use crate::model::Life;
use crate::pods::Pods;
use crate::probes::Probed;
use crate::read::{name, namespace, uid};
use crate::spec;
use crate::volumes::used_bytes;

/// A view of a running kubelet. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) config: Arc<Config>,
    pub(crate) pods: Arc<Pods>,
    pub(crate) probed: Probed,
}

/// A container of a pod, as the runtime knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    /// The runtime's id.
    pub id: String,
    /// How many of this name were there before it.
    pub attempt: u32,
    /// Whether its process runs.
    pub is_running: bool,
    /// Whether its process has ended.
    pub is_ended: bool,
    /// Its log file.
    pub log: PathBuf,
}

/// What a pod holds of the node's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of logs, by container.
    pub logs: BTreeMap<String, u64>,
    /// Names, bytes and places of volumes.
    pub volumes: Vec<(String, u64, PathBuf)>,
}

impl Handle {
    /// The node's name.
    pub fn node_name(&self) -> &str {
        &self.config.node.name
    }

    /// The API, in the name of the node.
    pub fn api(&self) -> &Arc<dyn Api> {
        &self.config.api
    }

    /// Who runs containers.
    pub fn runtime(&self) -> &Arc<dyn RuntimeService> {
        &self.config.runtime
    }

    /// Who has images.
    pub fn images(&self) -> &Arc<dyn ImageService> {
        &self.config.images
    }

    /// The kubelet's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The pods of this node, with their newest status.
    pub fn pods(&self) -> Vec<Arc<Value>> {
        self.pods.all()
    }

    /// A pod by its name.
    pub fn pod(&self, in_namespace: &str, named: &str) -> Option<Arc<Value>> {
        self.pods.all().into_iter().find(|pod| namespace(pod) == in_namespace && name(pod) == named)
    }

    /// The newest container of a name in a pod; with `previous` the one before it.
    pub fn container(&self, pod: &Value, container: &str, previous: bool) -> Option<ContainerRef> {
        let state = self.pods.observed(uid(pod))?;
        let mut found = state.containers.iter().filter(|found| found.name == container);
        let found = found.nth(usize::from(previous))?;
        let folder = self.config.paths.pod_logs(pod);
        Some(ContainerRef {
            id: found.id.clone(),
            attempt: found.attempt,
            is_running: found.life == Life::Running,
            is_ended: found.life == Life::Exited,
            log: folder.join(spec::log_path(container, found.attempt)),
        })
    }

    /// What a pod holds of the node's disk: its containers' logs and its volumes.
    pub fn stored(&self, pod: &Value) -> Stored {
        let folders = |path: PathBuf| {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        let logs = self.config.paths.pod_logs(pod);
        let volumes = self.config.paths.volumes(pod);
        let volumes = folders(volumes).flat_map(|(_, kind)| folders(kind));
        Stored {
            logs: folders(logs).map(|(name, path)| (name, used_bytes(&path))).collect(),
            volumes: volumes.map(|(name, path)| (name, used_bytes(&path), path)).collect(),
        }
    }

    /// The sandbox of a pod that runs, by its id.
    pub fn sandbox(&self, pod: &Value) -> Option<String> {
        let state = self.pods.observed(uid(pod))?;
        state.sandboxes.first().filter(|sandbox| sandbox.is_ready).map(|sandbox| sandbox.id.clone())
    }
}
