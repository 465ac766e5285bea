//! Who is to be woken by which change.
//!
//! A watcher that has seen everything registers for what it watches: a collection, a namespace or
//! one object. Until it is woken nothing in that scope has happened, however far the ring has moved
//! on: so an idle watcher costs nothing when others' objects change, and it never falls behind.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
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

/// Watchers that a change concerns; they are woken when this is dropped, whatever happens before.
#[derive(Default)]
pub(crate) struct Woken(Vec<Waker>);

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

/// By the watcher's number.
type Waiting = HashMap<u64, Registered, BuildHasherDefault<Spread>>;

/// Watchers' numbers are ours: they need no hash that strangers cannot foresee.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

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
    pub(crate) fn concerned(&mut self, change: &Change<'_>, place: u64, woken: &mut Woken) {
        let mut take = |waiting: &mut Waiting| {
            for (_, registered) in waiting.drain() {
                registered.place.store(place, Ordering::Release);
                woken.0.push(registered.waker);
            }
        };
        take(&mut self.all);
        // Those of one name come back together, mostly: their table stays until none has come.
        let mut take_named = |named: &mut Named, name: &str| match named.get_mut(name) {
            Some(waiting) if waiting.len() >= STAYS_MIN => take(waiting),
            Some(_) => named.remove(name).iter_mut().for_each(&mut take),
            None => {}
        };
        take_named(&mut self.namespaces, change.namespace);
        take_named(&mut self.objects, change.key);
        take_named(&mut self.names, change.name);
        change.indexed.into_iter().flatten().for_each(|value| take_named(&mut self.indexed, value));
    }

    /// Takes out everybody.
    pub(crate) fn everybody(&mut self, place: u64, woken: &mut Woken) {
        let all = std::mem::take(self);
        let named = [all.namespaces, all.objects, all.names, all.indexed];
        let waiting = named.into_iter().flat_map(HashMap::into_values).chain([all.all]);
        for registered in waiting.flat_map(HashMap::into_values) {
            registered.place.store(place, Ordering::Release);
            woken.0.push(registered.waker);
        }
    }
}

/// So many waiters for one name keep the table that they wait in.
const STAYS_MIN: usize = 8;
