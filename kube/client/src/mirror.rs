//! Objects in memory, kept up to date: what controllers read instead of asking.
//!
//! [`Mirror`] is the trait. The API server implements it over its own cache, so that what runs
//! beside it keeps no second copy; [`Cache`](crate::Cache) implements it for everybody else.

use std::sync::Arc;

use kube_object::cluster::Cluster;
use kube_object::resource::{GroupResource, GroupVersionResource};

use crate::api::{BoxFuture, BoxStream};
use crate::item::Item;

/// Reads and follows the newest known objects. Decoded forms come from [`Cluster`].
pub trait Mirror: Cluster {
    /// Returns when everything that was there at the start is in memory.
    fn synced(&self) -> BoxFuture<'_, ()>;

    /// Also keep this resource from now on. A mirror of everything has nothing to do.
    fn follow(&self, _resource: &GroupVersionResource) {}

    /// One object; `namespace` is empty for objects of the cluster.
    fn item(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Item>>;

    /// All objects of a namespace, or of all, in the order of their keys.
    fn items(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Item>>;

    /// The changes of a resource from now on. It begins with [`Change::Resync`], and has another one
    /// when the reader was too slow and changes are missing. Ends with the mirror.
    fn changes(&self, resource: &GroupResource) -> BoxStream<'static, Change>;
}

/// What happened to an object, with its states before and after.
#[derive(Clone, Debug)]
pub enum Change {
    /// It was created or changed.
    Set {
        /// Before; none if it was not there.
        old: Option<Arc<Item>>,
        /// After.
        new: Arc<Item>,
    },
    /// It is gone.
    Gone {
        /// Its last state.
        old: Arc<Item>,
    },
    /// Anything may have happened: look at all objects anew.
    Resync,
}

impl Change {
    /// The object that changed: its newest state, of a gone one its last.
    pub fn item(&self) -> Option<&Arc<Item>> {
        match self {
            Self::Set { new, .. } => Some(new),
            Self::Gone { old } => Some(old),
            Self::Resync => None,
        }
    }
}
