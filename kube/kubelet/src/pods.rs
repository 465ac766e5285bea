//! The pods of this node: what the API wants, and what the runtime has.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use crate::model::{Container, Sandbox};
use crate::read::uid;

/// What the runtime has of a pod; newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) sandboxes: Vec<Sandbox>,
    pub(crate) containers: Vec<Container>,
}

/// The pods of this node, by uid. Workers write, everybody reads.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    inner: RwLock<BTreeMap<String, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    pod: Arc<Value>,
    state: Arc<State>,
}

impl Pods {
    /// All pods, with their newest status.
    pub(crate) fn all(&self) -> Vec<Arc<Value>> {
        self.read(|map| map.values().map(|entry| Arc::clone(&entry.pod)).collect())
    }

    /// What the runtime has of a pod.
    pub(crate) fn observed(&self, uid: &str) -> Option<Arc<State>> {
        self.read(|map| map.get(uid).map(|entry| Arc::clone(&entry.state)))
    }

    /// All pods with what the runtime has of them.
    pub(crate) fn states(&self) -> Vec<(Arc<Value>, Arc<State>)> {
        self.read(|map| {
            map.values().map(|entry| (Arc::clone(&entry.pod), Arc::clone(&entry.state))).collect()
        })
    }

    pub(crate) fn set_pod(&self, pod: Arc<Value>) {
        let uid = uid(&pod).to_owned();
        self.write(|map| map.entry(uid).or_default().pod = pod);
    }

    pub(crate) fn set_state(&self, uid: &str, state: Arc<State>) {
        self.write(|map| map.entry(uid.to_owned()).or_default().state = state);
    }

    pub(crate) fn remove(&self, uid: &str) {
        self.write(|map| drop(map.remove(uid)));
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Entry>) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut BTreeMap<String, Entry>)) {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner));
    }
}
