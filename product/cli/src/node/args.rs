//! What an operator says of a node, the same for `strake agent` and for the agent in `strake server`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kubelet::ShutdownGrace;
use serde_json::{Value, json};

use crate::files::host_name;
use crate::humanize::duration_argument as duration;

/// The node's options.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Node")]
pub struct NodeArgs {
    /// The node's name (default: the host's)
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The address that other nodes reach it at (default: that of the way to anywhere else)
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    /// A label that the node registers with, KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub node_label: Vec<(String, String)>,
    /// A taint that the node registers with, KEY=VALUE:EFFECT; may be repeated
    #[arg(long, value_name = "TAINT", value_parser = taint)]
    pub node_taint: Vec<Value>,
    /// The most pods that the node takes
    #[arg(long, value_name = "N", default_value_t = 110)]
    pub max_pods: u32,
    /// What is kept from pods, such as cpu=200m,memory=256Mi
    #[arg(long, value_name = "RESOURCE=QUANTITY", value_delimiter = ',', value_parser = label)]
    pub reserved: Vec<(String, String)>,
    /// Port of the kubelet's API
    #[arg(long, value_name = "PORT", default_value_t = 10250)]
    pub kubelet_port: u16,
    /// A runtime behind a CRI socket, such as unix:///run/containerd/containerd.sock, instead of our own engine
    #[arg(long, value_name = "ENDPOINT")]
    pub container_runtime_endpoint: Option<String>,
    /// What must stay free or pods have to go: memory.available, nodefs.available, nodefs.inodesFree, pid.available
    #[arg(
        long,
        value_name = "SIGNAL<AMOUNT",
        value_delimiter = ',',
        default_value = "memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%",
        value_parser = threshold
    )]
    pub eviction_hard: Vec<Threshold>,
    /// How long the node counts as short of something after that has passed
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub eviction_pressure_transition_period: Duration,
    /// A container's log file that is larger is put aside
    #[arg(long, value_name = "QUANTITY", default_value = "10Mi", value_parser = quantity)]
    pub container_log_max_size: u64,
    /// Log files that a container keeps, with the one that is written
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    pub container_log_max_files: u16,
    /// Unused images are removed when their disk is so full, in hundredths (default: 85, and less than 20 GiB are free)
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_high_threshold: Option<u8>,
    /// They are removed until it is only so full
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_low_threshold: u8,
    /// No image is removed that has been unused for less
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub minimum_image_ttl_duration: Duration,
    /// When strake is asked to end, end all pods within this time; with 0 they go on without it
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration)]
    pub shutdown_grace_period: Duration,
    /// The part of it that is kept for pods that matter to the system, which end last
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration)]
    pub shutdown_grace_period_critical_pods: Duration,
    /// The same for each class of priorities, such as 0=20s,1000=10s,2000000000=5s
    #[arg(long, value_name = "PRIORITY=DURATION", value_delimiter = ',', value_parser = shutdown_grace,
          conflicts_with_all = ["shutdown_grace_period", "shutdown_grace_period_critical_pods"])]
    pub shutdown_grace_period_by_pod_priority: Vec<ShutdownGrace>,
    /// Folder of pods that the node runs without being asked
    #[arg(long, value_name = "DIR")]
    pub pod_manifests: Option<PathBuf>,
    /// Folder of pods' logs
    #[arg(long, value_name = "DIR", default_value = "/var/log/pods")]
    pub pod_logs: PathBuf,
    /// Name of the cgroup above all pods' cgroups
    #[arg(long, value_name = "NAME", default_value = "kubepods")]
    pub pods_cgroup: String,
    /// Range of all pods' addresses
    #[arg(long, value_name = "CIDR", default_value = "10.42.0.0/16")]
    pub cluster_cidr: attach::Cidr,
    /// Domain of the cluster's names
    #[arg(long, value_name = "NAME", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Address of the cluster's DNS (default: 10.43.0.10)
    #[arg(long, value_name = "IP")]
    pub cluster_dns: Option<IpAddr>,
    /// How pods of other nodes are reached
    #[arg(long, value_enum, default_value_t = PodNetwork::Vxlan)]
    pub pod_network: PodNetwork,
    /// Sysctls that pods may set besides the safe ones, between commas; name* is a prefix
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Leave services' addresses to another proxy
    #[arg(long)]
    pub disable_service_proxy: bool,
    /// Leave names to another DNS
    #[arg(long)]
    pub disable_dns: bool,
}

