//! Sandboxes and containers: the runtime service over the engine.

mod containers;
mod lists;
mod sandboxes;

use std::sync::{Arc, Mutex};

use attach::PodNetwork;
use base::ContainerId;
use engine::images::Remote;
use engine::{Engine, Record};
use rpc::cri::*;
use tokio::sync::watch;

use crate::error::status;
use crate::events::Events;
use crate::exec::exec_sync;
use crate::index::Index;
use crate::kept::{Container, Kept, Sandbox};
use crate::plan::SandboxNetwork;
use crate::stats::Samples;
use crate::work::blocking;
use crate::{plan, stats};

pub(crate) use lists::selected;

/// Makes the network of pods for a node's range of addresses, such as `10.42.3.0/24`.
pub type MakePodNetwork = dyn Fn(attach::Cidr) -> Result<PodNetwork, attach::Error> + Send + Sync;

/// What a runtime is made of.
pub struct Config {
    /// The engine, without a cleanup command: this process hears of ends itself.
    pub engine: Arc<Engine>,
    /// How registries are reached.
    pub remote: Remote,
    /// Which network sandboxes get. With that of pods, the network is not ready until the engine
    /// has been given it ([`Engine::use_pod_network`]).
    pub network: SandboxNetwork,
    /// Makes the network of pods when the kubelet tells the node's range; without it the engine is
    /// given the network by somebody else.
    pub make_pod_network: Option<Box<MakePodNetwork>>,
    /// Where streams are had; without it exec, attach and port-forward are UNIMPLEMENTED.
    pub streams: Option<Arc<streaming::Server>>,
    /// Whether the built-in image is made (or nobody makes it); until then who asks for it waits.
    pub tools: watch::Receiver<bool>,
}

/// The engine as a runtime service and an image service.
#[derive(Clone)]
pub struct Cri {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) remote: Remote,
    network: SandboxNetwork,
    make_pod_network: Option<Box<MakePodNetwork>>,
    streams: Option<Arc<streaming::Server>>,
    tools: watch::Receiver<bool>,
    pub(crate) events: Arc<Events>,
    pub(crate) index: Arc<Index>,
    pub(crate) samples: Mutex<Samples>,
}

impl Cri {
    /// Puts right what a crash has left, and watches over what runs.
    pub async fn start(config: Config) -> Result<Self, engine::Error> {
        let Config { engine, remote, network, make_pod_network, streams, tools } = config;
        let index = Arc::new(Index::new(Arc::clone(&engine)));
        let (describing, indexed) = (Arc::clone(&engine), Arc::clone(&index));
        let events = Events::new(Arc::clone(&engine), move |kept, kind| {
            lists::event(&describing, &indexed, kept, kind)
        });
        let inner = Inner {
            engine: Arc::clone(&engine),
            remote,
            network,
            make_pod_network,
            streams,
            tools,
            events: Arc::new(events),
            index,
            samples: Mutex::default(),
        };
        let found = tokio::task::spawn_blocking(move || {
            engine.reconcile()?;
            engine.list()
        });
        let found = found.await.unwrap_or_else(|_| Ok(Vec::new()))?;
        for record in found.into_iter().map(|listed| listed.record) {
            if record.lifecycle.is_running()
                && let Some(kept) = Kept::of(record)
            {
                inner.events.watch(kept.record().id.clone());
            }
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Does `work` where it may block.
    pub(crate) fn does<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Status> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Status>> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner))
    }

    /// The same for work with an image: when that is the built-in one, not before it is made.
    pub(crate) fn does_with<T: Send + 'static>(
        &self,
        image: Option<&ImageSpec>,
        work: impl FnOnce(&Inner) -> Result<T, Status> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Status>> {
        let is_built_in = image.is_some_and(|image| Engine::is_tools_image(&image.image));
        let mut tools = self.inner.tools.clone();
        let work = self.does(work);
        Box::pin(async move {
            if is_built_in {
                // When its maker is gone there is none, and the work says so.
                drop(tools.wait_for(|made| *made).await);
            }
            work.await
        })
    }

    fn streams(&self) -> Result<&streaming::Server, Status> {
        let none = || Status::unimplemented("this runtime was started without a server of streams");
        self.inner.streams.as_deref().ok_or_else(none)
    }
}

