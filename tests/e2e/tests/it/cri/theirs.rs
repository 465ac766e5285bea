//! containerd's CRI server, with our runtime as its `BinaryName`.

use rpc::cri::*;
use testkit::{Background, Strake, bin, isolated, wait_for};

use super::Node;
use crate::engines::containerd::Containerd;

/// Scores of the kernel's killer may only rise here, and AppArmor may be missing.
const PLUGINS: &str = r#"[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:latest"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "HOME/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "strake"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.strake]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.strake.options]
        BinaryName = "RUNTIME"
"#;

impl Node {
    /// A machine whose containers are containerd's.
    fn over(containerd: &Containerd) -> Self {
        let strake = Strake::new().with_busybox();
        containerd.import_for_pods(&strake);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let remote = {
            let _entered = runtime.enter();
            Remote::at(&containerd.socket().to_string_lossy()).unwrap()
        };
        let node = Self { process: None::<Background>, runtime, remote, strake, args: &[] };
        wait_for("its CRI server", || {
            node.runtime.block_on(node.remote.version(VersionRequest::default())).ok()
        });
        node
    }
}

fn resources(memory: i64, quota: i64) -> LinuxContainerResources {
    LinuxContainerResources {
        memory_limit_in_bytes: memory,
        cpu_period: 100_000,
        cpu_quota: quota,
        ..LinuxContainerResources::default()
    }
}

#[test]
fn pods_of_containerds_cri_server_run_through_our_runtime() {
    isolated(|| {
        let containerd =
            Containerd::start(&PLUGINS.replace("RUNTIME", &bin("strake-runtime").to_string_lossy()));
        let node = Node::over(&containerd);
        let mut pod = node.pod("p");
        // The network is CNI's matter, not the runtime's.
        let context = pod.linux.as_mut().and_then(|linux| linux.security_context.as_mut());
        let options = context.and_then(|context| context.namespace_options.as_mut());
        options.expect("options of the pod").set_network(NamespaceMode::Node);
        pod.hostname = String::new();
        let sandbox = node.sandbox(&pod);
        let mut config = node.container("app", "echo started; exec sleep 3600");
        config.linux.as_mut().expect("Linux").resources = Some(resources(64 << 20, 50_000));
        let id = node.run(&sandbox, &pod, &config);

        let limit = |controller: &str, v1: &str, v2: &str| {
            let dir = node.strake.cgroup().dir(controller).join("pod-p").join(&id);
            let file = if dir.join(v1).exists() { v1 } else { v2 };
            let text = std::fs::read_to_string(dir.join(file)).expect("a limit");
            text.split_whitespace().next().unwrap_or_default().to_owned()
        };
        let limits = || {
            let memory = limit("memory", "memory.limit_in_bytes", "memory.max");
            (memory, limit("cpu", "cpu.cfs_quota_us", "cpu.max"))
        };
        assert_eq!(limits(), ("67108864".to_owned(), "50000".to_owned()));
        node.ok(node.remote.update_container_resources(UpdateContainerResourcesRequest {
            container_id: id.clone(),
            linux: Some(resources(128 << 20, 25_000)),
            ..UpdateContainerResourcesRequest::default()
        }));
        assert_eq!(limits(), ("134217728".to_owned(), "25000".to_owned()));

        assert_eq!(node.exec(&id, "id -u"), "0");
        wait_for("its log", || node.log("p", "app").contains("started").then_some(()));
        let stop = StopContainerRequest { container_id: id.clone(), timeout: 1 };
        node.ok(node.remote.stop_container(stop));
        assert_eq!(node.ended(&id).exit_code, 137);
        node.ok(node.remote.remove_container(RemoveContainerRequest { container_id: id.clone() }));
        node.ok(node.remote.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: sandbox.clone() }));
        node.remove_sandbox(&sandbox);
        assert_eq!(
            containerd.ctr("k8s.io", &["containers", "ls", "--quiet"]).ok(),
            "",
            "{}",
            containerd.log()
        );
        for controller in ["memory", "pids", "cpu", "freezer"] {
            let dir = node.strake.cgroup().dir(controller).join("pod-p");
            assert!(
                !dir.join(&id).exists() && !dir.join(&sandbox).exists(),
                "{} has some left",
                dir.display()
            );
        }
    });
}
