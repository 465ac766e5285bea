//! A group that has an APIService like other servers' groups, but is answered in this process.

use client::BoxFuture;
use kube_object::status::Status;
use serde_json::Value;

use crate::discovery::Foreign;

/// What is asked of such a group.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// `get` or `list`; nothing else is asked.
    pub verb: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// Empty for objects of the cluster and for all namespaces.
    pub namespace: &'a str,
    /// Empty for lists.
    pub name: &'a str,
    /// The query's pairs.
    pub query: &'a [(String, String)],
}

/// Answers for a group and version whose objects nobody stores.
///
/// An APIService with a service behind it takes its place: whoever installs another server for the
/// group gets that.
pub trait Here: Send + Sync {
    /// Group, version and resources, for aggregated discovery.
    fn discovered(&self) -> Foreign;

    /// The `APIResourceList`.
    fn resources(&self) -> Value;

    /// An object or a list.
    fn answer<'a>(&'a self, question: Asking<'a>) -> BoxFuture<'a, Result<Value, Status>>;
}
