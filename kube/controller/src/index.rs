//! The objects that loops see, with an index of owners. It shares its items with the mirror that feeds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use client::{Change, Item};
use controllers::object::map_selector;
use controllers::{Key, Resource, View};
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionResource;
use serde_json::Value;

use crate::queue::Barrier;

/// All objects that some loop watches.
#[derive(Debug, Default)]
pub struct Index {
    inner: RwLock<Inner>,
}

/// An object before and after.
pub(crate) type Step = (Option<Arc<Item>>, Option<Arc<Item>>);

#[derive(Debug, Default)]
struct Inner {
    collections: HashMap<GroupVersionResource, Collection>,
    /// By the owner's identity.
    dependents: HashMap<String, BTreeSet<Key>>,
    resources: Arc<Vec<Resource>>,
}

#[derive(Debug, Default)]
struct Collection {
    items: BTreeMap<Arc<str>, Arc<Item>>,
    /// The identities of the owners of those that have some.
    owners: HashMap<Arc<str>, Vec<String>>,
    revision: u64,
}

impl Index {
    /// Says what the API serves.
    pub(crate) fn set_resources(&self, resources: Vec<Resource>) {
        self.write().resources = Arc::new(resources);
    }

    /// Takes a change in, and tells what it changed here.
    pub(crate) fn apply(&self, resource: &GroupVersionResource, change: Change) -> Option<Step> {
        let mut inner = self.write();
        match change {
            Change::Set { new, .. } => Some((inner.put(resource, &new), Some(new))),
            Change::Gone { old } => Some((inner.take(resource, &old), None)).filter(|step| step.0.is_some()),
            Change::Resync => None,
        }
    }

    /// Takes the whole truth in, and tells what of it is new here.
    pub(crate) fn replace(
        &self,
        resource: &GroupVersionResource,
        items: Vec<Arc<Item>>,
        revision: u64,
    ) -> Vec<Step> {
        let mut inner = self.write();
        let mut steps = Vec::new();
        let first = inner.collections.get(resource).is_none_or(|found| found.items.is_empty());
        let kept: BTreeSet<&str> = items.iter().map(|item| &**item.key()).collect();
        let lost: Vec<_> = inner.collections.entry(resource.clone()).or_default().lost(&kept);
        for old in lost {
            steps.push((inner.take(resource, &old), None));
        }
        for new in items {
            let known = inner.collections.get(resource).and_then(|found| found.items.get(new.key()));
            if known.is_none_or(|known| known.revision() < new.revision()) {
                steps.push((inner.put(resource, &new), Some(new)));
            }
        }
        let collection = inner.collections.entry(resource.clone()).or_default();
        collection.revision = collection.revision.max(revision);
        if first {
            // Taken in one by one, in their order, they have left every node of the tree half empty.
            collection.items = std::mem::take(&mut collection.items).into_iter().collect();
        }
        steps
    }

    /// Forgets a resource that is served no more, and tells what was there.
    pub(crate) fn forget(&self, resource: &GroupVersionResource) -> Vec<Step> {
        let steps = self.replace(resource, Vec::new(), 0);
        self.write().collections.remove(resource);
        steps
    }

    /// Whether the index shows what a key waits for. Nobody waits for a resource that is not followed.
    pub(crate) fn is_reached(&self, barrier: &Barrier) -> bool {
        let inner = self.read();
        match barrier {
            Barrier::Revision(resource, revision) => {
                inner.collections.get(resource).is_none_or(|found| found.revision >= *revision)
            }
            Barrier::Ended(key, uid) => inner
                .item(&key.resource, &key.namespace, &key.name)
                .is_none_or(|item| item.is_deleting() || (!uid.is_empty() && item.uid() != uid)),
        }
    }

