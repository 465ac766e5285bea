//! From options to the engine's request.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use base::ByteSize;
use engine::request::{
    AppArmor, CgroupMode, CreateRequest, DeviceRequest, DeviceRule, FilesRequest, Healthcheck, InvalidOption,
    IpcMode, JoinOptions, LogRequest, MountRequest, NamespacesRequest, NetworkRequest, PidMode, PortRequest,
    ProcessRequest, RateDevice, ResourceRequest, SeccompRequest, SecurityOption, SecurityRequest, Signal,
    Ulimit, UserMode, UtsMode, VolumesFrom, WeightDevice, capability_name, key_value_file, mac_address,
    nano_cpus, networks, resolve_variables,
};
use engine::{PublishPolicy, Publishing};

use shim::RestartPolicy;

use super::foreign;
use super::options::{
    ContainerOptions, HealthOptions, NetworkOptions, ProcessOptions, ResourceOptions, SecurityOptions,
    StorageOptions,
};
use crate::context::Context;
use crate::error::CliError;

/// The request for a container; `detached` when nobody will be attached to it.
pub(super) fn request(
    options: &ContainerOptions,
    detached: bool,
    context: &Context,
) -> Result<CreateRequest, CliError> {
    foreign::refuse(options, context)?;
    let restart = RestartPolicy::parse(&options.restart)
        .map_err(|why| InvalidOption::new("--restart", &options.restart, why.to_string()))?;
    let (image, command) =
        options.image_and_command.split_first().ok_or_else(|| CliError::message("an image is missing"))?;
    let mut request = CreateRequest {
        image: image.clone(),
        name: options.name.clone(),
        auto_remove: options.rm,
        restart,
        health: health(&options.health)?,
        labels: labels(&options.process)?,
        annotations: annotations(&options.annotation)?,
        id_file: options.cidfile.clone(),
        process: process(options, command, detached, context)?,
        files: files(&options.storage)?,
        network: network(&options.network, context)?,
        namespaces: namespaces(&options.security)?,
        resources: resources(&options.resources)?,
        security: security(&options.security, context)?,
        log: LogRequest::parse(&options.process.log_driver, &options.process.log_opt)?,
        ..CreateRequest::default()
    };
    request.name = request.name.filter(|name| !name.is_empty());
    Ok(request)
}

fn annotations(texts: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let mut annotations = BTreeMap::new();
    for text in texts {
        let entry = text.split_once('=').filter(|(key, _)| !key.trim().is_empty());
        let why = "invalid argument for --annotation: use KEY=VALUE";
        let (key, value) = entry.ok_or_else(|| InvalidOption::new("--annotation", text, why))?;
        annotations.insert(key.to_owned(), value.to_owned());
    }
    Ok(annotations)
}

/// `None`: what the image says.
fn health(options: &HealthOptions) -> Result<Option<Healthcheck>, CliError> {
    let nanos =
        |time: Option<Duration>| u64::try_from(time.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
    let asked = Healthcheck {
        interval: nanos(options.health_interval),
        timeout: nanos(options.health_timeout),
        start_period: nanos(options.health_start_period),
        start_interval: nanos(options.health_start_interval),
        retries: options.health_retries.unwrap_or(0),
        ..options.health_cmd.as_deref().map(Healthcheck::shell).unwrap_or_default()
    };
    match (options.no_healthcheck, asked == Healthcheck::default()) {
        (true, true) => Ok(Some(Healthcheck::none())),
        (true, false) => Err(CliError::message(
            "--no-healthcheck conflicts with --health-* options: leave one of the two out",
        )),
        (false, true) => Ok(None),
        (false, false) => Ok(Some(asked)),
    }
}

fn process(
    options: &ContainerOptions,
    command: &[String],
    detached: bool,
    context: &Context,
) -> Result<ProcessRequest, CliError> {
    let own = &options.process;
    let attach = attached_streams(options, detached)?;
    let stop_signal = own.stop_signal.as_deref().map(Signal::parse).transpose()?;
    let entrypoint = own.entrypoint.as_ref().map(|program| match program.as_str() {
        "" => Vec::new(),
        program => vec![program.to_owned()],
    });
    Ok(ProcessRequest {
        command: command.to_vec(),
        entrypoint,
        env: environment(&own.env, &own.env_file, context)?,
        workdir: own.workdir.clone(),
        user: own.user.clone(),
        group_add: own.group_add.clone(),
        tty: options.tty,
        open_stdin: options.interactive,
        stdin_once: options.interactive && attach[0],
        attach,
        init: own.init,
        stop_signal,
        stop_timeout_seconds: own.stop_timeout,
        ..ProcessRequest::default()
    })
}

/// Which streams are attached: those of `--attach`, or output and, with `-i`, input.
fn attached_streams(options: &ContainerOptions, detached: bool) -> Result<[bool; 3], CliError> {
    if detached {
        return Ok([false; 3]);
    }
    if options.attach.is_empty() {
        return Ok([options.interactive, true, true]);
    }
    let mut attach = [false; 3];
    for stream in &options.attach {
        match stream.to_ascii_lowercase().as_str() {
            "stdin" => attach[0] = true,
            "stdout" => attach[1] = true,
            "stderr" => attach[2] = true,
            _ => {
                return Err(InvalidOption::new(
                    "--attach",
                    stream,
                    "valid streams are STDIN, STDOUT and STDERR",
                )
                .into());
            }
        }
    }
    Ok(attach)
}

/// `--env-file`, then `--env` over it.
pub(super) fn environment(
    entries: &[String],
    files: &[String],
    context: &Context,
) -> Result<Vec<String>, CliError> {
    let mut all = Vec::new();
    for path in files {
        all.extend(key_value_file("--env-file", path, &read_file("--env-file", path)?)?);
    }
    all.extend(entries.iter().cloned());
    Ok(resolve_variables(all, &context.environment.variables)?)
}

fn read_file(option: &str, path: &str) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            _ => error.to_string(),
        };
        CliError::message(format!("{option}: open {path}: {why}"))
    })
}