impl Inner {
    /// What an id stands for: a sandbox or a container of ours, by its id or the beginning of it.
    pub(crate) fn find(&self, what: &str, id: &str) -> Result<Kept, Status> {
        let missing =
            || Status::not_found(format!("an error occurred when try to find {what} \"{id}\": not found"));
        let found = self.engine.containers().resolve(id).map_err(|error| match error {
            engine::container::StoreError::NotFound { .. } => missing(),
            error => status(error),
        })?;
        let record = self.engine.look(&found).map_err(|error| match error.is_not_found() {
            true => missing(),
            false => status(error),
        })?;
        Kept::of(record).ok_or_else(missing)
    }

    pub(crate) fn sandbox(&self, id: &str) -> Result<Sandbox, Status> {
        match self.find("sandbox", id)? {
            Kept::Sandbox(sandbox) => Ok(*sandbox),
            Kept::Container(_) => Err(Status::not_found(format!(
                "an error occurred when try to find sandbox \"{id}\": not found"
            ))),
        }
    }

    pub(crate) fn container(&self, id: &str) -> Result<Container, Status> {
        match self.find("container", id)? {
            Kept::Container(container) => Ok(*container),
            Kept::Sandbox(_) => Err(Status::not_found(format!(
                "an error occurred when try to find container \"{id}\": not found"
            ))),
        }
    }

    /// The containers of a sandbox.
    pub(crate) fn members(&self, sandbox: &ContainerId) -> Result<Vec<Container>, Status> {
        self.index.members(sandbox)
    }
}

