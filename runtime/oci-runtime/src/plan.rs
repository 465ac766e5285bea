//! From a spec to what will be done, as data: nothing here opens, reads or asks.
//!
//! Everything that can be refused by looking at the spec is refused here, before
//! anything was made.

mod devices;
mod hooks;
mod memory;
mod mounts;
mod namespaces;
mod network;
mod process;
mod rdt;

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use sys::idmap::IdMaps;
use sys::mount::Propagation;

pub use devices::{DeviceKind, DevicePlan};
pub(crate) use memory::{FLAGS as MEMORY_FLAGS, MODES as MEMORY_MODES};
pub(crate) use mounts::OPTION_WORDS;
pub use mounts::{FsOption, IdmapPlan, MountKind, MountPlan};
pub use namespaces::{NamespacePlan, TimeOffset};
pub use network::NetDevicePlan;
pub use process::{Capabilities, ProcessPlan, RlimitPlan, SchedulingPlan, cpus, process};
pub use rdt::RdtPlan;

/// All that `create` does, decided.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root filesystem.
    pub root: RootPlan,
    /// Namespaces made and joined.
    pub namespaces: NamespacePlan,
    /// Maps of a user namespace that is made.
    pub id_maps: Option<IdMaps>,
    /// Clock offsets of a time namespace that is made.
    pub time_offsets: Vec<TimeOffset>,
    /// Network devices that move into the container.
    pub net_devices: Vec<NetDevicePlan>,
    /// Shares of cache and memory bandwidth.
    pub rdt: Option<RdtPlan>,
    /// To whom the cgroup is handed: an id of the runtime's user namespace.
    pub cgroup_owner: Option<u32>,
    /// Mounts, in order.
    pub mounts: Vec<MountPlan>,
    /// Device nodes.
    pub devices: Vec<DevicePlan>,
    /// Symlinks below `/dev`: target and path.
    pub links: Vec<(&'static str, &'static str)>,
    /// Paths made unreadable.
    pub masked: Vec<PathBuf>,
    /// Paths made read-only.
    pub readonly: Vec<PathBuf>,
    /// Kernel parameters: path below `/proc/sys` and value.
    pub sysctl: Vec<(PathBuf, String)>,
    /// Host name.
    pub hostname: Option<String>,
    /// Domain name.
    pub domainname: Option<String>,
    /// Init.
    pub process: ProcessPlan,
    /// What cannot be done as asked and is left out.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Whether there is no mount namespace but the runtime's own, and the root is a mount in there.
    pub(crate) fn mounts_here(&self) -> bool {
        let has = |kind| self.namespaces.has(kind);
        !has(sys::Namespace::Mount) && !has(sys::Namespace::User) && self.root.path != Path::new("/")
    }
}

/// What becomes of the root filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPlan {
    /// `root.path`, absolute.
    pub path: PathBuf,
    /// Mounted read-only at the end.
    pub readonly: bool,
    /// `rootfsPropagation`, and whether for all mounts below.
    pub propagation: Option<(Propagation, bool)>,
}

/// The spec asks for something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A part that is needed is missing.
    #[error("config.json has no {field}: {hint}")]
    Missing {
        /// Its name in the specification.
        field: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// A value that is not allowed.
    #[error("{field} {value:?} in config.json is not valid: {hint}")]
    Invalid {
        /// Its name in the specification.
        field: &'static str,
        /// What was found.
        value: String,
        /// What is expected.
        hint: &'static str,
    },
    /// Nodes for a mode that takes none.
    #[error("memory policy mode requires 0 nodes but got {count}: leave linux.memoryPolicy.nodes out")]
    MemoryPolicyNodes {
        /// How many.
        count: usize,
    },
    /// Two parts that exclude each other.
    #[error("config.json asks for {what}, but {hint}")]
    Conflict {
        /// The one.
        what: String,
        /// The other, and the way out.
        hint: &'static str,
    },
}

impl SpecError {
    #[allow(clippy::needless_pass_by_value)]
    pub(crate) fn invalid(field: &'static str, value: impl std::fmt::Display, hint: &'static str) -> Self {
        // By value, since most callers have a reference or a `Display` of their own.
        Self::Invalid { field, value: format!("{value}"), hint }
    }
}

/// Decides what `create` does for `spec` in `bundle`.
pub fn plan(spec: &Spec, bundle: &Path) -> Result<Plan, SpecError> {
    check_version(spec)?;
    hooks::check(spec)?;
    let linux = spec.linux().clone().unwrap_or_default();
    let mut warnings = Vec::new();
    let namespaces = namespaces::namespaces(&linux)?;
    let id_maps = namespaces::id_maps(&linux, &namespaces)?;
    let time_offsets = namespaces::time_offsets(&linux, &namespaces)?;
    let has_user_namespace = namespaces.has(sys::Namespace::User);
    let root = root(spec, &linux, bundle)?;
    let mut plan = Plan {
        mounts: mounts::mounts(
            spec.mounts().as_deref().unwrap_or_default(),
            &root.path,
            (id_maps.as_ref(), namespaces.joins(sys::Namespace::User)),
            &mut warnings,
        )?,
        root,
        devices: Vec::new(),
        links: Vec::new(),
        masked: in_root("linux.maskedPaths", linux.masked_paths().as_deref())?,
        readonly: in_root("linux.readonlyPaths", linux.readonly_paths().as_deref())?,
        sysctl: namespaces::sysctls(&linux, &namespaces)?,
        hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
        // Without one a container can be created, but not started (runtime.md, "Start").
        process: match spec.process() {
            Some(asked) => process(asked, &linux, &mut warnings)?,
            None => ProcessPlan::nothing(),
        },
        net_devices: network::net_devices(&linux, &namespaces)?,
        rdt: rdt::rdt(&linux)?,
        cgroup_owner: cgroup_owner(spec, &namespaces, id_maps.as_ref()),
        namespaces,
        id_maps,
        time_offsets,
        warnings: Vec::new(),
    };
    if let Some(label) = linux.mount_label().as_deref().filter(|label| !label.is_empty()) {
        mounts::label(&mut plan.mounts, label);
    }
    check_names(&plan)?;
    check_mapped(&plan)?;
    let has_mounts = plan.namespaces.makes(sys::Namespace::Mount) || plan.mounts_here();
    if has_mounts && !mounts::brings_own_dev(&plan.mounts) {
        plan.devices = devices::devices(&linux, has_user_namespace)?;
        plan.links = devices::links(&plan.mounts);
    }
    if !has_mounts {
        drop_what_needs_mounts(&mut plan, &mut warnings);
    }
    plan.warnings = warnings;
    Ok(plan)
}

