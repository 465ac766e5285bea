//! Objects that a test puts there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use client::{BoxFuture, BoxStream, Change, Item, Mirror};
use futures_util::{StreamExt as _, stream};
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Objects = BTreeMap<String, Arc<Item>>;

/// An API without a server.
#[derive(Default)]
pub(crate) struct Fake {
    objects: Mutex<HashMap<GroupResource, Objects>>,
    watchers: Mutex<HashMap<GroupResource, Vec<mpsc::UnboundedSender<Change>>>>,
    revision: Mutex<u64>,
}

fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

impl Fake {
    pub(crate) fn put(&self, resource: &GroupResource, object: &Value) {
        let mut revision = self.revision.lock().expect("lock");
        *revision += 1;
        let json = serde_json::to_vec(object).expect("json");
        let new = Arc::new(Item::parse(json.into(), *revision).expect("an object"));
        let at = key(new.namespace(), new.name());
        let mut objects = self.objects.lock().expect("lock");
        let old = objects.entry(resource.clone()).or_default().insert(at, Arc::clone(&new));
        drop(objects);
        self.tell(resource, &Change::Set { old, new });
    }

    fn tell(&self, resource: &GroupResource, change: &Change) {
        let mut watchers = self.watchers.lock().expect("lock");
        watchers.entry(resource.clone()).or_default().retain(|watcher| watcher.send(change.clone()).is_ok());
    }

    #[allow(clippy::needless_pass_by_value, reason = "literals")]
    pub(crate) fn service(&self, name: &str, spec: Value, status: Value) {
        let object = json!({"kind": "Service", "apiVersion": "v1", "metadata": {"namespace": "a", "name": name},
            "spec": spec, "status": status});
        self.put(&GroupResource::new("", "services"), &object);
    }

    /// Endpoints as objects of the API, all with port 80.
    pub(crate) fn slice(&self, service: &str, protocol: &str, endpoints: &[Value]) {
        let object = json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"namespace": "a", "name": format!("{service}-x"), "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"name": "", "port": 80, "protocol": protocol}], "endpoints": endpoints});
        self.put(&GroupResource::new("discovery.k8s.io", "endpointslices"), &object);
    }
}

impl Cluster for Fake {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.item(resource, namespace, name).map(|item| item.value())
    }

    fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.items(resource, namespace).into_iter().map(|item| item.value()).collect()
    }

    fn changed(&self, _resource: &GroupResource) -> u64 {
        *self.revision.lock().expect("lock")
    }
}

impl Mirror for Fake {
    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn item(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Item>> {
        self.objects.lock().expect("lock").get(resource)?.get(&key(namespace, name)).cloned()
    }

    fn items(&self, resource: &GroupResource, _namespace: Option<&str>) -> Vec<Arc<Item>> {
        self.objects
            .lock()
            .expect("lock")
            .get(resource)
            .map(|all| all.values().cloned().collect())
            .unwrap_or_default()
    }

    fn changes(&self, resource: &GroupResource) -> BoxStream<'static, Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.watchers.lock().expect("lock").entry(resource.clone()).or_default().push(sender);
        let received = stream::unfold(receiver, |mut receiver| async move {
            let change = receiver.recv().await?;
            Some((change, receiver))
        });
        stream::once(async { Change::Resync }).chain(received).boxed()
    }
}
