//! An API server, a runtime, and a kubelet between them that can be killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use apiserver::{ApiServer, Config as ServerConfig, LocalApi};
use cgroup::{Cgroup, CgroupPath, Driver, Layout};
use client::{Api, Call};
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use kube_object::user::User;
use kubelet::{Config, Eviction, ImageCollection, Kubelet, LogRotation, NodeConfig, Paths};
use serde_json::{Value, json};
use store::{Embedded, Options, Store};
use testkit::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fake::{Fake, Told};

pub(crate) struct Rig {
    _server: ApiServer,
    pub(crate) api: Arc<LocalApi>,
    pub(crate) runtime: Arc<Fake>,
    pub(crate) traffic: Arc<Told>,
    pub(crate) dir: TempDir,
    cgroups: String,
    change: Box<dyn Fn(&mut Config)>,
    kubelet: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let layout = Layout::detect().unwrap();
        let path = CgroupPath::parse(Some(&self.cgroups), "", Driver::Cgroupfs).unwrap();
        Cgroup::locate(&path, &layout).remove().unwrap();
    }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a configuration that is another one.
    pub(crate) async fn with(change: impl Fn(&mut Config) + 'static) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = TempDir::new();
        let path = dir.path().join("store.db");
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(&path, &Options::default(), Instant::now()).unwrap());
        let server = ApiServer::open(ServerConfig::new(store)).await.unwrap();
        server.bootstrap().await.unwrap();
        let api = Arc::new(LocalApi::new(server.registry(), User::default(), "test/1"));
        let runtime = Arc::new(Fake::default());
        let traffic = Arc::new(Told { runtime: Some(Arc::clone(&runtime)), ..Told::default() });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let cgroups = format!("/strake-kubelet-{}-{number}", std::process::id());
        let change = Box::new(change);
        let mut rig = Self { _server: server, api, runtime, traffic, dir, cgroups, change, kubelet: None };
        rig.start();
        rig
    }

    fn config(&self) -> Config {
        let at = |name: &str| self.dir.path().join(name);
        let node = NodeConfig {
            name: "node".to_owned(),
            addresses: vec!["192.0.2.1".to_owned()],
            pod_cidr: Some("10.42.0.0/24".to_owned()),
            registers: true,
            ..NodeConfig::default()
        };
        Config {
            api: Arc::clone(&self.api) as Arc<dyn Api>,
            runtime: Arc::clone(&self.runtime) as _,
            images: Arc::clone(&self.runtime) as _,
            traffic: Arc::clone(&self.traffic) as _,
            clock: Arc::new(base::SystemClock),
            node,
            paths: Paths {
                root: at("kubelet"),
                logs: at("logs"),
                static_pods: Some(at("manifests")),
                ..Paths::default()
            },
            cluster_dns: vec!["10.43.0.10".to_owned()],
            cluster_domain: "cluster.local".to_owned(),
            cgroup_root: self.cgroups.clone(),
            allowed_sysctls: Vec::new(),
            logs: LogRotation::default(),
            image_collection: ImageCollection::default(),
            // The machine's own shortage is not the tests' business.
            eviction: Eviction { memory_bytes: 0, disk_percent: 0, inodes_percent: 0, ..Eviction::default() },
            shutdown_grace: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self) {
        let mut config = self.config();
        (self.change)(&mut config);
        let kubelet = Kubelet::new(config);
        let (shutdown, signal) = watch::channel(false);
        self.kubelet = Some((shutdown, tokio::spawn(kubelet.run(signal))));
    }

    /// Ends the kubelet without a word to anybody.
    pub(crate) async fn kill(&mut self) {
        let (_, task) = self.kubelet.take().unwrap();
        task.abort();
        drop(task.await);
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Value, Status> {
        self.api.call(call).await
    }

    /// Creates a pod on the node.
    pub(crate) async fn pod(&self, name: &str, mut spec: Value) -> Value {
        spec["nodeName"] = json!("node");
        spec["automountServiceAccountToken"] = json!(false);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec});
        self.call(Call::create(&pods(), "default", pod)).await.unwrap()
    }

    pub(crate) async fn get(&self, name: &str) -> Option<Value> {
        self.call(Call::get(&pods(), "default", name)).await.ok()
    }

    /// Looks until something is there, at most some seconds.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            if Instant::now() > deadline {
                let pods = self.call(Call::list(&pods(), "")).await.unwrap();
                panic!("it never came to this: {what}; {:?}; {pods:#}", self.runtime.calls());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a pod's status has these texts at these places.
    pub(crate) async fn until_status(&self, name: &str, wanted: &[(&str, Value)]) -> Value {
        self.until(&format!("{name} {wanted:?}"), async |rig| {
            let pod = rig.get(name).await?;
            let holds = wanted.iter().all(|(path, value)| pod["status"].pointer(path) == Some(value));
            holds.then_some(pod)
        })
        .await
    }
}

pub(crate) fn pods() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "pods")
}

/// The status of a condition.
pub(crate) fn condition(pod: &Value, kind: &str) -> String {
    let all = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|condition| condition["type"] == kind);
    found.map(|found| found["status"].as_str().unwrap().to_owned()).unwrap_or_default()
}
