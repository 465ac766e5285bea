//! From image, request and facts of the host to an OCI runtime specification.
//!
//! Pure: the same input gives the same specification. Everything that had to be looked
//! up (users, volumes, devices, what the host can do) comes in as a value.

mod capabilities;
mod devices;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod seccomp;
mod user;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use base::ContainerId;
use oci_spec::image::ContainerConfig;
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceCgroup, Root, Spec};

use crate::apparmor::AppArmorHost;
use crate::container::MountRecord;
use crate::request::{CreateRequest, InvalidOption, UserMode};
use crate::selinux::{self, SelinuxHost};

pub use capabilities::capabilities;
pub use namespaces::NamespacePaths;
pub(crate) use process::needs_apparmor_profile;
pub use process::{
    DEFAULT_PATH, ExecProcess, INIT_TARGET, PAUSE_TARGET, command_line, environment, exec_process,
};
pub(crate) use resources::resources;
pub use user::{GroupLine, InvalidUser, PasswdLine, ResolvedUser, parse_group, parse_passwd, resolve_user};

/// What the host is and can do.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// Capabilities in our own bounding set, as `CAP_…`: none beyond them can be given.
    pub capabilities: Vec<String>,
    /// What there is of AppArmor.
    pub apparmor: AppArmorHost,
    /// The labels of SELinux for containers, where it is on.
    pub selinux: Option<SelinuxHost>,
    /// Processors that are there.
    pub cpus: u32,
    /// Whether we are in cgroup v2 only.
    pub cgroup_v2: bool,
    /// All devices below `/dev`, for privileged containers.
    pub devices: Vec<HostDevice>,
    /// The ids there are, when we are root of an ordinary user's namespace only.
    pub rootless: Option<sys::user::Mapped>,
    /// That user's part of the control groups.
    pub delegated: Option<cgroup::Delegated>,
    /// Numbers of the block devices that limits name.
    pub block_devices: BTreeMap<PathBuf, (i64, i64)>,
    /// Processors that may be used, as in `0-3`; empty when it is not known.
    pub cpus_online: String,
    /// Memory nodes that may be used; empty when it is not known.
    pub memory_nodes: String,
}

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a block device.
    pub is_block: bool,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Host files that are bound into the container.
#[derive(Clone, Debug)]
pub struct HostFilePaths {
    /// For `/etc/hosts`.
    pub hosts: PathBuf,
    /// For `/etc/hostname`.
    pub hostname: PathBuf,
    /// For `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

/// Everything that decides a specification.
#[derive(Clone, Debug)]
pub struct SpecInput<'a> {
    /// The container.
    pub id: &'a ContainerId,
    /// What was asked.
    pub request: &'a CreateRequest,
    /// The image's defaults.
    pub image: &'a ContainerConfig,
    /// Who runs.
    pub user: &'a ResolvedUser,
    /// Volumes, bind mounts, tmpfs.
    pub mounts: &'a [MountRecord],
    /// Where volumes are at this moment that are no directories of ours, by their place.
    pub volumes: &'a BTreeMap<PathBuf, PathBuf>,
    /// Files for `/etc`; none are mounted without.
    pub host_files: Option<&'a HostFilePaths>,
    /// Namespaces to join.
    pub joined: &'a NamespacePaths,
    /// Its host name.
    pub hostname: &'a str,
    /// Devices asked for, looked up: on the host, and the path in the container and the access.
    pub devices: &'a [(HostDevice, PathBuf, String)],
    /// Our own program on the host, for a container with our init or a sandbox's holder.
    pub own_program: Option<&'a PathBuf>,
    /// The control group, as `cgroupsPath`, if it has one.
    pub cgroup_path: Option<&'a str>,
    /// What the host can do.
    pub host: &'a HostFacts,
}

/// A specification and what the user should know about it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The specification.
    pub spec: Spec,
    /// What was left out or weakened.
    pub warnings: Vec<String>,
}

