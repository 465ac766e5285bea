//! Device nodes and who may use which.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use super::{HostDevice, SpecInput};

/// Nodes to make, and rules in the order in which they apply.
pub(super) fn devices(input: &SpecInput<'_>) -> (Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>) {
    let security = &input.request.security;
    if security.privileged {
        let nodes = input.host.devices.iter().map(|device| node(device, &device.path)).collect();
        return (nodes, oci_spec::defaults::privileged_device_rules());
    }
    let mut rules = oci_spec::defaults::device_rules();
    let mut nodes = Vec::new();
    for (device, target, access) in input.devices {
        nodes.push(node(device, target));
        rules.push(rule(true, kind(device), Some(device.major), Some(device.minor), access));
    }
    for wanted in &security.device_rules {
        let kind = match wanted.kind {
            'b' => LinuxDeviceType::B,
            'c' => LinuxDeviceType::C,
            _ => LinuxDeviceType::A,
        };
        rules.push(rule(true, kind, wanted.major, wanted.minor, &wanted.access));
    }
    (nodes, rules)
}

fn kind(device: &HostDevice) -> LinuxDeviceType {
    if device.is_block { LinuxDeviceType::B } else { LinuxDeviceType::C }
}

fn node(device: &HostDevice, target: &Path) -> LinuxDevice {
    let mut node = LinuxDevice::default();
    node.set_path(target.to_owned())
        .set_typ(kind(device))
        .set_major(device.major)
        .set_minor(device.minor)
        .set_file_mode(Some(device.mode))
        .set_uid(Some(device.uid))
        .set_gid(Some(device.gid));
    node
}

fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow)
        .set_typ(Some(kind))
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    rule
}
