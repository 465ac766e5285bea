//! Everything about a container, in docker's form.

mod host_config;

use std::collections::BTreeMap;

use attach::Attachment;
use oci_spec::image::Platform;
use serde_json::{Map, Value, json};
use shim::{Exit, ExitCause, OomKill, Timestamp};

use super::create::hostname;
use crate::container::{Lifecycle, MountRecord, MountSource, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{AppArmor, MountKind, NetworkJoin, NetworkMode, PortRequest};

/// What of a container is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct InspectOptions {
    /// Count the bytes of its files, too.
    pub size: bool,
}

impl Engine {
    /// Everything about a container, as `docker inspect` has it.
    pub fn inspect(&self, record: &Record, options: InspectOptions) -> Result<Value, Error> {
        let attachments = self.attachments(record)?;
        let id = record.id.as_str();
        let labels = crate::selinux::labels_here(&record.request.security, &record.id).ok().flatten();
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
            "MountLabel": labels.as_ref().map_or("", |labels| labels.mount.as_str()),
            "ProcessLabel": labels.as_ref().and_then(|labels| labels.process.as_deref()).unwrap_or_default(),
            "AppArmorProfile": record.apparmor.as_deref().unwrap_or(match &record.request.security.apparmor {
                AppArmor::Profile(profile) => profile,
                AppArmor::Unconfined => "unconfined",
                AppArmor::Default => "",
            }),
            "ExecIDs": Value::Null,
            "HostConfig": host_config::host_config(record, &self.cgroup_path(record).unwrap_or_default()),
            "GraphDriver": self.graph_driver(record),
            "Mounts": record.mounts.iter().map(mount).collect::<Vec<_>>(),
            "Config": config(record),
            "NetworkSettings": network_settings(record, &attachments),
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
        let kills = shim::OomKills::read(&self.paths().record_dir(&record.id)).kills;
        if record.starts > 0 && !kills.is_empty() {
            state["OOMKills"] = kills.iter().map(oom_kill).collect();
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

fn oom_kill(kill: &OomKill) -> Value {
    let victim = kill.victim.as_ref();
    json!({
        "At": kill.at.to_string(),
        "Pid": victim.map(|victim| victim.pid),
        "Command": victim.map(|victim| victim.command.as_str()),
        "OomScoreAdj": victim.and_then(|victim| victim.oom_score_adj),
        "Limit": kill.limit,
        "Usage": kill.usage,
        "Anon": kill.anon,
        "File": kill.file,
        "WholeGroup": kill.whole_group,
    })
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

/// Where volumes without a name are: the image's, and those of `--volume`.
fn volumes(record: &Record) -> Value {
    let asked = record.request.files.mounts.iter();
    let asked = asked.filter(|mount| matches!(mount.kind, MountKind::Volume { name: None, .. }));
    let mut targets: Vec<String> = record.config.volumes.keys().cloned().collect();
    targets.extend(asked.map(|mount| mount.target.display().to_string()));
    if targets.is_empty() { Value::Null } else { set_of(targets) }
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
        "Volumes": volumes(record),
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

fn network_settings(record: &Record, attachments: &[Attachment]) -> Value {
    let main = attach::gateway_of(attachments).or(attachments.first());
    let mut ports: BTreeMap<String, Value> =
        exposed_ports(record).iter().map(|port| (port.to_string(), Value::Null)).collect();
    for port in attachments.iter().flat_map(|attachment| &attachment.ports) {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let binding = json!({"HostIp": port.host_ip.to_string(), "HostPort": port.host_port.to_string()});
        match ports.entry(key).or_insert(Value::Null) {
            Value::Array(list) => list.push(binding),
            slot => *slot = json!([binding]),
        }
    }
    let network = &record.request.network;
    let mut networks = Map::new();
    for join in network.joined() {
        let attachment = attachments.iter().find(|attachment| attachment.network == join.network);
        networks.insert(join.network.clone(), endpoint(record, &join, attachment));
    }
    if !network.mode.is_bridged() && !matches!(network.mode, NetworkMode::Container(_)) {
        let name = network.mode.docker_name();
        networks.insert(name.clone(), endpoint(record, &NetworkJoin::of(&name), None));
    }
    let own = endpoint(record, &NetworkJoin::default(), main);
    json!({
        "Bridge": main.map_or("", |a| a.bridge.as_str()),
        "SandboxID": "",
        "SandboxKey": record.lifecycle.pid().map_or_else(String::new, |pid| format!("/proc/{pid}/ns/net")),
        "Ports": ports,
        "Gateway": own["Gateway"], "IPAddress": own["IPAddress"], "IPPrefixLen": own["IPPrefixLen"],
        "IPv6Gateway": own["IPv6Gateway"], "GlobalIPv6Address": own["GlobalIPv6Address"],
        "GlobalIPv6PrefixLen": own["GlobalIPv6PrefixLen"],
        "MacAddress": own["MacAddress"], "EndpointID": own["EndpointID"],
        "Networks": networks,
    })
}

/// One network of a container, in docker's form.
fn endpoint(record: &Record, join: &NetworkJoin, attachment: Option<&Attachment>) -> Value {
    let six = attachment.and_then(|attachment| attachment.ipv6);
    let wanted: Map<String, Value> = [
        ("IPv4Address", join.ip.map(|ip| ip.to_string())),
        ("IPv6Address", join.ip6.map(|ip| ip.to_string())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
    .collect();
    let names: Vec<String> = match attachment.filter(|attachment| attachment.has_names()) {
        Some(attachment) => {
            let own = [attachment.name.clone(), record.id.short().to_owned()];
            let mut names: Vec<String> = own.into_iter().chain(attachment.aliases.iter().cloned()).collect();
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            names
        }
        None => Vec::new(),
    };
    let list = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
    let id = attachment.map_or("", |a| a.network_id.as_str());
    json!({
        "IPAMConfig": if wanted.is_empty() { Value::Null } else { Value::Object(wanted) },
        "Links": Value::Null,
        "Aliases": list(&join.aliases),
        "DriverOpts": if join.driver_options.is_empty() { Value::Null } else { json!(join.driver_options) },
        "GwPriority": join.gateway_priority,
        "NetworkID": id,
        "EndpointID": attachment.map_or_else(String::new, Attachment::endpoint_id),
        "Gateway": attachment.map_or_else(String::new, |a| a.gateway.to_string()),
        "IPAddress": attachment.map_or_else(String::new, |a| a.address.to_string()),
        "IPPrefixLen": attachment.map_or(0, |a| a.subnet.prefix()),
        "IPv6Gateway": six.map_or_else(String::new, |six| six.gateway.to_string()),
        "GlobalIPv6Address": six.map_or_else(String::new, |six| six.address.to_string()),
        "GlobalIPv6PrefixLen": six.map_or(0, |six| six.subnet.prefix()),
        "MacAddress": attachment.map_or("", |a| a.mac.as_str()),
        "DNSNames": list(&names),
    })
}
