//! What admission needs of the API server around it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base::clock::Clock;
use kube_object::cluster::Cluster;
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::shape::Shape;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

/// An answer that has to be waited for.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The API server as admission sees it.
#[derive(Clone)]
pub struct Host {
    /// The cached objects.
    pub cluster: Arc<dyn Cluster>,
    /// The stored ones.
    pub writer: Arc<dyn Writer>,
    /// The served kinds.
    pub kinds: Arc<dyn Kinds>,
    /// Who may what.
    pub authorizer: Arc<dyn Authorizer>,
    /// The time, for rate limits.
    pub clock: Arc<dyn Clock + Send + Sync>,
}

/// Reads past the cache, and writes what a decision reserves.
pub trait Writer: Send + Sync {
    /// The newest stored object, in its storage version, with its `resourceVersion`; the
    /// refusal of one that is not there is `NotFound`.
    fn read<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Value, Status>>;

    /// Stores the `status` of an object as [`Writer::read`] gave it, and gives back what is
    /// stored then. Refused with `Conflict` if the object has another `resourceVersion` by
    /// now. Passes no admission itself.
    fn update_status<'a>(
        &'a self,
        resource: &'a GroupResource,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, Status>>;
}

/// Knows the served kinds, built-in and custom.
pub trait Kinds: Send + Sync {
    /// Under which other resources the same objects are served (other versions, other
    /// groups), with their kinds; the given one is not among them. With a subresource, only
    /// resources that have it too, with the subresource's kind.
    fn equivalents(
        &self,
        resource: &GroupVersionResource,
        subresource: &str,
    ) -> Vec<(GroupVersionResource, GroupVersionKind)>;

    /// The resource of a kind, and whether it lives in namespaces.
    fn resource_of(&self, kind: &GroupVersionKind) -> Option<(GroupVersionResource, bool)>;

    /// The type of a kind, for structured merges.
    fn shape(&self, kind: &GroupVersionKind) -> Option<Arc<dyn Shape>>;

    /// The object in another version.
    fn convert<'a>(&'a self, object: Value, to: &'a GroupVersionKind)
    -> BoxFuture<'a, Result<Value, Status>>;

    /// Decodes an object anew that a webhook or a policy has changed: types are checked,
    /// unknown fields dropped, defaults set.
    fn settle(&self, kind: &GroupVersionKind, object: &mut Value) -> Result<(), Status>;
}

/// Knows who may do what.
pub trait Authorizer: Send + Sync {
    /// Decides about one access.
    fn authorize(&self, user: &User, access: &Access) -> Opinion;
}

/// What someone wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `get`, `update`, `approve`, …
    pub verb: String,
    /// The resource; an empty one means `path`.
    pub resource: GroupVersionResource,
    /// The subresource, or empty.
    pub subresource: String,
    /// The namespace; empty for all, or for objects of the cluster.
    pub namespace: String,
    /// The name; empty for all.
    pub name: String,
    /// The path, where no resource is meant.
    pub path: Option<String>,
}

/// An authorizer's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}
