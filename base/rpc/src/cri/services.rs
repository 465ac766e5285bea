//! The two services as traits. One list of calls makes the traits, the remote side and the
//! served side, so that none of them can lack one.

use super::*;

/// Calls `$make!` with every call of the runtime service.
macro_rules! runtime_calls {
    ($make:ident) => {
        $make! {
            RuntimeService, runtime_service_client, RuntimeServiceClient, runtime_service_server;
            /// Name and version of the runtime.
            one version Version (VersionRequest) VersionResponse;
            /// Makes and starts a pod's sandbox; it is ready when this returns.
            one run_pod_sandbox RunPodSandbox (RunPodSandboxRequest) RunPodSandboxResponse;
            /// Ends all of a sandbox and gives back its addresses. One that is missing or
            /// stopped is stopped.
            one stop_pod_sandbox StopPodSandbox (StopPodSandboxRequest) StopPodSandboxResponse;
            /// Removes a sandbox with its containers. One that is missing is removed.
            one remove_pod_sandbox RemovePodSandbox (RemovePodSandboxRequest) RemovePodSandboxResponse;
            /// How a sandbox is; one that is missing is `NOT_FOUND`.
            one pod_sandbox_status PodSandboxStatus (PodSandboxStatusRequest) PodSandboxStatusResponse;
            /// The sandboxes that pass a filter.
            one list_pod_sandbox ListPodSandbox (ListPodSandboxRequest) ListPodSandboxResponse;
            /// The same in pieces.
            many stream_pod_sandboxes StreamPodSandboxes (StreamPodSandboxesRequest) StreamPodSandboxesResponse as StreamPodSandboxesStream;
            /// Makes a container in a sandbox.
            one create_container CreateContainer (CreateContainerRequest) CreateContainerResponse;
            /// Starts a container.
            one start_container StartContainer (StartContainerRequest) StartContainerResponse;
            /// Asks a container to end and kills it after the grace time. One that is missing
            /// or has ended is stopped.
            one stop_container StopContainer (StopContainerRequest) StopContainerResponse;
            /// Removes a container, killing it if it runs. One that is missing is removed.
            one remove_container RemoveContainer (RemoveContainerRequest) RemoveContainerResponse;
            /// The containers that pass a filter.
            one list_containers ListContainers (ListContainersRequest) ListContainersResponse;
            /// The same in pieces.
            many stream_containers StreamContainers (StreamContainersRequest) StreamContainersResponse as StreamContainersStream;
            /// How a container is; one that is missing is `NOT_FOUND`.
            one container_status ContainerStatus (ContainerStatusRequest) ContainerStatusResponse;
            /// Changes what a container may use, while it runs.
            one update_container_resources UpdateContainerResources (UpdateContainerResourcesRequest) UpdateContainerResourcesResponse;
            /// Lets a running container write to a new log file, after the old one was renamed.
            one reopen_container_log ReopenContainerLog (ReopenContainerLogRequest) ReopenContainerLogResponse;
            /// Runs a command in a container and gives what it wrote.
            one exec_sync ExecSync (ExecSyncRequest) ExecSyncResponse;
            /// Where a command can be run with its streams.
            one exec Exec (ExecRequest) ExecResponse;
            /// Where a running container's streams can be had.
            one attach Attach (AttachRequest) AttachResponse;
            /// Where connections into a sandbox can be had.
            one port_forward PortForward (PortForwardRequest) PortForwardResponse;
            /// What a running container uses.
            one container_stats ContainerStats (ContainerStatsRequest) ContainerStatsResponse;
            /// What all running containers use.
            one list_container_stats ListContainerStats (ListContainerStatsRequest) ListContainerStatsResponse;
            /// The same in pieces.
            many stream_container_stats StreamContainerStats (StreamContainerStatsRequest) StreamContainerStatsResponse as StreamContainerStatsStream;
            /// What a sandbox and its containers use.
            one pod_sandbox_stats PodSandboxStats (PodSandboxStatsRequest) PodSandboxStatsResponse;
            /// What the sandboxes that pass a filter use.
            one list_pod_sandbox_stats ListPodSandboxStats (ListPodSandboxStatsRequest) ListPodSandboxStatsResponse;
            /// The same in pieces.
            many stream_pod_sandbox_stats StreamPodSandboxStats (StreamPodSandboxStatsRequest) StreamPodSandboxStatsResponse as StreamPodSandboxStatsStream;
            /// Tells the runtime what the node learnt: its range of pod addresses.
            one update_runtime_config UpdateRuntimeConfig (UpdateRuntimeConfigRequest) UpdateRuntimeConfigResponse;
            /// Whether the runtime and its network are ready.
            one status Status (StatusRequest) StatusResponse;
            /// Writes a running container's memory to a file.
            one checkpoint_container CheckpointContainer (CheckpointContainerRequest) CheckpointContainerResponse;
            /// What happens to containers and sandboxes from now on.
            many get_container_events GetContainerEvents (GetEventsRequest) ContainerEventResponse as GetContainerEventsStream;
            /// The metrics that `list_pod_sandbox_metrics` gives.
            one list_metric_descriptors ListMetricDescriptors (ListMetricDescriptorsRequest) ListMetricDescriptorsResponse;
            /// Metrics of all sandboxes and their containers.
            one list_pod_sandbox_metrics ListPodSandboxMetrics (ListPodSandboxMetricsRequest) ListPodSandboxMetricsResponse;
            /// The same in pieces.
            many stream_pod_sandbox_metrics StreamPodSandboxMetrics (StreamPodSandboxMetricsRequest) StreamPodSandboxMetricsResponse as StreamPodSandboxMetricsStream;
            /// How the runtime is set up: who makes its control groups.
            one runtime_config RuntimeConfig (RuntimeConfigRequest) RuntimeConfigResponse;
            /// Tells the runtime what the kubelet has given a whole pod.
            one update_pod_sandbox_resources UpdatePodSandboxResources (UpdatePodSandboxResourcesRequest) UpdatePodSandboxResourcesResponse;
        }
    };
}

