//! The engine: roots on disk, and the stores below them.

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use attach::{Networks, PodNetwork};
use base::ContainerId;
use snapshot::Snapshots;

use crate::companions::Companions;
use crate::container::{Containers, Locked, Record};
use crate::error::Error;

/// Where everything is. Data survives a reboot, state does not.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The data root.
    pub root: PathBuf,
    /// The state root.
    pub state: PathBuf,
}

impl Paths {
    /// Records of containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// The record, exit record and log of one container.
    pub fn record_dir(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id)
    }

    /// A container's log.
    pub fn log(&self, id: &ContainerId) -> PathBuf {
        self.record_dir(id).join(format!("{id}-json.log"))
    }

    /// Where networks of pods keep what they hold: that of `strake cri`, and that of a node.
    pub fn pod_networks(&self) -> [PathBuf; 2] {
        [self.state.join("network"), self.root.join("agent/pod-network")]
    }

    /// Named and anonymous volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Blobs and image tags.
    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// Unpacked layers and containers' upper directories.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Bundle, socket and host files of one container, while it runs.
    pub fn state_dir(&self, id: &ContainerId) -> PathBuf {
        self.state.join("containers").join(id)
    }

    /// Makes the directories, where we may: who only looks around needs none.
    fn make(&self) {
        for path in [self.containers(), self.root.join("names"), self.state.join("containers")] {
            let _ = DirBuilder::new().recursive(true).mode(0o711).create(path);
        }
    }

    /// The OCI runtime's records.
    pub fn runtime(&self) -> PathBuf {
        self.state.join("runtime")
    }
}

/// Containers, images, volumes and networks under one data root.
#[derive(Debug)]
pub struct Engine {
    paths: Paths,
    companions: Option<Companions>,
    cleanup_command: Vec<String>,
    compress_command: Vec<String>,
    warden_command: Vec<String>,
    chains: Option<attach::ChainSettings>,
    cgroup_parent: String,
    shim_failpoint: Option<String>,
    network_namespace: Option<Arc<OwnedFd>>,
    outside: Option<PathBuf>,
    containers: Containers,
    snapshots: OnceLock<Snapshots>,
    networks: OnceLock<Networks>,
    pods: OnceLock<Arc<PodNetwork>>,
}

impl Engine {
    /// Opens the engine on its two roots; what is missing is made when it is needed.
    ///
    /// Nothing is scanned and nothing is started: recovery of what a dead process left
    /// happens where it is met, and for all in [`Engine::reconcile`].
    pub fn open(root: &Path, state: &Path) -> Result<Self, Error> {
        let paths = Paths { root: root.to_owned(), state: state.to_owned() };
        if !paths.containers().is_dir() {
            paths.make();
        }
        Ok(Self {
            containers: Containers::new(root),
            paths,
            companions: None,
            cleanup_command: Vec::new(),
            compress_command: Vec::new(),
            warden_command: Vec::new(),
            chains: None,
            cgroup_parent: "/strake".to_owned(),
            shim_failpoint: None,
            network_namespace: None,
            outside: None,
            snapshots: OnceLock::new(),
            networks: OnceLock::new(),
            pods: OnceLock::new(),
        })
    }

    /// The same engine, able to start containers.
    #[must_use]
    pub fn with_companions(mut self, companions: Companions) -> Self {
        self.companions = Some(companions);
        self
    }

    /// The same engine, whose shims run `command ID` when a container has ended.
    #[must_use]
    pub fn with_cleanup_command(mut self, command: Vec<String>) -> Self {
        self.cleanup_command = command;
        self
    }

    /// The same engine, whose shims run `command ID` when they have rotated a log that is to be
    /// compressed.
    #[must_use]
    pub fn with_compress_command(mut self, command: Vec<String>) -> Self {
        self.compress_command = command;
        self
    }

    /// The same engine, whose containers of users' networks are answered for names by the
    /// process that `command` becomes.
    #[must_use]
    pub fn with_warden_command(mut self, command: Vec<String>) -> Self {
        self.warden_command = command;
        self
    }

    /// The same engine, with networks of CNI plugins: made ones, and those that are configured for
    /// all runtimes of the host.
    #[must_use]
    pub fn with_chains(mut self, settings: attach::ChainSettings) -> Self {
        self.chains = Some(settings);
        self
    }

    /// The companion of this engine's networks; nothing when nobody said how it is started.
    pub fn warden(&self) -> Option<warden::Place> {
        let Paths { root, state } = self.paths.clone();
        let command = self.warden_command.clone();
        (!command.is_empty()).then_some(warden::Place { data_root: root, state_root: state, command })
    }

    /// The same engine, whose containers get control groups below `parent`.
    #[must_use]
    pub fn with_cgroup_parent(mut self, parent: &str) -> Self {
        self.cgroup_parent = parent.to_owned();
        self
    }

