//! Starting a container: mount, specification, supervisor, network, gate.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use attach::{HostFiles, HostFilesRequest, PodRequest, PublishedPort};
use base::{ContainerId, failpoint};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use shim::{Client, Launch, LogConfig, LogDriver, ShimExe, StdinMode, StreamSet, Timestamp};
use snapshot::MountOptions;
use sys::root::RootDir;

use super::attachments::Attached;
use super::create::hostname;
use crate::apparmor::AppArmorHost;
use crate::companions::SHIM;
use crate::container::{Event, Lifecycle, Locked, MountSource, Record, StartFailure};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{InvalidOption, IpcMode, NetworkMode, PidMode, SandboxRole, UserMode, UtsMode};
use crate::spec::{
    self, HostFilePaths, NamespacePaths, ResolvedUser, SpecInput, parse_group, parse_passwd, resolve_user,
};
use crate::volumes::VolumeSources;

/// How a container is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOptions {
    /// Streams to attach before the first byte is written.
    pub attach: Option<StreamSet>,
    /// The caller waits for the end and calls [`Engine::after_exit`] itself, and
    /// [`Engine::restart_attached`] where a restart follows.
    pub hold_cleanup: bool,
    /// Size of the terminal: columns and rows.
    pub console_size: Option<(u16, u16)>,
}

/// A container that runs.
#[derive(Debug)]
pub struct Started {
    /// Its record.
    pub record: Record,
    /// The connection to its supervisor.
    pub client: Client,
    /// Its streams, when they were asked for.
    pub attached: Option<shim::Attached>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What a start has in hand.
struct Prepared {
    rootfs: OwnedFd,
    files: Option<HostFilePaths>,
    own_program: Option<PathBuf>,
    /// Containers whose namespaces it joins.
    joined: Vec<Record>,
    /// Where volumes are that are no directories of ours; held until the container is made.
    volumes: VolumeSources,
    /// Its AppArmor profile, as the record has it.
    apparmor: Option<String>,
    warnings: Vec<String>,
}

impl Engine {
    /// Starts a container that was made, or has ended. If that fails it is as before, and
    /// an `auto_remove` container is gone.
    pub fn start(&self, id: &ContainerId, options: &StartOptions) -> Result<Started, Error> {
        let mut locked = self.settled(id)?;
        if locked.record.lifecycle.is_restarting() {
            drop(locked);
            self.cancel_restart(id)?;
            locked = self.settled(id)?;
        }
        locked.record.restarts = 0;
        locked.record.stopped_by_hand = false;
        self.start_settled(locked, options)
    }

    /// The same for a container whose lock is held, by hand or by its policy.
    pub(super) fn start_settled(&self, mut locked: Locked, options: &StartOptions) -> Result<Started, Error> {
        locked.record.starts += 1;
        locked.record.cgroup = place_of_user(&locked.record);
        self.advance(&mut locked, Event::Starting)?;
        failpoint::hit("start.marked");
        self.let_tell(&locked.record);
        shim::Exit::forget(locked.dir())
            .map_err(|source| Error::Exit { name: locked.record.name.clone(), source })?;
        match self.start_locked(&mut locked, options) {
            Ok(started) => Ok(started),
            Err(error) => {
                let code = error.run_status();
                let failure =
                    StartFailure { message: crate::error::chain(&error), code, at: Timestamp::now() };
                // The first error is the one to tell.
                let _ = self.undo_start(&mut locked, failure);
                if locked.record.request.auto_remove {
                    let _ = self.remove_locked(locked, true);
                }
                Err(error)
            }
        }
    }