/// How much of what must stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// `memory.available`, in bytes.
    Memory(u64),
    /// `nodefs.available`, in hundredths of the disk.
    Disk(u8),
    /// `nodefs.inodesFree`, in hundredths of the inodes.
    Inodes(u8),
    /// `pid.available`, in process ids.
    Pids(u64),
}

/// How pods of other nodes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PodNetwork {
    /// In VXLAN between the nodes' addresses: over any network
    Vxlan,
    /// By routes over the nodes' addresses: faster, for nodes on one link
    Direct,
    /// By somebody else's routes
    None,
}

impl PodNetwork {
    /// As the network is made.
    pub fn mode(self) -> attach::Mode {
        match self {
            Self::Vxlan => attach::Mode::VXLAN,
            Self::Direct => attach::Mode::Direct,
            Self::None => attach::Mode::Bridge,
        }
    }
}

impl NodeArgs {
    /// The address of the cluster's DNS.
    pub fn cluster_dns(&self) -> IpAddr {
        self.cluster_dns.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::new(10, 43, 0, 10)))
    }

    /// The node's name.
    pub fn name(&self) -> String {
        let given = || host_name().unwrap_or_default().to_ascii_lowercase();
        self.node_name.clone().unwrap_or_else(given)
    }

    /// When pods have to go; a signal that is not named is switched off.
    pub fn eviction(&self) -> kubelet::Eviction {
        let none = kubelet::Eviction {
            memory_bytes: 0,
            disk_percent: 0,
            inodes_percent: 0,
            pids: 0,
            transition: self.eviction_pressure_transition_period,
            ..Default::default()
        };
        self.eviction_hard.iter().fold(none, |eviction, threshold| match *threshold {
            Threshold::Memory(memory_bytes) => kubelet::Eviction { memory_bytes, ..eviction },
            Threshold::Disk(disk_percent) => kubelet::Eviction { disk_percent, ..eviction },
            Threshold::Inodes(inodes_percent) => kubelet::Eviction { inodes_percent, ..eviction },
            Threshold::Pids(pids) => kubelet::Eviction { pids, ..eviction },
        })
    }

    /// How log files are kept small.
    pub fn log_rotation(&self) -> kubelet::LogRotation {
        kubelet::LogRotation {
            size_bytes: self.container_log_max_size,
            files: usize::from(self.container_log_max_files),
        }
    }

    /// When images are removed. Who names a mark means it, however large the disk is.
    pub fn image_collection(&self) -> kubelet::ImageCollection {
        let usual = kubelet::ImageCollection::default();
        kubelet::ImageCollection {
            high_percent: self.image_gc_high_threshold.unwrap_or(usual.high_percent),
            free_bytes_most: self.image_gc_high_threshold.map_or(usual.free_bytes_most, |_| u64::MAX),
            low_percent: self.image_gc_low_threshold,
            age_least: self.minimum_image_ttl_duration,
            ..usual
        }
    }

    /// How long pods have at the end; nothing where they go on.
    pub fn shutdown_grace(&self) -> Vec<ShutdownGrace> {
        if self.shutdown_grace_period.is_zero() {
            return self.shutdown_grace_period_by_pod_priority.clone();
        }
        let critical = self.shutdown_grace_period_critical_pods.min(self.shutdown_grace_period);
        let others = self.shutdown_grace_period - critical;
        vec![
            ShutdownGrace { priority: 0, grace: others },
            ShutdownGrace { priority: kubelet::resources::SYSTEM_CRITICAL, grace: critical },
        ]
    }

    /// Its labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.node_label.iter().cloned().collect()
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "not of the form KEY=VALUE".to_owned())?;
    if key.is_empty() { Err("the key is empty".to_owned()) } else { Ok((key.to_owned(), value.to_owned())) }
}

