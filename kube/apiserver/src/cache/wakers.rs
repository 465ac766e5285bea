//! Who is to be woken by which change.
//!
//! A watcher that has seen everything registers for what it watches: a collection, a namespace or
//! one object. Until it is woken nothing in that scope has happened, however far the ring has moved
//! on: so an idle watcher costs nothing when others' objects change, and it never falls behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

/// What a watcher is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The collection.
    All,
    /// One namespace.
    Namespace(Box<str>),
    /// One object, by its key.
    Object(Box<str>),
    /// All objects of a name.
    Name(Box<str>),
    /// All objects with a value of the collection's indexed field.
    Indexed(Box<str>),
}

/// What a change is about: whoever is about one of these is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// Of the object.
    pub namespace: &'a str,
    /// Of the object.
    pub key: &'a str,
    /// Of the object.
    pub name: &'a str,
    /// The values of the indexed field before and after; none where there was no object.
    pub indexed: [Option<&'a str>; 2],
}

impl Scope {
    /// Whether a change concerns it.
    pub(crate) fn concerns(&self, change: &Change<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(namespace) => change.namespace == &**namespace,
            Self::Object(key) => change.key == &**key,
            Self::Name(name) => change.name == &**name,
            Self::Indexed(value) => change.indexed.contains(&Some(value)),
        }
    }
}

/// The watchers that wait, by what they wait for.
#[derive(Default)]
pub(crate) struct Wakers {
    all: Waiting,
    namespaces: Named,
    objects: Named,
    names: Named,
    indexed: Named,
}

type Named = HashMap<Box<str>, Waiting>;

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
        match self.named(scope) {
            None => self.all.insert(id, registered),
            Some((map, name)) => map.entry(name.into()).or_default().insert(id, registered),
        };
    }

    /// Takes a watcher out; true if it was still waiting.
    pub(crate) fn remove(&mut self, scope: &Scope, id: u64) -> bool {
        let Some((map, name)) = self.named(scope) else { return self.all.remove(&id).is_some() };
        let Some(waiting) = map.get_mut(name) else { return false };
        let was = waiting.remove(&id).is_some();
        if waiting.is_empty() {
            map.remove(name);
        }
        was
    }

    fn named<'a, 's>(&'a mut self, scope: &'s Scope) -> Option<(&'a mut Named, &'s str)> {
        match scope {
            Scope::All => None,
            Scope::Namespace(name) => Some((&mut self.namespaces, name)),
            Scope::Object(key) => Some((&mut self.objects, key)),
            Scope::Name(name) => Some((&mut self.names, name)),
            Scope::Indexed(value) => Some((&mut self.indexed, value)),
        }
    }

    /// Takes out whom a change at `place` concerns; wake them when no lock is held.
    pub(crate) fn concerned(&mut self, change: &Change<'_>, place: u64) -> Vec<Waker> {
        let mut woken = Vec::new();
        let mut take = |waiting: Waiting| {
            for registered in waiting.into_values() {
                registered.place.store(place, Ordering::Release);
                woken.push(registered.waker);
            }
        };
        take(std::mem::take(&mut self.all));
        let [before, after] = change.indexed;
        let named = [
            self.namespaces.remove(change.namespace),
            self.objects.remove(change.key),
            self.names.remove(change.name),
            before.and_then(|value| self.indexed.remove(value)),
            after.and_then(|value| self.indexed.remove(value)),
        ];
        named.into_iter().flatten().for_each(take);
        woken
    }

    /// Takes out everybody.
    pub(crate) fn everybody(&mut self, place: u64) -> Vec<Waker> {
        let all = std::mem::take(self);
        let named = [all.namespaces, all.objects, all.names, all.indexed];
        let waiting = named.into_iter().flat_map(HashMap::into_values).chain([all.all]);
        let mut woken = Vec::new();
        for registered in waiting.flat_map(HashMap::into_values) {
            registered.place.store(place, Ordering::Release);
            woken.push(registered.waker);
        }
        woken
    }
}
