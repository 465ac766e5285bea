//! What a decision may look up of the cluster's other objects.
//!
//! Authorization, admission and validation decide about one request, but need others'
//! objects: role bindings, the namespace, limit ranges. They get them through this trait;
//! the API server implements it over its cache, a test over a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::resource::GroupResource;

/// Reads the newest known objects, in the version that the store keeps them in.
pub trait Cluster: Send + Sync {
    /// One object; `namespace` is empty for objects of the cluster.
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// All objects of a namespace, or of all.
    fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>>;

    /// The revision of the last change of the resource; who keeps something compiled from a
    /// list compiles it anew when this has moved.
    fn changed(&self, resource: &GroupResource) -> u64;
}

/// Objects in a map, for tests and for what has no server.
#[derive(Debug, Default)]
pub struct Fixed {
    objects: BTreeMap<(GroupResource, String, String), Arc<Value>>,
    revision: u64,
}

impl Fixed {
    /// Adds or replaces an object; its `metadata` says under which name.
    pub fn put(&mut self, resource: GroupResource, object: Value) {
        let meta = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = (resource, meta("namespace"), meta("name"));
        self.objects.insert(key, Arc::new(object));
        self.revision += 1;
    }
}

impl Cluster for Fixed {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&(resource.clone(), namespace.to_owned(), name.to_owned())).cloned()
    }

    fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let wanted = |key: &(GroupResource, String, String)| {
            key.0 == *resource && namespace.is_none_or(|namespace| key.1 == namespace)
        };
        self.objects.iter().filter(|(key, _)| wanted(key)).map(|(_, object)| object.clone()).collect()
    }

    fn changed(&self, _resource: &GroupResource) -> u64 {
        self.revision
    }
}
