//! An API server for tests: objects in a map, everything allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use admission::host::BoxFuture;
use admission::{Access, Authorizer, Host, Kinds, Opinion, Writer};
use kube_object::cluster::{Cluster, Fixed};
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::shape::Shape;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};

pub struct Server {
    cluster: Arc<Fixed>,
    /// How often a read of the default account fails still.
    missing: AtomicUsize,
}

pub fn host(cluster: Fixed) -> Host {
    host_with_account_after(cluster, usize::MAX)
}

/// A server where the default account appears only after so many looks.
pub fn host_with_account_after(cluster: Fixed, looks: usize) -> Host {
    let cluster = Arc::new(cluster);
    let server = Arc::new(Server { cluster: cluster.clone(), missing: AtomicUsize::new(looks) });
    Host {
        cluster,
        writer: server.clone(),
        kinds: server.clone(),
        authorizer: server,
        clock: Arc::new(base::SystemClock),
    }
}

impl Writer for Server {
    fn read<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        let mut found = self.cluster.get(resource, namespace, name).map(|object| object.as_ref().clone());
        if resource.resource == "serviceaccounts" && found.is_none() {
            let missing = self.missing.fetch_sub(1, Ordering::SeqCst);
            found = (missing <= 1).then(|| json!({"metadata": {"name": name, "namespace": namespace}}));
        }
        Box::pin(async move { found.ok_or_else(|| Status::not_found(resource, name)) })
    }

    fn update_status<'a>(
        &'a self,
        _resource: &'a GroupResource,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async { Ok(object) })
    }
}

/// Every resource `x` of group `a` is served in version `v1` and `v2`, where conversion
/// writes the version down.
impl Kinds for Server {
    fn equivalents(
        &self,
        resource: &GroupVersionResource,
        _subresource: &str,
    ) -> Vec<(GroupVersionResource, GroupVersionKind)> {
        let other = if resource.version == "v1" { "v2" } else { "v1" };
        vec![(
            GroupVersionResource::new(&resource.group, other, &resource.resource),
            GroupVersionKind::new(&resource.group, other, "X"),
        )]
    }

    fn resource_of(&self, kind: &GroupVersionKind) -> Option<(GroupVersionResource, bool)> {
        let resource = format!("{}s", kind.kind.to_lowercase());
        Some((GroupVersionResource::new(&kind.group, &kind.version, resource), true))
    }

    fn shape(&self, _kind: &GroupVersionKind) -> Option<Arc<dyn Shape>> {
        None
    }

    fn convert<'a>(
        &'a self,
        mut object: Value,
        to: &'a GroupVersionKind,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        object["apiVersion"] = json!(to.api_version());
        Box::pin(async { Ok(object) })
    }

    fn settle(&self, kind: &GroupVersionKind, object: &mut Value) -> Result<(), Status> {
        if kind.kind == "X" {
            object["settled"] = json!(true);
        }
        Ok(())
    }
}

impl Authorizer for Server {
    fn authorize(&self, _user: &User, _access: &Access) -> Opinion {
        Opinion { allowed: true, reason: String::new() }
    }
}
