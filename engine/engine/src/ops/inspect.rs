//! Everything about a container, in docker's form.

use std::collections::BTreeMap;

use attach::Attachment;
use oci_spec::image::Platform;
use serde_json::{Map, Value, json};
use shim::{Exit, ExitCause, Timestamp};

use super::create::hostname;
use crate::container::{Lifecycle, MountRecord, MountSource, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{
    AppArmor, CgroupMode, IpcMode, NetworkMode, PidMode, PortRequest, SeccompRequest, UserMode, UtsMode,
};

/// What of a container is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct InspectOptions {
    /// Count the bytes of its files, too.
    pub size: bool,
}

impl Engine {
    /// Everything about a container, as `docker inspect` has it.
    pub fn inspect(&self, record: &Record, options: InspectOptions) -> Result<Value, Error> {
        let attachment = self.attachment(record)?;
        let id = record.id.as_str();
        let args = record.command_line();
        let record_dir = self.paths().record_dir(&record.id);
        let state_dir = self.paths().state_dir(&record.id);
        let mut value = json!({
            "Id": id,
            "Created": record.created.to_string(),
            "Path": args.first().cloned().unwrap_or_default(),
            "Args": args.get(1..).unwrap_or_default(),
            "State": self.state(record),
            "Image": record.image.id.to_string(),
            "ResolvConfPath": state_dir.join("resolv.conf"),
            "HostnamePath": state_dir.join("hostname"),
            "HostsPath": state_dir.join("hosts"),
            "LogPath": if record.request.log.keep { json!(self.paths().log(&record.id)) } else { json!("") },
            "RecordPath": record_dir.join("container.json"),
            "Name": format!("/{}", record.name),
            "RestartCount": record.restarts,
            "Driver": "overlay2",
            "Platform": Platform::parse(&record.image.platform).map_or_else(|_| "linux".to_owned(), |p| p.os),
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": match &record.request.security.apparmor {
                AppArmor::Profile(profile) => profile.as_str(),
                AppArmor::Unconfined => "unconfined",
                AppArmor::Default => "",
            },
            "ExecIDs": Value::Null,
            "HostConfig": host_config(record, &self.cgroup_path(record)),
            "GraphDriver": self.graph_driver(record),
            "Mounts": record.mounts.iter().map(mount).collect::<Vec<_>>(),
            "Config": config(record),
            "NetworkSettings": network_settings(record, attachment.as_ref()),
            "Warnings": record.warnings,
        });
        if options.size {
            value["SizeRw"] = self.size_rw(record)?.into();
            value["SizeRootFs"] = (self.size_rw(record)? + self.size_image(record)?).into();
        }
        Ok(value)
    }

    fn state(&self, record: &Record) -> Value {
        let mut state = state(record);
        if let Some(health) = self.health(record) {
            state["Health"] = json!(health);
        }
        state
    }

    /// Where the layers are; the mount itself is not in the host's mount namespace.
    fn graph_driver(&self, record: &Record) -> Value {
        let mut data = Map::new();
        data.insert("ID".to_owned(), record.id.as_str().into());
        if let Ok(snapshots) = self.snapshots() {
            if let Some(upper) = snapshots.snapshot(&record.id).ok().and_then(|active| active.upper) {
                let work = upper.parent().map(|dir| dir.join("work"));
                data.insert("WorkDir".to_owned(), json!(work));
                data.insert("UpperDir".to_owned(), json!(upper));
            }
            let layers = record.image.chain.as_ref().and_then(|chain| snapshots.layers(chain).ok());
            let lower: Vec<String> = layers
                .unwrap_or_default()
                .iter()
                .rev()
                .map(|layer| layer.path.display().to_string())
                .collect();
            data.insert("LowerDir".to_owned(), lower.join(":").into());
        }
        if let Some(pid) = record.lifecycle.pid() {
            data.insert("MergedDir".to_owned(), format!("/proc/{pid}/root").into());
        }
        json!({"Name": "overlay2", "Data": data})
    }
}

const NEVER: &str = "0001-01-01T00:00:00Z";

