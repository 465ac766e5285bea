//! Which namespaces are made and which are joined.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespace, LinuxNamespaceType};

use super::SpecInput;
use crate::request::{CgroupMode, IpcMode, NetworkMode, PidMode, UserMode, UtsMode};

/// Namespaces of other containers, as paths below `/proc`.
#[derive(Clone, Debug, Default)]
pub struct NamespacePaths {
    /// `--pid container:X`.
    pub pid: Option<PathBuf>,
    /// `--ipc container:X`.
    pub ipc: Option<PathBuf>,
    /// `--network container:X`.
    pub network: Option<PathBuf>,
    /// The host name of a sandbox.
    pub uts: Option<PathBuf>,
}

pub(super) fn namespaces(input: &SpecInput<'_>) -> Vec<LinuxNamespace> {
    let wanted = &input.request.namespaces;
    let mut list = vec![namespace(LinuxNamespaceType::Mount, None)];
    if wanted.pid != PidMode::Host {
        list.push(namespace(LinuxNamespaceType::Pid, input.joined.pid.clone()));
    }
    if wanted.ipc != IpcMode::Host {
        list.push(namespace(LinuxNamespaceType::Ipc, input.joined.ipc.clone()));
    }
    if wanted.uts != UtsMode::Host {
        list.push(namespace(LinuxNamespaceType::Uts, input.joined.uts.clone()));
    }
    if input.request.network.mode != NetworkMode::Host {
        list.push(namespace(LinuxNamespaceType::Network, input.joined.network.clone()));
    }
    if wanted.cgroup != CgroupMode::Host {
        list.push(namespace(LinuxNamespaceType::Cgroup, None));
    }
    if wanted.user != UserMode::Host {
        list.push(namespace(LinuxNamespaceType::User, None));
    }
    list
}

fn namespace(typ: LinuxNamespaceType, path: Option<PathBuf>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(typ).set_path(path);
    namespace
}

pub(super) fn id_mapping(base: u32, size: u32) -> LinuxIdMapping {
    let mut mapping = LinuxIdMapping::default();
    mapping.set_host_id(base).set_size(size);
    mapping
}
