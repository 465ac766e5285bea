//! One step of the chain that decides by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::Value;

use crate::host::Host;
use crate::notes::Notes;
use crate::request::{Operation, Request};

/// How long to wait before one looks again for what a controller is about to make.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A step: it may change the request's object, then judge it. It waits for nothing.
pub trait Plugin: Send + Sync {
    /// Its name, as upstream has it.
    fn name(&self) -> &'static str;

    /// Whether it has anything to do with such an operation.
    fn handles(&self, operation: Operation) -> bool;

    /// Objects that it must see even if the cache does not have them yet.
    fn needs(&self, _request: &Request) -> Vec<Need> {
        Vec::new()
    }

    /// Changes the object.
    fn mutate(&self, _request: &mut Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        Ok(())
    }

    /// Judges the object.
    fn validate(&self, _request: &Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        Ok(())
    }
}

/// An object that a decision cannot do without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Its resource.
    pub resource: GroupResource,
    /// Its namespace, or empty.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether even a cached one is too old.
    pub newest: bool,
    /// How long to wait for it to appear: a controller is about to make it.
    pub patience: Duration,
}

impl Need {
    /// An object that the cache may not have yet.
    pub fn of(resource: GroupResource, namespace: &str, name: &str) -> Self {
        Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            newest: false,
            patience: Duration::ZERO,
        }
    }
}

/// What a decision sees of the world.
pub struct Scene<'a> {
    /// The API server.
    pub host: &'a Host,
    /// Whether the plugins run a second time, after a webhook changed the object.
    pub again: bool,
    found: BTreeMap<(GroupResource, String, String), Option<Arc<Value>>>,
}

impl<'a> Scene<'a> {
    /// A scene in which only the cache is seen.
    pub fn new(host: &'a Host) -> Self {
        Self { host, again: false, found: BTreeMap::new() }
    }

    /// One object: as looked up for this request, else as cached.
    pub fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        if !self.found.is_empty() {
            let key = (resource.clone(), namespace.to_owned(), name.to_owned());
            if let Some(found) = self.found.get(&key) {
                return found.clone();
            }
        }
        self.host.cluster.get(resource, namespace, name)
    }

    /// The cached objects.
    pub fn cluster(&self) -> &dyn Cluster {
        self.host.cluster.as_ref()
    }

    /// Looks up past the cache what it does not have.
    pub(crate) async fn fetch(&mut self, needs: Vec<Need>) -> Result<(), Status> {
        for need in needs {
            let key = (need.resource, need.namespace, need.name);
            let cached = || self.host.cluster.get(&key.0, &key.1, &key.2).is_some();
            if self.found.contains_key(&key) || (!need.newest && cached()) {
                continue;
            }
            let deadline = Instant::now() + need.patience;
            let found = loop {
                match self.host.writer.read(&key.0, &key.1, &key.2).await {
                    Ok(object) => break Some(Arc::new(object)),
                    Err(status) if status.code != 404 => return Err(status),
                    Err(_) if Instant::now() >= deadline => break None,
                    Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
                }
            };
            self.found.insert(key, found);
        }
        Ok(())
    }
}