impl RuntimeService for Cri {
    fn version(&self, _request: VersionRequest) -> BoxFuture<'_, Result<VersionResponse, Status>> {
        ready(Ok(VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "strake".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_api_version: "v1".to_owned(),
        }))
    }

    fn run_pod_sandbox(
        &self,
        request: RunPodSandboxRequest,
    ) -> BoxFuture<'_, Result<RunPodSandboxResponse, Status>> {
        self.does(move |inner| inner.run_sandbox(&request))
    }

    fn stop_pod_sandbox(
        &self,
        request: StopPodSandboxRequest,
    ) -> BoxFuture<'_, Result<StopPodSandboxResponse, Status>> {
        self.does(move |inner| inner.stop_sandbox(&request.pod_sandbox_id))
    }

    fn remove_pod_sandbox(
        &self,
        request: RemovePodSandboxRequest,
    ) -> BoxFuture<'_, Result<RemovePodSandboxResponse, Status>> {
        Box::pin(async move { sandboxes::remove(self, request.pod_sandbox_id).await })
    }

    fn pod_sandbox_status(
        &self,
        request: PodSandboxStatusRequest,
    ) -> BoxFuture<'_, Result<PodSandboxStatusResponse, Status>> {
        self.does(move |inner| inner.sandbox_status(&request))
    }

    fn list_pod_sandbox(
        &self,
        request: ListPodSandboxRequest,
    ) -> BoxFuture<'_, Result<ListPodSandboxResponse, Status>> {
        self.does(move |inner| Ok(ListPodSandboxResponse { items: inner.list_sandboxes(request.filter)? }))
    }

    fn stream_pod_sandboxes(
        &self,
        request: StreamPodSandboxesRequest,
    ) -> BoxFuture<'_, Result<BoxStream<StreamPodSandboxesResponse>, Status>> {
        let listed = self.does(move |inner| inner.list_sandboxes(request.filter));
        in_pieces(listed, |pod_sandboxes| StreamPodSandboxesResponse { pod_sandboxes })
    }

    fn create_container(
        &self,
        request: CreateContainerRequest,
    ) -> BoxFuture<'_, Result<CreateContainerResponse, Status>> {
        let image = request.config.as_ref().and_then(|config| config.image.clone());
        self.does_with(image.as_ref(), move |inner| inner.create_container(&request))
    }

    fn start_container(
        &self,
        request: StartContainerRequest,
    ) -> BoxFuture<'_, Result<StartContainerResponse, Status>> {
        self.does(move |inner| inner.start_container(&request.container_id))
    }

    fn stop_container(
        &self,
        request: StopContainerRequest,
    ) -> BoxFuture<'_, Result<StopContainerResponse, Status>> {
        self.does(move |inner| inner.stop_container(&request))
    }

    fn remove_container(
        &self,
        request: RemoveContainerRequest,
    ) -> BoxFuture<'_, Result<RemoveContainerResponse, Status>> {
        Box::pin(async move { containers::remove(self, request.container_id).await })
    }

    fn list_containers(
        &self,
        request: ListContainersRequest,
    ) -> BoxFuture<'_, Result<ListContainersResponse, Status>> {
        self.does(move |inner| {
            Ok(ListContainersResponse { containers: inner.list_containers(request.filter)? })
        })
    }

    fn stream_containers(
        &self,
        request: StreamContainersRequest,
    ) -> BoxFuture<'_, Result<BoxStream<StreamContainersResponse>, Status>> {
        let listed = self.does(move |inner| inner.list_containers(request.filter));
        in_pieces(listed, |containers| StreamContainersResponse { containers })
    }

    fn container_status(
        &self,
        request: ContainerStatusRequest,
    ) -> BoxFuture<'_, Result<ContainerStatusResponse, Status>> {
        self.does(move |inner| inner.container_status(&request))
    }

    fn update_container_resources(
        &self,
        request: UpdateContainerResourcesRequest,
    ) -> BoxFuture<'_, Result<UpdateContainerResourcesResponse, Status>> {
        self.does(move |inner| inner.update_container(&request))
    }

    fn reopen_container_log(
        &self,
        request: ReopenContainerLogRequest,
    ) -> BoxFuture<'_, Result<ReopenContainerLogResponse, Status>> {
        self.does(move |inner| inner.reopen_log(&request.container_id))
    }

    fn exec_sync(&self, request: ExecSyncRequest) -> BoxFuture<'_, Result<ExecSyncResponse, Status>> {
        Box::pin(async move {
            let id = request.container_id.clone();
            let found = self.does(move |inner| inner.running_container(&id)).await?;
            exec_sync(Arc::clone(&self.inner.engine), found.id, request).await
        })
    }

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<ExecResponse, Status>> {
        Box::pin(async move {
            let id = request.container_id.clone();
            let found = self.does(move |inner| inner.running_container(&id)).await?;
            let url = self.streams()?.exec(streaming::Exec {
                container: found.id.to_string(),
                command: request.cmd,
                tty: request.tty,
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
            });
            Ok(ExecResponse { url: url.map_err(too_many)? })
        })
    }

    fn attach(&self, request: AttachRequest) -> BoxFuture<'_, Result<AttachResponse, Status>> {
        Box::pin(async move {
            let id = request.container_id.clone();
            let found = self.does(move |inner| inner.running_container(&id)).await?;
            let url = self.streams()?.attach(streaming::Attach {
                container: found.id.to_string(),
                tty: request.tty,
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
            });
            Ok(AttachResponse { url: url.map_err(too_many)? })
        })
    }

    fn port_forward(
        &self,
        request: PortForwardRequest,
    ) -> BoxFuture<'_, Result<PortForwardResponse, Status>> {
        Box::pin(async move {
            let id = request.pod_sandbox_id.clone();
            let found = self.does(move |inner| inner.ready_sandbox(&id)).await?;
            let port = |port: i32| {
                u16::try_from(port).map_err(|_| Status::invalid_argument(format!("{port} is not a port")))
            };
            let ports = request.port.into_iter().map(port).collect::<Result<_, _>>()?;
            let sandbox = found.record.id.to_string();
            let url = self.streams()?.forward(streaming::Forward { sandbox, ports });
            Ok(PortForwardResponse { url: url.map_err(too_many)? })
        })
    }

    fn container_stats(
        &self,
        request: ContainerStatsRequest,
    ) -> BoxFuture<'_, Result<ContainerStatsResponse, Status>> {
        self.does(move |inner| {
            let container = inner.container(&request.container_id)?;
            Ok(ContainerStatsResponse { stats: Some(stats::of_container(inner, &container)?) })
        })
    }

    fn list_container_stats(
        &self,
        request: ListContainerStatsRequest,
    ) -> BoxFuture<'_, Result<ListContainerStatsResponse, Status>> {
        self.does(move |inner| {
            Ok(ListContainerStatsResponse { stats: stats::of_containers(inner, request.filter)? })
        })
    }

    fn stream_container_stats(
        &self,
        request: StreamContainerStatsRequest,
    ) -> BoxFuture<'_, Result<BoxStream<StreamContainerStatsResponse>, Status>> {
        let listed = self.does(move |inner| stats::of_containers(inner, request.filter));
        in_pieces(listed, |container_stats| StreamContainerStatsResponse { container_stats })
    }

    fn pod_sandbox_stats(
        &self,
        request: PodSandboxStatsRequest,
    ) -> BoxFuture<'_, Result<PodSandboxStatsResponse, Status>> {
        self.does(move |inner| {
            let sandbox = inner.sandbox(&request.pod_sandbox_id)?;
            Ok(PodSandboxStatsResponse { stats: Some(stats::of_sandbox(inner, &sandbox)?) })
        })
    }

    fn list_pod_sandbox_stats(
        &self,
        request: ListPodSandboxStatsRequest,
    ) -> BoxFuture<'_, Result<ListPodSandboxStatsResponse, Status>> {
        self.does(move |inner| {
            Ok(ListPodSandboxStatsResponse { stats: stats::of_sandboxes(inner, request.filter)? })
        })
    }

    fn stream_pod_sandbox_stats(
        &self,
        request: StreamPodSandboxStatsRequest,
    ) -> BoxFuture<'_, Result<BoxStream<StreamPodSandboxStatsResponse>, Status>> {
        let listed = self.does(move |inner| stats::of_sandboxes(inner, request.filter));
        in_pieces(listed, |pod_sandbox_stats| StreamPodSandboxStatsResponse { pod_sandbox_stats })
    }

    fn update_runtime_config(
        &self,
        request: UpdateRuntimeConfigRequest,
    ) -> BoxFuture<'_, Result<UpdateRuntimeConfigResponse, Status>> {
        self.does(move |inner| inner.update_config(request))
    }

    fn status(&self, request: StatusRequest) -> BoxFuture<'_, Result<StatusResponse, Status>> {
        self.does(move |inner| Ok(inner.status(request.verbose)))
    }

    fn get_container_events(
        &self,
        _request: GetEventsRequest,
    ) -> BoxFuture<'_, Result<BoxStream<ContainerEventResponse>, Status>> {
        ready(Ok(self.inner.events.listen()))
    }

    fn list_metric_descriptors(
        &self,
        _request: ListMetricDescriptorsRequest,
    ) -> BoxFuture<'_, Result<ListMetricDescriptorsResponse, Status>> {
        ready(Ok(ListMetricDescriptorsResponse { descriptors: stats::metric_descriptors() }))
    }

    fn list_pod_sandbox_metrics(
        &self,
        _request: ListPodSandboxMetricsRequest,
    ) -> BoxFuture<'_, Result<ListPodSandboxMetricsResponse, Status>> {
        self.does(|inner| Ok(ListPodSandboxMetricsResponse { pod_metrics: stats::metrics(inner)? }))
    }

    fn stream_pod_sandbox_metrics(
        &self,
        _request: StreamPodSandboxMetricsRequest,
    ) -> BoxFuture<'_, Result<BoxStream<StreamPodSandboxMetricsResponse>, Status>> {
        let listed = self.does(stats::metrics);
        in_pieces(listed, |pod_sandbox_metrics| StreamPodSandboxMetricsResponse { pod_sandbox_metrics })
    }

    fn runtime_config(
        &self,
        _request: RuntimeConfigRequest,
    ) -> BoxFuture<'_, Result<RuntimeConfigResponse, Status>> {
        let cgroup_driver = CgroupDriver::Cgroupfs.into();
        ready(Ok(RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver }) }))
    }

    fn update_pod_sandbox_resources(
        &self,
        request: UpdatePodSandboxResourcesRequest,
    ) -> BoxFuture<'_, Result<UpdatePodSandboxResourcesResponse, Status>> {
        // The kubelet itself changes the pod's control group; what is told here is for runtimes
        // that size something else by it, such as a virtual machine.
        self.does(move |inner| {
            inner.sandbox(&request.pod_sandbox_id).map(|_| UpdatePodSandboxResourcesResponse {})
        })
    }
}

