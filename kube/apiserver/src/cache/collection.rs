//! The objects of one resource, and its recent changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::Waker;

use client::Item;
use kube_api::IndexedField;
use kube_object::resource::GroupResource;

use super::event::Event;
use super::selector::Part;
use super::wakers::{Scope, Wakers, Woken};

/// All objects of a resource, by key, and the ring of its recent events.
pub(crate) struct Collection {
    pub resource: GroupResource,
    /// The field by which objects are found.
    pub indexed: Option<IndexedField>,
    state: RwLock<State>,
    wakers: Mutex<Wakers>,
    watchers: AtomicU64,
}

struct State {
    items: BTreeMap<Arc<str>, Arc<Item>>,
    /// How long their JSON is, of all together.
    bytes: u64,
    /// The keys of the objects with each value of the indexed field.
    index: HashMap<Box<str>, BTreeSet<Arc<str>>>,
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
    /// Nothing up to this place, the end: the watcher waits.
    Waits(u64),
    /// The ring begins later.
    Behind,
    /// The server ends.
    Closed,
}

/// A watcher that waits when a look finds nothing more.
#[derive(Clone, Copy)]
pub(crate) struct Waits<'a> {
    /// What it waits for.
    pub scope: &'a Scope,
    pub id: u64,
    pub waker: &'a Waker,
    /// Gets the place of what woke it.
    pub at: &'a Arc<AtomicU64>,
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
            bytes: 0,
            index: HashMap::new(),
            ring: VecDeque::new(),
            ring_bytes: 0,
            first: 0,
            floor: revision,
            changed: revision,
            closed: false,
        };
        Self {
            indexed: kube_api::indexed_field(&resource),
            resource,
            state: RwLock::new(state),
            wakers: Mutex::default(),
            watchers: AtomicU64::new(0),
        }
    }

    /// Takes in the objects that were there before the cache: no events. Taken in one by one, in their
    /// order, they would leave every node of the tree half empty.
    pub(crate) fn load(&self, items: Vec<Arc<Item>>) {
        let mut state = self.write();
        if let Some(field) = self.indexed {
            items.iter().for_each(|item| state.reindex(item.key(), None, Some(item.indexed(field.path))));
            state.index.values_mut().for_each(|keys| *keys = std::mem::take(keys).into_iter().collect());
        }
        state.bytes = items.iter().map(|item| item.json_len() as u64).sum();
        state.items = items.into_iter().map(|item| (Arc::clone(item.key()), item)).collect();
    }

    /// Sets or removes an object. Whom it concerns is to be woken when no lock is held: whoever
    /// changes more at once wakes them behind it all, and they look once.
    pub(crate) fn apply(&self, revision: u64, key: &str, new: Option<Arc<Item>>, woken: &mut Woken) {
        let mut state = self.write();
        let old = match &new {
            Some(item) => state.items.insert(Arc::clone(item.key()), Arc::clone(item)),
            None => state.items.remove(key),
        };
        state.bytes = state.bytes + length(new.as_ref()) - length(old.as_ref());
        state.changed = revision;
        let event = Arc::new(Event::new(revision, old, new));
        let place = state.push(Arc::clone(&event));
        let (Some(object), Some(change)) = (event.object(), event.change(self.indexed)) else { return };
        let [before, after] = change.indexed;
        state.reindex(object.key(), before, after);
        self.wakers().concerned(&change, place, woken);
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        let mut woken = Woken::default();
        let mut state = self.write();
        state.closed = true;
        self.wakers().everybody(state.end(), &mut woken);
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

    /// How many objects there are, and how long their JSON is.
    pub(crate) fn size(&self) -> (u64, u64) {
        let state = self.read();
        (state.items.len() as u64, state.bytes)
    }

    /// Keys and items of the collection as they are now.
    pub(crate) fn keys(&self) -> Vec<Arc<str>> {
        self.read().items.keys().cloned().collect()
    }

    /// Up to `limit` objects of a part that fit, from behind the key `after`.
    pub(crate) fn page(
        &self,
        part: Part<'_>,
        after: Option<&str>,
        limit: usize,
        fits: impl Fn(&Item) -> bool,
    ) -> Page {
        let (candidates, changed) = self.within(part, after);
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
    fn within(&self, part: Part<'_>, after: Option<&str>) -> (Vec<Arc<Item>>, u64) {
        let state = self.read();
        (state.within(part, after), state.changed)
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

    /// The objects of a part that fit, and the place from which on events follow them.
    pub(crate) fn snapshot(&self, part: Part<'_>, fits: impl Fn(&Item) -> bool) -> (Vec<Arc<Item>>, u64) {
        let (items, place) = {
            let state = self.read();
            (state.within(part, None), state.end())
        };
        (items.into_iter().filter(|item| fits(item)).collect(), place)
    }

    /// The first event from `place` on that `concerns`; looks at no more than `most`. Where the ring
    /// ends without one, the watcher is registered.
    pub(crate) fn look(
        &self,
        place: u64,
        most: usize,
        concerns: impl Fn(&Event) -> bool,
        waits: Waits<'_>,
    ) -> Look {
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
        let next = (place + most as u64).min(state.end()).max(place);
        if next != state.end() {
            return Look::UpTo(next);
        }
        // Changes are pushed under the lock for writing, so none slips between the look and the entry.
        let Waits { scope, id, waker, at } = waits;
        self.wakers().register(scope, id, waker, at);
        Look::Waits(next)
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

    /// The objects of a part from behind a key.
    fn within(&self, part: Part<'_>, after: Option<&str>) -> Vec<Arc<Item>> {
        let Part { namespace, indexed } = part;
        if namespace.is_empty() && after.is_none() && indexed.is_none() {
            return self.items.values().cloned().collect();
        }
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let start = match after {
            Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(prefix.as_str()),
        };
        let range = (start, Bound::Unbounded);
        let Some(value) = indexed else {
            let within = self.items.range::<str, _>(range).take_while(|(key, _)| key.starts_with(&prefix));
            return within.map(|(_, item)| Arc::clone(item)).collect();
        };
        let Some(keys) = self.index.get(value) else { return Vec::new() };
        let within = keys.range::<str, _>(range).take_while(|key| key.starts_with(&prefix));
        within.filter_map(|key| self.items.get(key).cloned()).collect()
    }

    /// The value of the indexed field of an object is another.
    fn reindex(&mut self, key: &Arc<str>, before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        if let Some(before) = before
            && let Some(keys) = self.index.get_mut(before)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.index.remove(before);
            }
        }
        if let Some(after) = after {
            match self.index.get_mut(after) {
                Some(keys) => drop(keys.insert(Arc::clone(key))),
                None => drop(self.index.insert(after.into(), BTreeSet::from([Arc::clone(key)]))),
            }
        }
    }

    /// Adds an event; returns its place.
    fn push(&mut self, event: Arc<Event>) -> u64 {
        self.ring_bytes += event.weight();
        self.ring.push_back(event);
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

fn length(item: Option<&Arc<Item>>) -> u64 {
    item.map_or(0, |item| item.json_len() as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Watch {
        scope: Scope,
        id: u64,
        woken: Arc<Counted>,
    }

    impl Watch {
        fn new(collection: &Collection, scope: Scope) -> Self {
            let watch = Self { scope, id: collection.watcher_id(), woken: Arc::default() };
            watch.wait(collection);
            watch
        }

        fn wait(&self, collection: &Collection) {
            let waker = Waker::from(Arc::clone(&self.woken));
            collection.stop_waiting(&self.scope, self.id);
            let waits = Waits { scope: &self.scope, id: self.id, waker: &waker, at: &Arc::default() };
            let look = collection.look(collection.end(), 1, |_| true, waits);
            assert!(matches!(look, Look::Waits(place) if place == collection.end()));
        }

        fn wakeups(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    fn pods() -> Collection {
        Collection::new(GroupResource { group: String::new(), resource: "pods".to_owned() }, 1)
    }

    fn pod(name: &str, node: &str, revision: u64) -> Arc<Item> {
        let json = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"shop"}},"spec":{{"nodeName":"{node}"}}}}"#
        );
        Arc::new(Item::parse(json.into(), revision).unwrap())
    }

    fn set(collection: &Collection, revision: u64, name: &str, node: &str) {
        let item = pod(name, node, revision);
        let key = Arc::clone(item.key());
        change(collection, revision, &key, Some(item));
    }

    fn change(collection: &Collection, revision: u64, key: &str, item: Option<Arc<Item>>) {
        collection.apply(revision, key, item, &mut Woken::default());
    }

    fn names(collection: &Collection, node: &str) -> Vec<String> {
        let part = Part { namespace: "shop", indexed: Some(node) };
        let found = collection.page(part, None, usize::MAX, |_| true).items;
        found.iter().map(|item| item.name().to_owned()).collect()
    }

    #[test]
    fn a_pod_wakes_only_its_node() {
        let collection = pods();
        let nodes: Vec<Watch> =
            (0..1000).map(|at| Watch::new(&collection, Scope::Indexed(format!("n{at}").into()))).collect();
        let wakeups = || nodes.iter().map(Watch::wakeups).sum::<usize>();
        set(&collection, 2, "a", "");
        assert_eq!(wakeups(), 0);
        set(&collection, 3, "a", "n7");
        assert_eq!((wakeups(), nodes[7].wakeups()), (1, 1));
        nodes[7].wait(&collection);
        for revision in 4..104 {
            set(&collection, revision, "a", "n7");
            nodes[7].wait(&collection);
        }
        assert_eq!((wakeups(), nodes[7].wakeups()), (101, 101));
        // Who had it must learn that it is gone.
        set(&collection, 104, "a", "n8");
        assert_eq!((wakeups(), nodes[7].wakeups(), nodes[8].wakeups()), (103, 102, 1));
        nodes[8].wait(&collection);
        change(&collection, 105, "shop/a", None);
        assert_eq!((wakeups(), nodes[8].wakeups()), (104, 2));
    }

    #[test]
    fn a_name_wakes_only_those_that_wait_for_it() {
        let collection = pods();
        let [a, b] = ["a", "b"].map(|name| Watch::new(&collection, Scope::Name(name.into())));
        set(&collection, 2, "a", "n1");
        assert_eq!((a.wakeups(), b.wakeups()), (1, 0));
    }

    #[test]
    fn lists_of_a_node_are_those_of_its_pods() {
        let collection = pods();
        collection.load(vec![pod("a", "n1", 1), pod("b", "n2", 1)]);
        set(&collection, 2, "c", "n1");
        assert_eq!(names(&collection, "n1"), ["a", "c"]);
        set(&collection, 3, "a", "n2");
        change(&collection, 4, "shop/b", None);
        assert_eq!(
            (names(&collection, "n1"), names(&collection, "n2")),
            (vec!["c".into()], vec!["a".into()])
        );
        change(&collection, 5, "shop/c", None);
        assert!(names(&collection, "n1").is_empty() && !collection.read().index.contains_key("n1"));
        let part = Part { namespace: "", indexed: Some("n2") };
        assert_eq!(collection.page(part, Some("shop/a"), 9, |_| true).items.len(), 0);
        assert_eq!(collection.snapshot(part, |_| true).0.len(), 1);
    }
}