fn state(record: &Record) -> Value {
    let lifecycle = &record.lifecycle;
    let exit = lifecycle.exit();
    let started = match lifecycle {
        Lifecycle::Running { started_at, .. } => Some(*started_at),
        _ => exit.and_then(|exit| exit.started_at),
    };
    let (error, code) = match lifecycle {
        Lifecycle::Created { failure: Some(failure) } => (failure.message.clone(), i32::from(failure.code)),
        _ => {
            let failure = record.start_failure.as_ref().map(|failure| failure.message.clone());
            let error = failure.or_else(|| exit.map(unknown)).unwrap_or_default();
            (error, exit.map_or(0, |exit| exit.code.unwrap_or(255)))
        }
    };
    let time = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), |time| time.to_string());
    let mut state = json!({
        "Status": lifecycle.docker_status(),
        "Running": lifecycle.is_up(),
        "Paused": lifecycle.docker_status() == "paused",
        "Restarting": lifecycle.is_restarting(),
        "OOMKilled": exit.is_some_and(|exit| exit.oom_killed),
        "Dead": false,
        "Pid": lifecycle.pid().unwrap_or(0),
        "ExitCode": code,
        "Error": error,
        "StartedAt": time(started),
        "FinishedAt": time(exit.map(|exit| exit.at)),
    });
    if let Some(exit) = exit {
        state["ExitCause"] = serde_json::to_value(&exit.cause).unwrap_or_default();
        state["ExitSignal"] = json!(exit.signal);
    }
    state
}

fn unknown(exit: &Exit) -> String {
    match &exit.cause {
        ExitCause::Unknown { why } => format!("the exit code is unknown: {why}"),
        _ => String::new(),
    }
}

fn mount(mount: &MountRecord) -> Value {
    let (kind, name, source, driver, propagation) = match &mount.source {
        MountSource::Bind { path, propagation, .. } => {
            ("bind", "", json!(path), "", propagation.as_deref().unwrap_or("rprivate"))
        }
        MountSource::Volume { name, path, .. } => ("volume", name.as_str(), json!(path), "local", ""),
        MountSource::Tmpfs { .. } => ("tmpfs", "", json!(""), "", ""),
        MountSource::Image { name, .. } => ("image", name.as_str(), json!(""), "", ""),
    };
    let mode = if mount.read_only { "ro" } else { "" };
    // Every key is there for every kind, so that one template fits all of them.
    json!({
        "Type": kind, "Name": name, "Source": source, "Destination": mount.target, "Driver": driver,
        "Mode": mode, "RW": !mount.read_only, "Propagation": propagation,
    })
}

fn set_of(keys: impl IntoIterator<Item = String>) -> Value {
    keys.into_iter().map(|key| (key, json!({}))).collect::<Map<_, _>>().into()
}

