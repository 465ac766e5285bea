//! What an operator says of a node, the same for `strake agent` and for the agent in `strake server`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::files::host_name;

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
            ..Default::default()
        };
        self.eviction_hard.iter().fold(none, |eviction, threshold| match *threshold {
            Threshold::Memory(memory_bytes) => kubelet::Eviction { memory_bytes, ..eviction },
            Threshold::Disk(disk_percent) => kubelet::Eviction { disk_percent, ..eviction },
            Threshold::Inodes(inodes_percent) => kubelet::Eviction { inodes_percent, ..eviction },
            Threshold::Pids(pids) => kubelet::Eviction { pids, ..eviction },
        })
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
    let quantity = || {
        let parsed = amount.parse::<base::Quantity>().map_err(|error| format!("{amount}: {error}"))?;
        u64::try_from(parsed.value()).map_err(|_| format!("{amount} is less than nothing"))
    };
    match signal {
        "memory.available" => Ok(Threshold::Memory(quantity()?)),
        "nodefs.available" | "imagefs.available" => Ok(Threshold::Disk(percent()?)),
        "nodefs.inodesFree" | "imagefs.inodesFree" => Ok(Threshold::Inodes(percent()?)),
        "pid.available" => Ok(Threshold::Pids(quantity()?)),
        other => Err(format!("no signal {other}")),
    }
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
