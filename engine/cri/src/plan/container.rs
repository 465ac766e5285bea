//! A container in a sandbox.

use std::path::{Path, PathBuf};

use engine::request::{
    BindOptions, CgroupMode, CreateRequest, ImageGroups, IpcMode, MountKind, MountOption, MountRequest,
    NetworkMode, PidMode, ProcessRequest, SandboxRole, Signal, UtsMode, Vanish,
};
use rpc::cri::security_profile::ProfileType;
use rpc::cri::{
    ContainerConfig, LinuxContainerSecurityContext, Mount, MountPropagation, NamespaceMode, PodSandboxConfig,
    SupplementalGroupsPolicy,
};

use super::{Namespaces, PlanError, invalid, name, namespaces, requested, security};

/// Everything that decides a container.
#[derive(Clone, Copy, Debug)]
pub struct ContainerInput<'a> {
    /// What is asked.
    pub config: &'a ContainerConfig,
    /// The id of its sandbox's holder.
    pub sandbox_id: &'a str,
    /// The sandbox as it was asked for.
    pub sandbox: &'a PodSandboxConfig,
    /// The filter of system calls on the node that [`seccomp_file`] names, read.
    pub seccomp_profile: Option<&'a str>,
    /// Whether control groups can limit huge pages here.
    pub has_hugetlb: bool,
}

/// The file of the filter of system calls, when the container has one of the node's.
pub fn seccomp_file(config: &ContainerConfig) -> Option<&str> {
    let context = config.linux.as_ref()?.security_context.as_ref()?;
    let profile = context.seccomp.as_ref().filter(|_| !context.privileged)?;
    (profile.profile_type() == ProfileType::Localhost).then_some(profile.localhost_ref.as_str())
}

/// The request for a container.
pub fn container(input: &ContainerInput<'_>) -> Result<CreateRequest, PlanError> {
    let config = input.config;
    let metadata = config.metadata.as_ref();
    let metadata = metadata.ok_or(PlanError::Missing("container config must include metadata"))?;
    let pod = input.sandbox.metadata.clone().unwrap_or_default();
    let image = config.image.as_ref().map(|image| image.image.clone()).filter(|image| !image.is_empty());
    let image = image.ok_or(PlanError::Missing("container config must name an image"))?;
    if let Some(device) = config.cdi_devices.first() {
        return Err(invalid("CDI_devices", &device.name, "this runtime knows no such devices"));
    }
    let linux = config.linux.clone().unwrap_or_default();
    let pod_linux = input.sandbox.linux.clone().unwrap_or_default();
    let context = linux.security_context.clone().unwrap_or_default();
    if context.privileged && !pod_linux.security_context.as_ref().is_some_and(|pod| pod.privileged) {
        return Err(PlanError::Missing("no privileged container allowed in sandbox"));
    }
    let mut request = CreateRequest { image, labels: config.labels.clone(), ..CreateRequest::default() };
    let attempt = metadata.attempt.to_string();
    request.name = Some(name(&[&metadata.name, &pod.name, &pod.namespace, &pod.uid, &attempt]));
    request.sandbox = Some(SandboxRole::Member(input.sandbox_id.to_owned()));
    request.process = process(config, &context)?;
    request.files.read_only = context.readonly_rootfs;
    request.files.mounts = config.mounts.iter().map(mount).collect::<Result<_, _>>()?;
    if let Some(resources) = &linux.resources {
        request.resources = requested(resources, input.has_hugetlb);
    }
    request.resources.cgroup_parent = Some(pod_linux.cgroup_parent).filter(|parent| !parent.is_empty());
    request.security = security::security(&context, &config.devices, input.seccomp_profile)?;
    if linux.security_context.is_none() {
        (request.security.masked_paths, request.security.readonly_paths) = (None, None);
    }
    log(&mut request, input);
    join(&mut request, input, &context)?;
    Ok(request)
}

fn process(
    config: &ContainerConfig,
    context: &LinuxContainerSecurityContext,
) -> Result<ProcessRequest, PlanError> {
    let variable =
        |pair: &rpc::cri::KeyValue| format!("{}={}", pair.key, String::from_utf8_lossy(&pair.value));
    let policy = SupplementalGroupsPolicy::try_from(context.supplemental_groups_policy).map_err(|_| {
        invalid("supplemental_groups_policy", context.supplemental_groups_policy, "use Merge or Strict")
    })?;
    Ok(ProcessRequest {
        command: config.args.clone(),
        entrypoint: Some(config.command.clone()).filter(|command| !command.is_empty()),
        env: config.envs.iter().map(variable).collect(),
        workdir: Some(config.working_dir.clone()).filter(|dir| !dir.is_empty()),
        user: user(context)?,
        group_add: context.supplemental_groups.iter().map(ToString::to_string).collect(),
        image_groups: match policy {
            SupplementalGroupsPolicy::Merge => ImageGroups::Always,
            SupplementalGroupsPolicy::Strict => ImageGroups::Never,
        },
        tty: config.tty,
        open_stdin: config.stdin,
        stdin_once: config.stdin_once,
        stop_signal: stop_signal(config)?,
        ..ProcessRequest::default()
    })
}

