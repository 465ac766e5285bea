//! How many watches hear of a write: those of all objects, of the namespace and of the object.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use kube_object::field_selector::FieldSelector;

use crate::http::path::RequestInfo;
use crate::http::query::Query;

/// Counts watches by what they watch. Selectors do not count: they are looked at for every write.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// By the hash of group, resource, namespace and name: nothing is made to look one up.
    counts: Mutex<HashMap<u64, usize>>,
    hasher: RandomState,
}

/// A watch; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    watches: Arc<Watches>,
    key: u64,
}

impl Watches {
    /// Counts a watch. Those of one node's pods find theirs by an index, and do not count.
    pub(crate) fn register(self: &Arc<Self>, info: &RequestInfo, query: &Query) -> Option<Watched> {
        if info.resource == "pods" && is_of_a_node(query) {
            return None;
        }
        let key = self.key(info, &info.namespace, &info.name);
        *self.lock().entry(key).or_default() += 1;
        Some(Watched { watches: Arc::clone(self), key })
    }

    /// How many watches hear of what a request does.
    pub(crate) fn interested(&self, info: &RequestInfo) -> usize {
        let all = Some(self.key(info, "", ""));
        let of_namespace = (!info.namespace.is_empty()).then(|| self.key(info, &info.namespace, ""));
        let of_object = (!info.name.is_empty()).then(|| self.key(info, &info.namespace, &info.name));
        let counts = self.lock();
        [all, of_namespace, of_object].iter().flatten().filter_map(|key| counts.get(key)).sum()
    }

    fn key(&self, info: &RequestInfo, namespace: &str, name: &str) -> u64 {
        self.hasher.hash_one((info.group.as_str(), info.resource.as_str(), namespace, name))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut counts = self.watches.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

fn is_of_a_node(query: &Query) -> bool {
    let selector = query.text("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
    let mut terms = selector.iter().flat_map(FieldSelector::terms);
    terms.any(|term| term.equal && term.field == "spec.nodeName" && !term.value.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn counts_who_hears() {
        let watches = Arc::new(Watches::default());
        let watch = |path: &str, query: &str| {
            let info = RequestInfo::parse(&Method::GET, path).unwrap();
            watches.register(&info, &Query::parse(Some(query)).unwrap())
        };
        let interested =
            |method: Method, path: &str| watches.interested(&RequestInfo::parse(&method, path).unwrap());
        let all = [watch("/api/v1/pods", ""), watch("/api/v1/pods", "labelSelector=a%3Db")];
        let of_namespace = watch("/api/v1/namespaces/a/pods", "");
        let of_pod = watch("/api/v1/namespaces/a/pods/x", "");
        assert!(watch("/api/v1/pods", "fieldSelector=spec.nodeName%3Dn1").is_none());
        let unscheduled = watch("/api/v1/pods", "fieldSelector=spec.nodeName%3D");
        assert_eq!(interested(Method::PUT, "/api/v1/namespaces/a/pods/x"), 5);
        assert_eq!(interested(Method::POST, "/api/v1/namespaces/a/pods"), 4);
        assert_eq!(interested(Method::PUT, "/api/v1/namespaces/b/pods/x"), 3);
        assert_eq!(interested(Method::POST, "/api/v1/namespaces/a/services"), 0);
        drop((all, of_namespace, of_pod, unscheduled));
        assert!(watches.lock().is_empty());
    }
}
