//! An API server over an embedded store in a folder of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::cache::{Frame, Watcher};
use apiserver::registry::{
    Body, Context, DeleteOptions, GetOptions, List, ListOptions, Outcome, Patch, Registry, Target,
    WriteOptions,
};
use apiserver::{ApiServer, Config};
use futures_util::StreamExt;
use kube_object::status::Status;
use serde_json::Value;
use store::{Embedded, Options, Store};
use testkit::TempDir;

pub(crate) struct Rig {
    pub server: ApiServer,
    pub store: Arc<Embedded>,
    pub context: Context,
    _dir: TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new();
        let store = Arc::new(
            Embedded::open(&dir.path().join("store.db"), &Options::default(), Instant::now())
                .expect("it works"),
        );
        let server =
            ApiServer::open(Config::new(Arc::clone(&store) as Arc<dyn Store>)).await.expect("it works");
        server.bootstrap().await.expect("it works");
        let context = Context { user_agent: "test/1".to_owned(), ..Context::default() };
        Self { server, store, context, _dir: dir }
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.server.registry()
    }

    /// `pods`, `apps/deployments`, `stable.example.com/v1/widgets`.
    pub(crate) fn resource(&self, path: &str) -> Arc<apiserver::kinds::Resource> {
        let parts: Vec<&str> = path.split('/').collect();
        let (group, version, resource) = match parts.as_slice() {
            [resource] => ("", "v1", *resource),
            [group, resource] => (*group, "v1", *resource),
            [group, version, resource, ..] => (*group, *version, *resource),
            [] => ("", "v1", ""),
        };
        self.registry().kinds().resolve(group, version, resource).expect(path)
    }

    /// `pods`, `pods default`, `pods default web`, `pods default web status`; `-` is no namespace.
    pub(crate) fn target(&self, text: &str) -> Target {
        let parts: Vec<&str> = text.split(' ').collect();
        let part = |at: usize| parts.get(at).copied().filter(|part| *part != "-").unwrap_or("");
        Target::object(&self.resource(part(0)), part(1), part(2)).at(part(3))
    }

    pub(crate) async fn create(&self, target: &str, object: Value) -> Result<Outcome, Status> {
        self.create_with(target, object, &WriteOptions::default()).await
    }

    pub(crate) async fn create_with(
        &self,
        target: &str,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        self.registry().create(&self.context, &self.target(target), Body::from(object), options).await
    }

    pub(crate) async fn update(&self, target: &str, object: Value) -> Result<Outcome, Status> {
        let options = WriteOptions::default();
        self.registry().update(&self.context, &self.target(target), Body::from(object), &options).await
    }

    pub(crate) async fn patch(&self, target: &str, patch: Patch) -> Result<Outcome, Status> {
        self.registry().patch(&self.context, &self.target(target), patch, &WriteOptions::default()).await
    }

    pub(crate) async fn apply(
        &self,
        target: &str,
        manager: &str,
        config: Value,
        force: bool,
    ) -> Result<Outcome, Status> {
        let options = WriteOptions { field_manager: manager.to_owned(), force, ..WriteOptions::default() };
        let patch = Patch::Apply(Body::from(config));
        self.registry().patch(&self.context, &self.target(target), patch, &options).await
    }

    pub(crate) async fn get(&self, target: &str) -> Result<Value, Status> {
        let found = self.registry().get(&self.context, &self.target(target), &GetOptions::default()).await?;
        Ok(Value::clone(&found.to_value()))
    }

    pub(crate) async fn list(&self, target: &str, query: &[(&str, &str)]) -> Result<List, Status> {
        self.registry().list(&self.context, &self.target(target), &list_options(query)?).await
    }

    pub(crate) async fn watch(&self, target: &str, query: &[(&str, &str)]) -> Result<Watcher, Status> {
        self.registry().watch(&self.context, &self.target(target), &list_options(query)?).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Result<Outcome, Status> {
        self.delete_with(target, &DeleteOptions::default()).await
    }

    pub(crate) async fn delete_with(&self, target: &str, options: &DeleteOptions) -> Result<Outcome, Status> {
        self.registry().delete(&self.context, &self.target(target), options).await
    }
}

pub(crate) fn list_options(query: &[(&str, &str)]) -> Result<ListOptions, Status> {
    let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ListOptions::from_query(&query)
}

/// The next frame of a watch, which must come soon.
pub(crate) async fn next(watcher: &mut Watcher) -> Option<Result<Frame, Status>> {
    tokio::time::timeout(Duration::from_secs(10), watcher.next()).await.expect("a frame within ten seconds")
}

/// The next event as text: `ADDED default/web`.
pub(crate) async fn event(watcher: &mut Watcher) -> String {
    let frame = next(watcher).await.expect("the watch goes on").expect("an event");
    format!("{} {}", frame.kind.as_str(), frame.object.key())
}

pub(crate) fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a resourceVersion")
}

pub(crate) fn names(list: &List) -> Vec<&str> {
    list.items.iter().map(|item| item.name()).collect()
}
