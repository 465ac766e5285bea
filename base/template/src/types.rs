//! What docker's fields are in Go, where JSON does not tell: a map may lack a key, a struct may not lack a field, and
//! nothing has another look for each.

/// How a missing key or a null is printed.
pub(super) fn nothing(fields: &[String]) -> &'static str {
    let Some((last, before)) = fields.split_last() else { return NO_VALUE };
    if before.last().is_some_and(|parent| is_map(parent)) {
        NO_VALUE
    } else if is_map(last) {
        "map[]"
    } else if LISTS.contains(&last.as_str()) {
        "[]"
    } else {
        "<nil>"
    }
}

/// Whether the field's value is a map, whose keys are the user's.
pub(super) fn is_map(field: &str) -> bool {
    MAPS.contains(&field)
}

pub(super) const NO_VALUE: &str = "<no value>";

const MAPS: &[&str] = &[
    "Annotations",
    "Attributes",
    "Containers",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

const LISTS: &[&str] = &[
    "Aliases",
    "Args",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Layers",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];
