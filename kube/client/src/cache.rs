//! A mirror of some resources over any [`Api`]: one watch each, begun anew with backoff when it breaks.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use kube_object::cluster::Cluster;
use kube_object::resource::{GroupResource, GroupVersionResource};
use kube_object::status::Status;
use serde_json::Value;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::api::{Api, BoxFuture, BoxStream, Call, WatchOptions};
use crate::item::{EventKind, Item, WatchEvent};
use crate::mirror::{Change, Mirror};
use crate::text::Repeats;

/// Objects of some resources, kept up to date. Dropping it ends its watches.
pub struct Cache {
    api: Arc<dyn Api>,
    collections: RwLock<HashMap<GroupResource, Arc<Collection>>>,
    tasks: Mutex<JoinSet<()>>,
    repeats: Arc<Repeats>,
}

struct Collection {
    resource: GroupVersionResource,
    /// What of the resource is followed: a namespace, labels, fields.
    selected: WatchOptions,
    items: RwLock<BTreeMap<Arc<str>, Arc<Item>>>,
    /// The revision that the items show; 0 before the first sync.
    revision: watch::Sender<u64>,
    changes: broadcast::Sender<Change>,
    repeats: Arc<Repeats>,
}

impl Cache {
    /// Begins to follow the resources. Must be called within a runtime.
    pub fn start(api: &Arc<dyn Api>, resources: &[GroupVersionResource]) -> Arc<Self> {
        let whole = resources.iter().map(|resource| (resource.clone(), WatchOptions::default()));
        Self::start_selected(api, whole.collect())
    }

    /// Begins to follow parts of resources: those of a namespace, or with labels or fields that the
    /// options name. Whoever may see only some objects follows those.
    pub fn start_selected(
        api: &Arc<dyn Api>,
        resources: Vec<(GroupVersionResource, WatchOptions)>,
    ) -> Arc<Self> {
        let cache = Self {
            api: Arc::clone(api),
            collections: RwLock::default(),
            tasks: Mutex::new(JoinSet::new()),
            repeats: Arc::default(),
        };
        for (resource, selected) in resources {
            cache.begin(&resource, selected);
        }
        Arc::new(cache)
    }

    fn begin(&self, resource: &GroupVersionResource, selected: WatchOptions) {
        let mut collections = self.collections.write().unwrap_or_else(PoisonError::into_inner);
        if collections.contains_key(&resource.group_resource()) {
            return;
        }
        let collection = Arc::new(Collection {
            resource: resource.clone(),
            selected,
            items: RwLock::default(),
            revision: watch::Sender::new(0),
            changes: broadcast::Sender::new(CHANGES_MAX),
            repeats: Arc::clone(&self.repeats),
        });
        collections.insert(resource.group_resource(), Arc::clone(&collection));
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(follow(Arc::clone(&self.api), collection));
    }

    fn collection(&self, resource: &GroupResource) -> Option<Arc<Collection>> {
        self.collections.read().unwrap_or_else(PoisonError::into_inner).get(resource).cloned()
    }
}

/// Follows one resource for ever: the task is aborted with its cache.
async fn follow(api: Arc<dyn Api>, collection: Arc<Collection>) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let before = *collection.revision.borrow();
        // Whatever ended the watch, a new one tells whether the server is well.
        drop(watch_once(&*api, &collection).await);
        let moved = *collection.revision.borrow() != before;
        backoff = if moved { BACKOFF_MIN } else { (backoff * 2).min(BACKOFF_MAX) };
        tokio::time::sleep(backoff).await;
    }
}

/// One watch: what is there first, then changes until the server ends it.
async fn watch_once(api: &dyn Api, collection: &Collection) -> Result<(), Status> {
    let known = *collection.revision.borrow();
    let resume = (known > 0).then(|| known.to_string());
    let options = WatchOptions {
        send_initial_events: resume.is_none().then_some(true),
        resource_version: resume,
        bookmarks: true,
        ..collection.selected.clone()
    };
    let mut initial = (known == 0).then(BTreeMap::new);
    let mut events = match api.watch(&collection.resource, options).await {
        Ok(events) => events,
        // Servers before 1.34 may not send what is there by a watch.
        Err(status) if known == 0 && matches!(status.code, 400 | 422) => {
            initial = None;
            list(api, collection).await?
        }
        Err(status) => return Err(collection.not_followed(status)),
    };
    while let Some(event) = events.next().await {
        let event = event.map_err(|status| collection.not_followed(status))?;
        match (&mut initial, event.kind) {
            (Some(items), EventKind::Bookmark) if ends_initial_events(&event.object) => {
                let items = std::mem::take(items);
                initial = None;
                collection.replace(items, event.object.revision());
            }
            (Some(items), EventKind::Added | EventKind::Modified) => {
                items.insert(Arc::clone(event.object.key()), event.object);
            }
            (Some(items), EventKind::Deleted) => {
                items.remove(event.object.key());
            }
            (Some(_), EventKind::Bookmark) => {}
            (None, _) => collection.apply(event),
        }
    }
    Ok(())
}

