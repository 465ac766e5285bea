//! `strake cri`, driven over its socket by a gRPC client, as a kubelet would.

mod crash;
mod life;
mod limits;
mod po;
mod streams;
mod theirs;

use std::future::Future;
use std::path::PathBuf;

use rpc::cri::*;
use testkit::{Background, Strake, wait_for};

/// A machine whose containers are served on a socket, and a client.
struct Node {
    process: Option<Background>,
    runtime: tokio::runtime::Runtime,
    remote: Remote,
    strake: Strake,
    args: &'static [&'static str],
}

impl Node {
    fn new() -> Self {
        Self::with(&[])
    }

    /// The same, with more arguments for the server.
    fn with(args: &'static [&'static str]) -> Self {
        let strake = Strake::new().with_busybox();
        let socket = strake.home().join("cri.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let remote = {
            let _entered = runtime.enter();
            Remote::at(&socket.to_string_lossy()).unwrap()
        };
        let mut node = Self { process: None, runtime, remote, strake, args };
        node.start();
        node
    }

    /// Starts the server, and waits until it answers.
    fn start(&mut self) {
        self.start_with(None);
    }

    /// The same, with a place where it shall die.
    fn start_with(&mut self, failpoint: Option<&str>) {
        let socket = self.strake.home().join("cri.sock").to_string_lossy().into_owned();
        let parent = self.strake.cgroup().path().to_owned();
        let own = ["cri", "--socket", &socket, "--cgroup-parent", &parent];
        let mut command = self.strake.command(&[&own, self.args].concat());
        command.envs(failpoint.map(|point| ("STRAKE_FAILPOINT", point)));
        self.process = Some(Background::of(&mut command));
        wait_for("the runtime to answer", || {
            self.runtime.block_on(self.remote.version(VersionRequest::default())).ok()
        });
    }

    /// Kills the server where it stands.
    fn kill(&mut self) {
        self.process = None;
    }

    /// Whether the server is no more.
    fn has_ended(&mut self) -> bool {
        let ended =
            |process: &mut Background| process.child_mut().try_wait().is_ok_and(|status| status.is_some());
        self.process.as_mut().is_none_or(ended)
    }

    /// What a call gives, which must not fail.
    #[track_caller]
    fn ok<T>(&self, call: impl Future<Output = Result<T, Status>>) -> T {
        match self.runtime.block_on(call) {
            Ok(answer) => answer,
            Err(error) => panic!("{:?}: {}", error.code(), error.message()),
        }
    }

    /// The error of a call, which must fail.
    #[track_caller]
    fn fails<T: std::fmt::Debug>(&self, call: impl Future<Output = Result<T, Status>>) -> Status {
        self.runtime.block_on(call).unwrap_err()
    }

    fn logs(&self) -> PathBuf {
        self.strake.home().join("logs")
    }

    /// A pod's sandbox as a kubelet asks for one.
    fn pod(&self, name: &str) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.logs().join(name).to_string_lossy().into_owned(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("{}/pod-{name}", self.strake.cgroup().path()),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(NamespaceOption {
                        pid: NamespaceMode::Container.into(),
                        ..NamespaceOption::default()
                    }),
                    ..LinuxSandboxSecurityContext::default()
                }),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        }
    }

    #[track_caller]
    fn sandbox(&self, config: &PodSandboxConfig) -> String {
        let request = RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        self.ok(self.remote.run_pod_sandbox(request)).pod_sandbox_id
    }

    /// A container of a shell script.
    fn container(&self, name: &str, script: &str) -> ContainerConfig {
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: "busybox".to_owned(), ..ImageSpec::default() }),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            log_path: format!("{name}/0.log"),
            linux: Some(LinuxContainerConfig {
                resources: None,
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(NamespaceOption {
                        pid: NamespaceMode::Container.into(),
                        ..NamespaceOption::default()
                    }),
                    ..LinuxContainerSecurityContext::default()
                }),
            }),
            ..ContainerConfig::default()
        }
    }

    #[track_caller]
    fn create(&self, sandbox: &str, pod: &PodSandboxConfig, config: &ContainerConfig) -> String {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config.clone()),
            sandbox_config: Some(pod.clone()),
        };
        self.ok(self.remote.create_container(request)).container_id
    }

    #[track_caller]
    fn run(&self, sandbox: &str, pod: &PodSandboxConfig, config: &ContainerConfig) -> String {
        let id = self.create(sandbox, pod, config);
        self.ok(self.remote.start_container(StartContainerRequest { container_id: id.clone() }));
        id
    }

    /// A container that does nothing for as long as it is let.
    #[track_caller]
    fn sleeper(&self, sandbox: &str, pod: &PodSandboxConfig, name: &str) -> String {
        self.run(sandbox, pod, &self.container(name, "exec sleep 600"))
    }

    #[track_caller]
    fn status(&self, id: &str) -> ContainerStatus {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        self.ok(self.remote.container_status(request)).status.unwrap()
    }

    #[track_caller]
    fn sandbox_status(&self, id: &str) -> PodSandboxStatus {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        self.ok(self.remote.pod_sandbox_status(request)).status.unwrap()
    }

    /// The container's status, once it has ended.
    #[track_caller]
    fn ended(&self, id: &str) -> ContainerStatus {
        wait_for("the container's end", || {
            Some(self.status(id)).filter(|status| status.state() == ContainerState::ContainerExited)
        })
    }

    /// What a script in a container writes; it must succeed.
    #[track_caller]
    fn exec(&self, id: &str, script: &str) -> String {
        let answer = self.ok(self.remote.exec_sync(exec(id, script, 30)));
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert_eq!(answer.exit_code, 0, "{script}: {said}");
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }

    /// The host's process id of a container's or a sandbox's init.
    fn pid(&self, id: &str) -> i64 {
        crate::pid(&self.strake, id)
    }

    #[track_caller]
    fn remove_sandbox(&self, id: &str) {
        self.ok(self.remote.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() }));
    }

    fn log(&self, pod: &str, container: &str) -> String {
        std::fs::read_to_string(self.logs().join(pod).join(container).join("0.log")).unwrap_or_default()
    }
}

fn exec(id: &str, script: &str, timeout: i64) -> ExecSyncRequest {
    let cmd = ["sh", "-c", script].map(str::to_owned).to_vec();
    ExecSyncRequest { container_id: id.to_owned(), cmd, timeout }
}