    fn items(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Vec<Arc<Item>> {
        let inner = self.read();
        let Some(collection) = inner.collections.get(resource) else { return Vec::new() };
        let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else {
            return collection.items.values().cloned().collect();
        };
        collection.within(namespace).cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collection {
    fn lost(&self, kept: &BTreeSet<&str>) -> Vec<Arc<Item>> {
        self.items.iter().filter(|(key, _)| !kept.contains(&***key)).map(|(_, item)| item.clone()).collect()
    }

    fn within(&self, namespace: &str) -> impl Iterator<Item = &Arc<Item>> {
        let start = format!("{namespace}/");
        let from = self.items.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(&start)).map(|(_, item)| item)
    }
}

impl Inner {
    fn item(&self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<&Arc<Item>> {
        let items = &self.collections.get(resource)?.items;
        if namespace.is_empty() { items.get(name) } else { items.get(format!("{namespace}/{name}").as_str()) }
    }

    fn put(&mut self, resource: &GroupVersionResource, new: &Arc<Item>) -> Option<Arc<Item>> {
        let key = Arc::clone(new.key());
        self.unlink(resource, new);
        let owners = new.owner_uids();
        for owner in &owners {
            let key = Key::new(resource, new.namespace(), new.name());
            self.dependents.entry(owner.clone()).or_default().insert(key);
        }
        let collection = self.collections.entry(resource.clone()).or_default();
        if !owners.is_empty() {
            collection.owners.insert(Arc::clone(&key), owners);
        }
        collection.revision = collection.revision.max(new.revision());
        collection.items.insert(key, Arc::clone(new))
    }

    fn take(&mut self, resource: &GroupVersionResource, old: &Arc<Item>) -> Option<Arc<Item>> {
        self.unlink(resource, old);
        let collection = self.collections.entry(resource.clone()).or_default();
        collection.revision = collection.revision.max(old.revision());
        collection.items.remove(old.key()).map(|_| Arc::clone(old))
    }

    /// Takes the object out of the index of owners.
    fn unlink(&mut self, resource: &GroupVersionResource, item: &Item) {
        let Some(collection) = self.collections.get_mut(resource) else { return };
        for owner in collection.owners.remove(item.key()).unwrap_or_default() {
            if let Some(keys) = self.dependents.get_mut(&owner) {
                keys.remove(&Key::new(resource, item.namespace(), item.name()));
                if keys.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }
}

impl View for Index {
    fn get(&self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let item = self.read().item(resource, namespace, name).cloned();
        item.map(|item| item.lean())
    }

    fn list(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.items(resource, namespace).into_iter().map(|item| item.lean()).collect()
    }

    fn select(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        selector: &LabelSelector,
    ) -> Vec<Arc<Value>> {
        let items = self.items(resource, Some(namespace)).into_iter();
        items.filter(|item| selector.matches(&item.labels())).map(|item| item.lean()).collect()
    }

    fn selecting(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        path: &[&str],
        labels: &[BTreeMap<String, String>],
    ) -> Vec<Key> {
        // Every change of a pod asks all services of its namespace: they are not decoded for that.
        let selects = |item: &Item| {
            let map: Value = serde_json::from_slice(item.part(path)).unwrap_or_default();
            let selector = map_selector(&map, &[]);
            labels.iter().any(|labels| selector.matches(labels))
        };
        let all = self.items(resource, Some(namespace)).into_iter();
        all.filter(|item| selects(item))
            .map(|item| Key::new(resource, item.namespace(), item.name()))
            .collect()
    }

    fn owned(&self, resource: &GroupVersionResource, uid: &str) -> Vec<Arc<Value>> {
        let items: Vec<_> = {
            let inner = self.read();
            let keys = inner.dependents.get(uid).into_iter().flatten();
            let keys = keys.filter(|key| key.resource == *resource);
            keys.filter_map(|key| inner.item(resource, &key.namespace, &key.name).cloned()).collect()
        };
        items.into_iter().map(|item| item.lean()).collect()
    }

    fn dependents(&self, uid: &str) -> Vec<Key> {
        self.read().dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    fn count(&self, resource: &GroupVersionResource, namespace: &str) -> usize {
        let inner = self.read();
        inner.collections.get(resource).map_or(0, |found| found.within(namespace).count())
    }

    fn resources(&self) -> Arc<Vec<Resource>> {
        Arc::clone(&self.read().resources)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use controllers::known::pods;
    use serde_json::json;

    use super::*;

    fn item(name: &str, revision: u64, owners: &[&str]) -> Arc<Item> {
        let owners: Vec<_> = owners
            .iter()
            .map(|uid| json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": uid}))
            .collect();
        let value = json!({"metadata": {"name": name, "namespace": "a", "uid": format!("u-{name}"),
            "labels": {"app": name}, "ownerReferences": owners}});
        Arc::new(Item::parse(Bytes::from(value.to_string()), revision).unwrap())
    }

    fn set(index: &Index, item: &Arc<Item>) {
        index.apply(pods(), Change::Set { old: None, new: Arc::clone(item) }).unwrap();
    }

    #[test]
    fn follows_owners() {
        let index = Index::default();
        set(&index, &item("x", 1, &["o1"]));
        set(&index, &item("y", 2, &["o1", "o2"]));
        assert_eq!((index.owned(pods(), "o1").len(), index.dependents("o2").len()), (2, 1));
        set(&index, &item("y", 3, &["o2"]));
        assert_eq!((index.owned(pods(), "o1").len(), index.count(pods(), "a")), (1, 2));
        index.apply(pods(), Change::Gone { old: item("y", 4, &["o2"]) }).unwrap();
        assert!(index.dependents("o2").is_empty());
        assert!(index.get(pods(), "a", "y").is_none());
        let labels = [("app", "x")];
        assert_eq!(index.select(pods(), "a", &LabelSelector::from_labels(labels)).len(), 1);
    }

    #[test]
    fn finds_who_selects() {
        let index = Index::default();
        ["x", "y"].iter().for_each(|name| set(&index, &item(name, 1, &[])));
        let selecting = |path: &[&str], labels: &[&[(&str, &str)]]| {
            let labels: Vec<BTreeMap<String, String>> = labels
                .iter()
                .map(|set| {
                    set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
                })
                .collect();
            let found = index.selecting(pods(), "a", path, &labels);
            found.into_iter().map(|key| key.name).collect::<Vec<_>>().join(" ")
        };
        let path = &["metadata", "labels"];
        assert_eq!(selecting(path, &[&[("app", "x"), ("more", "1")]]), "x");
        assert_eq!(selecting(path, &[&[("app", "x")], &[("app", "y")]]), "x y");
        assert_eq!(selecting(path, &[&[("more", "1")], &[]]), "");
        // What has no selector selects nothing.
        assert_eq!(selecting(&["spec", "selector"], &[&[("app", "x")]]), "");
    }

    #[test]
    fn a_resync_tells_what_was_missed() {
        let index = Index::default();
        for (name, revision) in [("same", 1), ("gone", 2), ("changed", 3)] {
            set(&index, &item(name, revision, &["o"]));
        }
        let steps = index.replace(
            pods(),
            vec![item("same", 1, &[]), item("changed", 5, &[]), item("new", 6, &[])],
            9,
        );
        let told: Vec<_> = steps
            .iter()
            .map(|(old, new)| (old.as_ref().map(|item| item.name()), new.as_ref().map(|item| item.name())))
            .collect();
        assert_eq!(told, [(Some("gone"), None), (Some("changed"), Some("changed")), (None, Some("new"))]);
        assert!(index.is_reached(&Barrier::Revision(pods().clone(), 9)));
        assert!(!index.is_reached(&Barrier::Revision(pods().clone(), 10)));
        let ended = |name: &str, uid: &str| Barrier::Ended(Key::new(pods(), "a", name), uid.to_owned());
        assert!(index.is_reached(&ended("gone", "u-gone")));
        assert!(index.is_reached(&ended("same", "u-old")));
        assert!(!index.is_reached(&ended("same", "u-same")));
    }
}