/// The older way: a list, page by page, and a watch from its revision.
async fn list(
    api: &dyn Api,
    collection: &Collection,
) -> Result<BoxStream<'static, Result<WatchEvent, Status>>, Status> {
    let (mut items, mut next) = (BTreeMap::new(), None);
    let revision = loop {
        let namespace = collection.selected.namespace.as_deref().unwrap_or_default();
        let call = Call::list(&collection.resource, namespace).with(|options| {
            options.label_selector.clone_from(&collection.selected.label_selector);
            options.field_selector.clone_from(&collection.selected.field_selector);
            options.limit = Some(PAGE);
            options.continue_token = next.take();
        });
        let mut page = api.call(call).await.map_err(|status| collection.not_followed(status))?;
        let meta = |page: &Value, name: &str| {
            page.get("metadata").and_then(|meta| meta.get(name)).and_then(Value::as_str).map(str::to_owned)
        };
        let (revision, token) = (meta(&page, "resourceVersion"), meta(&page, "continue"));
        if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
            for object in found {
                let item = Item::read(object.to_string().as_bytes(), &collection.repeats)
                    .map_err(Status::internal)?;
                items.insert(Arc::clone(item.key()), Arc::new(item));
            }
        }
        match token.filter(|token| !token.is_empty()) {
            Some(token) => next = Some(token),
            None => break revision.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0),
        }
    };
    collection.replace(items, revision);
    let options = WatchOptions {
        resource_version: Some(revision.to_string()),
        bookmarks: true,
        ..collection.selected.clone()
    };
    api.watch(&collection.resource, options).await.map_err(|status| collection.not_followed(status))
}

/// The annotation behind the last of the initial events.
pub const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

fn ends_initial_events(bookmark: &Item) -> bool {
    let value = bookmark.value();
    let annotations = value.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.and_then(|all| all.get(INITIAL_EVENTS_END)).and_then(Value::as_str) == Some("true")
}

impl Collection {
    /// A revision that the server no longer has must not be asked for again; of what it does not serve there
    /// is nothing.
    fn not_followed(&self, status: Status) -> Status {
        if status.code == 410 {
            self.revision.send_if_modified(|revision| std::mem::take(revision) != 0);
        }
        if status.code == 404 && *self.revision.borrow() == 0 {
            self.replace(BTreeMap::new(), FIRST_REVISION);
        }
        status
    }

    fn replace(&self, items: BTreeMap<Arc<str>, Arc<Item>>, revision: u64) {
        *self.items.write().unwrap_or_else(PoisonError::into_inner) = items;
        // Nobody may be listening. It comes first: who begins when all is synced needs no second one.
        drop(self.changes.send(Change::Resync));
        self.revision.send_replace(revision);
    }

    fn apply(&self, event: WatchEvent) {
        let new = event.object;
        let revision = new.revision();
        let change = {
            let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
            match event.kind {
                EventKind::Bookmark => None,
                EventKind::Deleted => {
                    items.remove(new.key());
                    Some(Change::Gone { old: new })
                }
                EventKind::Added | EventKind::Modified => {
                    let old = items.insert(Arc::clone(new.key()), Arc::clone(&new));
                    Some(Change::Set { old, new })
                }
            }
        };
        self.revision.send_replace(revision);
        if let Some(change) = change {
            drop(self.changes.send(change));
        }
    }
}

impl Cluster for Cache {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.item(resource, namespace, name).map(|item| item.value())
    }

    fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.items(resource, namespace).into_iter().map(|item| item.value()).collect()
    }

    fn changed(&self, resource: &GroupResource) -> u64 {
        self.collection(resource).map_or(0, |collection| *collection.revision.borrow())
    }
}

impl Mirror for Cache {
    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let collections: Vec<_> = {
                let collections = self.collections.read().unwrap_or_else(PoisonError::into_inner);
                collections.values().cloned().collect()
            };
            for collection in collections {
                // The sender lives in the collection.
                drop(collection.revision.subscribe().wait_for(|revision| *revision > 0).await);
            }
        })
    }

    fn follow(&self, resource: &GroupVersionResource) {
        self.begin(resource, WatchOptions::default());
    }

    fn item(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Item>> {
        let collection = self.collection(resource)?;
        let items = collection.items.read().unwrap_or_else(PoisonError::into_inner);
        if namespace.is_empty() {
            items.get(name).cloned()
        } else {
            items.get(format!("{namespace}/{name}").as_str()).cloned()
        }
    }

    fn items(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Item>> {
        let Some(collection) = self.collection(resource) else { return Vec::new() };
        let items = collection.items.read().unwrap_or_else(PoisonError::into_inner);
        let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else {
            return items.values().cloned().collect();
        };
        let start = format!("{namespace}/");
        let within = items.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
        within.take_while(|(key, _)| key.starts_with(&start)).map(|(_, item)| Arc::clone(item)).collect()
    }

    fn changes(&self, resource: &GroupResource) -> BoxStream<'static, Change> {
        let first = stream::once(async { Change::Resync });
        match self.collection(resource) {
            Some(collection) => Box::pin(first.chain(received(collection.changes.subscribe()))),
            None => Box::pin(first),
        }
    }
}

fn received(changes: broadcast::Receiver<Change>) -> Pin<Box<dyn Stream<Item = Change> + Send>> {
    Box::pin(stream::unfold(changes, |mut changes| async move {
        let change = match changes.recv().await {
            Ok(change) => change,
            Err(broadcast::error::RecvError::Lagged(_)) => Change::Resync,
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((change, changes))
    }))
}

/// Changes that a slow reader may be behind before it has to look at everything anew.
const CHANGES_MAX: usize = 1024;
/// A watch that ends well is begun anew almost at once; servers end them every few minutes.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// A server that is away is not asked more often.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Items of a list's page.
const PAGE: u64 = 500;
/// Older than everything: a watch from there tells all, or that it cannot.
const FIRST_REVISION: u64 = 1;
