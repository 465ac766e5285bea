//! A server that is killed in the middle of a call leaves nothing that the next one does not
//! clear away.

use rpc::cri::*;
use testkit::{isolated, wait_for};

use super::Node;

/// Where a sandbox or a container is half made, or half gone.
const POINTS: &[&str] = &[
    "create.reserved",
    "create.snapshot-prepared",
    "create.recorded",
    "start.marked",
    "start.launched",
    "start.attached",
    "start.opened",
    "settle.detached",
    "remove.marked",
    "remove.snapshot-removed",
];

#[test]
fn a_server_killed_in_a_call_leaves_nothing() {
    isolated(|| {
        let mut node = Node::new();
        node.kill();
        for point in POINTS {
            node.start_with(Some(point));
            let pod = node.pod("web");
            // The server dies in one of these; what it had answered until then holds.
            let _ = node.runtime.block_on(whole_life(&node, &pod));
            wait_for("the server's death", || node.has_ended().then_some(()));
            node.start_with(None);
            for sandbox in node.ok(node.remote.list_pod_sandbox(ListPodSandboxRequest::default())).items {
                node.remove_sandbox(&sandbox.id);
            }
            let left = node.ok(node.remote.list_containers(ListContainersRequest::default()));
            assert!(left.containers.is_empty(), "{point}: {left:?}");
            assert_eq!(node.strake.ok(&["ps", "-aq"]), "", "{point}");
            // A new life of the same pod finds its name, address and control groups free.
            node.runtime.block_on(whole_life(&node, &pod)).unwrap_or_else(|error| panic!("{point}: {error}"));
            node.kill();
            let state = node.strake.state().join("containers");
            let states: Vec<_> =
                std::fs::read_dir(state).unwrap().flatten().map(|entry| entry.file_name()).collect();
            assert!(states.is_empty(), "{point}: {states:?}");
        }
    });
}

/// A pod from its beginning to its end.
async fn whole_life(node: &Node, pod: &PodSandboxConfig) -> Result<(), Status> {
    let request = RunPodSandboxRequest { config: Some(pod.clone()), runtime_handler: String::new() };
    let sandbox = node.remote.run_pod_sandbox(request).await?.pod_sandbox_id;
    let request = CreateContainerRequest {
        pod_sandbox_id: sandbox.clone(),
        config: Some(node.container("app", "exec sleep 600")),
        sandbox_config: Some(pod.clone()),
    };
    let container_id = node.remote.create_container(request).await?.container_id;
    node.remote.start_container(StartContainerRequest { container_id: container_id.clone() }).await?;
    node.remote
        .stop_container(StopContainerRequest { container_id: container_id.clone(), timeout: 0 })
        .await?;
    node.remote.remove_container(RemoveContainerRequest { container_id }).await?;
    node.remote.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: sandbox.clone() }).await?;
    node.remote.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: sandbox }).await?;
    Ok(())
}
