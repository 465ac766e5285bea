//! What docker's fields are in Go, where JSON does not tell: a map may lack a key, a struct may not lack a field, and
//! nothing has another look for each. A struct is known by the fields that it always has.

use serde_json::{Map, Value};

use super::functions::formatted;

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

/// How Go prints a struct with these fields, if docker has one.
pub(super) fn printed(object: &Map<String, Value>) -> Option<String> {
    let mut out = String::new();
    for (part, is_field, _) in parts(struct_of(object)?) {
        match object.get(part) {
            _ if !is_field => out.push_str(part),
            Some(Value::Null) => out.push_str(nothing(&[part.to_owned()])),
            Some(value) => out.push_str(&formatted(value)),
            None => out.push_str(&formatted(&zero(part))),
        }
    }
    Some(out)
}

/// What a struct has in a field that JSON leaves out when it is empty.
pub(super) fn left_out(object: &Map<String, Value>, field: &str) -> Option<Value> {
    parts(struct_of(object)?).find(|(part, is_field, _)| *is_field && *part == field).map(|_| zero(field))
}

fn struct_of(object: &Map<String, Value>) -> Option<&'static str> {
    let has_all = |pattern: &str| {
        parts(pattern).all(|(part, is_field, may_lack)| !is_field || may_lack || object.contains_key(part))
    };
    STRUCTS.iter().copied().find(|pattern| has_all(pattern))
}

/// Fields and what stands between them: the text, whether it is a field, and whether JSON may leave it out.
fn parts(pattern: &str) -> impl Iterator<Item = (&str, bool, bool)> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        let is_field = rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        let other = |c: char| c.is_ascii_alphanumeric() != is_field;
        let (part, after) = rest.split_at(rest.find(other).unwrap_or(rest.len()));
        rest = after.strip_prefix('?').unwrap_or(after);
        (!part.is_empty()).then_some((part, is_field, rest.len() < after.len()))
    })
}

fn zero(field: &str) -> Value {
    match field {
        // A pointer.
        "Health" => Value::Null,
        map if is_map(map) => Map::new().into(),
        _ => Value::from(""),
    }
}

pub(super) const NO_VALUE: &str = "<no value>";

/// As `%v` has them: the fields in Go's order, `?` behind those that JSON leaves out when they are empty. Those with a
/// text of their own (`String()`) have no braces.
const STRUCTS: &[&str] = &[
    "{Name MaximumRetryCount}",
    "{HostIp HostPort}",
    "{Type Name? Source Destination Driver? Mode RW Propagation}",
    "{Type Config}",
    "{Type Layers}",
    "{Subnet IPRange? Gateway? AuxiliaryAddresses?}",
    "{Driver Options Config}",
    "{Name EndpointID MacAddress IPv4Address IPv6Address}",
    "{Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt Health?}",
    "{Status FailingStreak Log}",
    "{Start End ExitCode Output}",
    "{PathOnHost PathInContainer CgroupPermissions}",
    "{Driver Count DeviceIDs Capabilities Options}",
    "{Data Name}",
    "Name=Soft:Hard",
    "Path:Weight",
    "Path:Rate",
];

const MAPS: &[&str] = &[
    "Annotations",
    "Attributes",
    "AuxiliaryAddresses",
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
