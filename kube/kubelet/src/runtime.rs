//! What the runtime has of a pod, in our words.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rpc::cri::{
    ContainerFilter, ContainerState, ContainerStatus, ContainerStatusRequest, ListContainersRequest,
    ListPodSandboxRequest, PodSandboxFilter, PodSandboxState, PodSandboxStatusRequest, RuntimeService,
    Status,
};

use crate::model::{Container, Life, Limits, Sandbox, User};
use crate::pods::State;
use crate::spec::{CONTAINER_HASH, CONTAINER_NAME, POD_UID};

/// Asks the runtime for all of a pod. What had ended at the last look is not asked for again.
pub(crate) async fn observe(
    runtime: &dyn RuntimeService,
    uid: &str,
    logs: &Path,
    before: &State,
) -> Result<State, Status> {
    let by_pod = || HashMap::from([(POD_UID.to_owned(), uid.to_owned())]);
    let filter =
        PodSandboxFilter { label_selector: by_pod().into_iter().collect(), ..PodSandboxFilter::default() };
    let listed = runtime.list_pod_sandbox(ListPodSandboxRequest { filter: Some(filter) }).await?;
    let mut sandboxes = Vec::new();
    for found in listed.items {
        // One that is not ready may only just be made: it is asked about again.
        sandboxes.extend(sandbox(runtime, found.id).await?);
    }
    sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.attempt)));
    let filter =
        ContainerFilter { label_selector: by_pod().into_iter().collect(), ..ContainerFilter::default() };
    let listed = runtime.list_containers(ListContainersRequest { filter: Some(filter) }).await?;
    let mut containers = Vec::new();
    for found in listed.containers {
        let ended = before.containers.iter().find(|old| old.id == found.id && old.life == Life::Exited);
        if let Some(ended) = ended {
            containers.push(ended.clone());
        } else if let Some(container) = container(runtime, found.id, found.pod_sandbox_id, logs).await? {
            containers.push(container);
        }
    }
    containers.sort_by_key(|container| std::cmp::Reverse((container.created_at, container.attempt)));
    Ok(State { sandboxes, containers })
}

async fn sandbox(runtime: &dyn RuntimeService, id: String) -> Result<Option<Sandbox>, Status> {
    let request = PodSandboxStatusRequest { pod_sandbox_id: id, verbose: false };
    let status = match runtime.pod_sandbox_status(request).await {
        Ok(answer) => answer.status,
        // Removed between the list and this.
        Err(status) if status.code() == rpc::cri::Code::NotFound => None,
        Err(status) => return Err(status),
    };
    Ok(status.map(|status| {
        let network = status.network.unwrap_or_default();
        let first = Some(network.ip).filter(|ip| !ip.is_empty());
        let more = network.additional_ips.into_iter().map(|ip| ip.ip);
        Sandbox {
            is_ready: status.state == PodSandboxState::SandboxReady as i32,
            attempt: status.metadata.map_or(0, |metadata| metadata.attempt),
            created_at: status.created_at,
            addresses: first.into_iter().chain(more).collect(),
            id: status.id,
        }
    }))
}

async fn container(
    runtime: &dyn RuntimeService,
    id: String,
    sandbox: String,
    logs: &Path,
) -> Result<Option<Container>, Status> {
    let request = ContainerStatusRequest { container_id: id, verbose: false };
    let status = match runtime.container_status(request).await {
        Ok(answer) => answer.status,
        Err(status) if status.code() == rpc::cri::Code::NotFound => None,
        Err(status) => return Err(status),
    };
    Ok(status.map(|status| {
        let mut container = read(&status, sandbox);
        if container.life == Life::Exited {
            container.message = last_words(&status, logs);
        }
        container
    }))
}

