//! What was asked of a container, as docker's `HostConfig`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::container::{MountSource, Record};
use crate::request::{
    AppArmor, CgroupMode, DeviceRule, IpcMode, LogRequest, MountKind, MountOption, MountRequest, PidMode,
    RateDevice, SeccompRequest, TmpfsOptions, UserMode, UtsMode, Vanish,
};

pub(super) fn host_config(record: &Record, cgroup: &str) -> Value {
    let request = &record.request;
    let mut value = json!({
        "Binds": binds(record),
        "ContainerIDFile": request.id_file.clone().unwrap_or_default(),
        "LogConfig": log_config(&request.log),
        "RestartPolicy": {"Name": request.restart.word(), "MaximumRetryCount": request.restart.max()},
        "AutoRemove": request.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": volumes_from(record),
        "ConsoleSize": [0, 0],
        "GroupAdd": request.process.group_add,
        "Cgroup": "",
        "OomScoreAdj": request.resources.oom_score_adj.unwrap_or(0),
        "ReadonlyRootfs": request.files.read_only,
        "ShmSize": request.files.shm_size_bytes.unwrap_or(64 << 20),
        "Runtime": "strake",
        "Isolation": "",
        "Init": request.process.init,
        "CgroupParent": request.resources.cgroup_parent.clone().unwrap_or_default(),
        "CgroupPath": cgroup,
    });
    if let Value::Object(map) = &mut value {
        for part in [network(record), security(record), namespaces(record), limits(record), devices(record)] {
            map.extend(part);
        }
        map.extend(present("Annotations", &request.annotations));
        let size = request.files.layer_max_bytes.map(|bytes| ("size", bytes.to_string()));
        map.extend(present("StorageOpt", &size.into_iter().collect::<BTreeMap<_, _>>()));
        map.extend(present("Tmpfs", &tmpfs(record)));
        map.extend(present("Mounts", &mounts(record)));
    }
    value
}

