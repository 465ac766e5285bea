//! The parts of the API server put together.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::clock::{Clock, SystemClock};
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};
use store::Store;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::kinds::Kinds;
use crate::registry::{Body, Context, Core, GetOptions, Registry, Target, WriteOptions};
use crate::storage::Storage;
use crate::strategy::Network;
use crate::{definitions, endpoints};

/// How a server is run.
pub struct Config {
    /// Where objects are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock + Send + Sync>,
    /// Where services get their addresses and ports from.
    pub network: Network,
    /// Where pods find this server: the endpoint of the service `kubernetes`, which has none if this
    /// is an address of the host alone. None for one of several servers: [`endpoints::run`] is theirs.
    pub endpoint: Option<SocketAddr>,
}

impl Config {
    /// The usual settings over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, clock: Arc::new(SystemClock), network: Network::default(), endpoint: None }
    }
}

/// The registry with what keeps it going.
pub struct ApiServer {
    registry: Arc<Registry>,
    endpoint: Option<SocketAddr>,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl ApiServer {
    /// Loads the cache and begins to follow the store. Must be called within a runtime.
    pub async fn open(config: Config) -> Result<Self, Status> {
        let storage = Storage::new(config.store);
        let cache = Cache::load(storage.clone()).await?;
        let core = Core {
            kinds: Arc::new(Kinds::new()),
            cache: Arc::clone(&cache),
            storage,
            clock: config.clock,
            network: config.network,
        };
        let (shutdown, ends) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(cache.feed(ends.clone()));
        let registry = Arc::new(Registry::new(Arc::new(core)));
        definitions::load(&registry).await;
        tasks.spawn(definitions::run(Arc::clone(&registry), ends));
        Ok(Self { registry, endpoint: config.endpoint, shutdown, tasks })
    }

    /// The verbs.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The cache, for what reads beside the verbs: authorization, controllers, metrics.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.registry.core.cache
    }

    /// Creates what every cluster has: namespaces, priorities of pods and of requests, the range
    /// of service addresses, the service `kubernetes` and its endpoints.
    pub async fn bootstrap(&self) -> Result<(), Status> {
        for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            self.ensure("", "namespaces", "", json!({"metadata": {"name": namespace}})).await?;
        }
        for (name, value, description) in PRIORITY_CLASSES {
            let class = json!({"metadata": {"name": name}, "value": value, "description": description});
            self.ensure("scheduling.k8s.io", "priorityclasses", "", class).await?;
        }
        crate::fairness::bootstrap(&self.registry).await?;
        let network = &self.registry.core.network;
        let cidrs: Vec<String> = network.cidrs.iter().map(ToString::to_string).collect();
        let range = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}});
        self.ensure("networking.k8s.io", "servicecidrs", "", range).await?;
        let Some(first) = network.cidrs.first() else { return Ok(()) };
        self.ensure("", "services", "default", kubernetes_service(first.at(1))).await?;
        match self.endpoint {
            Some(endpoint) if endpoints::is_for_pods(endpoint) => {
                endpoints::write(&self.registry, &BTreeSet::from([endpoint])).await
            }
            _ => Ok(()),
        }
    }

    async fn ensure(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        object: Value,
    ) -> Result<(), Status> {
        let kinds = self.registry.kinds();
        let resource = kinds.resolve(group, "v1", resource).ok_or_else(Status::no_such_path)?;
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let there = Target::object(&resource, namespace, name);
        // A service that is there would be refused for its address, which it has itself.
        match self.registry.get(&server_context(), &there, &GetOptions::default()).await {
            Err(status) if status.code == 404 => {}
            found => return found.map(drop),
        }
        let target = Target::collection(&resource, namespace);
        let options = WriteOptions::default();
        match self.registry.create(&server_context(), &target, Body::from(object), &options).await {
            Err(status) if status.reason == "AlreadyExists" => Ok(()),
            result => result.map(drop),
        }
    }

    /// Ends all watches and the server's own tasks.
    pub async fn close(mut self) {
        self.shutdown.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What the server does in its own name.
pub fn server_context() -> Context {
    Context {
        user: User {
            name: "system:apiserver".to_owned(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
            ..User::default()
        },
        user_agent: "kube-apiserver".to_owned(),
        ..Context::default()
    }
}

fn kubernetes_service(address: IpAddr) -> Value {
    json!({
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": address.to_string(), "clusterIPs": [address.to_string()],
            "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443}]
        }
    })
}

/// What every cluster's own pods are ranked by.
const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