/// Ports that the container says it listens on: the image's, those of `--expose`, and
/// those that are published.
pub fn exposed_ports(record: &Record) -> Vec<PortRequest> {
    let mut ports: Vec<PortRequest> = record.request.network.expose.clone();
    ports.extend(
        record.config.exposed_ports.keys().filter_map(|port| PortRequest::parse(port).ok()).flatten(),
    );
    let published = record.request.network.publish.iter();
    ports.extend(published.map(|port| PortRequest { port: port.container_port, protocol: port.protocol }));
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn config(record: &Record) -> Value {
    let request = &record.request;
    let process = &request.process;
    let own = &record.config;
    let [stdin, stdout, stderr] = process.attach;
    let exposed = exposed_ports(record);
    let command =
        if process.command.is_empty() && process.entrypoint.is_none() { &own.cmd } else { &process.command };
    let mut env = vec![crate::spec::DEFAULT_PATH.to_owned()];
    env.retain(|entry| {
        !own.env.iter().any(|other| other.starts_with("PATH=")) || !entry.starts_with("PATH=")
    });
    env.extend(own.env.clone());
    for entry in &process.env {
        let name = entry.split('=').next().unwrap_or(entry);
        env.retain(|other| other.split('=').next() != Some(name));
        if entry.contains('=') {
            env.push(entry.clone());
        }
    }
    let mut value = json!({
        "Hostname": hostname(request, &record.id),
        "Domainname": request.network.domainname.clone().unwrap_or_default(),
        "User": process.user.clone().unwrap_or_else(|| own.user.clone()),
        "AttachStdin": stdin, "AttachStdout": stdout, "AttachStderr": stderr,
        "Tty": process.tty, "OpenStdin": process.open_stdin, "StdinOnce": process.stdin_once,
        "Env": env,
        "Cmd": if command.is_empty() { Value::Null } else { json!(command) },
        "Image": request.image,
        "Volumes": if own.volumes.is_empty() { Value::Null } else { set_of(own.volumes.keys().cloned()) },
        "WorkingDir": process.workdir.clone().unwrap_or_else(|| own.working_dir.clone()),
        "Entrypoint": match process.entrypoint.as_ref().unwrap_or(&own.entrypoint) {
            none if none.is_empty() => Value::Null,
            entrypoint => json!(entrypoint),
        },
        "OnBuild": Value::Null,
        "Labels": record.labels(),
    });
    if !exposed.is_empty() {
        value["ExposedPorts"] = set_of(exposed.iter().map(ToString::to_string));
    }
    let stop = process.stop_signal.map(|signal| signal.to_string());
    if let Some(signal) = stop.or_else(|| Some(own.stop_signal.clone()).filter(|signal| !signal.is_empty())) {
        value["StopSignal"] = signal.into();
    }
    if let Some(check) = super::health::healthcheck(record) {
        value["Healthcheck"] = json!(check);
    }
    if let Some(seconds) = process.stop_timeout_seconds {
        value["StopTimeout"] = seconds.into();
    }
    value
}

fn host_config(record: &Record, cgroup: &str) -> Value {
    let request = &record.request;
    let (network, security, resources) = (&request.network, &request.security, &request.resources);
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        SeccompRequest::Unconfined => options.push("seccomp=unconfined".to_owned()),
        SeccompRequest::Profile(text) => options.push(format!("seccomp={text}")),
        SeccompRequest::Default => {}
    }
    if let AppArmor::Profile(profile) = &security.apparmor {
        options.push(format!("apparmor={profile}"));
    }
    if security.systempaths_unconfined {
        options.push("systempaths=unconfined".to_owned());
    }
    let strip = |caps: &[String]| if caps.is_empty() { Value::Null } else { json!(caps) };
    let mut value = json!({
        "Binds": binds(record),
        "ContainerIDFile": "",
        "LogConfig": log_config(record),
        "NetworkMode": network.mode.docker_name(),
        "PortBindings": port_bindings(record),
        "RestartPolicy": {"Name": request.restart.word(), "MaximumRetryCount": request.restart.max()},
        "AutoRemove": request.auto_remove,
        "CapAdd": strip(&security.cap_add), "CapDrop": strip(&security.cap_drop),
        "CgroupnsMode": if request.namespaces.cgroup == CgroupMode::Host { "host" } else { "private" },
        "Dns": network.dns, "DnsOptions": network.dns_options, "DnsSearch": network.dns_search,
        "ExtraHosts": network.add_host.iter().map(|(name, ip)| format!("{name}:{ip}")).collect::<Vec<_>>(),
        "GroupAdd": request.process.group_add,
        "IpcMode": ipc_mode(&request.namespaces.ipc),
        "OomScoreAdj": resources.oom_score_adj.unwrap_or(0),
        "PidMode": pid_mode(&request.namespaces.pid),
        "Privileged": security.privileged,
        "PublishAllPorts": network.publish_all,
        "ReadonlyRootfs": request.files.read_only,
        "SecurityOpt": if options.is_empty() { Value::Null } else { json!(options) },
        "UTSMode": match &request.namespaces.uts {
            UtsMode::Private => String::new(),
            UtsMode::Host => "host".to_owned(),
            UtsMode::Container(id) => format!("container:{id}"),
        },
        "UsernsMode": userns_mode(&request.namespaces.user),
        "ShmSize": request.files.shm_size_bytes.unwrap_or(64 << 20),
        "Sysctls": security.sysctls,
        "Init": request.process.init,
        "CgroupParent": resources.cgroup_parent.clone().unwrap_or_default(),
        "CgroupPath": cgroup,
    });
    if let Value::Object(map) = &mut value {
        map.extend(limits(record));
    }
    value
}

