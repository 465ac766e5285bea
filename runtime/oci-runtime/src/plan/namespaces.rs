//! Namespaces, id maps, clock offsets and the kernel parameters that belong to them.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};
use sys::idmap::{IdMaps, IdRange};
use sys::{Namespace, NamespaceSet};

use super::SpecError;

/// Which namespaces init gets; those that are in neither list are the runtime's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespacePlan {
    /// Made for it.
    pub make: NamespaceSet,
    /// Joined by path.
    pub join: Vec<(Namespace, PathBuf)>,
}

impl NamespacePlan {
    /// Whether it is made.
    pub fn makes(&self, kind: Namespace) -> bool {
        self.make.contains(kind)
    }

    /// Whether it is made or joined, so not the runtime's own.
    pub fn has(&self, kind: Namespace) -> bool {
        self.makes(kind) || self.joins(kind)
    }

    /// Whether it is joined.
    pub fn joins(&self, kind: Namespace) -> bool {
        self.join.iter().any(|(joined, _)| *joined == kind)
    }
}

/// An offset of `/proc/PID/timens_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    /// `monotonic` or `boottime`.
    pub clock: String,
    /// Whole seconds.
    pub secs: i64,
    /// And nanoseconds.
    pub nanosecs: u32,
}

pub(super) fn namespaces(linux: &Linux) -> Result<NamespacePlan, SpecError> {
    let mut plan = NamespacePlan::default();
    for entry in linux.namespaces().as_deref().unwrap_or_default() {
        let kind = kind(entry.typ());
        if plan.has(kind) {
            return Err(SpecError::invalid("linux.namespaces", kind, "each type may be listed once"));
        }
        match entry.path() {
            Some(path) if path.as_os_str().is_empty() => plan.make = plan.make.with(kind),
            Some(path) if path.is_absolute() => plan.join.push((kind, path.clone())),
            Some(path) => {
                return Err(SpecError::invalid(
                    "linux.namespaces path",
                    path.display(),
                    "use an absolute path",
                ));
            }
            None => plan.make = plan.make.with(kind),
        }
    }
    plan.join.sort_by_key(|(kind, _)| Namespace::ALL.iter().position(|known| known == kind));
    Ok(plan)
}

fn kind(typ: LinuxNamespaceType) -> Namespace {
    match typ {
        LinuxNamespaceType::Mount => Namespace::Mount,
        LinuxNamespaceType::Cgroup => Namespace::Cgroup,
        LinuxNamespaceType::Uts => Namespace::Uts,
        LinuxNamespaceType::Ipc => Namespace::Ipc,
        LinuxNamespaceType::User => Namespace::User,
        LinuxNamespaceType::Pid => Namespace::Pid,
        LinuxNamespaceType::Network => Namespace::Net,
        LinuxNamespaceType::Time => Namespace::Time,
    }
}

pub(super) fn id_maps(linux: &Linux, namespaces: &NamespacePlan) -> Result<Option<IdMaps>, SpecError> {
    let uids = ranges("linux.uidMappings", linux.uid_mappings().as_deref())?;
    let gids = ranges("linux.gidMappings", linux.gid_mappings().as_deref())?;
    let given = !uids.is_empty() || !gids.is_empty();
    if !namespaces.makes(Namespace::User) {
        // With a joined user namespace its own maps hold; containerd repeats them here.
        if given && !namespaces.joins(Namespace::User) {
            return Err(SpecError::Conflict {
                what: "id mappings".to_owned(),
                hint: "no user namespace: add one to linux.namespaces",
            });
        }
        return Ok((given && namespaces.joins(Namespace::User)).then_some(IdMaps { uids, gids }));
    }
    if uids.is_empty() || gids.is_empty() {
        return Err(SpecError::Missing {
            field: "linux.uidMappings or linux.gidMappings",
            hint: "a new user namespace needs both",
        });
    }
    Ok(Some(IdMaps { uids, gids }))
}