fn labels(options: &ProcessOptions) -> Result<BTreeMap<String, String>, CliError> {
    let mut entries = Vec::new();
    for path in &options.label_file {
        let lines = key_value_file("--label-file", path, &read_file("--label-file", path)?)?;
        // As docker: a name alone takes its value from nowhere.
        entries.extend(lines.into_iter().filter(|line| line.contains('=')));
    }
    entries.extend(options.label.iter().cloned());
    let pairs = entries.into_iter().map(|entry| match entry.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (entry, String::new()),
    });
    Ok(pairs.collect())
}

fn files(options: &StorageOptions) -> Result<FilesRequest, CliError> {
    let mut mounts = Vec::new();
    for text in &options.volume {
        mounts.push(MountRequest::parse_volume(text)?);
    }
    for text in &options.mount {
        mounts.push(MountRequest::parse_mount(text)?);
    }
    for text in &options.tmpfs {
        mounts.push(MountRequest::parse_tmpfs(text)?);
    }
    let volumes_from =
        options.volumes_from.iter().map(|text| VolumesFrom::parse(text)).collect::<Result<_, _>>()?;
    Ok(FilesRequest {
        mounts,
        volumes_from,
        read_only: options.read_only,
        shm_size_bytes: size("--shm-size", options.shm_size.as_deref())?,
        layer_max_bytes: layer_size(&options.storage_opt)?,
    })
}

/// Reads `--storage-opt`: of docker's overlay driver there is `size` only, and 0 is no limit.
fn layer_size(options: &[String]) -> Result<Option<u64>, CliError> {
    let mut bytes = None;
    for option in options {
        let why = match option.split_once('=') {
            Some((key, value)) if key.eq_ignore_ascii_case("size") => {
                bytes = size("--storage-opt", Some(value))?.filter(|bytes| *bytes > 0);
                continue;
            }
            Some(_) => "unknown option: docker's overlay driver knows size only",
            None => "invalid storage option: use KEY=VALUE, as in size=10G",
        };
        return Err(InvalidOption::new("--storage-opt", option, why).into());
    }
    Ok(bytes)
}

/// Reads `--add-host`: a name, and an address or `host-gateway`.
fn extra_host(text: &str) -> Result<(String, String), InvalidOption> {
    let wrong = |what: String| {
        let why = format!("{what}: use NAME:ADDRESS, as in db:10.0.0.7 or host:host-gateway");
        InvalidOption::new("--add-host", text, why)
    };
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    let Some((name, ip)) = parts.filter(|(name, _)| !name.is_empty() && !name.contains(':')) else {
        return Err(wrong(format!("bad format for add-host: {text:?}")));
    };
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if ip != "host-gateway" && ip.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong(format!("invalid IP address in add-host: {ip:?}")));
    }
    Ok((name.to_owned(), ip.to_owned()))
}