    fn start_locked(&self, locked: &mut Locked, options: &StartOptions) -> Result<Started, Error> {
        let id = locked.record.id.clone();
        let name = locked.record.name.clone();
        let mut prepared = self.prepare(&locked.record)?;
        failpoint::hit("start.mounted");
        self.write_bundle(&locked.record, &mut prepared)?;
        failpoint::hit("start.bundle-written");
        let (mut client, launched) = self.launch(&locked.record, prepared.rootfs)?;
        failpoint::hit("start.launched");
        prepared.joined.append(&mut prepared.volumes.donors);
        drop(prepared.volumes);
        let mut warnings = prepared.warnings;
        warnings.extend(launched.warnings);
        let process = (launched.pid, launched.start_time);
        let opened = still_there(&prepared.joined)
            .and_then(|()| self.open_gate(&locked.record, &mut client, process, options, &mut warnings));
        let attached = match opened {
            Ok(attached) => attached,
            Err(error) => {
                end_unstarted(client);
                return Err(error);
            }
        };
        failpoint::hit("start.opened");
        let at = Timestamp::now();
        locked.record.warnings.clone_from(&warnings);
        locked.record.apparmor = prepared.apparmor;
        self.advance(locked, Event::Started { pid: launched.pid, start_time: launched.start_time, at })?;
        failpoint::hit("start.recorded");
        debug_assert_eq!(id, locked.record.id);
        debug_assert_eq!(name, locked.record.name);
        Ok(Started { record: locked.record.clone(), client, attached, warnings })
    }

