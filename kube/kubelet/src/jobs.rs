//! Work that takes time: each job is a task that the pod's worker joins.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rpc::cri::{
    CreateContainerRequest, RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest,
    StartContainerRequest, StopContainerRequest, StopPodSandboxRequest, UpdateContainerResourcesRequest,
};
use serde_json::Value;
use tokio::sync::watch;

use crate::events::{normal, warning};
use crate::kubelet::Shared;
use crate::model::{Container, Life, Wanted};
use crate::objects::Reference;
use crate::pods::State;
use crate::probes::hook;
use crate::read::{at, host_network, namespace, text, uid};
use crate::resources;
use crate::spec::{self, ConfigError, Making, Mounted, Place, Sources, sandbox_config};
use crate::traffic::PodRef;
use crate::volumes::{self, Made};

/// A container could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// As `state.waiting.reason` has it.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// What a job works on: the pod as it was when the job began.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Arc<Value>,
    pub(crate) state: Arc<State>,
    pub(crate) mounts: Arc<BTreeMap<String, Mounted>>,
    /// Says `true` when the pod is being ended: what only waits shall stop waiting.
    pub(crate) ends: watch::Receiver<bool>,
}

impl Task {
    /// The pod's addresses.
    pub(crate) fn addresses(&self) -> Vec<String> {
        if host_network(&self.pod) {
            return self.shared.config.node.addresses.clone();
        }
        self.state.sandboxes.first().map(|sandbox| sandbox.addresses.clone()).unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Makes the pod's volumes.
    pub(crate) async fn volumes(self) -> Result<Made, String> {
        let made = volumes::make(&self.shared, &self.pod, &self.addresses()).await;
        made.map_err(|error| {
            let text = error.to_string();
            if self.shared.once.is_news(&format!("volumes {}", uid(&self.pod)), &text) {
                self.shared.recorder.pod(&self.pod, self.now(), warning("FailedMount", text.clone()));
            }
            text
        })
    }

    /// Makes a sandbox; what is left of the one before is stopped first.
    pub(crate) async fn sandbox(self, attempt: u32, replaces: Option<String>) -> Result<(), String> {
        let runtime = &self.shared.config.runtime;
        if let Some(id) = replaces {
            let told = normal("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
            self.shared.recorder.pod(&self.pod, self.now(), told);
            let stopped = runtime.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: id }).await;
            stopped.map_err(|status| status.message().to_owned())?;
        }
        let result = self.run_sandbox(attempt).await;
        if let Err(why) = &result {
            let told = warning("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {why}"));
            self.shared.recorder.pod(&self.pod, self.now(), told);
        }
        result
    }

    async fn run_sandbox(&self, attempt: u32) -> Result<(), String> {
        // Who asked to be apart from the node's users must not run beside them.
        if at(&self.pod, &["spec", "hostUsers"]).and_then(Value::as_bool) == Some(false) {
            let why = "this node gives pods no user namespace of their own; leave hostUsers out or true";
            return Err(why.to_owned());
        }
        self.limit_pod().await?;
        crate::node::cgroups::weigh(&self.shared).await;
        let config = sandbox_config(&self.pod, attempt, &self.shared.sandbox_node());
        std::fs::create_dir_all(&config.log_directory)
            .map_err(|error| format!("make log folder {}: {error}", config.log_directory))?;
        let handler = self.shared.runtime_handler(&self.pod).await?;
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler: handler };
        let made = self.shared.config.runtime.run_pod_sandbox(request).await;
        if made.is_ok() {
            self.remove_empty_sandboxes().await;
        }
        made.map(drop)
            .map_err(|status| format!("rpc error: code = {:?} desc = {}", status.code(), status.message()))
    }

    /// Removes sandboxes that were replaced before anything ran in them: nothing tells of them.
    async fn remove_empty_sandboxes(&self) {
        let is_used = |id: &str| self.state.containers.iter().any(|found| found.sandbox == id);
        for old in self.state.sandboxes.iter().filter(|old| !is_used(&old.id)) {
            let request = RemovePodSandboxRequest { pod_sandbox_id: old.id.clone() };
            // What cannot be removed now is removed with the pod.
            drop(self.shared.config.runtime.remove_pod_sandbox(request).await);
        }
    }

    /// Stops a sandbox and all that is in it.
    pub(crate) async fn stop_sandbox(self, id: String) -> Result<(), String> {
        let stopped =
            self.shared.config.runtime.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: id }).await;
        stopped.map(drop).map_err(|status| status.message().to_owned())
    }

    /// Starts a container: image, configuration, process, hook.
    pub(crate) async fn start(mut self, name: String, attempt: u32) -> Result<(), Failed> {
        let pod = Arc::clone(&self.pod);
        let Some(wanted) = Wanted::all(&pod).find(|wanted| wanted.name() == name) else { return Ok(()) };
        let Some(sandbox) = self.state.sandboxes.first().filter(|sandbox| sandbox.is_ready).cloned() else {
            return Ok(());
        };
        let config = sandbox_config(&pod, sandbox.attempt, &self.shared.sandbox_node());
        let shared = Arc::clone(&self.shared);
        let image = tokio::select! {
            image = crate::images::ensure(&shared, &pod, &wanted, &config) => image?,
            // Nobody waits for an image any more.
            () = ended(&mut self.ends) => return Ok(()),
        };
        let made = match attempt {
            0 => Ok(()),
            // It may have been stopped to get other limits, which the pod's must not be below.
            _ => self.limit_pod().await,
        };
        let made = match made {
            Ok(()) => self.configure(&wanted, attempt, &image).await,
            Err(why) => Err(why),
        };
        let container = made.map_err(|message| {
            let failed = Failed { reason: "CreateContainerConfigError", message };
            self.tell_failure(&name, &failed)
        })?;
        let runtime = &self.shared.config.runtime;
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.id,
            config: Some(container),
            sandbox_config: Some(config),
        };
        let id = match runtime.create_container(request).await {
            Ok(answer) => answer.container_id,
            Err(status) => {
                let failed = Failed { reason: "CreateContainerError", message: status.message().to_owned() };
                return Err(self.tell_failure(&name, &failed));
            }
        };
        self.tell(&name, normal("Created", format!("Created container: {name}")));
        if let Err(status) = runtime.start_container(StartContainerRequest { container_id: id.clone() }).await
        {
            let failed = Failed { reason: "RunContainerError", message: status.message().to_owned() };
            return Err(self.tell_failure(&name, &failed));
        }
        self.tell(&name, normal("Started", format!("Started container {name}")));
        self.post_start(&wanted, &id).await
    }

    fn tell(&self, container: &str, event: crate::events::Event) {
        self.shared.recorder.container(&self.pod, container, self.now(), event);
    }

    fn tell_failure(&self, container: &str, failed: &Failed) -> Failed {
        self.tell(container, warning("Failed", format!("Error: {}", failed.message)));
        failed.clone()
    }

    async fn post_start(&self, wanted: &Wanted<'_>, id: &str) -> Result<(), Failed> {
        let Some(spec) = at(wanted.spec, &["lifecycle", "postStart"]) else { return Ok(()) };
        self.shared.wake(uid(&self.pod));
        let Err(why) = hook(&self.shared, &self.addresses(), wanted.spec, spec, id).await else {
            return Ok(());
        };
        self.tell(wanted.name(), warning("FailedPostStartHook", format!("PostStartHook failed: {why}")));
        self.tell(wanted.name(), normal("Killing", "FailedPostStartHook"));
        let grace = spec::grace(&self.pod);
        let request = StopContainerRequest { container_id: id.to_owned(), timeout: grace };
        drop(self.shared.config.runtime.stop_container(request).await);
        Err(Failed { reason: "PostStartHookError", message: why })
    }

    /// The container's configuration, with all files that it needs made.
    async fn configure(
        &self,
        wanted: &Wanted<'_>,
        attempt: u32,
        image: &crate::images::Present,
    ) -> Result<rpc::cri::ContainerConfig, String> {
        let text_of = |error: ConfigError| error.to_string();
        spec::verify_user(&self.pod, wanted.spec, &image.user).map_err(text_of)?;
        let sources = self.sources(wanted.spec).await?;
        let addresses = self.addresses();
        let view = self.shared.view();
        let place = Place {
            host_addresses: &self.shared.config.node.addresses,
            pod_addresses: &addresses,
            allocatable: &view.allocatable,
        };
        let variables = spec::environment(&self.pod, wanted.spec, &sources, &place).map_err(text_of)?;
        let known: BTreeMap<String, String> = variables.into_iter().collect();
        let files = self.files(wanted, attempt, &addresses, known).await?;
        let target = text(wanted.spec, &["targetContainerName"]);
        let mut running = self.state.containers.iter().filter(|found| found.life == Life::Running);
        let target =
            running.find(|found| !target.is_empty() && found.name == target).map(|found| found.id.clone());
        let making = Making {
            attempt,
            sources: &sources,
            place,
            image_ref: &image.reference,
            image_user: &image.user,
            volumes: &self.mounts,
            sub_paths: &files.sub_paths,
            hosts: Some(&files.hosts),
            termination: files.termination.as_deref(),
            target: target.as_deref(),
            machine: self.machine(),
        };
        spec::container_config(&self.pod, wanted, &making).map_err(text_of)
    }

    /// What the container's variables refer to.
    async fn sources(&self, container: &Value) -> Result<Sources, String> {
        let mut sources = Sources::default();
        let mut alone = (*self.pod).clone();
        // Only this container's: another one's missing secret is not its business.
        alone["spec"] = serde_json::json!({"containers": [container]});
        for reference in crate::objects::references(&alone) {
            let found = self.shared.objects.get(&reference).await.map_err(|status| status.to_string())?;
            let Some(object) = found else { continue };
            let Reference { resource, name, .. } = reference;
            let map = if resource == "secrets" { &mut sources.secrets } else { &mut sources.config_maps };
            map.insert(name, object);
        }
        sources.services = self.shared.services(namespace(&self.pod)).await;
        Ok(sources)
    }

    async fn files(
        &self,
        wanted: &Wanted<'_>,
        attempt: u32,
        addresses: &[String],
        known: BTreeMap<String, String>,
    ) -> Result<Files, String> {
        let config = &self.shared.config;
        let folder = config.paths.pod(uid(&self.pod));
        let logs = config.paths.pod_logs(&self.pod).join(wanted.name());
        let host = if host_network(&self.pod) {
            std::fs::read_to_string(&config.paths.hosts)
        } else {
            Ok(String::new())
        };
        let hosts = spec::hosts_file(&self.pod, addresses, &config.cluster_domain, &host.unwrap_or_default());
        let has_last_words = !text(wanted.spec, &["terminationMessagePath"]).is_empty();
        let (container, mounts) = (wanted.spec.clone(), Arc::clone(&self.mounts));
        let name = wanted.name().to_owned();
        let done = tokio::task::spawn_blocking(move || {
            make_files(&folder, &logs, &name, attempt, &hosts, has_last_words)
                .map_err(|error| error.to_string())
                .and_then(|mut files| {
                    files.sub_paths = volumes::sub_paths(&folder, &container, &mounts, &known)?;
                    Ok(files)
                })
        });
        done.await.map_err(|error| error.to_string())?
    }

    /// Stops a container: its hook, the signal, and the end.
    pub(crate) async fn kill(
        self,
        id: String,
        name: String,
        grace: i64,
        with_hook: bool,
        message: String,
    ) -> Result<(), String> {
        self.tell(&name, normal("Killing", message));
        let begun = self.now();
        let wanted = Wanted::all(&self.pod).find(|wanted| wanted.name() == name);
        let runs = self.state.containers.iter().any(|found| found.id == id && found.life == Life::Running);
        if let Some(wanted) = wanted
            && let Some(spec) = at(wanted.spec, &["lifecycle", "preStop"])
            && with_hook
            && runs
            && grace > 0
        {
            let most = Duration::from_secs(grace.unsigned_abs());
            let addresses = self.addresses();
            let hooked =
                tokio::time::timeout(most, hook(&self.shared, &addresses, wanted.spec, spec, &id)).await;
            let why = match hooked {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                Err(_) => Some("the hook took longer than the grace period".to_owned()),
            };
            if let Some(why) = why {
                self.tell(&name, warning("FailedPreStopHook", format!("PreStopHook failed: {why}")));
            }
        }
        let left = grace - self.now().duration_since(begun).as_secs();
        let timeout = if grace > 0 { left.max(GRACE_LEAST.min(grace)) } else { 0 };
        let request = StopContainerRequest { container_id: id, timeout };
        let stopped = self.shared.config.runtime.stop_container(request).await;
        stopped.map(drop).map_err(|status| status.message().to_owned())
    }

    /// Removes a container that has ended, and its oldest logs.
    pub(crate) async fn remove(self, id: String) -> Result<(), String> {
        let found = self.state.containers.iter().find(|found| found.id == id);
        let log = found.map(|found| {
            let folder = self.shared.config.paths.pod_logs(&self.pod);
            folder.join(spec::log_path(&found.name, found.attempt))
        });
        let removed =
            self.shared.config.runtime.remove_container(RemoveContainerRequest { container_id: id }).await;
        removed.map_err(|status| status.message().to_owned())?;
        if let Some(log) = log {
            crate::node::logs::remove(&log);
        }
        Ok(())
    }

    /// Gives running containers the limits that they are to have, and the pod around them.
    pub(crate) async fn resize(self, names: Vec<String>) -> Result<(), String> {
        // A pod that grows does so before its containers. One that shrinks below what a container
        // still has is refused by the kernel, and shrinks after them.
        let grown = self.limit_pod().await;
        for name in self.shrinking_first(names) {
            self.resize_container(&name).await?;
        }
        crate::node::cgroups::weigh(&self.shared).await;
        if grown.is_err() { self.limit_pod().await } else { Ok(()) }
    }

    /// Gives the pod's cgroup its limits.
    async fn limit_pod(&self) -> Result<(), String> {
        let (pod, root) = (Arc::clone(&self.pod), self.shared.config.cgroup_root.clone());
        let made = tokio::task::spawn_blocking(move || crate::node::cgroups::make(&root, &pod)).await;
        made.map_err(|error| error.to_string())?
    }

    fn shrinking_first(&self, mut names: Vec<String>) -> Vec<String> {
        let memory = self.shared.view().memory;
        names.sort_by_cached_key(|name| {
            let wanted = Wanted::all(&self.pod).find(|wanted| wanted.name() == name);
            let wants = wanted.map(|wanted| resources::limits(&self.pod, wanted.spec, memory));
            let has = self.running(name).and_then(|found| found.resources);
            wants.zip(has).is_none_or(|(wants, has)| wants.cpu_quota > has.cpu_quota)
        });
        names
    }

    fn machine(&self) -> spec::Machine {
        let is_cgroup_v2 = cgroup::is_version_2();
        spec::Machine { memory: self.shared.view().memory, is_cgroup_v2 }
    }

    fn running(&self, name: &str) -> Option<&Container> {
        let newest = self.state.containers.iter().find(|found| found.name == name);
        newest.filter(|newest| newest.life == Life::Running)
    }

    async fn resize_container(&self, name: &str) -> Result<(), String> {
        let wanted = Wanted::all(&self.pod).find(|wanted| wanted.name() == name);
        let (Some(wanted), Some(found)) = (wanted, self.running(name)) else { return Ok(()) };
        let linux = Some(spec::container_resources(&self.pod, wanted.spec, self.machine()));
        let request =
            UpdateContainerResourcesRequest { container_id: found.id.clone(), linux, ..Default::default() };
        let done = self.shared.config.runtime.update_container_resources(request).await;
        done.map(drop).map_err(|status| format!("resize container {name}: {}", status.message()))
    }

    /// Waits until nothing more is led to the pod, but not for ever.
    pub(crate) async fn drain(self, most: i64) {
        let pod = PodRef {
            namespace: namespace(&self.pod).into(),
            name: crate::read::name(&self.pod).into(),
            uid: uid(&self.pod).into(),
            addresses: self.addresses(),
        };
        let most = Duration::from_secs(most.unsigned_abs());
        drop(tokio::time::timeout(most, self.shared.config.traffic.drained(&pod)).await);
    }

    /// Takes away volumes and cgroups.
    pub(crate) async fn cleanup(self) -> Result<(), String> {
        self.shared.objects.release(uid(&self.pod));
        self.shared.tokens.forget(uid(&self.pod));
        let folder = self.shared.config.paths.pod(uid(&self.pod));
        let (pod, root) = (Arc::clone(&self.pod), self.shared.config.cgroup_root.clone());
        let done = tokio::task::spawn_blocking(move || {
            let gone =
                volumes::remove(&folder).map_err(|error| format!("remove {}: {error}", folder.display()));
            crate::node::cgroups::remove(&root, resources::pod_cgroup(&pod).as_str());
            gone
        });
        done.await.map_err(|error| error.to_string())?
    }

    /// Removes what the runtime has of the pod, and its logs.
    pub(crate) async fn purge(self) -> Result<(), String> {
        let runtime = &self.shared.config.runtime;
        let text_of = |status: rpc::cri::Status| status.message().to_owned();
        for found in &self.state.containers {
            let request = RemoveContainerRequest { container_id: found.id.clone() };
            runtime.remove_container(request).await.map_err(text_of)?;
        }
        for found in &self.state.sandboxes {
            let request = RemovePodSandboxRequest { pod_sandbox_id: found.id.clone() };
            runtime.remove_pod_sandbox(request).await.map_err(text_of)?;
        }
        let logs = self.shared.config.paths.pod_logs(&self.pod);
        match std::fs::remove_dir_all(&logs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("remove {}: {error}", logs.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Returns when a flag says `true`; never when nobody can say it any more.
async fn ended(ends: &mut watch::Receiver<bool>) {
    if ends.wait_for(|ends| *ends).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Files of the node that a container sees.
struct Files {
    hosts: String,
    termination: Option<String>,
    sub_paths: BTreeMap<usize, String>,
}

fn make_files(
    folder: &std::path::Path,
    logs: &std::path::Path,
    name: &str,
    attempt: u32,
    hosts: &str,
    has_last_words: bool,
) -> std::io::Result<Files> {
    std::fs::create_dir_all(logs)?;
    let own: PathBuf = folder.join("containers").join(name);
    std::fs::create_dir_all(&own)?;
    let hosts_path = folder.join("etc-hosts");
    std::fs::write(&hosts_path, hosts)?;
    std::fs::set_permissions(&hosts_path, std::fs::Permissions::from_mode(0o644))?;
    let termination = own.join(attempt.to_string());
    if has_last_words {
        std::fs::write(&termination, "")?;
        // Any user of the container may leave its last words.
        std::fs::set_permissions(&termination, std::fs::Permissions::from_mode(0o666))?;
    }
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    Ok(Files {
        hosts: text(&hosts_path),
        termination: has_last_words.then(|| text(&termination)),
        sub_paths: BTreeMap::new(),
    })
}

/// Seconds that a process has at least between the signal and its end.
const GRACE_LEAST: i64 = 2;
