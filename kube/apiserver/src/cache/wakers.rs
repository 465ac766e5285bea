//! Who is to be woken by which change.
//!
//! A watcher that has seen everything registers for what it watches: a collection, a namespace or
//! one object. Until it is woken nothing in that scope has happened, however far the ring has moved
//! on: so an idle watcher costs nothing when others' objects change, and it never falls behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use client::Item;

/// What a watcher is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The collection.
    All,
    /// One namespace.
    Namespace(Box<str>),
    /// One object, by its key.
    Object(Box<str>),
}

/// The watchers that wait, by what they wait for.
#[derive(Default)]
pub(crate) struct Wakers {
    all: Waiting,
    namespaces: HashMap<Box<str>, Waiting>,
    objects: HashMap<Box<str>, Waiting>,
}

/// By the watcher's number.
type Waiting = HashMap<u64, Registered>;

struct Registered {
    waker: Waker,
    place: Arc<AtomicU64>,
}

impl Wakers {
    /// Registers a watcher. When something happens its place is set to there.
    pub(crate) fn register(&mut self, scope: &Scope, id: u64, waker: &Waker, place: &Arc<AtomicU64>) {
        let registered = Registered { waker: waker.clone(), place: Arc::clone(place) };
        match scope {
            Scope::All => self.all.insert(id, registered),
            Scope::Namespace(name) => self.namespaces.entry(name.clone()).or_default().insert(id, registered),
            Scope::Object(key) => self.objects.entry(key.clone()).or_default().insert(id, registered),
        };
    }

    /// Takes a watcher out; true if it was still waiting.
    pub(crate) fn remove(&mut self, scope: &Scope, id: u64) -> bool {
        let (map, name) = match scope {
            Scope::All => return self.all.remove(&id).is_some(),
            Scope::Namespace(name) => (&mut self.namespaces, name),
            Scope::Object(key) => (&mut self.objects, key),
        };
        let Some(waiting) = map.get_mut(name) else { return false };
        let was = waiting.remove(&id).is_some();
        if waiting.is_empty() {
            map.remove(name);
        }
        was
    }

    /// Takes out whom the change of an object at `place` concerns; wake them when no lock is held.
    pub(crate) fn concerned(&mut self, item: &Item, place: u64) -> Vec<Waker> {
        let mut woken = Vec::new();
        let mut take = |waiting: Waiting| {
            for registered in waiting.into_values() {
                registered.place.store(place, Ordering::Release);
                woken.push(registered.waker);
            }
        };
        take(std::mem::take(&mut self.all));
        if let Some(waiting) = self.namespaces.remove(item.namespace()) {
            take(waiting);
        }
        if let Some(waiting) = self.objects.remove(&**item.key()) {
            take(waiting);
        }
        woken
    }

    /// Takes out everybody.
    pub(crate) fn everybody(&mut self, place: u64) -> Vec<Waker> {
        let all = std::mem::take(self);
        let waiting = all.namespaces.into_values().chain(all.objects.into_values()).chain([all.all]);
        let mut woken = Vec::new();
        for registered in waiting.flat_map(HashMap::into_values) {
            registered.place.store(place, Ordering::Release);
            woken.push(registered.waker);
        }
        woken
    }
}
