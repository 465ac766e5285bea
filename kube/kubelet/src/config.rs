//! What a kubelet runs with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::Api;
use rpc::cri::{ImageService, RuntimeService};
use serde_json::Value;

use crate::read::uid;
use crate::spec;
use crate::traffic::Traffic;

/// What a kubelet runs with.
#[derive(Clone)]
pub struct Config {
    /// The API, in the name of the node.
    pub api: Arc<dyn Api>,
    /// Who runs containers.
    pub runtime: Arc<dyn RuntimeService>,
    /// Who has images; mostly the same as [`Self::runtime`].
    pub images: Arc<dyn ImageService>,
    /// Who leads traffic to pods.
    pub traffic: Arc<dyn Traffic>,
    /// The wall-clock time.
    pub clock: Arc<dyn base::Clock + Send + Sync>,
    /// The node as it is registered.
    pub node: NodeConfig,
    /// Where things are kept.
    pub paths: Paths,
    /// Addresses of the cluster's DNS; empty where there is none.
    pub cluster_dns: Vec<String>,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// The top of all pods' cgroups.
    pub cgroup_root: String,
    /// Sysctls that pods may set besides the safe ones; `name*` is a prefix.
    pub allowed_sysctls: Vec<String>,
    /// How log files are kept small.
    pub logs: LogRotation,
    /// When images are removed.
    pub image_collection: ImageCollection,
    /// When pods have to go because the node is short of something.
    pub eviction: Eviction,
    /// How long pods have at the node's shutdown, by their priority; none: they are left running.
    pub shutdown_grace: Vec<ShutdownGrace>,
}

/// How long pods have at the node's shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownGrace {
    /// Pods of at least this priority, up to the next one's.
    pub priority: i64,
    /// How long they have.
    pub grace: Duration,
}

/// The node, as far as its operator says.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// Its name in the API.
    pub name: String,
    /// Its name in the network; empty is [`Self::name`].
    pub hostname: String,
    /// Its addresses, the first is the main one.
    pub addresses: Vec<String>,
    /// Labels besides the usual ones.
    pub labels: BTreeMap<String, String>,
    /// Taints that it registers with, as in `spec.taints`.
    pub taints: Vec<Value>,
    /// The most pods; 0 is 110.
    pub max_pods: u32,
    /// The port of the kubelet's own server; 0 is none.
    pub port: u16,
    /// What is kept from pods, by resource, as quantities.
    pub reserved: BTreeMap<String, String>,
    /// What the node counts as having, where that is not what the kernel says.
    pub capacity: BTreeMap<String, String>,
    /// The node's range of pod addresses where the API gives none (`spec.podCIDR`).
    pub pod_cidr: Option<String>,
    /// Whether the kubelet makes its Node.
    pub registers: bool,
}

/// Where things are kept.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Pods' volumes and files: `/var/lib/kubelet`.
    pub root: PathBuf,
    /// Pods' logs: `/var/log/pods`.
    pub logs: PathBuf,
    /// The folder of static pods, if there are any.
    pub static_pods: Option<PathBuf>,
    /// The node's `resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The node's `hosts`.
    pub hosts: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/var/lib/kubelet"),
            logs: PathBuf::from("/var/log/pods"),
            static_pods: None,
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            hosts: PathBuf::from("/etc/hosts"),
        }
    }
}

impl Paths {
    /// A pod's folder.
    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// The folder of a pod's volumes.
    pub(crate) fn volumes(&self, pod: &Value) -> PathBuf {
        self.pod(uid(pod)).join("volumes")
    }

    /// The folder of a pod's logs.
    pub(crate) fn pod_logs(&self, pod: &Value) -> PathBuf {
        self.logs.join(spec::log_folder(pod))
    }
}

/// How log files are kept small.
#[derive(Clone, Copy, Debug)]
pub struct LogRotation {
    /// A file that is larger is put aside.
    pub size_bytes: u64,
    /// How many files a container keeps, with the one that is written.
    pub files: usize,
}

impl Default for LogRotation {
    fn default() -> Self {
        Self { size_bytes: 10 << 20, files: 5 }
    }
}

/// When images are removed.
#[derive(Clone, Copy, Debug)]
pub struct ImageCollection {
    /// Begin when the disk is so full, in hundredths.
    pub high_percent: u8,
    /// But not as long as so many bytes are free.
    pub free_bytes_most: u64,
    /// End when it is only so full.
    pub low_percent: u8,
    /// Not before an image has been unused for so long.
    pub age_least: Duration,
    /// How often they are looked at.
    pub every: Duration,
}

impl Default for ImageCollection {
    fn default() -> Self {
        Self {
            high_percent: 85,
            free_bytes_most: 20 << 30,
            low_percent: 80,
            age_least: Duration::from_secs(120),
            every: Duration::from_secs(300),
        }
    }
}

/// When pods have to go because the node is short of something; 0 switches a signal off.
#[derive(Clone, Copy, Debug)]
pub struct Eviction {
    /// `memory.available`: bytes that must be left.
    pub memory_bytes: u64,
    /// `nodefs.available`: hundredths of the disk that must be left.
    pub disk_percent: u8,
    /// But no more than so many bytes: of a large disk a few hundredths are plenty.
    pub disk_bytes_most: u64,
    /// `nodefs.inodesFree`: hundredths of its inodes.
    pub inodes_percent: u8,
    /// `pid.available`: process ids that must be left.
    pub pids: u64,
    /// How often the node looks.
    pub every: Duration,
    /// How long a condition is kept after it passed.
    pub transition: Duration,
}

impl Default for Eviction {
    fn default() -> Self {
        Self {
            memory_bytes: 100 << 20,
            disk_percent: 10,
            disk_bytes_most: 10 << 30,
            inodes_percent: 5,
            pids: 0,
            every: Duration::from_secs(10),
            transition: Duration::from_secs(300),
        }
    }
}