    /// Network, streams, then the gate: the program finds everything in place.
    fn open_gate(
        &self,
        record: &Record,
        client: &mut Client,
        process: (i32, u64),
        options: &StartOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Option<shim::Attached>, Error> {
        let attachment = self.attach_network(record, process)?;
        if let Some(attachment) = attachment {
            self.write_host_files(record, Some(&attachment), warnings)?;
            warnings.extend(attachment.warnings);
        }
        self.open_outside(record, warnings)?;
        failpoint::hit("start.attached");
        let shim = |source| Error::Shim { name: record.name.clone(), source };
        if options.hold_cleanup {
            client.hold_cleanup().map_err(shim)?;
            // A supervisor of an older build starts it again by itself, with nobody attached.
            let _ = client.hold_restart();
        }
        let attached = options.attach.map(|streams| client.attach(streams)).transpose().map_err(shim)?;
        if attached.is_some() {
            self.tell(record, "attach", &[]);
        }
        if let Some((columns, rows)) = options.console_size {
            client.resize(columns, rows).map_err(shim)?;
        }
        client.start().map_err(shim)?;
        Ok(attached)
    }

    /// Everything that is done in the root file system before it becomes one.
    fn prepare(&self, record: &Record) -> Result<Prepared, Error> {
        let labels = crate::selinux::labels_here(&record.request.security, &record.id)?;
        let context = labels.map(|labels| labels.mount);
        let options = MountOptions { volatile: record.request.auto_remove, read_only: false, context };
        let snapshots = self.snapshots()?;
        let rootfs = snapshots.mount(&record.id, options).map_err(Error::snapshot(&record.name))?;
        let copy = rootfs.try_clone().map_err(Error::file("open", Path::new("rootfs")))?;
        let root = RootDir::from_fd(copy);
        for mount in &record.mounts {
            if let MountSource::Volume { name, path, copy_up: true, .. } = &mount.source {
                let home = self.paths().volumes().join(name);
                crate::volumes::copy_up(&root, &mount.target, (path, &home), id_base(record))
                    .map_err(Error::file("fill the volume", path))?;
            }
        }
        make_workdir(&root, record)?;
        make_mark(&root, record)?;
        let is_holder = record.request.sandbox == Some(SandboxRole::Holder);
        let own_program = match record.request.process.init || is_holder {
            true => Some(self.companions()?.path(SHIM, &self.paths().state).map_err(Error::Companion)?),
            false => None,
        };
        let state_dir = self.paths().state_dir(&record.id);
        let make = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
        make(&state_dir, 0o700).map_err(Error::file("make the directory", &state_dir))?;
        // Not those of an earlier start.
        let mut warnings = super::create::validate(&record.request).unwrap_or_default();
        let files = match &record.request.network.mode {
            NetworkMode::Container(other) => {
                let other = self.running(other, "--network")?;
                Some(host_file_paths(&self.paths().state_dir(&other.id)))
            }
            _ => {
                self.write_host_files(record, None, &mut warnings)?;
                Some(host_file_paths(&state_dir))
            }
        };
        Ok(Prepared {
            rootfs,
            files,
            own_program,
            joined: Vec::new(),
            volumes: self.volume_sources(record)?,
            apparmor: None,
            warnings,
        })
    }

    /// `config.json`, from which the runtime makes the container.
    fn write_bundle(&self, record: &Record, prepared: &mut Prepared) -> Result<(), Error> {
        let request = &record.request;
        let copy = prepared.rootfs.try_clone().map_err(Error::file("open", Path::new("rootfs")))?;
        let user = find_user(&RootDir::from_fd(copy), record)?;
        let mut host = crate::host::facts(request.security.privileged, &request.resources)?;
        if host.rootless.is_none() {
            let needed = spec::needs_apparmor_profile(&request.security);
            host.apparmor = crate::apparmor::look(needed, &self.paths().state);
        }
        let devices = crate::host::look_up(&request.security.devices)?;
        let hostname = self.hostname_inside(record)?;
        let joined = self.joined(record, &mut prepared.joined)?;
        let cgroup_path = self.cgroup_path(record);
        let input = SpecInput {
            id: &record.id,
            request,
            image: &record.config,
            user: &user,
            mounts: &record.mounts,
            volumes: &prepared.volumes.paths,
            host_files: prepared.files.as_ref(),
            joined: &joined,
            hostname: &hostname,
            devices: &devices,
            own_program: prepared.own_program.as_ref(),
            cgroup_path: cgroup_path.as_deref(),
            host: &host,
        };
        let planned = spec::plan(&input)?;
        prepared.warnings.extend(planned.warnings);
        let profile = planned.spec.process().as_ref().and_then(|process| process.apparmor_profile().clone());
        let without = || (host.apparmor != AppArmorHost::Off).then(|| "unconfined".to_owned());
        prepared.apparmor = profile.or_else(without);
        self.write_probe(record, &planned.spec, &user)?;
        let path = self.paths().state_dir(&record.id).join("config.json");
        let bytes =
            serde_json::to_vec(&planned.spec).map_err(|error| Error::file("write", &path)(error.into()))?;
        fs::write(&path, bytes).map_err(Error::file("write", &path))
    }

    fn launch(&self, record: &Record, rootfs: OwnedFd) -> Result<(Client, shim::Started), Error> {
        if record.request.network.mode != NetworkMode::Host {
            self.enter_network()?;
        }
        let exe = ShimExe::Fd(self.companions()?.shim(&self.paths().state).map_err(Error::Companion)?);
        let state_dir = self.paths().state_dir(&record.id);
        let process = &record.request.process;
        let stdin = match (process.open_stdin, process.stdin_once) {
            (false, _) => StdinMode::Closed,
            (true, false) => StdinMode::Open,
            (true, true) => StdinMode::Once,
        };
        let launch = Launch {
            id: record.id.clone(),
            exe,
            bundle: state_dir.clone(),
            state_dir,
            record_dir: self.paths().record_dir(&record.id),
            runtime_root: self.paths().runtime(),
            rootfs: Some(rootfs),
            stdin,
            log: self.log_config(record),
            exit_command: self.exit_command(&record.id),
            no_pivot: false,
            systemd_cgroup: false,
            restarts: self.restarts(record),
            health: super::health::check(record).map(|(_, times)| times),
            failpoint: self.shim_failpoint(),
        };
        shim::launch(launch).map_err(|source| Error::Launch { name: record.name.clone(), source })
    }

    fn log_config(&self, record: &Record) -> LogConfig {
        let log = &record.request.log;
        if !log.keep {
            return LogConfig::none();
        }
        if let Some(path) = &log.cri_file {
            return LogConfig::cri(path.clone());
        }
        LogConfig {
            driver: LogDriver::JsonFile,
            path: self.paths().log(&record.id),
            max_size: log.max_size_bytes,
            max_file: log.max_files,
            attributes: self.log_attributes(record),
            compress_command: if log.compress { self.compress_command(&record.id) } else { Vec::new() },
        }
    }

    /// What every entry of its log carries, as JSON; nothing unless `--log-opt` asks for it.
    fn log_attributes(&self, record: &Record) -> Option<String> {
        let log = &record.request.log;
        let tag = log.options.get("tag").and_then(|tag| log_tag(tag, record).ok());
        let env = spec::environment(
            &record.config,
            &record.request.process,
            &hostname(&record.request, &record.id),
            "",
        );
        let attributes = log.attributes(&record.labels(), &env, tag.as_deref());
        (!attributes.is_empty()).then(|| serde_json::json!(attributes).to_string())
    }

    /// Gives the container its network, once its namespace is there.
    fn attach_network(
        &self,
        record: &Record,
        (pid, start_time): (i32, u64),
    ) -> Result<Option<Attached>, Error> {
        let network = &record.request.network;
        // Of a namespace of its own the runtime has brought loopback up.
        if matches!(network.mode, NetworkMode::Host | NetworkMode::Container(_) | NetworkMode::None) {
            return Ok(None);
        }
        let netns = self.network_namespace((pid, start_time))?;
        if network.mode == NetworkMode::Pod {
            return self.attach_pod(record, &netns).map(Some);
        }
        self.attach_networks(record, ((pid, start_time), &netns)).map(Some)
    }

    fn attach_pod(&self, record: &Record, netns: &File) -> Result<Attached, Error> {
        let pods = self.pod_network().ok_or_else(|| Error::NoPodNetwork { name: record.name.clone() })?;
        let ports = published(record).into_iter().filter_map(fixed).collect();
        let request = PodRequest { id: record.id.clone(), name: record.name.clone(), ports };
        let attachment = pods.add(&request, netns.as_fd()).map_err(Error::network(&record.name))?;
        let address = attachment.addresses.first().copied().unwrap_or(attachment.gateway.into());
        let gateway = Some(attachment.gateway);
        Ok(Attached { addresses: vec![address], gateway, ..Attached::default() })
    }

    /// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`; written in place, since they
    /// are bound already when the address is known.
    pub(super) fn write_host_files(
        &self,
        record: &Record,
        attachment: Option<&Attached>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let network = &record.request.network;
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let host_network = network.mode == NetworkMode::Host;
        let hostname = self.hostname_inside(record)?;
        let extra_hosts: Vec<_> = network
            .add_host
            .iter()
            .filter_map(|(name, address)| {
                let gateway = attachment.and_then(|attachment| attachment.gateway).map(IpAddr::V4);
                let address = if address == "host-gateway" { gateway } else { address.parse().ok() };
                Some((name.clone(), address?))
            })
            .collect();
        let resolved = fs::read_to_string("/run/systemd/resolve/resolv.conf").ok();
        let made = HostFiles::make(&HostFilesRequest {
            hostname: &hostname,
            domainname: network.domainname.as_deref().unwrap_or(""),
            addresses: attachment.map_or(&[], |attachment| attachment.addresses.as_slice()),
            names: attachment.is_some_and(|attachment| attachment.names),
            host_network,
            host_hosts: &if host_network { read("/etc/hosts") } else { String::new() },
            host_resolv_conf: &self.name_servers(&read("/etc/resolv.conf"), host_network),
            resolved_resolv_conf: resolved.as_deref(),
            extra_hosts: &extra_hosts,
            dns: &network.dns,
            dns_search: &network.dns_search,
            dns_options: &network.dns_options,
        });
        if attachment.is_none() {
            warnings.extend(made.warnings);
        }
        let paths = host_file_paths(&self.paths().state_dir(&record.id));
        let files = [
            (&paths.hosts, made.hosts),
            (&paths.hostname, made.hostname),
            (&paths.resolv_conf, made.resolv_conf),
        ];
        for (path, content) in files {
            fs::write(path, content).map_err(Error::file("write", path))?;
        }
        Ok(())
    }

    /// Namespaces of other containers that are joined.
    fn joined(&self, record: &Record, of: &mut Vec<Record>) -> Result<NamespacePaths, Error> {
        let mut path = |other: &str, option: &'static str, kind: &str| -> Result<PathBuf, Error> {
            let other = self.running(other, option)?;
            let pid = other.lifecycle.pid().unwrap_or(0);
            of.push(other);
            Ok(PathBuf::from(format!("/proc/{pid}/ns/{kind}")))
        };
        let mut joined = NamespacePaths::default();
        if let PidMode::Container(other) = &record.request.namespaces.pid {
            joined.pid = Some(path(other, "--pid", "pid")?);
        }
        if let IpcMode::Container(other) = &record.request.namespaces.ipc {
            shares_ipc(&self.running(other, "--ipc")?)?;
            joined.ipc = Some(path(other, "--ipc", "ipc")?);
        }
        if let NetworkMode::Container(other) = &record.request.network.mode {
            joined.network = Some(path(other, "--network", "net")?);
        }
        if let UtsMode::Container(other) = &record.request.namespaces.uts {
            joined.uts = Some(path(other, "--uts", "uts")?);
        }
        still_there(of)?;
        Ok(joined)
    }

