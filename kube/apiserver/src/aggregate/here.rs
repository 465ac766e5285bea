//! A group that has an APIService like other servers' groups, but is answered in this process.

use std::sync::Arc;

use client::BoxFuture;
use kube_object::status::Status;
use serde_json::Value;

use crate::discovery::Foreign;
use crate::kinds::{Resource, Table};

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
    /// Its resources, of one group and version: for discovery and OpenAPI.
    fn resources(&self) -> &[Arc<Resource>];

    /// An object or a list.
    fn answer<'a>(&'a self, question: Asking<'a>) -> BoxFuture<'a, Result<Value, Status>>;
}

/// The table of one such group alone.
pub(super) fn table(here: &dyn Here) -> Table {
    Table::new(here.resources().iter().cloned())
}

/// Group, version and resources, for aggregated discovery.
pub(super) fn discovered(here: &dyn Here) -> Option<Foreign> {
    let first = here.resources().first()?;
    let (group, version) = (first.gvr.group.clone(), first.gvr.version.clone());
    let resources = Some(crate::discovery::entry(&table(here), &group, &version));
    Some(Foreign { group, version, priority: PRIORITY, resources })
}

/// Of the group and of its version; as those of custom kinds.
const PRIORITY: (i64, i64) = (100, 100);