fn read(status: &ContainerStatus, sandbox: String) -> Container {
    let label = |name: &str| status.labels.get(name).cloned().unwrap_or_default();
    let life = match ContainerState::try_from(status.state) {
        Ok(ContainerState::ContainerCreated) => Life::Created,
        Ok(ContainerState::ContainerRunning) => Life::Running,
        Ok(ContainerState::ContainerExited) => Life::Exited,
        _ => Life::Unknown,
    };
    let image = status.image.as_ref();
    let asked = image.map(|image| image.user_specified_image.clone()).filter(|image| !image.is_empty());
    let linux = status.resources.as_ref().and_then(|resources| resources.linux.as_ref());
    let user = status.user.as_ref().and_then(|user| user.linux.as_ref());
    Container {
        id: status.id.clone(),
        name: label(CONTAINER_NAME),
        attempt: status.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
        sandbox,
        life,
        created_at: status.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        image: asked.or_else(|| image.map(|image| image.image.clone())).unwrap_or_default(),
        image_id: match status.image_ref.as_str() {
            "" => status.image_id.clone(),
            image => image.to_owned(),
        },
        hash: status.annotations.get(CONTAINER_HASH).cloned().unwrap_or_default(),
        resources: linux.map(|linux| Limits {
            cpu_shares: linux.cpu_shares,
            cpu_quota: linux.cpu_quota,
            cpu_period: linux.cpu_period,
            memory: linux.memory_limit_in_bytes,
            oom_score_adj: linux.oom_score_adj,
        }),
        user: user.map(|user| User {
            uid: user.uid,
            gid: user.gid,
            groups: user.supplemental_groups.clone(),
        }),
        stop_signal: rpc::cri::Signal::try_from(status.stop_signal)
            .ok()
            .filter(|signal| *signal != rpc::cri::Signal::RuntimeDefault)
            .map(|signal| signal.as_str_name().to_owned()),
    }
}

/// What the container wrote into its termination file, or the end of its log where it asked for that.
fn last_words(status: &ContainerStatus, logs: &Path) -> String {
    let annotation = |name: &str| {
        let key = format!("io.kubernetes.container.{name}");
        status.annotations.get(&key).map(String::as_str).unwrap_or_default()
    };
    let path = annotation("terminationMessagePath");
    let file = status.mounts.iter().find(|mount| !path.is_empty() && mount.container_path == path);
    let said = file.map(|mount| head(Path::new(&mount.host_path), MESSAGE_MAX)).unwrap_or_default();
    if !said.is_empty() {
        return said;
    }
    if annotation("terminationMessagePolicy") == "FallbackToLogsOnError" && status.exit_code != 0 {
        let log = log_of(status, logs);
        return tail_of_log(&log);
    }
    status.message.clone()
}

fn log_of(status: &ContainerStatus, logs: &Path) -> PathBuf {
    let path = Path::new(&status.log_path);
    if path.is_absolute() { path.to_owned() } else { logs.join(path) }
}

fn head(path: &Path, most: usize) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    let Ok(file) = std::fs::File::open(path) else { return String::new() };
    if file.take(most as u64).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of a log in the runtime's form, without times and streams.
fn tail_of_log(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let Ok(mut file) = std::fs::File::open(path) else { return String::new() };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let from = length.saturating_sub(LOG_READ);
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(from)).is_err() || file.take(LOG_READ).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text.lines().skip(usize::from(from > 0));
    let mut said = String::new();
    let words: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    for line in words.iter().rev().take(LOG_LINES).rev() {
        // `TIME stdout F text`: `P` is a part of a line.
        let mut parts = line.splitn(4, ' ').skip(2);
        let whole = parts.next() != Some("P");
        said.push_str(parts.next().unwrap_or_default());
        if whole {
            said.push('\n');
        }
    }
    let cut = said.len().saturating_sub(LOG_MAX);
    let cut = (cut..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(said.len());
    said.split_off(cut)
}

/// The most that a termination message has.
const MESSAGE_MAX: usize = 4096;
/// The most of a log that becomes one: lines, bytes, and how far one looks back for them.
const LOG_LINES: usize = 80;
const LOG_MAX: usize = 2048;
const LOG_READ: u64 = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_becomes_the_message() {
        let dir = testkit::TempDir::new();
        let path = dir.path().join("0.log");
        let time = "2026-01-01T00:00:00.000000000Z";
        std::fs::write(&path, format!("{time} stdout F one\n{time} stderr P tw\n{time} stderr F o\n"))
            .unwrap();
        assert_eq!(tail_of_log(&path), "one\ntwo\n");
        let long: String = (0..2000).map(|n| format!("{time} stdout F line {n}\n")).collect();
        std::fs::write(&path, long).unwrap();
        let said = tail_of_log(&path);
        assert!(said.ends_with("line 1999\n") && said.lines().count() == 80, "{said}");
        assert_eq!(tail_of_log(Path::new("/none")), "");
    }
}