/// `user[:group]`; nothing leaves it to the image.
fn user(context: &LinuxContainerSecurityContext) -> Result<Option<String>, PlanError> {
    let id = |field, value: i64| u32::try_from(value).map_err(|_| invalid(field, value, "it must be an id"));
    let user = match (&context.run_as_user, context.run_as_username.as_str()) {
        (Some(user), _) => Some(id("run_as_user", user.value)?.to_string()),
        (None, "") => None,
        (None, name) => Some(name.to_owned()),
    };
    match (user, &context.run_as_group) {
        (Some(user), Some(group)) => Ok(Some(format!("{user}:{}", id("run_as_group", group.value)?))),
        (None, Some(_)) => Err(PlanError::Missing("user group is specified without user")),
        (user, None) => Ok(user),
    }
}

fn stop_signal(config: &ContainerConfig) -> Result<Option<Signal>, PlanError> {
    let wanted = rpc::cri::Signal::try_from(config.stop_signal)
        .map_err(|_| invalid("stop_signal", config.stop_signal, "it is no signal of this interface"))?;
    if wanted == rpc::cri::Signal::RuntimeDefault {
        return Ok(None);
    }
    let name = wanted.as_str_name().replace("MINPLUS", "MIN+").replace("MAXMINUS", "MAX-");
    // Old names of two signals.
    let name = match name.as_str() {
        "SIGCLD" => "SIGCHLD",
        "SIGIOT" => "SIGABRT",
        name => name,
    };
    let signal = Signal::parse(name);
    signal.map(Some).map_err(|_| invalid("stop_signal", name, "this system has no such signal"))
}

fn mount(mount: &Mount) -> Result<MountRequest, PlanError> {
    let target = PathBuf::from(&mount.container_path);
    if !target.is_absolute() {
        return Err(invalid("mounts.container_path", &mount.container_path, "use an absolute path"));
    }
    if let Some(image) = mount.image.as_ref().filter(|image| !image.image.is_empty()) {
        let part = Some(PathBuf::from(&mount.image_sub_path)).filter(|part| !part.as_os_str().is_empty());
        let kind = MountKind::Image { image: image.image.clone(), part };
        return Ok(MountRequest { target, kind, read_only: true, by: MountOption::Volume });
    }
    if !Path::new(&mount.host_path).is_absolute() {
        return Err(invalid("mounts.host_path", &mount.host_path, "use an absolute path"));
    }
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        let why = "this runtime maps no ids of mounts";
        return Err(invalid("mounts.uidMappings", &mount.container_path, why));
    }
    if mount.recursive_read_only && !mount.readonly {
        let why = "a mount that is not read-only cannot be so for what is below it";
        return Err(invalid("mounts.recursive_read_only", &mount.container_path, why));
    }
    let propagation = match mount.propagation() {
        MountPropagation::PropagationPrivate => "rprivate",
        MountPropagation::PropagationHostToContainer => "rslave",
        MountPropagation::PropagationBidirectional => "rshared",
    };
    let options = BindOptions {
        propagation: Some(propagation.to_owned()),
        if_missing: Vanish::MakeDirectory,
        non_recursive: false,
        recursive_read_only: mount.recursive_read_only,
    };
    let kind = MountKind::Bind { source: mount.host_path.clone().into(), options };
    Ok(MountRequest { target, kind, read_only: mount.readonly, by: MountOption::Volume })
}

fn log(request: &mut CreateRequest, input: &ContainerInput<'_>) {
    let (directory, file) = (&input.sandbox.log_directory, &input.config.log_path);
    request.log.keep = !directory.is_empty() && !file.is_empty();
    request.log.cri_file = request.log.keep.then(|| Path::new(directory).join(file));
}

/// Whose namespaces it lives in.
fn join(
    request: &mut CreateRequest,
    input: &ContainerInput<'_>,
    context: &LinuxContainerSecurityContext,
) -> Result<(), PlanError> {
    let holder = || input.sandbox_id.to_owned();
    let Namespaces { pid, ipc, .. } = namespaces(context.namespace_options.as_ref())?;
    let pod = input.sandbox.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    let pod = namespaces(pod.and_then(|context| context.namespace_options.as_ref()))?;
    request.network.mode = NetworkMode::Container(holder());
    request.namespaces.uts = UtsMode::Container(holder());
    request.namespaces.ipc = match (ipc, pod.ipc) {
        (NamespaceMode::Node, _) | (_, NamespaceMode::Node) => IpcMode::Host,
        _ => IpcMode::Container(holder()),
    };
    request.namespaces.pid = match pid {
        NamespaceMode::Pod => PidMode::Container(holder()),
        NamespaceMode::Container => PidMode::Private,
        NamespaceMode::Node => PidMode::Host,
        NamespaceMode::Target => {
            let target = context.namespace_options.as_ref().map(|options| options.target_id.clone());
            PidMode::Container(target.unwrap_or_default())
        }
    };
    request.namespaces.cgroup = if context.privileged { CgroupMode::Host } else { CgroupMode::Private };
    Ok(())
}
