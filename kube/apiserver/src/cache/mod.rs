//! The watch cache: every object in memory as encoded JSON, and the recent changes.
//!
//! One watch on the store feeds all collections. A reader that needs the newest state asks the
//! store for its revision and waits until the cache has reached it.

mod collection;
mod decoded;
mod event;
mod feed;
mod fresh;
mod selector;
mod wakers;
mod watcher;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::storage::{Storage, refusal};
use client::{BoxFuture, BoxStream, Change, Item, Mirror, Repeats};
pub(crate) use collection::{Collection, Page};
use decoded::Decoded;
pub use event::Frame;
use fresh::Fresh;
pub(crate) use selector::{Part, Selector};
pub use watcher::Watcher;
pub(crate) use watcher::{Begin, Show, WatchPlan};

/// Everything that the store holds, kept up to date.
pub struct Cache {
    storage: Storage,
    collections: RwLock<HashMap<GroupResource, Arc<Collection>>>,
    /// Every change up to here is in the collections.
    revision: watch::Sender<u64>,
    /// The same, for those who only look.
    known: AtomicU64,
    decoded: Decoded,
    fresh: Fresh,
    repeats: Repeats,
}

impl Cache {
    /// Loads everything; [`Cache::feed`] then keeps it up to date.
    pub(crate) async fn load(storage: Storage) -> Result<Arc<Self>, Status> {
        let cache = Arc::new(Self {
            storage,
            collections: RwLock::default(),
            revision: watch::Sender::new(0),
            known: AtomicU64::new(0),
            decoded: Decoded::default(),
            fresh: Fresh::default(),
            repeats: Repeats::default(),
        });
        feed::load(&cache).await.map_err(|error| refusal(&error))?;
        Ok(cache)
    }

    /// Follows the store until `shutdown` says true or its sender is gone.
    pub(crate) async fn feed(self: Arc<Self>, shutdown: watch::Receiver<bool>) {
        feed::run(&self, shutdown).await;
    }

    /// What is about to be written, for the feed.
    pub(crate) fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    /// The revision that the cache shows.
    pub fn revision(&self) -> u64 {
        self.known.load(Ordering::Acquire)
    }

    /// The collections have every change up to a revision.
    fn reach(&self, revision: u64) {
        self.known.store(revision, Ordering::Release);
        self.revision.send_replace(revision);
    }

    /// The revision as it moves.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Returns when the cache shows at least this revision.
    pub(crate) async fn wait_for(&self, revision: u64) -> Result<(), Status> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut receiver = self.revision.subscribe();
        let reached = receiver.wait_for(|now| *now >= revision);
        match tokio::time::timeout(CATCH_UP_MAX, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Status::unavailable("the server is shutting down")),
            Err(_) => Err(too_large_version(revision, self.revision())),
        }
    }

    /// Returns when the cache shows every write that was acknowledged before the call.
    pub(crate) async fn catch_up(&self) -> Result<u64, Status> {
        let latest = self.storage.latest().await?;
        self.wait_for(latest).await?;
        Ok(self.revision())
    }

    /// The objects of a resource.
    pub(crate) fn collection(&self, resource: &GroupResource) -> Arc<Collection> {
        if let Some(found) = self.read().get(resource) {
            return Arc::clone(found);
        }
        let mut collections = self.collections.write().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Collection::new(resource.clone(), self.revision()));
        Arc::clone(collections.entry(resource.clone()).or_insert_with(make))
    }

    /// How many objects of each resource there are.
    pub fn counts(&self) -> Vec<(GroupResource, usize)> {
        let collections: Vec<_> = self.all();
        collections.into_iter().map(|found| (found.resource.clone(), found.len())).collect()
    }

    fn all(&self) -> Vec<Arc<Collection>> {
        self.read().values().cloned().collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<GroupResource, Arc<Collection>>> {
        self.collections.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 504 in upstream's words: the client knows a revision that is not here yet.
fn too_large_version(wanted: u64, current: u64) -> Status {
    let mut status = Status::timeout(format!("Too large resource version: {wanted}, current: {current}"), 1);
    if let Some(details) = &mut status.details {
        details.causes =
            vec![json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"})];
    }
    status
}

impl Cluster for Cache {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.item(resource, namespace, name).map(|item| self.decoded.value(&item))
    }

    fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.items(resource, namespace).iter().map(|item| self.decoded.value(item)).collect()
    }

    fn changed(&self, resource: &GroupResource) -> u64 {
        self.collection(resource).changed()
    }
}

impl Mirror for Cache {
    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn item(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Item>> {
        let collection = self.collection(resource);
        if namespace.is_empty() {
            collection.get(name)
        } else {
            collection.get(&format!("{namespace}/{name}"))
        }
    }

    fn items(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Item>> {
        let part = Part { namespace: namespace.unwrap_or(""), ..Part::default() };
        self.collection(resource).page(part, None, usize::MAX, |_| true).items
    }

    fn changes(&self, resource: &GroupResource) -> BoxStream<'static, Change> {
        Box::pin(watcher::Changes::new(self.collection(resource)))
    }
}

/// Upstream's patience with a revision that the cache has not seen yet.
const CATCH_UP_MAX: Duration = Duration::from_secs(3);
