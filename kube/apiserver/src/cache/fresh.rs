//! What was written just now, still decoded: those who decide on changes need not decode it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use client::Item;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use crate::registry::{core, meta};

/// Objects on their way from who writes them to the feed, and from there to the deciders.
///
/// The embedded store's watch gives the very bytes that were written: by their place in memory an
/// object is found again. What is not, as with a store elsewhere, is pushed out by the next ones.
#[derive(Default)]
pub(crate) struct Fresh {
    given: Mutex<VecDeque<(Bytes, Value)>>,
    shown: Mutex<VecDeque<Arc<Value>>>,
}

impl Fresh {
    /// Takes an object, of the kind `gvk`, that is about to be written as `bytes`.
    pub(crate) fn give(&self, bytes: &Bytes, gvk: &GroupVersionKind, mut object: Value) {
        meta::set(&mut object, "managedFields", Value::Null);
        core::set_type(&mut object, gvk);
        push(&self.given, (bytes.clone(), object));
    }

    /// Lets an item that was made of `bytes` know what it is decoded, for a while.
    pub(super) fn tell(&self, bytes: &Bytes, item: &Item) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let found = given.iter().position(|(own, _)| own.as_ptr() == bytes.as_ptr());
        let Some((_, mut object)) = found.and_then(|at| given.remove(at)) else { return };
        drop(given);
        meta::set(&mut object, "resourceVersion", item.revision().to_string());
        let object = Arc::new(object);
        item.know_lean(&object);
        push(&self.shown, object);
    }
}

fn push<T>(queue: &Mutex<VecDeque<T>>, one: T) {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.push_back(one);
    let old = (queue.len() > OBJECTS_MAX).then(|| queue.pop_front()).flatten();
    drop(queue);
    drop(old);
}

/// As many as are written at the same time on a busy server; decoded, a pod has some 10 KiB.
const OBJECTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_is_what_decoding_would_find() {
        let fresh = Fresh::default();
        let gvk = GroupVersionKind::new("", "v1", "Pod");
        let object = json!({"metadata": {"name": "a", "uid": "u", "labels": {"x": "y"}, "managedFields": [{}]},
            "spec": {"n": 1}});
        let bytes = Bytes::from(crate::storage::encode(&object, &gvk, None));
        fresh.give(&bytes, &gvk, object);
        let (item, again) = (Item::at(&bytes, 7).unwrap(), Item::at(&bytes, 7).unwrap());
        fresh.tell(&Bytes::copy_from_slice(&bytes), &again);
        assert!(fresh.shown.lock().unwrap().is_empty(), "other bytes, though alike");
        fresh.tell(&bytes, &item);
        let known = Arc::clone(&fresh.shown.lock().unwrap()[0]);
        assert!(Arc::ptr_eq(&known, &item.lean()));
        assert_eq!(known, again.lean());
        assert!(fresh.given.lock().unwrap().is_empty());
    }
}