/// Docker leaves these out when there is nothing in them.
fn present(key: &str, value: &impl serde::Serialize) -> Option<(String, Value)> {
    let value = json!(value);
    let is_empty =
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    (!is_empty).then(|| (key.to_owned(), value))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn list_or_null<T: serde::Serialize>(list: &[T]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

fn network(record: &Record) -> Map<String, Value> {
    let network = &record.request.network;
    object(json!({
        "NetworkMode": network.mode.docker_name(),
        "PortBindings": port_bindings(record),
        "PublishAllPorts": network.publish_all,
        "PublishPolicy": network.publishing.policy.to_string(),
        "PublishShared": network.publishing.shared,
        "Dns": network.dns, "DnsOptions": network.dns_options, "DnsSearch": network.dns_search,
        "ExtraHosts": network.add_host.iter().map(|(name, ip)| format!("{name}:{ip}")).collect::<Vec<_>>(),
        "Links": Value::Null,
    }))
}

fn security(record: &Record) -> Map<String, Value> {
    let security = &record.request.security;
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        SeccompRequest::Unconfined => options.push("seccomp=unconfined".to_owned()),
        SeccompRequest::Profile(text) => options.push(format!("seccomp={text}")),
        SeccompRequest::Default => {}
    }
    match &security.apparmor {
        AppArmor::Unconfined => options.push("apparmor=unconfined".to_owned()),
        AppArmor::Profile(profile) => options.push(format!("apparmor={profile}")),
        AppArmor::Default => {}
    }
    options.extend(security.labels.iter().map(|label| format!("label={label}")));
    if security.systempaths_unconfined {
        options.push("systempaths=unconfined".to_owned());
    }
    let open = security.privileged || security.systempaths_unconfined;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let paths = |own: &Option<Vec<String>>, default: &dyn Fn() -> Vec<String>| match open {
        true => Value::Null,
        false => json!(own.clone().unwrap_or_else(default)),
    };
    let masked = || oci_spec::defaults::masked_paths(cpus);
    object(json!({
        "CapAdd": list_or_null(&security.cap_add), "CapDrop": list_or_null(&security.cap_drop),
        "Privileged": security.privileged,
        "SecurityOpt": list_or_null(&options),
        "Sysctls": security.sysctls,
        "MaskedPaths": paths(&security.masked_paths, &masked),
        "ReadonlyPaths": paths(&security.readonly_paths, &oci_spec::defaults::readonly_paths),
    }))
}

fn namespaces(record: &Record) -> Map<String, Value> {
    let namespaces = &record.request.namespaces;
    object(json!({
        "CgroupnsMode": if namespaces.cgroup == CgroupMode::Host { "host" } else { "private" },
        "IpcMode": match &namespaces.ipc {
            IpcMode::Private => "private".to_owned(),
            IpcMode::Shareable => "shareable".to_owned(),
            IpcMode::None => "none".to_owned(),
            IpcMode::Host => "host".to_owned(),
            IpcMode::Container(id) => format!("container:{id}"),
        },
        "PidMode": match &namespaces.pid {
            PidMode::Private => String::new(),
            PidMode::Host => "host".to_owned(),
            PidMode::Container(id) => format!("container:{id}"),
        },
        "UTSMode": match &namespaces.uts {
            UtsMode::Private => String::new(),
            UtsMode::Host => "host".to_owned(),
            UtsMode::Container(id) => format!("container:{id}"),
        },
        "UsernsMode": match &namespaces.user {
            UserMode::Host => String::new(),
            UserMode::Private { base, size } => format!("private:{base}:{size}"),
        },
    }))
}

fn limits(record: &Record) -> Map<String, Value> {
    let resources = &record.request.resources;
    let swap = match (resources.memory_swap_bytes, resources.memory_bytes) {
        (None | Some(0), Some(memory)) => json!(memory.saturating_mul(2)),
        (swap, _) => json!(swap.unwrap_or(0)),
    };
    let rates = |devices: &[RateDevice]| -> Vec<Value> {
        devices.iter().map(|device| json!({"Path": device.path, "Rate": device.rate})).collect()
    };
    let weights = resources.blkio_weight_devices.iter();
    let weights: Vec<Value> =
        weights.map(|device| json!({"Path": device.path, "Weight": device.weight})).collect();
    object(json!({
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory_bytes.unwrap_or(0),
        "MemorySwap": swap,
        "MemoryReservation": resources.memory_reservation_bytes.unwrap_or(0),
        "MemorySwappiness": resources.memory_swappiness,
        "OomKillDisable": resources.oom_kill_disable,
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CpuPeriod": resources.cpu_period_us.unwrap_or(0),
        "CpuQuota": resources.cpu_quota_us.unwrap_or(0),
        "CpuRealtimePeriod": resources.cpu_rt_period_us.unwrap_or(0),
        "CpuRealtimeRuntime": resources.cpu_rt_runtime_us.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": resources.cpuset_mems.clone().unwrap_or_default(),
        "BlkioWeight": resources.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": weights,
        "BlkioDeviceReadBps": rates(&resources.read_bps),
        "BlkioDeviceWriteBps": rates(&resources.write_bps),
        "BlkioDeviceReadIOps": rates(&resources.read_iops),
        "BlkioDeviceWriteIOps": rates(&resources.write_iops),
        "PidsLimit": resources.pids_limit,
        "Ulimits": resources.ulimits.iter()
            .map(|limit| json!({"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard})).collect::<Vec<_>>(),
        // Windows only, and there for whoever reads them.
        "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
    }))
}

fn devices(record: &Record) -> Map<String, Value> {
    let security = &record.request.security;
    let devices = security.devices.iter().map(|device| {
        json!({"PathOnHost": device.host, "PathInContainer": device.container, "CgroupPermissions": device.access})
    });
    let number = |number: Option<i64>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let rule = |rule: &DeviceRule| {
        format!("{} {}:{} {}", rule.kind, number(rule.major), number(rule.minor), rule.access)
    };
    let rules: Vec<String> = security.device_rules.iter().map(rule).collect();
    object(json!({
        "Devices": devices.collect::<Vec<_>>(),
        "DeviceCgroupRules": list_or_null(&rules),
        "DeviceRequests": Value::Null,
    }))
}

/// Those of `--volume`, but volumes without a name.
fn binds(record: &Record) -> Value {
    let asked = record.request.files.mounts.iter().filter(|mount| mount.by == MountOption::Volume);
    let binds = asked.filter_map(|mount| {
        let mut modes = Vec::new();
        if mount.read_only {
            modes.push("ro".to_owned());
        }
        let source = match &mount.kind {
            MountKind::Bind { source, options } => {
                modes.extend(options.propagation.clone());
                bound(record, &mount.target).unwrap_or_else(|| source.display().to_string())
            }
            MountKind::Volume { name: Some(name), no_copy, .. } => {
                modes.extend(no_copy.then(|| "nocopy".to_owned()));
                name.clone()
            }
            _ => return None,
        };
        let modes = if modes.is_empty() { String::new() } else { format!(":{}", modes.join(",")) };
        Some(format!("{source}:{}{modes}", mount.target.display()))
    });
    list_or_null(&binds.collect::<Vec<_>>())
}

/// The host's path that is bound at `target`, as it was resolved.
fn bound(record: &Record, target: &Path) -> Option<String> {
    record.mounts.iter().filter(|mount| mount.target == target).find_map(|mount| match &mount.source {
        MountSource::Bind { path, .. } => Some(path.display().to_string()),
        _ => None,
    })
}

fn volumes_from(record: &Record) -> Value {
    let others = record.request.files.volumes_from.iter();
    let texts = others.map(|from| format!("{}{}", from.container, if from.read_only { ":ro" } else { "" }));
    list_or_null(&texts.collect::<Vec<_>>())
}

fn tmpfs(record: &Record) -> BTreeMap<String, String> {
    let asked = record.request.files.mounts.iter();
    let tmpfs = asked.filter_map(|mount| match (&mount.kind, mount.by) {
        (MountKind::Tmpfs(options), MountOption::Tmpfs) => {
            Some((mount.target.display().to_string(), tmpfs_text(mount, options)))
        }
        _ => None,
    });
    tmpfs.collect()
}

fn tmpfs_text(mount: &MountRequest, options: &TmpfsOptions) -> String {
    let mut texts = Vec::new();
    texts.extend(mount.read_only.then(|| "ro".to_owned()));
    texts.extend(options.size_bytes.map(|size| format!("size={size}")));
    texts.extend(options.mode.map(|mode| format!("mode={mode:o}")));
    texts.extend(options.options.iter().cloned());
    texts.join(",")
}

/// Those of `--mount`.
fn mounts(record: &Record) -> Vec<Value> {
    let asked = record.request.files.mounts.iter().filter(|mount| mount.by == MountOption::Mount);
    asked.map(|mount| Value::Object(spelled_out(record, mount))).collect()
}

fn spelled_out(record: &Record, mount: &MountRequest) -> Map<String, Value> {
    let (kind, source, options) = match &mount.kind {
        MountKind::Bind { source, options } => {
            let own = json!({
                "Propagation": options.propagation, "NonRecursive": options.non_recursive,
                "CreateMountpoint": options.if_missing == Vanish::MakeDirectory,
                "ReadOnlyNonRecursive": mount.read_only && !options.recursive_read_only && !options.non_recursive,
            });
            let source = bound(record, &mount.target).unwrap_or_else(|| source.display().to_string());
            ("bind", source, ("BindOptions", object(own)))
        }
        MountKind::Volume { name, no_copy, options } => {
            let mut own =
                object(json!({"NoCopy": no_copy, "Labels": options.labels, "Subpath": options.part}));
            if !options.driver_options.is_empty() {
                own.insert("DriverConfig".to_owned(), json!({"Options": options.driver_options}));
            }
            ("volume", name.clone().unwrap_or_default(), ("VolumeOptions", own))
        }
        MountKind::Tmpfs(options) => {
            let own = json!({"SizeBytes": options.size_bytes, "Mode": options.mode});
            ("tmpfs", String::new(), ("TmpfsOptions", object(own)))
        }
        MountKind::Image { image, part } => {
            ("image", image.clone(), ("ImageOptions", object(json!({"Subpath": part}))))
        }
    };
    let mut map = Map::new();
    map.insert("Type".to_owned(), kind.into());
    map.extend((!source.is_empty()).then(|| ("Source".to_owned(), source.into())));
    map.insert("Target".to_owned(), json!(mount.target));
    map.extend(mount.read_only.then(|| ("ReadOnly".to_owned(), true.into())));
    let (key, mut own) = options;
    own.retain(|_, value| !is_default(value));
    map.extend((!own.is_empty()).then(|| (key.to_owned(), Value::Object(own))));
    map
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn log_config(log: &LogRequest) -> Value {
    let mut config = log.options.clone();
    if log.keep {
        // Also what was not asked for: the cap is there by default.
        config.insert("max-file".to_owned(), log.max_files.to_string());
        let size = log.max_size_bytes.map_or_else(|| "-1".to_owned(), |size| size.to_string());
        config.insert("max-size".to_owned(), size);
    }
    json!({"Type": log.driver(), "Config": config})
}

fn port_bindings(record: &Record) -> Value {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in &record.request.network.publish {
        let host_port = match port.host_port {
            attach::HostPort::Ephemeral => String::new(),
            attach::HostPort::Fixed(port) => port.to_string(),
            attach::HostPort::AnyOf(first, last) => format!("{first}-{last}"),
        };
        let host_ip = port.host_ip.map_or_else(String::new, |ip| ip.to_string());
        let key = format!("{}/{}", port.container_port, port.protocol);
        bindings.entry(key).or_default().push(json!({"HostIp": host_ip, "HostPort": host_port}));
    }
    json!(bindings)
}
