//! What the engine's records say, in the interface's words. Pure.

use engine::{Lifecycle, Record};
use rpc::cri::{
    Container as ListedContainer, ContainerResources, ContainerState, ContainerStatus, ContainerUser,
    ImageSpec, LinuxPodSandboxStatus, Namespace, PodIp, PodSandbox, PodSandboxNetworkStatus, PodSandboxState,
    PodSandboxStatus,
};
use shim::Timestamp;

use crate::kept::{Container, Sandbox};
use crate::plan;

/// Nanoseconds since 1970.
pub(crate) fn nanos(time: Timestamp) -> i64 {
    time.seconds().saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos()))
}

/// Nanoseconds since 1970, now.
pub(crate) fn now() -> i64 {
    nanos(Timestamp::now())
}

pub(crate) fn sandbox_state(record: &Record) -> PodSandboxState {
    match record.lifecycle.is_running() {
        true => PodSandboxState::SandboxReady,
        false => PodSandboxState::SandboxNotready,
    }
}

/// A sandbox in a list.
pub(crate) fn listed_sandbox(sandbox: &Sandbox) -> PodSandbox {
    PodSandbox {
        id: sandbox.record.id.to_string(),
        metadata: Some(sandbox.metadata()),
        state: sandbox_state(&sandbox.record).into(),
        created_at: nanos(sandbox.record.created),
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.runtime_handler.clone(),
    }
}

/// A sandbox with its addresses, the first one first.
pub(crate) fn sandbox(sandbox: &Sandbox, addresses: &[String]) -> PodSandboxStatus {
    let linux = sandbox.config.linux.as_ref();
    let options = linux.and_then(|linux| linux.security_context.as_ref()?.namespace_options.clone());
    let further = addresses.iter().skip(1).map(|ip| PodIp { ip: ip.clone() }).collect();
    PodSandboxStatus {
        id: sandbox.record.id.to_string(),
        metadata: Some(sandbox.metadata()),
        state: sandbox_state(&sandbox.record).into(),
        created_at: nanos(sandbox.record.created),
        network: Some(PodSandboxNetworkStatus {
            ip: addresses.first().cloned().unwrap_or_default(),
            additional_ips: further,
        }),
        linux: Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace { options: Some(options.unwrap_or_default()) }),
        }),
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.runtime_handler.clone(),
    }
}

/// How far a container is, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) state: ContainerState,
    started_at: i64,
    finished_at: i64,
    exit_code: i32,
    reason: &'static str,
    message: String,
}

impl Progress {
    pub(crate) fn of(lifecycle: &Lifecycle) -> Self {
        match lifecycle {
            Lifecycle::Created { failure: None } | Lifecycle::Starting { .. } => Self::default(),
            Lifecycle::Created { failure: Some(failure) } => Self {
                state: ContainerState::ContainerExited,
                finished_at: nanos(failure.at),
                exit_code: NOT_STARTED,
                reason: "StartError",
                message: failure.message.clone(),
                ..Self::default()
            },
            Lifecycle::Running { started_at, .. } => Self {
                state: ContainerState::ContainerRunning,
                started_at: nanos(*started_at),
                ..Self::default()
            },
            Lifecycle::Exited { exit } | Lifecycle::Restarting { exit } => Self {
                state: ContainerState::ContainerExited,
                started_at: exit.started_at.map_or(0, nanos),
                finished_at: nanos(exit.at),
                exit_code: exit.code.unwrap_or(UNKNOWN),
                reason: match exit.code {
                    _ if exit.oom_killed => "OOMKilled",
                    Some(0) => "Completed",
                    Some(_) => "Error",
                    None => "Unknown",
                },
                message: String::new(),
            },
            Lifecycle::Removing => Self { state: ContainerState::ContainerUnknown, ..Self::default() },
        }
    }
}

/// A container in a list; `image_ref` is its image by digest.
pub(crate) fn listed_container(container: &Container, image_ref: &str) -> ListedContainer {
    let record = &container.record;
    ListedContainer {
        id: record.id.to_string(),
        pod_sandbox_id: container.sandbox_id.clone(),
        metadata: Some(container.metadata()),
        image: Some(image_spec(container)),
        image_ref: image_ref.to_owned(),
        state: Progress::of(&record.lifecycle).state.into(),
        created_at: nanos(record.created),
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
        image_id: record.image.id.to_string(),
    }
}

/// A container; `user` is who it runs as, when that is known.
pub(crate) fn container(
    container: &Container,
    image_ref: &str,
    user: Option<ContainerUser>,
) -> ContainerStatus {
    let record = &container.record;
    let progress = Progress::of(&record.lifecycle);
    let resources = plan::reported(&record.request.resources);
    let log = record.request.log.cri_file.as_ref();
    ContainerStatus {
        id: record.id.to_string(),
        metadata: Some(container.metadata()),
        state: progress.state.into(),
        created_at: nanos(record.created),
        started_at: progress.started_at,
        finished_at: progress.finished_at,
        exit_code: progress.exit_code,
        image: Some(image_spec(container)),
        image_ref: image_ref.to_owned(),
        reason: progress.reason.to_owned(),
        message: progress.message,
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
        mounts: container.config.mounts.clone(),
        log_path: log.map(|path| path.display().to_string()).unwrap_or_default(),
        resources: Some(ContainerResources { linux: Some(resources) }),
        image_id: record.image.id.to_string(),
        user,
        stop_signal: container.config.stop_signal,
    }
}

/// The image as it was asked for; kubelets ask by id and want the name back.
fn image_spec(container: &Container) -> ImageSpec {
    let asked = container.config.image.clone().unwrap_or_default();
    let image = match asked.user_specified_image.as_str() {
        "" => asked.image.clone(),
        name => name.to_owned(),
    };
    ImageSpec { image, ..asked }
}

/// The exit status of a container that could not be started.
const NOT_STARTED: i32 = 128;
/// The exit status of a container whose end nobody saw.
const UNKNOWN: i32 = 255;