fn limits(record: &Record) -> Map<String, Value> {
    let resources = &record.request.resources;
    let swap = match (resources.memory_swap_bytes, resources.memory_bytes) {
        (None | Some(0), Some(memory)) => json!(memory.saturating_mul(2)),
        (swap, _) => json!(swap.unwrap_or(0)),
    };
    let devices = record.request.security.devices.iter().map(|device| {
        json!({"PathOnHost": device.host, "PathInContainer": device.container, "CgroupPermissions": device.access})
    });
    let value = json!({
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory_bytes.unwrap_or(0),
        "MemorySwap": swap,
        "MemoryReservation": resources.memory_reservation_bytes.unwrap_or(0),
        "MemorySwappiness": resources.memory_swappiness,
        "OomKillDisable": resources.oom_kill_disable,
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CpuPeriod": resources.cpu_period_us.unwrap_or(0),
        "CpuQuota": resources.cpu_quota_us.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": resources.cpuset_mems.clone().unwrap_or_default(),
        "BlkioWeight": resources.blkio_weight.unwrap_or(0),
        "PidsLimit": resources.pids_limit,
        "Ulimits": resources.ulimits.iter()
            .map(|limit| json!({"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard})).collect::<Vec<_>>(),
        "Devices": devices.collect::<Vec<_>>(),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn binds(record: &Record) -> Value {
    let binds = record.mounts.iter().filter_map(|mount| {
        let source = match &mount.source {
            MountSource::Bind { path, .. } => path.display().to_string(),
            MountSource::Volume { name, anonymous: false, .. } => name.clone(),
            _ => return None,
        };
        let mode = if mount.read_only { ":ro" } else { "" };
        Some(format!("{source}:{}{mode}", mount.target.display()))
    });
    let binds: Vec<String> = binds.collect();
    if binds.is_empty() { Value::Null } else { json!(binds) }
}

fn log_config(record: &Record) -> Value {
    let log = &record.request.log;
    let mut config = BTreeMap::new();
    if log.keep {
        config.insert("max-file", log.max_files.to_string());
        config.extend(log.max_size_bytes.map(|size| ("max-size", size.to_string())));
    }
    json!({"Type": if log.keep { "json-file" } else { "none" }, "Config": config})
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

fn pid_mode(mode: &PidMode) -> String {
    match mode {
        PidMode::Private => String::new(),
        PidMode::Host => "host".to_owned(),
        PidMode::Container(id) => format!("container:{id}"),
    }
}

fn ipc_mode(mode: &IpcMode) -> String {
    match mode {
        IpcMode::Private => "private".to_owned(),
        IpcMode::Shareable => "shareable".to_owned(),
        IpcMode::None => "none".to_owned(),
        IpcMode::Host => "host".to_owned(),
        IpcMode::Container(id) => format!("container:{id}"),
    }
}

fn userns_mode(mode: &UserMode) -> String {
    match mode {
        UserMode::Host => "host".to_owned(),
        UserMode::Private { base, size } => format!("private:{base}:{size}"),
    }
}

fn network_settings(record: &Record, attachment: Option<&Attachment>) -> Value {
    let mut ports: BTreeMap<String, Value> =
        exposed_ports(record).iter().map(|port| (port.to_string(), Value::Null)).collect();
    for port in attachment.iter().flat_map(|attachment| &attachment.ports) {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let binding = json!({"HostIp": port.host_ip.to_string(), "HostPort": port.host_port.to_string()});
        match ports.entry(key).or_insert(Value::Null) {
            Value::Array(list) => list.push(binding),
            slot => *slot = json!([binding]),
        }
    }
    let endpoint = |attachment: Option<&Attachment>| {
        json!({
            "IPAMConfig": Value::Null, "Links": Value::Null, "Aliases": Value::Null,
            "NetworkID": attachment.map_or("", |a| a.network.as_str()),
            "EndpointID": attachment.map_or("", |a| a.host_link.as_str()),
            "Gateway": attachment.map_or_else(String::new, |a| a.gateway.to_string()),
            "IPAddress": attachment.map_or_else(String::new, |a| a.address.to_string()),
            "IPPrefixLen": attachment.map_or(0, |a| a.subnet.prefix()),
            "MacAddress": attachment.map_or("", |a| a.mac.as_str()),
        })
    };
    let own = endpoint(attachment);
    let mut networks = Map::new();
    if !matches!(record.request.network.mode, NetworkMode::Container(_)) {
        networks.insert(record.request.network.mode.docker_name(), own.clone());
    }
    json!({
        "Bridge": attachment.map_or("", |a| a.bridge.as_str()),
        "SandboxID": "",
        "SandboxKey": record.lifecycle.pid().map_or_else(String::new, |pid| format!("/proc/{pid}/ns/net")),
        "Ports": ports,
        "Gateway": own["Gateway"], "IPAddress": own["IPAddress"], "IPPrefixLen": own["IPPrefixLen"],
        "MacAddress": own["MacAddress"], "EndpointID": own["EndpointID"],
        "Networks": networks,
    })
}
