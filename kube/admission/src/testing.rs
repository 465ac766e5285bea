//! An API server for tests: objects in a map, rights in a set.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube_object::cluster::{Cluster, Fixed};
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::shape::Shape;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

use crate::host::{Access, Authorizer, BoxFuture, Host, Kinds, Opinion, Writer};

/// Who may what: `delete configmaps x`.
#[derive(Debug, Default)]
pub(crate) struct Allowed(BTreeSet<String>);

impl Allowed {
    pub(crate) fn of(rights: &[&str]) -> Self {
        Self(rights.iter().map(|right| (*right).to_owned()).collect())
    }
}

impl Authorizer for Allowed {
    fn authorize(&self, _user: &User, access: &Access) -> Opinion {
        let resource = match access.subresource.as_str() {
            "" => access.resource.resource.clone(),
            subresource => format!("{}/{subresource}", access.resource.resource),
        };
        let allowed = self.0.contains(&format!("{} {resource} {}", access.verb, access.name));
        Opinion { allowed, reason: String::new() }
    }
}

/// A store with nothing beyond the cache.
struct Stored(Arc<Fixed>);

impl Writer for Stored {
    fn read<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        let found = self.0.get(resource, namespace, name);
        Box::pin(async move {
            found.map(|object| object.as_ref().clone()).ok_or_else(|| Status::not_found(resource, name))
        })
    }

    fn update_status<'a>(
        &'a self,
        _resource: &'a GroupResource,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async { Ok(object) })
    }
}

/// Kinds whose resource is their name in small letters, and an `s`.
struct Plural;

impl Kinds for Plural {
    fn equivalents(
        &self,
        _resource: &GroupVersionResource,
        _subresource: &str,
    ) -> Vec<(GroupVersionResource, GroupVersionKind)> {
        Vec::new()
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
        object: Value,
        _to: &'a GroupVersionKind,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async { Ok(object) })
    }

    fn settle(&self, _kind: &GroupVersionKind, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }
}

/// A server with these objects and rights.
pub(crate) fn host(cluster: Fixed, allowed: Allowed) -> Host {
    let cluster = Arc::new(cluster);
    Host {
        cluster: cluster.clone(),
        writer: Arc::new(Stored(cluster)),
        kinds: Arc::new(Plural),
        authorizer: Arc::new(allowed),
        clock: Arc::new(base::SystemClock),
    }
}
