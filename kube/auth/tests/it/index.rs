//! The index follows the cluster, and only as far as it changed.

use std::sync::{Arc, RwLock};

use auth::{Attributes, Authorizer, ResourceAttributes};
use kube_object::cluster::{Cluster, Fixed};
use kube_object::resource::GroupResource;
use serde_json::{Value, json};

use crate::clock::user;

/// A cluster that changes.
#[derive(Default)]
struct Changing(RwLock<Fixed>);

impl Cluster for Changing {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.read().unwrap().get(resource, namespace, name)
    }

    fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.0.read().unwrap().list(resource, namespace)
    }

    fn changed(&self, resource: &GroupResource) -> u64 {
        self.0.read().unwrap().changed(resource)
    }
}

#[test]
fn follows_roles_and_bindings() {
    let cluster = Arc::new(Changing::default());
    let put = |plural: &str, object: Value| {
        cluster.0.write().unwrap().put(GroupResource::new("rbac.authorization.k8s.io", plural), object);
    };
    let role = |verb: &str| {
        json!({"metadata": {"name": "r", "namespace": "a"},
            "rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]})
    };
    let binding = |who: &str| {
        json!({"metadata": {"name": "b", "namespace": "a"}, "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": who}]})
    };
    let authorizer = Authorizer::new(cluster.clone());
    let may = |who: &str, verb: &str| {
        let user = user(who, &[]);
        let pods = ResourceAttributes { resource: "pods", namespace: "a", ..Default::default() };
        authorizer.authorize(&Attributes::of_resource(&user, verb, pods)).is_allowed()
    };
    assert!(!may("ann", "get"));
    put("rolebindings", binding("ann"));
    assert!(!may("ann", "get"));
    put("roles", role("get"));
    assert!(may("ann", "get"));
    // The binding is the same object, its role is another.
    put("roles", role("list"));
    assert!(!may("ann", "get"));
    assert!(may("ann", "list"));
    put("rolebindings", binding("bob"));
    assert!(!may("ann", "list"));
    assert!(may("bob", "list"));
    let before = authorizer.index();
    assert!(Arc::ptr_eq(&before, &authorizer.index()));
}
