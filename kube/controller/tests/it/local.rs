//! The API of a server in this process, and a cluster around it: server, loops, and a user.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::registry::{
    Body, Context, DeleteOptions, GetOptions, ListOptions, Patch, Registry, Target, WriteOptions,
};
use apiserver::{ApiServer, Config as ServerConfig};
use client::{Api, BoxFuture, BoxStream, Call, PatchType, Verb, WatchEvent, WatchOptions};
use controller::{Config, Runtime, SystemClock};
use controllers::Settings;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};
use store::{Embedded, Options, Store};
use testkit::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Calls the registry in the name of a user.
struct Local {
    registry: Arc<Registry>,
    context: Context,
}

impl Local {
    async fn answer(&self, call: Call) -> Result<Value, Status> {
        let gvr = &call.resource;
        let resource = self.registry.kinds().resolve(&gvr.group, &gvr.version, &gvr.resource);
        let resource = resource.ok_or_else(Status::no_such_path)?;
        let (namespace, name) = (call.namespace.as_deref().unwrap_or(""), call.name.as_deref().unwrap_or(""));
        let target = Target::object(&resource, namespace, name).at(call.subresource.as_deref().unwrap_or(""));
        let write = WriteOptions {
            field_manager: call.options.field_manager.clone().unwrap_or_default(),
            force: call.options.force,
            ..WriteOptions::default()
        };
        let (registry, context) = (&self.registry, &self.context);
        let outcome = match call.verb {
            Verb::Get => registry.get(context, &target, &GetOptions::default()).await?,
            Verb::Create => {
                let body = Body::from(call.body.unwrap());
                registry.create(context, &target, body, &write).await?
            }
            Verb::Update => {
                let body = Body::from(call.body.unwrap());
                registry.update(context, &target, body, &write).await?
            }
            Verb::Patch => {
                let body = Body::from(call.body.unwrap());
                let patch = match call.patch.unwrap() {
                    PatchType::Json => Patch::Json(body),
                    PatchType::Merge => Patch::Merge(body),
                    PatchType::Strategic => Patch::Strategic(body),
                    PatchType::Apply => Patch::Apply(body),
                };
                registry.patch(context, &target, patch, &write).await?
            }
            Verb::Delete => {
                let options = DeleteOptions::from_request(&[], Some(&call.delete_options()))?;
                registry.delete(context, &target, &options).await?
            }
            Verb::DeleteCollection => {
                let options = DeleteOptions::from_request(&[], Some(&call.delete_options()))?;
                registry.delete_collection(context, &target, &ListOptions::default(), &options).await?;
                return Ok(json!({"kind": "Status"}));
            }
            Verb::List => {
                let list = registry.list(context, &target, &ListOptions::default()).await?;
                let items: Vec<Value> = list.items.iter().map(|item| item.decode()).collect();
                return Ok(
                    json!({"metadata": {"resourceVersion": list.revision.to_string()}, "items": items}),
                );
            }
        };
        Ok(Value::clone(&outcome.to_value()))
    }
}

impl Api for Local {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Value, Status>> {
        Box::pin(self.answer(call))
    }

    fn watch<'a>(
        &'a self,
        _resource: &GroupVersionResource,
        _options: WatchOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<WatchEvent, Status>>, Status>> {
        Box::pin(async { Err(Status::no_such_path()) })
    }
}

/// A control plane without a front.
pub(crate) struct Cluster {
    server: ApiServer,
    api: Local,
    pub(crate) runtime: Arc<Runtime>,
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
        let api = Local { registry: Arc::clone(&registry), context: context(User::default(), "test/1") };
        let clients = move |user: User, agent: &str| {
            Arc::new(Local { registry: Arc::clone(&registry), context: context(user, agent) }) as Arc<dyn Api>
        };
        let runtime = Runtime::new(Config {
            loops: controllers::all(),
            clients: Arc::new(clients),
            mirror: server.cache().clone(),
            clock: Arc::new(SystemClock::default()),
            settings: Settings { root_ca: "CA".to_owned(), signs_certificates: false },
            signer: None,
            election: None,
        });
        let (shutdown, signal) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(&runtime).run(signal));
        Self { server, api, runtime, shutdown, task, _dir: dir }
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

fn context(user: User, agent: &str) -> Context {
    Context { user, user_agent: agent.to_owned(), ..Context::default() }
}