pub(super) fn ranges(
    field: &'static str,
    maps: Option<&[LinuxIdMapping]>,
) -> Result<Vec<IdRange>, SpecError> {
    let mut ranges: Vec<IdRange> = Vec::new();
    for map in maps.unwrap_or_default() {
        let range = IdRange { inside: map.container_id(), outside: map.host_id(), count: map.size() };
        let fits = |first: u32| first.checked_add(range.count).is_some();
        let text = || format!("{}:{}:{}", range.inside, range.outside, range.count);
        if range.count == 0 || !fits(range.inside) || !fits(range.outside) {
            return Err(SpecError::invalid(
                field,
                text(),
                "a range has at least one id and ends below 4294967295",
            ));
        }
        let overlaps = |a: u32, b: u32, other: &IdRange| a < b + other.count && b < a + range.count;
        if ranges.iter().any(|other| overlaps(range.inside, other.inside, other)) {
            return Err(SpecError::invalid(field, text(), "ranges may not overlap"));
        }
        ranges.push(range);
    }
    Ok(ranges)
}

pub(super) fn time_offsets(linux: &Linux, namespaces: &NamespacePlan) -> Result<Vec<TimeOffset>, SpecError> {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|offsets| !offsets.is_empty()) else {
        return Ok(Vec::new());
    };
    if !namespaces.makes(Namespace::Time) {
        return Err(SpecError::Conflict {
            what: "timeOffsets".to_owned(),
            hint: "no new time namespace: add one to linux.namespaces",
        });
    }
    let mut plan = Vec::new();
    for (clock, offset) in offsets {
        if clock != "monotonic" && clock != "boottime" {
            return Err(SpecError::invalid("linux.timeOffsets", clock, "use monotonic or boottime"));
        }
        plan.push(TimeOffset {
            clock: clock.clone(),
            secs: offset.secs().unwrap_or(0),
            nanosecs: offset.nanosecs().unwrap_or(0),
        });
    }
    plan.sort_by(|a, b| a.clock.cmp(&b.clock));
    Ok(plan)
}

/// Kernel parameters that belong to a namespace of the container. Any other would
/// change the host.
pub(super) fn sysctls(
    linux: &Linux,
    namespaces: &NamespacePlan,
) -> Result<Vec<(PathBuf, String)>, SpecError> {
    let mut plan = Vec::new();
    for (key, value) in linux.sysctl().iter().flatten() {
        let path = sysctl_path(key)?;
        let owner = owner_of(&path).ok_or_else(|| {
            SpecError::invalid(
                "linux.sysctl",
                key,
                "only parameters of the ipc, net and uts namespaces can be set",
            )
        })?;
        if !namespaces.has(owner) {
            return Err(SpecError::Conflict {
                what: format!("sysctl {key}"),
                hint: "the namespace that it belongs to is the host's: add it to linux.namespaces",
            });
        }
        plan.push((PathBuf::from(path), value.clone()));
    }
    plan.sort();
    Ok(plan)
}

/// `net.ipv4.ip_forward` or `net/ipv4/conf/eth0.1/forwarding`: with a slash in it the
/// dots are part of names. Nothing may climb.
fn sysctl_path(key: &str) -> Result<String, SpecError> {
    let dot = key.find('.').unwrap_or(usize::MAX);
    let slash = key.find('/').unwrap_or(usize::MAX);
    let path = match dot < slash {
        // In the dotted form a slash stands for a dot inside a name (sysctl(8)).
        true => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
        false => key.to_owned(),
    };
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if path.split('/').any(bad) {
        return Err(SpecError::invalid("linux.sysctl", key, "write it as net.ipv4.ip_forward"));
    }
    Ok(path)
}

pub(super) fn owner_of(path: &str) -> Option<Namespace> {
    const IPC: &[&str] = &[
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
        "kernel/msg_next_id",
        "kernel/sem_next_id",
        "kernel/shm_next_id",
        "kernel/auto_msgmni",
    ];
    if path.starts_with("net/") {
        return Some(Namespace::Net);
    }
    if IPC.contains(&path) || path.starts_with("fs/mqueue/") {
        return Some(Namespace::Ipc);
    }
    matches!(path, "kernel/domainname" | "kernel/hostname").then_some(Namespace::Uts)
}