/// Calls `$make!` with every call of the image service.
macro_rules! image_calls {
    ($make:ident) => {
        $make! {
            ImageService, image_service_client, ImageServiceClient, image_service_server;
            /// The images that pass a filter.
            one list_images ListImages (ListImagesRequest) ListImagesResponse;
            /// The same in pieces.
            many stream_images StreamImages (StreamImagesRequest) StreamImagesResponse as StreamImagesStream;
            /// An image; one that is missing is an answer without it.
            one image_status ImageStatus (ImageStatusRequest) ImageStatusResponse;
            /// Fetches an image and gives the name by which containers are made of it.
            one pull_image PullImage (PullImageRequest) PullImageResponse;
            /// Removes an image with all its names. One that is missing is removed.
            one remove_image RemoveImage (RemoveImageRequest) RemoveImageResponse;
            /// What the file systems of images and containers hold.
            one image_fs_info ImageFsInfo (ImageFsInfoRequest) ImageFsInfoResponse;
        }
    };
}

/// What a call answers with: one message, or a stream of them.
macro_rules! answer {
    (one $response:ident) => { $response };
    (many $response:ident) => { BoxStream<$response> };
}

macro_rules! service_trait {
    ($service:ident, $_cm:ident, $_c:ident, $_sm:ident;
     $($(#[$doc:meta])* $kind:ident $call:ident $name:ident ($request:ident) $response:ident $(as $_stream:ident)?;)+) => {
        /// The calls of the service of this name. What an implementation leaves out answers
        /// UNIMPLEMENTED.
        pub trait $service: Send + Sync {
            $(
                $(#[$doc])*
                fn $call(&self, _request: $request) -> BoxFuture<'_, Result<answer!($kind $response), Status>> {
                    Box::pin(std::future::ready(Err(lacking(stringify!($name)))))
                }
            )+
        }
    };
}

runtime_calls!(service_trait);
image_calls!(service_trait);

pub(super) use {answer, image_calls, runtime_calls};

fn lacking(name: &str) -> Status {
    Status::unimplemented(format!("{name} is not implemented by this container runtime"))
}