/// `SIGNAL<AMOUNT`, as kubelets have it.
fn threshold(text: &str) -> Result<Threshold, String> {
    let (signal, amount) = text.split_once('<').ok_or("not of the form memory.available<100Mi")?;
    let percent = || {
        let number = amount.strip_suffix('%').and_then(|number| number.parse().ok());
        number.filter(|number| *number <= 100).ok_or_else(|| format!("{amount} is no share such as 5%"))
    };
    match signal {
        "memory.available" => Ok(Threshold::Memory(quantity(amount)?)),
        "nodefs.available" | "imagefs.available" => Ok(Threshold::Disk(percent()?)),
        "nodefs.inodesFree" | "imagefs.inodesFree" => Ok(Threshold::Inodes(percent()?)),
        "pid.available" => Ok(Threshold::Pids(quantity(amount)?)),
        other => Err(format!("no signal {other}")),
    }
}

/// An amount such as 10Mi.
fn quantity(text: &str) -> Result<u64, String> {
    let parsed = text.parse::<base::Quantity>().map_err(|error| format!("{text}: {error}"))?;
    u64::try_from(parsed.value()).map_err(|_| format!("{text} is less than nothing"))
}

/// `PRIORITY=DURATION`.
fn shutdown_grace(text: &str) -> Result<ShutdownGrace, String> {
    let (priority, grace) = text.split_once('=').ok_or("not of the form 1000=10s")?;
    let priority = priority.parse().map_err(|_| format!("{priority} is no priority"))?;
    Ok(ShutdownGrace { priority, grace: duration(grace)? })
}

/// `KEY[=VALUE]:EFFECT`, as kubectl writes taints.
fn taint(text: &str) -> Result<Value, String> {
    let (what, effect) =
        text.rsplit_once(':').ok_or_else(|| "not of the form KEY=VALUE:EFFECT".to_owned())?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!("{effect} is none of NoSchedule, PreferNoSchedule, NoExecute"));
    }
    let (key, value) = what.split_once('=').unwrap_or((what, ""));
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    let mut taint = json!({"key": key, "effect": effect});
    if let (false, Some(taint)) = (value.is_empty(), taint.as_object_mut()) {
        taint.insert("value".to_owned(), json!(value));
    }
    Ok(taint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_thresholds() {
        assert_eq!(threshold("memory.available<100Mi"), Ok(Threshold::Memory(100 << 20)));
        assert_eq!(threshold("nodefs.available<5%"), Ok(Threshold::Disk(5)));
        assert_eq!(threshold("pid.available<1k"), Ok(Threshold::Pids(1000)));
        for bad in [
            "memory.available",
            "nodefs.available<5",
            "nodefs.available<500%",
            "swap<1",
            "memory.available<x",
        ] {
            assert!(threshold(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_times_by_priority() {
        let grace = Duration::from_secs(10);
        assert_eq!(shutdown_grace("1000=10s"), Ok(ShutdownGrace { priority: 1000, grace }));
        for bad in ["10s", "x=10s", "5=x"] {
            assert!(shutdown_grace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_labels_and_taints() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("a").is_err() && label("=b").is_err());
        assert_eq!(taint("a=b:NoExecute"), Ok(json!({"key": "a", "value": "b", "effect": "NoExecute"})));
        assert_eq!(taint("a/b:NoSchedule"), Ok(json!({"key": "a/b", "effect": "NoSchedule"})));
        for bad in ["a", "a:Never", ":NoSchedule", "=b:NoSchedule"] {
            assert!(taint(bad).is_err(), "{bad}");
        }
    }
}
