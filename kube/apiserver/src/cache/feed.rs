//! What fills the cache: one look at everything, then one watch on the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{Item, Repeats};
use kube_object::resource::GroupResource;
use store::{Batch, Error, EventKind, KeyRange, KeyValue, RangeRequest, Revision, WatchRequest};
use tokio::sync::watch;

use super::Cache;
use super::wakers::Woken;
use crate::storage::{PREFIX, place};

/// Fills empty collections.
pub(super) async fn load(cache: &Cache) -> Result<(), Error> {
    let revision = cache.storage.store().latest().await?;
    // Collections begin here; nobody reads them before they are full.
    cache.reach(revision.0);
    let mut range = KeyRange::prefix(PREFIX);
    let mut found: HashMap<GroupResource, Vec<Arc<Item>>> = HashMap::new();
    loop {
        let page = cache.storage.fetch(RangeRequest::new(range).at(revision).limit(PAGE)).await?;
        for (resource, item) in page.kvs.iter().filter_map(|kv| item(kv, &cache.repeats)) {
            found.entry(resource).or_default().push(Arc::new(item));
        }
        match page.kvs.last() {
            Some(last) if page.more => range = behind(&last.key),
            _ => break,
        }
    }
    found.into_iter().for_each(|(resource, items)| cache.collection(&resource).load(items));
    Ok(())
}

/// Follows the store. When its watch breaks, what was missed is found by looking at everything.
pub(super) async fn run(cache: &Cache, mut shutdown: watch::Receiver<bool>) {
    let work = async {
        loop {
            drop(follow(cache).await);
            tokio::time::sleep(RETRY).await;
            drop(reload(cache).await);
        }
    };
    tokio::select! {
        () = work => {}
        () = client::asked_to_end(&mut shutdown) => {}
    }
    cache.all().iter().for_each(|collection| collection.close());
}

async fn follow(cache: &Cache) -> Result<(), Error> {
    let from = Revision(cache.revision() + 1);
    let request = WatchRequest::new(KeyRange::prefix(PREFIX)).from(from);
    let mut changes = cache.storage.store().watch(request)?;
    loop {
        let batch = poll_fn(|context| {
            let batch = changes.poll_next(context);
            if batch.is_pending() {
                // Others' keys move the store's revision too; who waits for it must not wait for ours.
                let progress = changes.progress().0;
                if progress > cache.revision() {
                    cache.reach(progress);
                }
            }
            batch
        })
        .await?;
        let mut woken = Woken::default();
        apply(cache, &batch, &mut woken);
        // More may be there at once; watchers, and readers that wait for a revision, are woken once
        // for all of it.
        let mut revision = batch.revision;
        for _ in 0..BATCHES_MAX {
            let Some(batch) = changes.poll()? else { break };
            apply(cache, &batch, &mut woken);
            revision = batch.revision;
        }
        cache.reach(revision.0);
    }
}

fn apply(cache: &Cache, batch: &Batch, woken: &mut Woken) {
    for event in &batch.events {
        let Some((resource, key)) = place(&event.kv.key) else { continue };
        let new = match event.kind {
            EventKind::Put => match item(&event.kv, &cache.repeats) {
                Some((_, item)) => {
                    cache.fresh.tell(&event.kv.value, &item);
                    Some(Arc::new(item))
                }
                None => continue,
            },
            EventKind::Delete => None,
        };
        cache.collection(&resource).apply(batch.revision.0, key, new, woken);
    }
}

/// Brings the cache to a newer revision by comparing all objects.
async fn reload(cache: &Cache) -> Result<(), Error> {
    let revision = cache.storage.store().latest().await?;
    let mut changed: BTreeMap<u64, Vec<(GroupResource, Arc<Item>)>> = BTreeMap::new();
    let mut seen: HashSet<(GroupResource, Arc<str>)> = HashSet::new();
    let mut range = KeyRange::prefix(PREFIX);
    loop {
        let page = cache.storage.fetch(RangeRequest::new(range).at(revision).limit(PAGE)).await?;
        for kv in &page.kvs {
            let Some((resource, item)) = item(kv, &cache.repeats) else { continue };
            seen.insert((resource.clone(), Arc::clone(item.key())));
            let known = cache.collection(&resource).get(item.key());
            if known.is_none_or(|known| known.revision() < item.revision()) {
                changed.entry(item.revision()).or_default().push((resource, Arc::new(item)));
            }
        }
        match page.kvs.last() {
            Some(last) if page.more => range = behind(&last.key),
            _ => break,
        }
    }
    let mut woken = Woken::default();
    for (at, items) in changed {
        for (resource, item) in items {
            let key = Arc::clone(item.key());
            cache.collection(&resource).apply(at, &key, Some(item), &mut woken);
        }
    }
    for collection in cache.all() {
        for key in collection.keys() {
            if !seen.contains(&(collection.resource.clone(), Arc::clone(&key))) {
                collection.apply(revision.0, &key, None, &mut woken);
            }
        }
    }
    cache.reach(revision.0);
    Ok(())
}

/// The object of a key; what is none is left alone.
fn item(kv: &KeyValue, repeats: &Repeats) -> Option<(GroupResource, Item)> {
    let (resource, _) = place(&kv.key)?;
    let item = Item::kept(&kv.value, kv.mod_revision.0, repeats).ok()?;
    Some((resource, item))
}

/// The keys behind one; `/registry0` is the successor of the prefix.
fn behind(key: &Bytes) -> KeyRange {
    let mut next = key.to_vec();
    next.push(0);
    KeyRange::between(next, &b"/registry0"[..])
}

/// Objects that are in memory twice while loading.
const PAGE: usize = 500;
/// Revisions between two calls of those that wait for one.
const BATCHES_MAX: usize = 256;
/// A store that is away is not asked more often.
const RETRY: Duration = Duration::from_millis(200);
