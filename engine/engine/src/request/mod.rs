//! What a user asks of a container, parsed once at the border.
//!
//! The texts are docker's option values; a value of one of these types is proof that
//! its text was well formed. The whole request is kept in the container's record.

mod device;
mod env;
mod health;
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

pub use device::{DeviceRequest, DeviceRule};
pub use env::{key_value_file, resolve_variables};
pub use health::Healthcheck;
pub(crate) use mount::volume_name;
pub use mount::{BindOptions, MountKind, MountRequest, TmpfsOptions, Vanish, VolumesFrom};
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

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// Whether it is kept at all.
    pub keep: bool,
    /// Bytes after which a file is closed and another begun; none never.
    pub max_size_bytes: Option<u64>,
    /// How many files are kept.
    pub max_files: u32,
    /// Where it goes in the CRI's form instead; whoever asked for it rotates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cri_file: Option<std::path::PathBuf>,
}

impl Default for LogRequest {
    fn default() -> Self {
        Self { keep: true, max_size_bytes: Some(10 << 20), max_files: 3, cri_file: None }
    }
}

impl LogRequest {
    /// Reads docker's `--log-driver` and `--log-opt key=value`.
    pub fn parse(driver: &str, options: &[String]) -> Result<Self, InvalidOption> {
        let mut log = Self::default();
        match driver {
            "json-file" | "local" => {}
            "none" => log.keep = false,
            other => return Err(InvalidOption::new("--log-driver", other, "use json-file or none")),
        }
        for option in options {
            let wrong = |why| InvalidOption::new("--log-opt", option, why);
            let (key, value) =
                option.split_once('=').ok_or_else(|| wrong("use key=value, as in max-size=10m"))?;
            match key {
                "max-size" if value == "-1" => log.max_size_bytes = None,
                "max-size" => {
                    let size =
                        base::ByteSize::parse(value).map_err(|_| wrong("use a size, as in max-size=10m"))?;
                    log.max_size_bytes = Some(size.0.max(4096));
                }
                "max-file" => {
                    let count = value.parse().ok().filter(|n| *n > 0);
                    log.max_files =
                        count.ok_or_else(|| wrong("use a number of at least 1, as in max-file=3"))?;
                }
                _ => return Err(wrong("json-file knows max-size and max-file")),
            }
        }
        Ok(log)
    }
}