fn network(options: &NetworkOptions, context: &Context) -> Result<NetworkRequest, CliError> {
    let mut publish = Vec::new();
    for text in &options.publish {
        publish.extend(engine::PortMapping::parse(text)?);
    }
    let mut expose = Vec::new();
    for text in &options.expose {
        expose.extend(PortRequest::parse(text)?);
    }
    let address = |option: &'static str, text: &String| {
        text.parse().map_err(|_| InvalidOption::new(option, text, "it is not an IP address"))
    };
    let add_host = options.add_host.iter().map(|text| extra_host(text)).collect::<Result<_, _>>()?;
    let ip = |text: &String| {
        text.parse().map_err(|_| InvalidOption::new("--ip", text, "it is not an IPv4 address"))
    };
    let ip6 = |text: &String| {
        text.parse().map_err(|_| InvalidOption::new("--ip6", text, "it is not an IPv6 address"))
    };
    let first = JoinOptions {
        aliases: options.network_alias.clone(),
        ip: options.ip.as_ref().map(ip).transpose()?,
        ip6: options.ip6.as_ref().map(ip6).transpose()?,
        mac_address: options.mac_address.as_deref().map(mac_address).transpose()?,
    };
    let (ip, mac) = (first.ip, first.mac_address.clone());
    let (mode, joins) = networks(&options.network, first)?;
    Ok(NetworkRequest {
        mode,
        joins,
        publish,
        publish_all: options.publish_all,
        publishing: publishing(options, context)?,
        expose,
        hostname: options.hostname.clone().filter(|name| !name.is_empty()),
        domainname: options.domainname.clone(),
        add_host,
        dns: options.dns.iter().map(|text| address("--dns", text)).collect::<Result<_, _>>()?,
        dns_search: options.dns_search.clone(),
        dns_options: options.dns_option.clone(),
        ip,
        mac_address: mac,
    })
}

fn publishing(options: &NetworkOptions, context: &Context) -> Result<Publishing, CliError> {
    let variable = "STRAKE_PUBLISH_POLICY";
    let policy = match (options.publish_policy, context.environment.variable(variable)) {
        (Some(policy), _) => policy,
        (None, None) => PublishPolicy::default(),
        (None, Some(text)) => {
            text.parse().map_err(|_| InvalidOption::new(variable, text, "use host or docker"))?
        }
    };
    Ok(Publishing { policy, shared: options.publish_shared })
}

fn namespaces(options: &SecurityOptions) -> Result<NamespacesRequest, CliError> {
    let text = |option: &Option<String>| option.clone().unwrap_or_default();
    Ok(NamespacesRequest {
        pid: PidMode::parse(&text(&options.pid))?,
        ipc: IpcMode::parse(&text(&options.ipc))?,
        uts: UtsMode::parse(&text(&options.uts))?,
        user: UserMode::parse(&text(&options.userns))?,
        cgroup: CgroupMode::parse(&text(&options.cgroupns))?,
    })
}

fn size(option: &'static str, text: Option<&str>) -> Result<Option<u64>, InvalidOption> {
    let parse = |text| ByteSize::parse(text).map_err(|why| InvalidOption::new(option, text, why.to_string()));
    Ok(text.map(parse).transpose()?.map(|size| size.0).filter(|size| *size != 0))
}

/// All values of an option that may be given more than once.
fn each<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, InvalidOption>,
) -> Result<Vec<T>, InvalidOption> {
    texts.iter().map(|text| parse(text)).collect()
}

/// Reads `FILE=VALUE`.
fn cgroup_file(text: &str) -> Result<(String, String), InvalidOption> {
    let why = "use FILE=VALUE with a file of cgroup v2, as in memory.oom.group=1";
    let pair = text.split_once('=').filter(|(file, _)| !file.is_empty());
    let (file, value) = pair.ok_or_else(|| InvalidOption::new("--cgroup-conf", text, why))?;
    Ok((file.to_owned(), value.to_owned()))
}

