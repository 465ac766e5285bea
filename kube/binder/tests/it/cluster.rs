//! A control plane in this process, with nodes that only the API knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::{ApiServer, Config as ServerConfig, LocalApi};
use binder::{Config, DEFAULT_SCHEDULER};
use client::{Api, Call, PatchType};
use controller::SystemClock;
use controllers::{known, object};
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};
use store::{Embedded, Options, Store};
use testkit::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A control plane without a front.
pub(crate) struct Cluster {
    server: ApiServer,
    pub(crate) api: Arc<LocalApi>,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
    _dir: TempDir,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new();
        let path = dir.path().join("store.db");
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(&path, &Options::default(), Instant::now()).unwrap());
        let server = ApiServer::open(ServerConfig::new(store)).await.unwrap();
        server.bootstrap().await.unwrap();
        let api = Arc::new(LocalApi::new(server.registry(), User::default(), "test/1"));
        let (shutdown, task) = start(&server);
        let cluster = Self { server, api, shutdown, task, _dir: dir };
        cluster
            .api
            .call(Call::create(known::namespaces(), "", json!({"metadata": {"name": "a"}})))
            .await
            .unwrap();
        cluster
    }

    /// Another scheduler takes over, as after a crash.
    pub(crate) async fn restart_binder(&mut self) {
        self.task.abort();
        let (shutdown, task) = start(&self.server);
        (self.shutdown, self.task) = (shutdown, task);
    }

    pub(crate) async fn node(&self, name: &str, cpu: &str, pods: &str) {
        let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
        self.api.call(Call::create(known::nodes(), "", node)).await.unwrap();
        let amounts = json!({"cpu": cpu, "memory": "8Gi", "pods": pods});
        self.patch(
            "",
            known::nodes(),
            name,
            "status",
            json!({"status": {"capacity": amounts, "allocatable": amounts}}),
        )
        .await;
    }

    pub(crate) async fn pod(&self, name: &str, spec: Value) {
        let mut whole = json!({"containers": [{"name": "c", "image": "i"}]});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": whole});
        self.create("a", known::pods(), pod).await.unwrap();
    }

    pub(crate) async fn create(
        &self,
        namespace: &str,
        resource: &kube_object::resource::GroupVersionResource,
        object: Value,
    ) -> Result<Value, Status> {
        self.api.call(Call::create(resource, namespace, object)).await
    }

    pub(crate) async fn patch(
        &self,
        namespace: &str,
        resource: &kube_object::resource::GroupVersionResource,
        name: &str,
        part: &str,
        patch: Value,
    ) -> Value {
        let call = Call::patch(resource, namespace, name, PatchType::Merge, patch);
        let call = if part.is_empty() { call } else { call.at(part) };
        self.api.call(call).await.unwrap()
    }

    pub(crate) async fn get(&self, name: &str) -> Option<Value> {
        self.api.call(Call::get(known::pods(), "a", name)).await.ok()
    }

    pub(crate) async fn delete(&self, name: &str) {
        let call = Call::delete(known::pods(), "a", name);
        self.api.call(call.with(|options| options.grace_period_seconds = Some(0))).await.unwrap();
    }

    /// The node that a pod gets.
    pub(crate) async fn node_of(&self, name: &str) -> String {
        self.until(name, async |cluster| {
            let pod = cluster.get(name).await?;
            Some(object::text(&pod, &["spec", "nodeName"]).to_owned()).filter(|node| !node.is_empty())
        })
        .await
    }

    /// The reason and the message of the condition that says that a pod has no node.
    pub(crate) async fn refusal_of(&self, name: &str) -> (String, String) {
        self.until(name, async |cluster| {
            let pod = cluster.get(name).await?;
            let conditions = object::items(&pod, &["status", "conditions"]);
            let found =
                conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False")?;
            Some((object::text(found, &["reason"]).to_owned(), object::text(found, &["message"]).to_owned()))
        })
        .await
    }

    /// Waits for an event of a pod with this reason.
    pub(crate) async fn event(&self, pod: &str, reason: &str) -> Value {
        self.until(reason, async |cluster| {
            let list = cluster.api.call(Call::list(known::events(), "a")).await.ok()?;
            let all = object::items(&list, &["items"]).iter();
            all.clone().find(|it| it["involvedObject"]["name"] == pod && it["reason"] == reason).cloned()
        })
        .await
    }

    /// Looks until something is there, at most some seconds.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            assert!(Instant::now() < deadline, "it never came to this: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("it stops").unwrap();
        self.server.close().await;
    }
}

fn start(server: &ApiServer) -> (watch::Sender<bool>, JoinHandle<()>) {
    let user = User { name: "system:kube-scheduler".to_owned(), ..User::default() };
    let (shutdown, signal) = watch::channel(false);
    let config = Config {
        api: Arc::new(LocalApi::new(server.registry(), user, "kube-scheduler")),
        mirror: server.cache().clone(),
        clock: Arc::new(SystemClock::default()),
        names: vec![DEFAULT_SCHEDULER.to_owned()],
        instance: "host".to_owned(),
        election: None,
    };
    (shutdown, tokio::spawn(binder::run(config, signal)))
}

pub(crate) fn asks(cpu: &str) -> Value {
    json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}])
}
