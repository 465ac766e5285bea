//! A runtime without processes: containers run until a test says that they have ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rpc::cri::*;
use tokio::sync::broadcast;

/// The runtime.
pub(crate) struct Fake {
    state: Mutex<State>,
    events: broadcast::Sender<ContainerEventResponse>,
}

#[derive(Default)]
struct State {
    next: u64,
    clock: i64,
    sandboxes: BTreeMap<String, (PodSandboxConfig, PodSandboxStatus)>,
    containers: BTreeMap<String, (String, ContainerConfig, ContainerStatus)>,
    images: BTreeMap<String, Image>,
    /// What was asked for, in order.
    calls: Vec<String>,
    /// What `exec_sync` answers, by command.
    execs: BTreeMap<String, i32>,
    range: String,
}

impl Default for Fake {
    fn default() -> Self {
        let state = State { clock: 1_700_000_000_000_000_000, ..State::default() };
        Self { state: Mutex::new(state), events: broadcast::Sender::new(1024) }
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, Status>>;

fn now<'a, T: Send + 'a>(answer: Result<T, Status>) -> Answer<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl Fake {
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn range(&self) -> String {
        self.state.lock().unwrap().range.clone()
    }

    pub(crate) fn set_exec(&self, command: &str, code: i32) {
        self.state.lock().unwrap().execs.insert(command.to_owned(), code);
    }

    /// The newest container of a name that runs.
    pub(crate) fn running(&self, name: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        let of_name = |config: &ContainerConfig| config.metadata.as_ref().unwrap().name == name;
        let mut all = state.containers.iter().filter(|(_, (_, config, status))| {
            of_name(config) && status.state == ContainerState::ContainerRunning as i32
        });
        all.next_back().map(|(id, _)| id.clone())
    }

    pub(crate) fn config(&self, id: &str) -> ContainerConfig {
        self.state.lock().unwrap().containers[id].1.clone()
    }

    pub(crate) fn sandboxes(&self) -> usize {
        self.state.lock().unwrap().sandboxes.len()
    }

    /// A container's process ends.
    pub(crate) fn end(&self, id: &str, code: i32) {
        let sandbox = self.state.lock().unwrap().end(id, code);
        self.tell(&sandbox);
    }

    fn tell(&self, sandbox: &str) {
        let status = self.state.lock().unwrap().sandboxes.get(sandbox).map(|found| found.1.clone());
        drop(self.events.send(ContainerEventResponse {
            pod_sandbox_status: status,
            ..ContainerEventResponse::default()
        }));
    }

    fn change<T>(
        &self,
        call: String,
        work: impl FnOnce(&mut State) -> Result<(T, String), Status>,
    ) -> Result<T, Status> {
        let done = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(call);
            work(&mut state)
        };
        done.map(|(answer, sandbox)| {
            self.tell(&sandbox);
            answer
        })
    }
}

impl State {
    fn tick(&mut self) -> i64 {
        self.clock += 1_000_000;
        self.clock
    }

    fn id(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}{:04}", self.next)
    }

    fn end(&mut self, id: &str, code: i32) -> String {
        let at =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let (sandbox, _, status) = self.containers.get_mut(id).unwrap();
        if status.state == ContainerState::ContainerRunning as i32 {
            status.state = ContainerState::ContainerExited as i32;
            status.exit_code = code;
            status.finished_at = at;
        }
        sandbox.clone()
    }

    fn end_all(&mut self, sandbox: &str) {
        let ids: Vec<String> = self
            .containers
            .iter()
            .filter(|(_, found)| found.0 == sandbox)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.end(&id, 137);
        }
    }
}

