//! What a user asks of a container, parsed once at the border.
//!
//! The texts are docker's option values; a value of one of these types is proof that
//! its text was well formed. The whole request is kept in the container's record.

mod blkio;
mod device;
mod env;
mod health;
mod join;
mod log;
mod mount;
mod namespace;
mod port;
mod resources;
mod sandbox;
mod security;
mod signal;

use std::borrow::Cow;
use std::collections::BTreeMap;

use base::{Classified, ErrorClass};
use serde::{Deserialize, Serialize};

pub use blkio::{RateDevice, WeightDevice};
pub use device::{DeviceRequest, DeviceRule};
pub use env::{key_value_file, resolve_variables};
pub use health::Healthcheck;
pub use join::{JoinOptions, NetworkJoin, mac_address, networks};
pub(crate) use join::{address_conflict, by_hand};
pub use log::{LogKind, LogRequest, parse_bool};
pub(crate) use mount::volume_name;
pub use mount::{
    BindOptions, MountKind, MountOption, MountRequest, TmpfsOptions, Vanish, VolumeOptions, VolumesFrom,
    local_driver,
};
pub use namespace::{CgroupMode, IpcMode, NetworkMode, PidMode, UserMode, UtsMode};
pub use port::PortRequest;
pub use resources::{ResourceRequest, Ulimit, memory_limit, nano_cpus};
pub use sandbox::{FrontNote, SandboxRole};
pub use security::{AppArmor, SeccompRequest, SecurityOption, capability_name};
pub use signal::{InvalidSignal, Signal};

/// All capabilities as `CAP_…`, in the kernel's order.
pub fn known_capabilities() -> impl Iterator<Item = String> {
    security::CAPABILITIES.iter().map(|name| format!("CAP_{name}"))
}

/// The value of an option is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} {value:?} is not valid: {why}")]
pub struct InvalidOption {
    /// The option, as a user of docker knows it.
    pub option: &'static str,
    /// What was given.
    pub value: String,
    /// What is wrong, and what would be right.
    pub why: Cow<'static, str>,
}

impl InvalidOption {
    /// `value` of `option` is wrong because of `why`.
    pub fn new(option: &'static str, value: &str, why: impl Into<Cow<'static, str>>) -> Self {
        Self { option, value: value.to_owned(), why: why.into() }
    }
}

impl Classified for InvalidOption {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// A container to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    /// The image, as the user wrote it.
    pub image: String,
    /// Its name; made up when missing.
    pub name: Option<String>,
    /// Removed when it ends.
    pub auto_remove: bool,
    /// When it is started again after its end.
    pub restart: shim::RestartPolicy,
    /// How its health is checked, over what the image says.
    pub health: Option<Healthcheck>,
    /// Labels, which win over the image's.
    pub labels: BTreeMap<String, String>,
    /// What its specification carries for whoever reads that.
    pub annotations: BTreeMap<String, String>,
    /// The file that its id was written to, for those who ask.
    pub id_file: Option<String>,
    /// What runs.
    pub process: ProcessRequest,
    /// What it sees of files.
    pub files: FilesRequest,
    /// What it sees of the network.
    pub network: NetworkRequest,
    /// Which namespaces are its own.
    pub namespaces: NamespacesRequest,
    /// How much it may use.
    pub resources: ResourceRequest,
    /// What it may do.
    pub security: SecurityRequest,
    /// Where its output goes.
    pub log: LogRequest,
    /// What it is to a sandbox; nothing for a container of its own.
    pub sandbox: Option<SandboxRole>,
    /// What the front that made it keeps with it.
    pub front: Option<FrontNote>,
}

/// What runs in a container, and how it is stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessRequest {
    /// Arguments that replace the image's `Cmd`.
    pub command: Vec<String>,
    /// Program that replaces the image's `Entrypoint`; an empty list means none.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, or `NAME` alone to take it out of the image's.
    pub env: Vec<String>,
    /// Where it starts.
    pub workdir: Option<String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Further groups.
    pub group_add: Vec<String>,
    /// When the groups count that the image knows its user to be in.
    pub image_groups: ImageGroups,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether standard input stays open with nobody attached.
    pub open_stdin: bool,
    /// Whether standard input ends with the first who attaches.
    pub stdin_once: bool,
    /// Which streams the creator attaches: standard input, output, error.
    pub attach: [bool; 3],
    /// Whether an init of ours is process 1.
    pub init: bool,
    /// The signal that asks it to stop.
    pub stop_signal: Option<Signal>,
    /// Seconds until it is killed; negative waits for ever.
    pub stop_timeout_seconds: Option<i64>,
}