fn resources(options: &ResourceOptions) -> Result<ResourceRequest, CliError> {
    let memory_swap_bytes = match options.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        text => size("--memory-swap", text)?.and_then(|size| i64::try_from(size).ok()),
    };
    let swappiness = match options.memory_swappiness {
        None | Some(-1) => None,
        Some(n) => {
            let value = u64::try_from(n);
            Some(value.map_err(|_| {
                InvalidOption::new(
                    "--memory-swappiness",
                    &n.to_string(),
                    "Invalid value, valid memory swappiness range is 0-100",
                )
            })?)
        }
    };
    Ok(ResourceRequest {
        memory_bytes: size("--memory", options.memory.as_deref())?,
        memory_swap_bytes,
        memory_reservation_bytes: size("--memory-reservation", options.memory_reservation.as_deref())?,
        memory_swappiness: swappiness,
        oom_kill_disable: options.oom_kill_disable,
        oom_score_adj: options.oom_score_adj,
        unified: each(&options.cgroup_conf, cgroup_file)?.into_iter().collect(),
        nano_cpus: options.cpus.as_deref().map(nano_cpus).transpose()?.flatten(),
        cpu_shares: options.cpu_shares,
        cpu_period_us: options.cpu_period,
        cpu_quota_us: options.cpu_quota,
        cpuset_cpus: options.cpuset_cpus.clone(),
        cpuset_mems: options.cpuset_mems.clone(),
        blkio_weight: options.blkio_weight,
        blkio_weight_devices: each(&options.blkio_weight_device, WeightDevice::parse)?,
        read_bps: each(&options.device_read_bps, |text| RateDevice::parse_bytes("--device-read-bps", text))?,
        write_bps: each(&options.device_write_bps, |text| {
            RateDevice::parse_bytes("--device-write-bps", text)
        })?,
        read_iops: each(&options.device_read_iops, |text| {
            RateDevice::parse_operations("--device-read-iops", text)
        })?,
        write_iops: each(&options.device_write_iops, |text| {
            RateDevice::parse_operations("--device-write-iops", text)
        })?,
        cpu_rt_period_us: options.cpu_rt_period.filter(|period| *period != 0),
        cpu_rt_runtime_us: options.cpu_rt_runtime.filter(|runtime| *runtime != 0),
        pids_limit: options.pids_limit,
        ulimits: each(&options.ulimit, Ulimit::parse)?,
        cgroup_parent: options.cgroup_parent.clone(),
        ..ResourceRequest::default()
    })
}

fn security(options: &SecurityOptions, context: &Context) -> Result<SecurityRequest, CliError> {
    let mut request = SecurityRequest { privileged: options.privileged, ..SecurityRequest::default() };
    let names = |option: &'static str, list: &[String]| {
        let all = list.iter().flat_map(|text| text.split(','));
        all.map(|text| capability_name(option, text)).collect::<Result<Vec<_>, _>>()
    };
    request.cap_add = names("--cap-add", &options.cap_add)?;
    request.cap_drop = names("--cap-drop", &options.cap_drop)?;
    for text in &options.security_opt {
        match SecurityOption::parse(text)? {
            SecurityOption::NoNewPrivileges(on) => request.no_new_privileges = on,
            SecurityOption::SeccompUnconfined => request.seccomp = SeccompRequest::Unconfined,
            SecurityOption::SeccompFile(path) => {
                let bytes = read_file("--security-opt seccomp", &path)?;
                let profile = String::from_utf8(bytes).map_err(|_| {
                    CliError::message(format!("--security-opt seccomp {path:?} is not UTF-8 text"))
                })?;
                request.seccomp = SeccompRequest::Profile(profile);
            }
            SecurityOption::AppArmor(profile) => request.apparmor = profile,
            SecurityOption::SystemPathsUnconfined => request.systempaths_unconfined = true,
            SecurityOption::Label(label) => {
                if !engine::selinux_is_on() {
                    context.warn(format_args!(
                        "--security-opt {text} does nothing: SELinux is off on this host"
                    ));
                }
                request.labels.push(label);
            }
        }
    }
    if let AppArmor::Profile(profile) = &request.apparmor
        && !engine::apparmor_is_on()
    {
        return Err(CliError::message(format!(
            "--security-opt apparmor={profile} cannot be done: this host's kernel has AppArmor off; leave the option out"
        )));
    }
    request.devices =
        options.device.iter().map(|text| DeviceRequest::parse(text)).collect::<Result<_, _>>()?;
    request.device_rules =
        options.device_cgroup_rule.iter().map(|text| DeviceRule::parse(text)).collect::<Result<_, _>>()?;
    for text in &options.sysctl {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            InvalidOption::new("--sysctl", text, "use NAME=VALUE, as in net.core.somaxconn=1024")
        })?;
        request.sysctls.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(request)
}
