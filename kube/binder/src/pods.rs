//! Pods as they come by: those with a node go into the snapshot, those without one into the queue.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use client::Item;
use controllers::object;
use scheduler::{Change, Pod};
use serde_json::Value;

use crate::run::State;
use crate::world::owner;

/// A pod without a node that is ours to place.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) pod: Pod,
    /// The identity of what controls it.
    pub(crate) owner: Option<String>,
    /// What its `PodScheduled` condition says: reason and message.
    pub(crate) said: Option<(String, String)>,
    pub(crate) generation: i64,
    /// What of it decisions depend on.
    print: u64,
}

impl Pending {
    fn read(value: &Value) -> Self {
        let condition = object::items(value, &["status", "conditions"]).iter();
        let condition = condition.clone().find(|one| object::text(one, &["type"]) == "PodScheduled");
        let said = condition.filter(|one| object::text(one, &["status"]) == "False").map(|one| {
            (object::text(one, &["reason"]).to_owned(), object::text(one, &["message"]).to_owned())
        });
        Self {
            pod: Pod::read(value),
            owner: owner(value),
            said,
            generation: object::generation(value),
            print: print(value),
        }
    }
}

/// A pod's own condition changes too, by our hand: that is no reason to try again.
fn print(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in [&["spec"][..], &["metadata", "labels"]] {
        object::at(value, path).map(Value::to_string).hash(&mut hasher);
    }
    hasher.finish()
}

impl State {
    /// A pod is there, or has changed.
    pub(crate) fn pod_set(&mut self, item: &Item) {
        let key = item.key();
        if let Some(before) = self.pods.get(key)
            && **before != *item.uid()
        {
            self.pod_gone(key);
        }
        let value = item.value();
        if Pod::is_over(&value) {
            return self.pod_gone(key);
        }
        self.pods.insert(Arc::clone(key), item.uid().into());
        if !object::text(&value, &["spec", "nodeName"]).is_empty() {
            return self.pod_placed(key, &value);
        }
        let name = object::text(&value, &["spec", "schedulerName"]);
        let is_mine = self.config.names.iter().any(|mine| mine == name);
        if !is_mine || item.is_deleting() {
            self.waits_no_more(key, item.uid());
            return;
        }
        let now = self.now();
        let pending = Pending::read(&value);
        let same = self.pending.get(&**key).is_some_and(|known| known.print == pending.print);
        self.set_nomination(&pending.pod);
        let (priority, gated) = (pending.pod.priority, !pending.pod.gates.is_empty());
        self.pending.insert(key.to_string(), pending);
        // What is on its way to a node is tried again only if that fails.
        if !same && !self.assumed.contains_key(item.uid()) {
            self.queue.put(key, priority, gated, now);
        }
    }

    fn pod_placed(&mut self, key: &str, value: &Value) {
        let pod = Arc::new(Pod::read(value));
        self.waits_no_more(key, &pod.uid);
        let was_assumed = self.assumed.remove(&pod.uid).is_some();
        let before = self.world.snapshot.remove_pod(&pod.uid);
        let now = self.now();
        match &before {
            Some(before) if !was_assumed => {
                if before.labels != pod.labels {
                    self.queue.happened(Change::PodPlaced, now);
                    self.queue.happened(Change::PodRemoved, now);
                } else if before.requests != pod.requests {
                    self.queue.happened(Change::PodRemoved, now);
                }
            }
            _ => self.queue.happened(Change::PodPlaced, now),
        }
        self.world.snapshot.set_pod(pod);
    }

    /// A pod is gone, or takes nothing any more.
    pub(crate) fn pod_gone(&mut self, key: &str) {
        let Some(uid) = self.pods.remove(key) else { return };
        self.waits_no_more(key, &uid);
        self.assumed.remove(&uid);
        if self.world.snapshot.remove_pod(&uid).is_some() {
            let now = self.now();
            self.queue.happened(Change::PodRemoved, now);
        }
    }

    fn waits_no_more(&mut self, key: &str, uid: &str) {
        self.queue.remove(key);
        self.pending.remove(key);
        self.awaited.remove(key);
        self.nominated.remove(uid);
    }

    fn set_nomination(&mut self, pod: &Pod) {
        match &pod.nominated {
            Some(node) => {
                let there = Pod { node: Some(Arc::clone(node)), ..pod.clone() };
                self.nominated.insert(Arc::clone(&pod.uid), Arc::new(there));
            }
            None => drop(self.nominated.remove(&pod.uid)),
        }
    }
}