/// Decides the specification.
pub fn plan(input: &SpecInput<'_>) -> Result<Planned, InvalidOption> {
    let request = input.request;
    let mut warnings = Vec::new();
    let caps = capabilities(&request.security, &input.host.capabilities, &mut warnings);
    let user_ids = match request.namespaces.user {
        UserMode::Host => None,
        UserMode::Private { base, size } => Some((base, size)),
    };

    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned());
    let mut root = Root::default();
    root.set_path("rootfs".into()).set_readonly(Some(request.files.read_only));
    spec.set_root(Some(root));
    let uts_is_private = request.namespaces.uts == crate::request::UtsMode::Private;
    spec.set_hostname(uts_is_private.then(|| input.hostname.to_owned()));
    spec.set_domainname(request.network.domainname.clone().filter(|_| uts_is_private));
    let labels = selinux::labels(&request.security, input.host.selinux.as_ref(), input.id)?;
    let mut process = process::process(input, &caps, &mut warnings)?;
    process.set_selinux_label(labels.as_ref().and_then(|labels| labels.process.clone()));
    spec.set_process(Some(process));
    spec.set_mounts(Some(mounts::mounts(input)));
    let annotations = &request.annotations;
    spec.set_annotations((!annotations.is_empty()).then(|| annotations.clone().into_iter().collect()));

    let privileged = request.security.privileged;
    let mut linux = Linux::default();
    linux.set_namespaces(Some(namespaces::namespaces(input)));
    linux.set_cgroups_path(input.cgroup_path.map(PathBuf::from));
    linux.set_sysctl(sysctls(input)?);
    if let Some((base, size)) = user_ids {
        linux.set_uid_mappings(Some(vec![namespaces::id_mapping(base, size)]));
        linux.set_gid_mappings(Some(vec![namespaces::id_mapping(base, size)]));
    }
    let (nodes, rules): (Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>) = devices::devices(input);
    linux.set_devices(Some(nodes).filter(|nodes| !nodes.is_empty()));
    let limits = resources(&request.resources, rules, input.host, &mut warnings)?;
    let limits = resources::applicable(limits, input, &mut warnings);
    linux.set_resources(limits);
    linux.set_mount_label(labels.map(|labels| labels.mount));
    linux.set_seccomp(seccomp::seccomp(&request.security, &caps)?);
    let masks = !privileged && !request.security.systempaths_unconfined;
    let security = &request.security;
    let masked = || oci_spec::defaults::masked_paths(input.host.cpus as usize);
    linux.set_masked_paths(masks.then(|| security.masked_paths.clone().unwrap_or_else(masked)));
    let read_only = || security.readonly_paths.clone().unwrap_or_else(oci_spec::defaults::readonly_paths);
    linux.set_readonly_paths(masks.then(read_only));
    linux.set_rootfs_propagation(mounts::rootfs_propagation(input.mounts).map(str::to_owned));
    spec.set_linux(Some(linux));
    Ok(Planned { spec, warnings })
}

/// Kernel parameters: only those of the container's own namespaces may be set.
fn sysctls(input: &SpecInput<'_>) -> Result<Option<HashMap<String, String>>, InvalidOption> {
    use crate::request::{IpcMode, NetworkMode};
    let request = input.request;
    let mut sysctls = HashMap::new();
    let own_network = !matches!(request.network.mode, NetworkMode::Host | NetworkMode::Container(_));
    if own_network && !request.security.privileged && request.namespaces.user == UserMode::Host {
        // As docker: ports below 1024 and ping need no capability in the container's own network.
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        // The kernel takes groups that there are only.
        let last = input.host.rootless.map_or(i32::MAX as u32, |known| known.gids.saturating_sub(1));
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {last}"));
    }
    let own_ipc = !matches!(request.namespaces.ipc, IpcMode::Host | IpcMode::Container(_));
    for (name, value) in &request.security.sysctls {
        let text = format!("{name}={value}");
        let refuse = |why: &str| {
            Err(InvalidOption::new("--sysctl", &text, format!("sysctl '{name}' is not allowed: {why}")))
        };
        if name.contains('/') || name.contains("..") || value.contains('\n') {
            return refuse("use NAME=VALUE with dots in the name, as in net.core.somaxconn=1024");
        }
        let is_ipc = name.starts_with("fs.mqueue.")
            || [
                "kernel.msgmax",
                "kernel.msgmnb",
                "kernel.msgmni",
                "kernel.sem",
                "kernel.shmall",
                "kernel.shmmax",
                "kernel.shmmni",
                "kernel.shm_rmid_forced",
            ]
            .contains(&name.as_str());
        match name {
            _ if is_ipc && own_ipc => {}
            _ if is_ipc => return refuse("the container shares another's IPC namespace"),
            name if name.starts_with("net.") && own_network => {}
            name if name.starts_with("net.") => {
                return refuse("the container shares another's network namespace");
            }
            _ => {
                return refuse(
                    "it is not of a namespace, so it would change the host: only net.*, fs.mqueue.* and kernel.{msg*,sem,shm*} can be set",
                );
            }
        }
        sysctls.insert(name.clone(), value.clone());
    }
    Ok(Some(sysctls).filter(|sysctls| !sysctls.is_empty()))
}

/// The version of the runtime specification that ours are written in.
const OCI_VERSION: &str = "1.2.1";

#[cfg(test)]
mod tests;
