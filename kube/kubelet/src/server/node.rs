//! What the server knows of its node.

use std::sync::Arc;

use client::Api;
use rpc::cri::{
    ContainerFilter, ContainerState, ImageService, ListContainersRequest, ListPodSandboxRequest,
    PodSandboxState, RuntimeService, Status,
};
use serde_json::{Value, json};

use crate::{Handle, Stored};

/// Labels that a kubelet gives to sandboxes and containers.
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";

/// The node as the server sees it.
pub trait Node: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Its pods, with their newest status.
    fn pods(&self) -> Vec<Arc<Value>>;

    /// Who runs containers.
    fn runtime(&self) -> Arc<dyn RuntimeService>;

    /// Who has images.
    fn images(&self) -> Arc<dyn ImageService>;

    /// The API, in the name of the node.
    fn api(&self) -> Arc<dyn Api>;

    /// `/metrics/probes`, in the text format.
    fn probe_metrics(&self) -> String;

    /// What a pod holds of the node's disk. It looks at files.
    fn stored(&self, pod: &Value) -> Stored;
}

impl Node for Handle {
    fn name(&self) -> &str {
        self.node_name()
    }

    fn pods(&self) -> Vec<Arc<Value>> {
        Handle::pods(self)
    }

    fn runtime(&self) -> Arc<dyn RuntimeService> {
        Arc::clone(Handle::runtime(self))
    }

    fn images(&self) -> Arc<dyn ImageService> {
        Arc::clone(Handle::images(self))
    }

    fn api(&self) -> Arc<dyn Api> {
        Arc::clone(Handle::api(self))
    }

    fn probe_metrics(&self) -> String {
        self.probed.text()
    }

    fn stored(&self, pod: &Value) -> Stored {
        Handle::stored(self, pod)
    }
}

/// A text in an object.
pub(super) fn at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The pod of a name.
pub(super) fn pod(node: &dyn Node, namespace: &str, name: &str) -> Option<Arc<Value>> {
    node.pods()
        .into_iter()
        .find(|pod| at(pod, "/metadata/namespace") == namespace && at(pod, "/metadata/name") == name)
}

pub(super) fn pod_list(pods: &[Arc<Value>]) -> Value {
    let items: Vec<&Value> = pods.iter().map(AsRef::as_ref).collect();
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
}

/// The pods that the runtime runs, with what it knows of them.
pub(super) async fn running_pods(runtime: &dyn RuntimeService) -> Result<Value, Status> {
    let sandboxes = runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await?.items;
    let containers = runtime.list_containers(ListContainersRequest::default()).await?.containers;
    let ready = sandboxes.iter().filter(|found| found.state == PodSandboxState::SandboxReady as i32);
    let items = ready.map(|sandbox| {
        let meta = sandbox.metadata.clone().unwrap_or_default();
        let own = containers.iter().filter(|container| {
            container.pod_sandbox_id == sandbox.id
                && container.state == ContainerState::ContainerRunning as i32
        });
        let own = own.map(|container| {
            let name = container.metadata.as_ref().map_or("", |meta| meta.name.as_str());
            json!({"name": name, "image": container.image_ref, "resources": {}})
        });
        json!({
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "spec": {"containers": own.collect::<Vec<_>>()}, "status": {},
        })
    });
    let items: Vec<Value> = items.collect();
    Ok(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}

/// The container of a pod that runs, by its name.
pub(super) async fn running_container(
    runtime: &dyn RuntimeService,
    uid: &str,
    name: &str,
) -> Result<Option<String>, Status> {
    let labels = [(POD_UID.to_owned(), uid.to_owned()), (CONTAINER_NAME.to_owned(), name.to_owned())];
    let filter = ContainerFilter { label_selector: labels.into(), ..ContainerFilter::default() };
    let mut found = runtime.list_containers(ListContainersRequest { filter: Some(filter) }).await?.containers;
    found.retain(|container| container.state == ContainerState::ContainerRunning as i32);
    Ok(found.into_iter().max_by_key(|container| container.created_at).map(|container| container.id))
}