    /// The host's own with its network or its UTS namespace, as docker has it; the sandbox's in
    /// a sandbox.
    fn hostname_inside(&self, record: &Record) -> Result<String, Error> {
        let request = &record.request;
        if let UtsMode::Container(holder) = &request.namespaces.uts {
            return self.hostname_inside(&self.running(holder, "--uts")?);
        }
        let shares_network = request.network.mode == NetworkMode::Host && request.network.hostname.is_none();
        Ok(match request.namespaces.uts {
            UtsMode::Private if !shares_network => hostname(request, &record.id),
            _ => host_name(),
        })
    }

    /// The container whose namespaces are to be joined; it must run.
    fn running(&self, name: &str, _option: &'static str) -> Result<Record, Error> {
        let record = self.find(name)?;
        if record.lifecycle.is_running() { Ok(record) } else { Err(Error::NotRunning { name: record.name }) }
    }
}

/// The control group of an ordinary user's container: below what was given to that user where this start is made.
fn place_of_user(record: &Record) -> Option<String> {
    let given = crate::host::delegated()?.path;
    let wanted = record.request.resources.cgroup_parent.as_deref();
    let parent = match wanted {
        Some(parent) => Path::new(parent).starts_with(&given).then(|| parent.to_owned())?,
        None => format!("{given}/strake"),
    };
    Some(record.cgroup_below(&parent))
}

/// `--log-opt tag`, filled in.
pub(super) fn log_tag(tag: &str, record: &Record) -> Result<String, template::TemplateError> {
    let image = record.image.id.to_string();
    let data = serde_json::json!({
        "ID": record.id.short(), "FullID": record.id.as_str(), "Name": record.name,
        "ImageID": record.image.id.hex().get(..12), "ImageFullID": image,
        "ImageName": record.request.image, "DaemonName": "strake",
        "Command": record.command_line().join(" "),
    });
    template::Template::parse(tag)?.render(&data)
}

/// As docker has it: one that keeps its IPC namespace to itself cannot be joined. A sandbox is
/// there to be joined.
fn shares_ipc(donor: &Record) -> Result<(), InvalidOption> {
    let keeps_it = matches!(donor.request.namespaces.ipc, IpcMode::Private | IpcMode::None);
    if donor.request.sandbox.is_some() || !keeps_it {
        return Ok(());
    }
    let why = format!(
        "cannot join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor \
         container, by --ipc shareable)",
        donor.name
    );
    Err(InvalidOption::new("--ipc", &format!("container:{}", donor.name), why))
}

/// Ports to publish: those that were asked for, and with `--publish-all` the exposed ones.
pub(super) fn published(record: &Record) -> Vec<attach::PortMapping> {
    let network = &record.request.network;
    let mut ports = network.publish.clone();
    if network.publish_all {
        for exposed in super::inspect::exposed_ports(record) {
            let known = |port: &attach::PortMapping| {
                port.container_port == exposed.port && port.protocol == exposed.protocol
            };
            if !ports.iter().any(known) {
                ports.push(attach::PortMapping {
                    protocol: exposed.protocol,
                    host_ip: None,
                    host_port: attach::HostPort::Ephemeral,
                    container_port: exposed.port,
                });
            }
        }
    }
    ports
}

/// A port of the host that is named: pods get no other.
fn fixed(port: attach::PortMapping) -> Option<PublishedPort> {
    let attach::HostPort::Fixed(host_port) = port.host_port else { return None };
    let host_ip = match port.host_ip {
        Some(address @ IpAddr::V4(_)) => address,
        Some(IpAddr::V6(address)) if !address.is_unspecified() => return None,
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let attach::PortMapping { protocol, container_port, .. } = port;
    Some(PublishedPort::new(protocol, host_ip, host_port, container_port))
}

/// Six hexadecimal bytes between colons.
pub(super) fn mac_address(text: &str) -> Option<attach::MacAddress> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    Some(attach::MacAddress(bytes.try_into().ok()?))
}

fn host_file_paths(state_dir: &Path) -> HostFilePaths {
    HostFilePaths {
        hosts: state_dir.join("hosts"),
        hostname: state_dir.join("hostname"),
        resolv_conf: state_dir.join("resolv.conf"),
    }
}

/// Containers whose init is, under its process id, the one that was recorded: what was
/// opened below `/proc/PID` until now was theirs, and not that of a process which got the id.
pub(crate) fn still_there(joined: &[Record]) -> Result<(), Error> {
    let is_there = |record: &&Record| match &record.lifecycle {
        Lifecycle::Running { pid, start_time, .. } => sys::process::ProcStat::read(*pid)
            .is_ok_and(|stat| stat.start_time == *start_time && !stat.is_zombie()),
        _ => false,
    };
    match joined.iter().find(|record| !is_there(record)) {
        Some(gone) => Err(Error::NotRunning { name: gone.name.clone() }),
        None => Ok(()),
    }
}

/// Ends a container whose gate was never opened.
pub(super) fn end_unstarted(mut client: Client) {
    // It may have ended by itself; then there is nothing to end.
    let _ = client.hold_cleanup();
    let _ = client.kill(9);
    let _ = client.wait();
    let _ = client.cleaned_up();
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Reads a file of the image, through its root only; a missing one is empty.
pub(super) fn read_in(root: &RootDir, path: &str) -> Result<String, Error> {
    match root.read(Path::new(path), USER_FILE_MAX) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(error) => Err(Error::file("read the image's", Path::new(path))(error)),
    }
}

/// The user of a container, looked up in its image.
fn find_user(root: &RootDir, record: &Record) -> Result<ResolvedUser, Error> {
    let process = &record.request.process;
    let wanted = process.user.as_deref().unwrap_or(&record.config.user);
    let passwd = parse_passwd(&read_in(root, "/etc/passwd")?);
    let group = parse_group(&read_in(root, "/etc/group")?);
    Ok(resolve_user(wanted, &process.group_add, process.image_groups, &passwd, &group)?)
}

/// The working directory is made when the image lacks it, as docker does.
fn make_workdir(root: &RootDir, record: &Record) -> Result<(), Error> {
    let wanted = record.request.process.workdir.as_deref().unwrap_or(&record.config.working_dir);
    if wanted.is_empty() || wanted == "/" {
        return Ok(());
    }
    let path = Path::new(wanted);
    if root.open_at(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).is_ok() {
        return Ok(());
    }
    let failed = |errno| Error::file("make the working directory", path)(errno);
    let base = id_base(record);
    let (uid, gid) = (Uid::from_raw(base), Gid::from_raw(base));
    let ancestors: Vec<&Path> = path.ancestors().filter(|path| *path != Path::new("/")).collect();
    for directory in ancestors.into_iter().rev() {
        if root.open_at(directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_err() {
            let made = root.mkdir_all(directory, 0o755).map_err(failed)?;
            let owned = rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH);
            owned.map_err(|errno| failed(errno.into()))?;
        }
    }
    Ok(())
}

/// The empty file by which programs know that they are in a container, as docker has it; other fronts
/// have none.
fn make_mark(root: &RootDir, record: &Record) -> Result<(), Error> {
    let path = Path::new("/.dockerenv");
    if record.request.sandbox.is_some() || root.resolve_no_follow(path).is_ok() {
        return Ok(());
    }
    let failed = |errno| Error::file("make", path)(errno);
    let made = root.touch(path, 0o755).map_err(failed)?;
    let base = id_base(record);
    let (uid, gid) = (Uid::from_raw(base), Gid::from_raw(base));
    rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
        .map_err(|errno| failed(errno.into()))
}

/// What is added to the container's ids on the host.
pub(crate) fn id_base(record: &Record) -> u32 {
    match record.request.namespaces.user {
        UserMode::Host => 0,
        UserMode::Private { base, .. } => base,
    }
}

/// No honest passwd or group file is larger.
const USER_FILE_MAX: u64 = 16 << 20;
