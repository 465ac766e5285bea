//! The objects of one resource, and its recent changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::Waker;

use client::Item;
use kube_object::resource::GroupResource;

use super::event::Event;
use super::wakers::{Scope, Wakers};

/// All objects of a resource, by key, and the ring of its recent events.
pub(crate) struct Collection {
    pub resource: GroupResource,
    state: RwLock<State>,
    wakers: Mutex<Wakers>,
    watchers: AtomicU64,
}

struct State {
    items: BTreeMap<Arc<str>, Arc<Item>>,
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    /// The place of the ring's first event: places count all events ever.
    first: u64,
    /// Every later event is in the ring.
    floor: u64,
    /// The revision of the last change.
    changed: u64,
    /// The server ends.
    closed: bool,
}

/// What a look into the ring found.
pub(crate) enum Look {
    /// An event; the place behind it.
    Found(Arc<Event>, u64),
    /// Nothing up to this place.
    UpTo(u64),
    /// The ring begins later.
    Behind,
    /// The server ends.
    Closed,
}

/// A page of objects.
pub(crate) struct Page {
    pub items: Vec<Arc<Item>>,
    /// Whether there are more.
    pub more: bool,
    /// How many objects are behind the page, whatever selectors say.
    pub behind: usize,
    /// The revision of the collection's last change.
    pub changed: u64,
}

impl Collection {
    pub(crate) fn new(resource: GroupResource, revision: u64) -> Self {
        let state = State {
            items: BTreeMap::new(),
            ring: VecDeque::new(),
            ring_bytes: 0,
            first: 0,
            floor: revision,
            changed: revision,
            closed: false,
        };
        Self { resource, state: RwLock::new(state), wakers: Mutex::default(), watchers: AtomicU64::new(0) }
    }

    /// Adds an object that was there before the cache: no event.
    pub(crate) fn load(&self, item: Arc<Item>) {
        self.write().items.insert(Arc::clone(item.key()), item);
    }

    /// Sets or removes an object, and wakes whom it concerns.
    pub(crate) fn apply(&self, revision: u64, key: &str, new: Option<Arc<Item>>) {
        let woken: Vec<Waker> = {
            let mut state = self.write();
            let old = match &new {
                Some(item) => state.items.insert(Arc::clone(item.key()), Arc::clone(item)),
                None => state.items.remove(key),
            };
            state.changed = revision;
            let event = Event::new(revision, old, new);
            let Some(object) = event.object().cloned() else { return };
            let place = state.push(event);
            self.wakers().concerned(&object, place)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        let woken = {
            let mut state = self.write();
            state.closed = true;
            let place = state.end();
            self.wakers().everybody(place)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Item>> {
        self.read().items.get(key).cloned()
    }

    /// The revision of the last change.
    pub(crate) fn changed(&self) -> u64 {
        self.read().changed
    }

    pub(crate) fn len(&self) -> usize {
        self.read().items.len()
    }

    /// Keys and items of the collection as they are now.
    pub(crate) fn keys(&self) -> Vec<Arc<str>> {
        self.read().items.keys().cloned().collect()
    }

    /// Up to `limit` objects that fit, from behind the key `after`; in a namespace if it is not empty.
    pub(crate) fn page(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
        fits: impl Fn(&Item) -> bool,
    ) -> Page {
        let (candidates, changed) = self.within(namespace, after);
        let mut items = Vec::new();
        let total = candidates.len();
        for (at, item) in candidates.into_iter().enumerate() {
            if fits(&item) {
                items.push(item);
            }
            if items.len() == limit {
                return Page { items, more: at + 1 < total, behind: total - at - 1, changed };
            }
        }
        Page { items, more: false, behind: 0, changed }
    }

    /// The objects are shared out before selectors look at them, so that no selector holds the lock.
    fn within(&self, namespace: &str, after: Option<&str>) -> (Vec<Arc<Item>>, u64) {
        let state = self.read();
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let start = match after {
            Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(prefix.as_str()),
        };
        if namespace.is_empty() && after.is_none() {
            return (state.items.values().cloned().collect(), state.changed);
        }
        let from = state.items.range::<str, _>((start, Bound::Unbounded));
        let within = from.take_while(|(key, _)| key.starts_with(&prefix));
        (within.map(|(_, item)| Arc::clone(item)).collect(), state.changed)
    }

    /// Where a watch from behind a revision begins; none if the ring does not reach back that far.
    pub(crate) fn place_after(&self, revision: u64) -> Option<u64> {
        let state = self.read();
        if revision < state.floor {
            return None;
        }
        let before = state.ring.partition_point(|event| event.revision <= revision);
        Some(state.first + before as u64)
    }

    /// The objects, and the place from which on events follow them.
    pub(crate) fn snapshot(&self, namespace: &str, fits: impl Fn(&Item) -> bool) -> (Vec<Arc<Item>>, u64) {
        let (items, place) = {
            let state = self.read();
            let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            let from = state.items.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
            let within = from.take_while(|(key, _)| key.starts_with(&prefix));
            (within.map(|(_, item)| Arc::clone(item)).collect::<Vec<_>>(), state.end())
        };
        (items.into_iter().filter(|item| fits(item)).collect(), place)
    }

    /// The first event from `place` on that `concerns`; looks at no more than `most`.
    pub(crate) fn look(&self, place: u64, most: usize, concerns: impl Fn(&Event) -> bool) -> Look {
        let state = self.read();
        if state.closed {
            return Look::Closed;
        }
        let Some(skip) = place.checked_sub(state.first) else { return Look::Behind };
        let events = state.ring.iter().enumerate().skip(skip as usize).take(most);
        for (at, event) in events {
            if concerns(event) {
                return Look::Found(Arc::clone(event), state.first + at as u64 + 1);
            }
        }
        Look::UpTo((place + most as u64).min(state.end()).max(place))
    }

    /// Registers a watcher that has seen everything before `place`; false if there is more by now.
    pub(crate) fn wait(
        &self,
        place: u64,
        scope: &Scope,
        id: u64,
        waker: &Waker,
        at: &Arc<AtomicU64>,
    ) -> bool {
        // Changes are pushed under the lock for writing, so none slips between the look and the entry.
        let state = self.read();
        if state.end() != place || state.closed {
            return false;
        }
        self.wakers().register(scope, id, waker, at);
        true
    }

    /// Takes a waiting watcher out. The place up to which nothing concerns it, if it still waited.
    pub(crate) fn stop_waiting(&self, scope: &Scope, id: u64) -> Option<u64> {
        let state = self.read();
        self.wakers().remove(scope, id).then(|| state.end())
    }

    /// The place behind the last event.
    pub(crate) fn end(&self) -> u64 {
        self.read().end()
    }

    /// A number for a watcher.
    pub(crate) fn watcher_id(&self) -> u64 {
        self.watchers.fetch_add(1, Ordering::Relaxed)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The place behind the last event.
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// Adds an event; returns its place.
    fn push(&mut self, event: Event) -> u64 {
        self.ring_bytes += event.weight();
        self.ring.push_back(Arc::new(event));
        let too_many = |state: &Self| state.ring.len() > RING_MAX || state.ring_bytes > RING_BYTES_MAX;
        while too_many(self)
            && self.ring.len() > 1
            && let Some(oldest) = self.ring.pop_front()
        {
            self.first += 1;
            self.floor = oldest.revision;
            self.ring_bytes -= oldest.weight();
        }
        self.end() - 1
    }
}

/// Events that a collection remembers: who is further behind reads the store's history.
const RING_MAX: usize = 1024;
/// And their bytes, before and after each change.
const RING_BYTES_MAX: usize = 4 << 20;
