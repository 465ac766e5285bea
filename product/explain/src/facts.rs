//! What the engine recorded of a container, as far as it is explained.
//!
//! Plain data, filled in by whoever has the engine at hand, so that this crate needs
//! neither the engine nor its state to be tested.

use serde::{Deserialize, Serialize};

/// The engine's record of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerFacts {
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The engine's own file about it.
    pub record: String,
    /// The specification that the runtime got: limits and rights.
    pub specification: String,
    /// The runtime's file about it.
    pub runtime_record: String,
    /// Its init, when it runs.
    pub pid: Option<i32>,
    /// Init's start in clock ticks after boot.
    pub start_ticks: Option<u64>,
    /// The image it was made from.
    pub image: Option<ImageFacts>,
    /// The writable layer's directory on the host.
    pub upper: Option<String>,
    /// The root was asked to be read-only.
    pub read_only_root: bool,
    /// Volumes, bind mounts, tmpfs.
    pub mounts: Vec<MountFacts>,
    /// Limits that were asked for.
    pub limits: LimitFacts,
    /// Capabilities that were given, as `CAP_CHOWN`; `None` if not recorded.
    pub capabilities: Option<Vec<String>>,
    /// Started with `--privileged`.
    pub privileged: bool,
    /// `no_new_privs` was asked for.
    pub no_new_privs: Option<bool>,
    /// The filter of system calls.
    pub seccomp: SeccompFacts,
    /// Hidden paths.
    pub masked_paths: Vec<String>,
    /// Write-protected paths.
    pub read_only_paths: Vec<String>,
    /// Its group in the cgroup trees.
    pub cgroup: Option<String>,
    /// Networks it was attached to.
    pub networks: Vec<NetworkFacts>,
    /// `container:ID` or `host` or `none` when it has no network of its own.
    pub network_mode: Option<String>,
    /// Its log file.
    pub log: Option<String>,
    /// Steps that the runtime took, with their times.
    pub steps: Vec<StepFacts>,
    /// What the OOM killer took in this run.
    pub oom_kills: Vec<OomFacts>,
    /// What could not be done as asked, or should be known.
    pub warnings: Vec<String>,
}

/// Its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFacts {
    /// As the user named it.
    pub reference: String,
    /// The manifest's digest.
    pub digest: Option<String>,
    /// Bottom layer first.
    pub layers: Vec<LayerFacts>,
}

/// A layer of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerFacts {
    /// Digest of its unpacked tar (diffID).
    pub digest: String,
    /// It and all below (chainID).
    pub chain_id: String,
    /// Unpacked size.
    pub bytes: Option<u64>,
    /// Its directory on the host.
    pub path: Option<String>,
    /// The file that says so.
    pub record: String,
}

/// A mount that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountFacts {
    /// `bind`, `volume`, `tmpfs`.
    pub kind: String,
    /// The volume's name.
    pub name: Option<String>,
    /// On the host.
    pub source: String,
    /// In the container.
    pub destination: String,
    /// May not be written.
    pub read_only: bool,
}

/// Limits that were asked for; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitFacts {
    /// `--memory`.
    pub memory_bytes: Option<u64>,
    /// `--cpus` as quota.
    pub cpu_quota_micros: Option<u64>,
    /// Its period.
    pub cpu_period_micros: Option<u64>,
    /// `--cpu-shares`.
    pub cpu_shares: Option<u64>,
    /// `--pids-limit`.
    pub pids: Option<u64>,
}

/// The filter of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SeccompFacts {
    /// Nothing was recorded.
    #[default]
    Unrecorded,
    /// No filter.
    Unconfined,
    /// A policy, and what it does with the calls of this machine; `None` if that was not counted.
    Filter {
        /// Calls that it never lets through.
        denied: Option<u32>,
        /// Calls that it lets through with some arguments only.
        conditional: Option<u32>,
        /// Of how many.
        known: Option<u32>,
    },
}

/// An attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkFacts {
    /// The network's name.
    pub name: String,
    /// The file about the attachment.
    pub record: String,
    /// Its bridge on the host.
    pub bridge: Option<String>,
    /// Given address with prefix.
    pub address: Option<String>,
    /// Next hop.
    pub gateway: Option<String>,
    /// Hardware address.
    pub mac: Option<String>,
    /// The other end of its cable, on the host.
    pub host_interface: Option<String>,
    /// Ports that lead in.
    pub ports: Vec<PortFacts>,
    /// What `attach` decided and why.
    pub decisions: Vec<DecisionFacts>,
}

/// A decision and its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecisionFacts {
    /// What was decided.
    pub what: String,
    /// The value.
    pub value: String,
    /// Where the kernel holds it.
    pub held_in: String,
    /// One sentence.
    pub why: String,
}

/// A published port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortFacts {
    /// `0.0.0.0`.
    pub host_address: String,
    /// On the host.
    pub host_port: u16,
    /// In the container.
    pub container_port: u16,
    /// `tcp`, `udp`.
    pub protocol: String,
    /// Who may reach it, and how.
    pub ways: Vec<WayFacts>,
}

/// How the packets of one kind of client fare on their way to a published port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WayFacts {
    /// Which kind: `other machines by eth0`.
    pub who: String,
    /// Whether they arrive.
    pub arrives: bool,
    /// Because of what.
    pub why: String,
    /// The rules that they meet, in order.
    pub rules: Vec<RuleFacts>,
}

/// A rule that a packet meets, or a chain that it enters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleFacts {
    /// Where on its way: `prerouting`.
    pub hook: String,
    /// What it says and does.
    pub text: String,
    /// Where the kernel holds it: table, chain, handle.
    pub held_in: String,
    /// It is one of ours.
    pub own: bool,
    /// It depends on more than is known of the packet.
    pub maybe: bool,
}

/// A step that the runtime took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepFacts {
    /// What was done.
    pub name: String,
    /// How long it took.
    pub micros: u64,
}

/// A process that was ended for want of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomFacts {
    /// Who it was, by which limit: in words.
    pub what: String,
    /// When that was seen.
    pub at: String,
    /// The shim's file that says so.
    pub record: String,
}