/// When the groups count that the image's `/etc/group` puts the user in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageGroups {
    /// When no group was asked for, as docker has it.
    #[default]
    WithoutGroup,
    /// Always.
    Always,
    /// Never: only those asked for.
    Never,
}

/// What a container sees of files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesRequest {
    /// Mounts, in the order given.
    pub mounts: Vec<MountRequest>,
    /// Containers whose volumes are shared.
    pub volumes_from: Vec<VolumesFrom>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Size of `/dev/shm`; 64 MiB when missing.
    pub shm_size_bytes: Option<u64>,
    /// The most that the container's layer may take of the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_max_bytes: Option<u64>,
}

/// What a container sees of the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkRequest {
    /// Which network.
    pub mode: NetworkMode,
    /// Published ports.
    pub publish: Vec<attach::PortMapping>,
    /// Whether all exposed ports are published on free ones.
    pub publish_all: bool,
    /// How all of them are published.
    pub publishing: attach::Publishing,
    /// Ports that it listens on, besides the image's.
    pub expose: Vec<PortRequest>,
    /// Host name.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Lines for `/etc/hosts`: name, address (or `host-gateway`).
    pub add_host: Vec<(String, String)>,
    /// Name servers.
    pub dns: Vec<std::net::IpAddr>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// The address wanted.
    pub ip: Option<std::net::Ipv4Addr>,
    /// The hardware address wanted.
    pub mac_address: Option<String>,
    /// The networks that it is in, when more is asked of them than the mode says; none at all
    /// when it has left them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joins: Option<Vec<NetworkJoin>>,
}

impl NetworkRequest {
    /// Names of the networks as lists show them.
    pub fn names(&self) -> Vec<String> {
        match (&self.mode, self.mode.is_bridged()) {
            (_, true) => {
                let mut names: Vec<String> = self.joined().into_iter().map(|join| join.network).collect();
                names.sort_unstable();
                names
            }
            (NetworkMode::Container(_), _) => vec!["container".to_owned()],
            (mode, _) => vec![mode.docker_name()],
        }
    }

    /// The networks of this host that the container is in, the main one first.
    pub fn joined(&self) -> Vec<NetworkJoin> {
        match (&self.joins, &self.mode) {
            (Some(joins), _) => joins.clone(),
            (None, NetworkMode::Bridge) => vec![NetworkJoin {
                ip: self.ip,
                mac_address: self.mac_address.clone(),
                ..NetworkJoin::of(attach::DEFAULT_NETWORK)
            }],
            (None, NetworkMode::Named(name)) => vec![NetworkJoin::of(name)],
            (None, _) => Vec::new(),
        }
    }
}

/// Which namespaces are the container's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespacesRequest {
    /// Process ids.
    pub pid: PidMode,
    /// System V IPC and POSIX queues.
    pub ipc: IpcMode,
    /// Host name.
    pub uts: UtsMode,
    /// User and group ids.
    pub user: UserMode,
    /// Control groups.
    pub cgroup: CgroupMode,
}

/// What a container may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityRequest {
    /// All capabilities and devices, no filter.
    pub privileged: bool,
    /// Capabilities added, as `CAP_…` or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities taken away, as `CAP_…` or `ALL`.
    pub cap_drop: Vec<String>,
    /// The system call filter.
    pub seccomp: SeccompRequest,
    /// The AppArmor profile.
    pub apparmor: AppArmor,
    /// What is asked of SELinux's labels: `disable`, `type:spc_t`.
    pub labels: Vec<String>,
    /// Whether `execve(2)` can give no privileges.
    pub no_new_privileges: bool,
    /// Whether nothing of `/proc` and `/sys` is masked or read-only.
    pub systempaths_unconfined: bool,
    /// What is masked, instead of the default.
    pub masked_paths: Option<Vec<String>>,
    /// What is read-only, instead of the default.
    pub readonly_paths: Option<Vec<String>>,
    /// Devices of the host.
    pub devices: Vec<DeviceRequest>,
    /// Classes of devices that may be used.
    pub device_rules: Vec<DeviceRule>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
}
