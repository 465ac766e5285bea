//! A control plane in this process: server, loops, and a user.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::{ApiServer, Config as ServerConfig, LocalApi};
use client::{Api, Call};
use controller::{Config, Runtime, SystemClock};
use controllers::Settings;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;
use store::{Embedded, Options, Store};
use testkit::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A control plane without a front.
pub(crate) struct Cluster {
    server: ApiServer,
    api: LocalApi,
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
        let registry = Arc::clone(server.registry());
        let api = LocalApi::new(&registry, User::default(), "test/1");
        let clients =
            move |user: User, agent: &str| Arc::new(LocalApi::new(&registry, user, agent)) as Arc<dyn Api>;
        let runtime = Runtime::new(Config {
            loops: controllers::all(),
            clients: Arc::new(clients),
            mirror: server.cache().clone(),
            clock: Arc::new(SystemClock::default()),
            settings: Settings { root_ca: "CA".to_owned(), signs_certificates: false, ..Settings::default() },
            signer: None,
            paths: None,
            election: None,
        });
        let (shutdown, signal) = watch::channel(false);
        let task = tokio::spawn(runtime.run(signal));
        Self { server, api, shutdown, task, _dir: dir }
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Value, Status> {
        self.api.call(call).await
    }

    pub(crate) async fn create(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        object: Value,
    ) -> Value {
        self.call(Call::create(resource, namespace, object)).await.unwrap()
    }

    pub(crate) async fn get(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        self.call(Call::get(resource, namespace, name)).await.ok()
    }

    pub(crate) async fn list(&self, resource: &GroupVersionResource, namespace: &str) -> Vec<Value> {
        let list = self.call(Call::list(resource, namespace)).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Reads, changes and writes until nobody was faster.
    pub(crate) async fn change(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        name: &str,
        part: &str,
        how: impl Fn(&mut Value),
    ) {
        loop {
            let mut object = self.get(resource, namespace, name).await.unwrap();
            how(&mut object);
            let call = Call::update(resource, object);
            let call = if part.is_empty() { call } else { call.at(part) };
            match self.call(call).await {
                Err(status) if status.reason == "Conflict" => {}
                answer => return drop(answer.unwrap()),
            }
        }
    }

    pub(crate) async fn delete(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        name: &str,
        how: &str,
    ) {
        let call = Call::delete(resource, namespace, name);
        self.call(call.with(|options| options.propagation = Some(how.to_owned()))).await.unwrap();
    }

    /// Looks until something is there, at most some seconds.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
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