fn fits(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn missing(id: &str) -> Status {
    Status::not_found(format!("{id} is not there"))
}

impl RuntimeService for Fake {
    fn version(&self, _request: VersionRequest) -> Answer<'_, VersionResponse> {
        now(Ok(VersionResponse {
            runtime_name: "fake".to_owned(),
            runtime_version: "1".to_owned(),
            ..VersionResponse::default()
        }))
    }

    fn status(&self, _request: StatusRequest) -> Answer<'_, StatusResponse> {
        let network = !self.range().is_empty();
        let condition = |kind: &str, status| RuntimeCondition {
            r#type: kind.to_owned(),
            status,
            ..RuntimeCondition::default()
        };
        let conditions = vec![condition("RuntimeReady", true), condition("NetworkReady", network)];
        now(Ok(StatusResponse { status: Some(RuntimeStatus { conditions }), ..StatusResponse::default() }))
    }

    fn update_runtime_config(
        &self,
        request: UpdateRuntimeConfigRequest,
    ) -> Answer<'_, UpdateRuntimeConfigResponse> {
        let network = request.runtime_config.and_then(|config| config.network_config).unwrap_or_default();
        self.state.lock().unwrap().range = network.pod_cidr;
        now(Ok(UpdateRuntimeConfigResponse::default()))
    }

    fn run_pod_sandbox(&self, request: RunPodSandboxRequest) -> Answer<'_, RunPodSandboxResponse> {
        let config = request.config.unwrap();
        let metadata = config.metadata.clone().unwrap();
        now(self.change(format!("sandbox {}", metadata.name), |state| {
            let id = state.id("box");
            let at = state.tick();
            let status = PodSandboxStatus {
                id: id.clone(),
                metadata: Some(metadata),
                created_at: at,
                network: Some(PodSandboxNetworkStatus {
                    ip: format!("10.42.0.{}", state.next + 1),
                    ..Default::default()
                }),
                labels: config.labels.clone(),
                ..PodSandboxStatus::default()
            };
            state.sandboxes.insert(id.clone(), (config, status));
            Ok((RunPodSandboxResponse { pod_sandbox_id: id.clone() }, id))
        }))
    }

    fn stop_pod_sandbox(&self, request: StopPodSandboxRequest) -> Answer<'_, StopPodSandboxResponse> {
        let id = request.pod_sandbox_id;
        now(self.change("stop sandbox".to_owned(), |state| {
            state.end_all(&id);
            if let Some((_, status)) = state.sandboxes.get_mut(&id) {
                status.state = PodSandboxState::SandboxNotready as i32;
            }
            Ok((StopPodSandboxResponse::default(), id))
        }))
    }

    fn remove_pod_sandbox(&self, request: RemovePodSandboxRequest) -> Answer<'_, RemovePodSandboxResponse> {
        let id = request.pod_sandbox_id;
        now(self.change("remove sandbox".to_owned(), |state| {
            state.sandboxes.remove(&id);
            state.containers.retain(|_, found| found.0 != id);
            Ok((RemovePodSandboxResponse::default(), id))
        }))
    }

    fn pod_sandbox_status(&self, request: PodSandboxStatusRequest) -> Answer<'_, PodSandboxStatusResponse> {
        let found =
            self.state.lock().unwrap().sandboxes.get(&request.pod_sandbox_id).map(|found| found.1.clone());
        let found = found.ok_or_else(|| missing(&request.pod_sandbox_id));
        now(found.map(|status| PodSandboxStatusResponse {
            status: Some(status),
            ..PodSandboxStatusResponse::default()
        }))
    }

    fn list_pod_sandbox(&self, request: ListPodSandboxRequest) -> Answer<'_, ListPodSandboxResponse> {
        let wanted = request.filter.map(|filter| filter.label_selector).unwrap_or_default();
        let state = self.state.lock().unwrap();
        let all = state.sandboxes.values().filter(|(config, _)| fits(&wanted, &config.labels));
        let items = all
            .map(|(config, status)| PodSandbox {
                id: status.id.clone(),
                metadata: config.metadata.clone(),
                state: status.state,
                created_at: status.created_at,
                labels: config.labels.clone(),
                ..PodSandbox::default()
            })
            .collect();
        now(Ok(ListPodSandboxResponse { items }))
    }

    fn create_container(&self, request: CreateContainerRequest) -> Answer<'_, CreateContainerResponse> {
        let config = request.config.unwrap();
        let metadata = config.metadata.clone().unwrap();
        let sandbox = request.pod_sandbox_id;
        now(self.change(format!("create {}/{}", metadata.name, metadata.attempt), |state| {
            let id = state.id("c");
            let created_at = state.tick();
            let status = ContainerStatus {
                id: id.clone(),
                metadata: Some(metadata),
                created_at,
                image: config.image.clone(),
                image_ref: config.image.clone().unwrap().image,
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
                mounts: config.mounts.clone(),
                ..ContainerStatus::default()
            };
            state.containers.insert(id.clone(), (sandbox.clone(), config, status));
            Ok((CreateContainerResponse { container_id: id }, sandbox))
        }))
    }

    fn start_container(&self, request: StartContainerRequest) -> Answer<'_, StartContainerResponse> {
        let id = request.container_id;
        now(self.change(format!("start {id}"), |state| {
            let at =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
            let (sandbox, _, status) = state.containers.get_mut(&id).ok_or_else(|| missing(&id))?;
            status.state = ContainerState::ContainerRunning as i32;
            status.started_at = at;
            Ok((StartContainerResponse::default(), sandbox.clone()))
        }))
    }

    fn stop_container(&self, request: StopContainerRequest) -> Answer<'_, StopContainerResponse> {
        let id = request.container_id;
        now(self.change("stop container".to_owned(), |state| {
            if !state.containers.contains_key(&id) {
                return Err(missing(&id));
            }
            let sandbox = state.end(&id, 0);
            Ok((StopContainerResponse::default(), sandbox))
        }))
    }

    fn remove_container(&self, request: RemoveContainerRequest) -> Answer<'_, RemoveContainerResponse> {
        let id = request.container_id;
        now(self.change("remove container".to_owned(), |state| {
            let sandbox = state.containers.remove(&id).map(|found| found.0).unwrap_or_default();
            Ok((RemoveContainerResponse::default(), sandbox))
        }))
    }

    fn list_containers(&self, request: ListContainersRequest) -> Answer<'_, ListContainersResponse> {
        let wanted = request.filter.map(|filter| filter.label_selector).unwrap_or_default();
        let state = self.state.lock().unwrap();
        let all = state.containers.values().filter(|(_, config, _)| fits(&wanted, &config.labels));
        let containers = all
            .map(|(sandbox, config, status)| Container {
                id: status.id.clone(),
                pod_sandbox_id: sandbox.clone(),
                metadata: config.metadata.clone(),
                state: status.state,
                labels: config.labels.clone(),
                ..Container::default()
            })
            .collect();
        now(Ok(ListContainersResponse { containers }))
    }

    fn container_status(&self, request: ContainerStatusRequest) -> Answer<'_, ContainerStatusResponse> {
        let found =
            self.state.lock().unwrap().containers.get(&request.container_id).map(|found| found.2.clone());
        let found = found.ok_or_else(|| missing(&request.container_id));
        now(found.map(|status| ContainerStatusResponse {
            status: Some(status),
            ..ContainerStatusResponse::default()
        }))
    }

    fn exec_sync(&self, request: ExecSyncRequest) -> Answer<'_, ExecSyncResponse> {
        let command = request.cmd.join(" ");
        let mut state = self.state.lock().unwrap();
        state.calls.push(format!("exec {command}"));
        let exit_code = state.execs.get(&command).copied().unwrap_or_default();
        now(Ok(ExecSyncResponse { exit_code, ..ExecSyncResponse::default() }))
    }

    fn get_container_events(
        &self,
        _request: GetEventsRequest,
    ) -> Answer<'_, BoxStream<ContainerEventResponse>> {
        let events = self.events.subscribe();
        let stream = futures_util::stream::unfold(events, |mut events| async {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((Ok(event), events)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        now(Ok(Box::pin(stream) as BoxStream<ContainerEventResponse>))
    }
}

impl ImageService for Fake {
    fn image_status(&self, request: ImageStatusRequest) -> Answer<'_, ImageStatusResponse> {
        let name = request.image.unwrap_or_default().image;
        let image = self.state.lock().unwrap().images.get(&name).cloned();
        now(Ok(ImageStatusResponse { image, ..ImageStatusResponse::default() }))
    }

    fn pull_image(&self, request: PullImageRequest) -> Answer<'_, PullImageResponse> {
        let name = request.image.unwrap_or_default().image;
        let mut state = self.state.lock().unwrap();
        state.calls.push(format!("pull {name}"));
        if name.contains("missing") {
            return now(Err(Status::not_found(format!("{name} is in no registry"))));
        }
        let image = Image { id: name.clone(), repo_tags: vec![name.clone()], size: 1, ..Image::default() };
        state.images.insert(name.clone(), image);
        now(Ok(PullImageResponse { image_ref: name }))
    }

    fn image_fs_info(&self, _request: ImageFsInfoRequest) -> Answer<'_, ImageFsInfoResponse> {
        let fs_id = Some(FilesystemIdentifier { mountpoint: "/".to_owned() });
        let image_filesystems = vec![FilesystemUsage { fs_id, ..FilesystemUsage::default() }];
        now(Ok(ImageFsInfoResponse { image_filesystems, ..ImageFsInfoResponse::default() }))
    }

    fn remove_image(&self, request: RemoveImageRequest) -> Answer<'_, RemoveImageResponse> {
        let name = request.image.unwrap_or_default().image;
        let mut state = self.state.lock().unwrap();
        state.calls.push(format!("remove image {name}"));
        state.images.remove(&name);
        now(Ok(RemoveImageResponse::default()))
    }

    fn list_images(&self, _request: ListImagesRequest) -> Answer<'_, ListImagesResponse> {
        let images = self.state.lock().unwrap().images.values().cloned().collect();
        now(Ok(ListImagesResponse { images }))
    }
}

/// Remembers whom it was asked about, and when: what the runtime had been asked until then.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) pods: Mutex<Vec<(String, Vec<String>)>>,
    pub(crate) runtime: Option<Arc<Fake>>,
}

impl kubelet::Traffic for Told {
    fn drained<'a>(&'a self, pod: &'a kubelet::PodRef) -> client::BoxFuture<'a, ()> {
        let calls = self.runtime.as_ref().map(|runtime| runtime.calls()).unwrap_or_default();
        self.pods.lock().unwrap().push((pod.name.to_string(), calls));
        Box::pin(std::future::ready(()))
    }
}
