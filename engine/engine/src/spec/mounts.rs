//! Mounts: the system's, the files of `/etc`, and what was asked for.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::SpecInput;
use super::namespaces::id_mapping;
use super::process::{INIT_TARGET, PAUSE_TARGET, shares_ids};
use crate::container::{MountRecord, MountSource};
use crate::request::{IpcMode, NetworkMode, SandboxRole, UserMode};

/// All mounts, those of parents before those below them.
pub(super) fn mounts(input: &SpecInput<'_>) -> Vec<Mount> {
    let mut mounts = system(input);
    mounts.extend(host_files(input));
    if let Some(program) = input.own_program {
        let is_holder = input.request.sandbox == Some(SandboxRole::Holder);
        mounts.push(bind(program, if is_holder { PAUSE_TARGET } else { INIT_TARGET }, &["ro"]));
    }
    for record in input.mounts {
        // A mount of the user's replaces the system's at the same place.
        mounts.retain(|mount| mount.destination() != &record.target);
        mounts.push(asked_for(record, input));
    }
    // Stable: of two at the same depth the earlier one comes first.
    mounts.sort_by_key(|mount| depth(mount.destination()));
    mounts
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

fn mount(kind: &str, target: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(target.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(kind.into()))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

fn bind(source: &Path, target: &str, options: &[&str]) -> Mount {
    let mut all = vec!["rbind", "rprivate"];
    all.extend(options);
    let mut mount = mount("bind", target, &all);
    mount.set_source(Some(source.to_owned()));
    mount
}

/// The defaults, changed where the request shares a namespace or is privileged.
fn system(input: &SpecInput<'_>) -> Vec<Mount> {
    let request = input.request;
    let mut mounts = oci_spec::defaults::mounts(request.files.shm_size_bytes.unwrap_or(SHM_BYTES_DEFAULT));
    let at = |mount: &Mount, path: &str| mount.destination() == Path::new(path);
    for mount in &mut mounts {
        // Without a control group of its own, as an ordinary user's may be, it sees others' (CVE-2023-25809).
        let own = at(mount, "/sys") || (at(mount, "/sys/fs/cgroup") && input.cgroup_path.is_some());
        if request.security.privileged && own {
            make_writable(mount);
        }
        if at(mount, "/dev/pts") && input.host.rootless.is_some_and(|known| known.gids <= TTY_GROUP) {
            let options = mount.options().clone().unwrap_or_default();
            mount.set_options(Some(
                options.into_iter().filter(|option| !option.starts_with("gid=")).collect(),
            ));
        }
        if at(mount, "/sys") && !shares_ids(input) && shares_network(input) {
            // A new sysfs needs the owner of the network namespace that it shows.
            *mount = bind(Path::new("/sys"), "/sys", &["nosuid", "noexec", "nodev", "ro"]);
        }
    }
    if request.namespaces.ipc == IpcMode::Host {
        // The queues follow the IPC namespace; `/dev/shm` must be shared by hand.
        mounts.retain(|mount| !at(mount, "/dev/shm"));
        mounts.push(bind(Path::new("/dev/shm"), "/dev/shm", SHM_OPTIONS));
    } else if let Some(process) = input.joined.ipc.as_deref().and_then(|path| path.ancestors().nth(2)) {
        // `/proc/PID/ns/ipc` of the other container: what it has at `/dev/shm` is `/proc/PID/root/dev/shm`.
        mounts.retain(|mount| !at(mount, "/dev/shm"));
        mounts.push(bind(&process.join("root/dev/shm"), "/dev/shm", SHM_OPTIONS));
    } else if request.namespaces.ipc == IpcMode::None {
        mounts.retain(|mount| !at(mount, "/dev/shm"));
    }
    mounts
}

fn make_writable(mount: &mut Mount) {
    let options = mount.options().clone().unwrap_or_default();
    let options = options.into_iter().map(|option| if option == "ro" { "rw".to_owned() } else { option });
    let options = options.collect();
    mount.set_options(Some(options));
}

fn shares_network(input: &SpecInput<'_>) -> bool {
    matches!(input.request.network.mode, NetworkMode::Host | NetworkMode::Container(_))
}

fn host_files(input: &SpecInput<'_>) -> Vec<Mount> {
    let Some(files) = input.host_files else { return Vec::new() };
    [
        (&files.resolv_conf, "/etc/resolv.conf"),
        (&files.hostname, "/etc/hostname"),
        (&files.hosts, "/etc/hosts"),
    ]
    .into_iter()
    .map(|(source, target)| {
        if input.request.files.read_only { bind(source, target, &["ro"]) } else { bind(source, target, &[]) }
    })
    .collect()
}

fn asked_for(record: &MountRecord, input: &SpecInput<'_>) -> Mount {
    let target: &str = &record.target.to_string_lossy();
    let access = if record.read_only { "ro" } else { "rw" };
    match &record.source {
        MountSource::Bind { path, propagation, non_recursive, recursive_read_only } => {
            let kind = if *non_recursive { "bind" } else { "rbind" };
            let propagation = propagation.as_deref().unwrap_or("rprivate");
            let access = if record.read_only && *recursive_read_only { "rro" } else { access };
            let mut mount = mount("bind", target, &[kind, access, propagation]);
            mount.set_source(Some(path.clone()));
            mount
        }
        MountSource::Volume { path, device, .. } => {
            let elsewhere = input.volumes.get(&record.target);
            if let (Some(device), None) = (device, elsewhere) {
                let mut all = vec![access];
                all.extend(device.options.iter().map(String::as_str));
                let mut mount = mount(&device.fs_type, target, &all);
                mount.set_source(Some(device.source.clone().into()));
                return mount;
            }
            let mut mount = mount("bind", target, &["rbind", access, "rprivate"]);
            mount.set_source(Some(elsewhere.unwrap_or(path).clone()));
            if let UserMode::Private { base, size } = input.request.namespaces.user {
                // On disk a volume has the container's ids, so it can be shared by all.
                mount.set_uid_mappings(Some(vec![id_mapping(base, size)]));
                mount.set_gid_mappings(Some(vec![id_mapping(base, size)]));
            }
            mount
        }
        MountSource::Tmpfs { options } => {
            let mut all: Vec<&str> = vec!["nosuid", "nodev", "noexec", access];
            all.extend(options.iter().map(String::as_str));
            mount("tmpfs", target, &all)
        }
        MountSource::Image { layers, .. } => image(target, layers),
    }
}

/// The layers of an image merged, read-only; overlayfs wants two of them at least.
fn image(target: &str, layers: &[PathBuf]) -> Mount {
    match layers {
        [] => mount("tmpfs", target, &["nosuid", "nodev", "noexec", "ro", "mode=755"]),
        [layer] => bind(layer, target, &["ro"]),
        layers => {
            let paths: Vec<String> = layers.iter().map(|path| path.display().to_string()).collect();
            mount("overlay", target, &["ro", &format!("lowerdir={}", paths.join(":"))])
        }
    }
}

/// Mounts that come in from the host need a root that receives them (`mount_namespaces(7)`).
pub(super) fn rootfs_propagation(mounts: &[MountRecord]) -> Option<&'static str> {
    let wants = |kinds: &[&str]| {
        mounts.iter().any(|mount| match &mount.source {
            MountSource::Bind { propagation: Some(propagation), .. } => kinds.contains(&propagation.as_str()),
            _ => false,
        })
    };
    match () {
        () if wants(&["shared", "rshared"]) => Some("shared"),
        () if wants(&["slave", "rslave"]) => Some("slave"),
        () => None,
    }
}

/// Who owns terminals.
const TTY_GROUP: u32 = 5;

const SHM_OPTIONS: &[&str] = &["nosuid", "noexec", "nodev"];

/// Size of `/dev/shm`, as docker has it.
const SHM_BYTES_DEFAULT: u64 = 64 << 20;