impl Inner {
    fn status(&self, verbose: bool) -> StatusResponse {
        let condition = |kind: &str| RuntimeCondition {
            r#type: kind.to_owned(),
            status: true,
            ..RuntimeCondition::default()
        };
        let mut network = condition("NetworkReady");
        if self.network == SandboxNetwork::Pod && self.engine.pod_network().is_none() {
            network.status = false;
            network.reason = "NetworkPluginNotReady".to_owned();
            network.message = "the node has no range of pod addresses yet".to_owned();
        }
        let features = RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false };
        let handler = |name: &str| RuntimeHandler { name: name.to_owned(), features: Some(features) };
        let mut info = std::collections::BTreeMap::new();
        if verbose {
            info.insert("root".to_owned(), format!("{:?}", self.engine.paths().root));
            info.insert("state".to_owned(), format!("{:?}", self.engine.paths().state));
        }
        StatusResponse {
            status: Some(RuntimeStatus { conditions: vec![condition("RuntimeReady"), network] }),
            info,
            runtime_handlers: ["", "strake"].map(handler).to_vec(),
            features: Some(RuntimeFeatures {
                supplemental_groups_policy: true,
                ..RuntimeFeatures::default()
            }),
        }
    }

    /// The node has learnt its range of pod addresses.
    fn update_config(
        &self,
        request: UpdateRuntimeConfigRequest,
    ) -> Result<UpdateRuntimeConfigResponse, Status> {
        let told = request.runtime_config.and_then(|config| config.network_config);
        let ranges = told.map(|network| network.pod_cidr).unwrap_or_default();
        // Of two families the first range is taken that we have addresses of.
        let range = ranges.split(',').find_map(|range| range.trim().parse::<attach::Cidr>().ok());
        if self.engine.pod_network().is_none()
            && let (Some(range), Some(make)) = (range, &self.make_pod_network)
        {
            let network = make(range).map_err(status)?;
            self.engine.use_pod_network(Arc::new(network)).map_err(status)?;
        }
        Ok(UpdateRuntimeConfigResponse {})
    }

    /// The record of a container that must run.
    pub(crate) fn running_container(&self, id: &str) -> Result<Record, Status> {
        let container = self.container(id)?;
        match container.record.lifecycle.is_running() {
            true => Ok(container.record),
            false => {
                let state = crate::status::Progress::of(&container.record.lifecycle).state.as_str_name();
                Err(Status::failed_precondition(format!("container is in {state} state")))
            }
        }
    }

    /// Whether control groups can limit huge pages here.
    fn has_hugetlb(&self) -> bool {
        let layout = cgroup::Layout::detect();
        layout.is_ok_and(|layout| layout.v1("hugetlb").is_some() || layout.v2_has("hugetlb"))
    }

    /// The request for a container, with the files read that it names.
    fn planned_container(
        &self,
        config: &ContainerConfig,
        sandbox: &Sandbox,
    ) -> Result<engine::request::CreateRequest, Status> {
        let profile = match plan::seccomp_file(config) {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                Status::invalid_argument(format!("read the seccomp profile {path}: {error}"))
            })?),
            None => None,
        };
        let input = plan::ContainerInput {
            config,
            sandbox_id: sandbox.record.id.as_str(),
            sandbox: &sandbox.config,
            seccomp_profile: profile.as_deref(),
            has_hugetlb: self.has_hugetlb(),
        };
        plan::container(&input).map_err(status)
    }
}

fn ready<T: Send + 'static>(answer: Result<T, Status>) -> BoxFuture<'static, Result<T, Status>> {
    Box::pin(std::future::ready(answer))
}

fn too_many(error: streaming::TooManyRequests) -> Status {
    Status::resource_exhausted(error.to_string())
}

/// A list as a stream of parts that each fit a message.
pub(crate) fn in_pieces<T: Send + 'static, R: Send + 'static>(
    listed: BoxFuture<'static, Result<Vec<T>, Status>>,
    response: impl Fn(Vec<T>) -> R + Send + 'static,
) -> BoxFuture<'static, Result<BoxStream<R>, Status>> {
    Box::pin(async move {
        let mut rest = listed.await?;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let after = rest.split_off(PIECE_ITEMS.min(rest.len()));
            pieces.push(Ok(response(std::mem::replace(&mut rest, after))));
        }
        Ok(Box::pin(futures_util::stream::iter(pieces)) as BoxStream<R>)
    })
}

/// Items in one part of a streamed list: far below what a message may have.
const PIECE_ITEMS: usize = 500;