    /// For tests: the failpoint that shims arm.
    #[must_use]
    pub fn with_shim_failpoint(mut self, failpoint: Option<String>) -> Self {
        self.shim_failpoint = failpoint;
        self
    }

    /// The same engine, whose networks are in another network namespace than the caller's: that of
    /// an ordinary user. A thread goes there when it first has to do with networks, and stays; until then it
    /// reaches what the host reaches.
    #[must_use]
    pub fn with_network_namespace(mut self, namespace: Arc<OwnedFd>) -> Self {
        self.network_namespace = Some(namespace);
        self
    }

    /// The same engine, whose published ports are the host's only by the process that is asked in `directory`.
    #[must_use]
    pub fn with_outside(mut self, directory: PathBuf) -> Self {
        self.outside = Some(directory);
        self
    }

    pub(crate) fn outside(&self) -> Option<&Path> {
        self.outside.as_deref()
    }

    /// Goes where the networks are.
    pub(crate) fn enter_network(&self) -> Result<(), Error> {
        let Some(namespace) = &self.network_namespace else { return Ok(()) };
        sys::namespace::join(namespace, sys::Namespace::Net)
            .map_err(Error::file("join the network namespace of", Path::new("the user")))
    }

    /// Where everything is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The records of containers.
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    /// The id that a name, an id or the beginning of one stands for.
    pub fn resolve(&self, name: &str) -> Result<ContainerId, Error> {
        Ok(self.containers.resolve(name)?)
    }

    /// The container that `name` means, as it is now.
    pub fn find(&self, name: &str) -> Result<Record, Error> {
        let id = self.resolve(name)?;
        self.look(&id)
    }

    /// Unpacked layers and writable layers.
    pub fn snapshots(&self) -> Result<&Snapshots, Error> {
        if let Some(snapshots) = self.snapshots.get() {
            return Ok(snapshots);
        }
        let opened = Snapshots::open(&self.paths.snapshots()).map_err(Error::snapshot("store"))?;
        Ok(self.snapshots.get_or_init(|| opened))
    }

    /// Networks and who is attached to them.
    pub fn networks(&self) -> Result<&Networks, Error> {
        self.enter_network()?;
        if let Some(networks) = self.networks.get() {
            return Ok(networks);
        }
        let mut opened =
            Networks::open(&self.paths.root, &self.paths.state).map_err(Error::network("store"))?;
        if let Some(settings) = &self.chains {
            opened = opened.with_chains(settings.clone());
        }
        Ok(self.networks.get_or_init(|| opened))
    }

    /// Sandboxes of pods are attached to `network` from now on; what ended ones have left there
    /// is removed. The first network that is given stays.
    pub fn use_pod_network(&self, network: Arc<PodNetwork>) -> Result<attach::Recovered, Error> {
        let network = self.pods.get_or_init(|| network);
        network.recover(|id| self.holds_network(id)).map_err(Error::network("pods"))
    }

    /// The network of pods, once it is known.
    pub fn pod_network(&self) -> Option<&Arc<PodNetwork>> {
        self.pods.get()
    }

    pub(crate) fn companions(&self) -> Result<&Companions, Error> {
        self.companions.as_ref().ok_or(Error::NoCompanions)
    }

    /// What a shim runs for the container `id` when it has ended.
    pub(crate) fn exit_command(&self, id: &ContainerId) -> Vec<String> {
        about(&self.cleanup_command, id)
    }

    /// What a shim runs for the container `id` when it has rotated its log.
    pub(crate) fn compress_command(&self, id: &ContainerId) -> Vec<String> {
        about(&self.compress_command, id)
    }

    pub(crate) fn shim_failpoint(&self) -> Option<String> {
        self.shim_failpoint.clone()
    }

    /// The control group of a container, as `cgroupsPath`; an ordinary user's may have none.
    pub fn cgroup_path(&self, record: &Record) -> Option<String> {
        if sys::user::mapped().is_some() {
            return record.cgroup.clone();
        }
        let parent = record.request.resources.cgroup_parent.as_deref().unwrap_or(&self.cgroup_parent);
        Some(record.cgroup_below(parent))
    }

    /// The group above those of containers that ask for no other.
    pub(crate) fn cgroup_parent(&self) -> &str {
        &self.cgroup_parent
    }

    pub(crate) fn lock(&self, id: &ContainerId) -> Result<Locked, Error> {
        Ok(self.containers.lock(id)?)
    }
}

/// A command that is told the container's id; none stays none.
fn about(command: &[String], id: &ContainerId) -> Vec<String> {
    let id = (!command.is_empty()).then(|| id.to_string());
    command.iter().cloned().chain(id).collect()
}