/// The namespace that a kernel parameter of a plan belongs to.
pub(crate) fn sysctl_owner(path: &Path) -> Option<sys::Namespace> {
    namespaces::owner_of(path.to_str()?)
}

fn check_version(spec: &Spec) -> Result<(), SpecError> {
    let hint = "this runtime reads version 1.x of the runtime-spec";
    match spec.version().split('.').next() {
        Some("1") => Ok(()),
        _ => Err(SpecError::invalid("ociVersion", spec.version(), hint)),
    }
}

fn check_names(plan: &Plan) -> Result<(), SpecError> {
    let uts = plan.namespaces.has(sys::Namespace::Uts);
    let conflict = |what: &str| SpecError::Conflict {
        what: what.to_owned(),
        hint: "no uts namespace: add one to linux.namespaces, or the host's name would change",
    };
    match (&plan.hostname, &plan.domainname) {
        (Some(_), _) if !uts => Err(conflict("a hostname")),
        (_, Some(_)) if !uts => Err(conflict("a domainname")),
        _ => Ok(()),
    }
}

/// An id without a place in the map cannot be taken on.
fn check_mapped(plan: &Plan) -> Result<(), SpecError> {
    let Some(maps) = &plan.id_maps else { return Ok(()) };
    let hint = "linux.uidMappings and gidMappings do not cover it";
    if sys::idmap::outside(&maps.uids, plan.process.uid).is_none() {
        return Err(SpecError::invalid("process.user.uid", plan.process.uid, hint));
    }
    if sys::idmap::outside(&maps.gids, plan.process.gid).is_none() {
        return Err(SpecError::invalid("process.user.gid", plan.process.gid, hint));
    }
    Ok(())
}

fn root(spec: &Spec, linux: &oci_spec::runtime::Linux, bundle: &Path) -> Result<RootPlan, SpecError> {
    let root = spec.root().as_ref().ok_or(SpecError::Missing {
        field: "root",
        hint: "add root.path, the directory with the root filesystem",
    })?;
    if root.path().as_os_str().is_empty() {
        return Err(SpecError::Missing {
            field: "root.path",
            hint: "name the directory with the root filesystem",
        });
    }
    let propagation = match linux.rootfs_propagation().as_deref() {
        None | Some("") => None,
        Some(word) => Some(mounts::propagation(word).ok_or_else(|| {
            SpecError::invalid(
                "linux.rootfsPropagation",
                word,
                "use private, slave, shared or unbindable, with r in front for all mounts below",
            )
        })?),
    };
    Ok(RootPlan { path: bundle.join(root.path()), readonly: root.readonly().unwrap_or(false), propagation })
}

/// Relative paths, which the specification forbids, count from the root without a word, as others have it.
fn in_root(field: &'static str, paths: Option<&[String]>) -> Result<Vec<PathBuf>, SpecError> {
    let one = |path: &String| {
        if path.is_empty() {
            return Err(SpecError::invalid(field, path, "use an absolute path"));
        }
        Ok(Path::new("/").join(path))
    };
    let mut seen = std::collections::HashSet::new();
    paths.unwrap_or_default().iter().filter(|path| seen.insert(path.as_str())).map(one).collect()
}

/// In another's mount namespace nothing is mounted, and root of a user namespace may not in the host's.
fn drop_what_needs_mounts(plan: &mut Plan, warnings: &mut Vec<String>) {
    let count = plan.mounts.len() + plan.masked.len() + plan.readonly.len();
    if count > 0 || plan.root.readonly {
        warnings.push(format!(
            "no mount namespace is made to mount in, so the {} mounts, {} masked and {} read-only paths are left out",
            plan.mounts.len(),
            plan.masked.len(),
            plan.readonly.len()
        ));
    }
    plan.mounts.clear();
    plan.masked.clear();
    plan.readonly.clear();
    plan.root.readonly = false;
}

/// Who shall manage the container's own cgroup: who executes its process, when the container sees
/// its cgroup as the root and may write there (config-linux.md, "Cgroup ownership").
fn cgroup_owner(spec: &Spec, namespaces: &NamespacePlan, maps: Option<&IdMaps>) -> Option<u32> {
    let writable = |mount: &oci_spec::runtime::Mount| {
        mount.source().as_deref() == Some(Path::new("cgroup"))
            && mount.destination() == Path::new("/sys/fs/cgroup")
            && !mount.options().iter().flatten().any(|option| option == "ro")
    };
    let given = namespaces.makes(sys::Namespace::Cgroup) && spec.mounts().iter().flatten().any(writable);
    let uid = spec.process().as_ref().map(|process| process.user().uid()).filter(|_| given)?;
    match maps {
        Some(maps) => sys::idmap::outside(&maps.uids, uid),
        None => (!namespaces.has(sys::Namespace::User)).then_some(uid),
    }
}

#[cfg(test)]
mod tests;
