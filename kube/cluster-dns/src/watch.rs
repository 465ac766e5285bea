//! From the cluster's objects to the zone.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use client::{Change, Item, Mirror};
use controllers::{known, object};
use futures_util::StreamExt as _;
use kube_object::resource::GroupVersionResource;
use serde_json::Value;

use crate::zone::Zone;

/// What names are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Slice,
    Pod,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Service, Self::Slice, Self::Pod];

    fn resource(self) -> &'static GroupVersionResource {
        match self {
            Self::Service => known::services(),
            Self::Slice => known::endpoint_slices(),
            Self::Pod => known::pods(),
        }
    }
}

/// What must be known of an object to take its names away.
#[derive(Debug, PartialEq, Eq)]
enum Trace {
    Service,
    /// Of this service.
    Slice(Box<str>),
    Pod(Box<[IpAddr]>),
}

/// Keeps the zone up to date for one kind, for ever. `seen` is called when everything was taken in once.
pub(crate) async fn follow(
    kind: Kind,
    mirror: Arc<dyn Mirror>,
    zone: Arc<RwLock<Zone>>,
    seen: impl FnOnce(),
) {
    let mut seen = Some(seen);
    let resource = kind.resource().group_resource();
    let mut follower = Follower { kind, zone, known: HashMap::new() };
    let mut changes = mirror.changes(&resource);
    mirror.synced().await;
    while let Some(change) = changes.next().await {
        match change {
            Change::Set { new, .. } => follower.set(&new),
            Change::Gone { old } => follower.gone(old.key()),
            Change::Resync => {
                let items = mirror.items(&resource, None);
                let there: HashSet<&str> = items.iter().map(|item| &**item.key()).collect();
                let lost = follower.known.keys().filter(|key| !there.contains(&***key)).cloned();
                let lost: Vec<Arc<str>> = lost.collect();
                lost.iter().for_each(|key| follower.gone(key));
                items.iter().for_each(|item| follower.set(item));
                if let Some(seen) = seen.take() {
                    seen();
                }
            }
        }
    }
}

struct Follower {
    kind: Kind,
    zone: Arc<RwLock<Zone>>,
    known: HashMap<Arc<str>, Trace>,
}

impl Follower {
    fn set(&mut self, item: &Item) {
        let value = item.value();
        let key = Arc::clone(item.key());
        let trace = match self.kind {
            Kind::Service => Trace::Service,
            Kind::Slice => Trace::Slice(object::label(&value, SERVICE_NAME).unwrap_or_default().into()),
            Kind::Pod => Trace::Pod(addresses(&value)),
        };
        // Pods change often, their addresses once.
        if self.kind == Kind::Pod && self.known.get(&key) == Some(&trace) {
            return;
        }
        if self.known.get(&key).is_some_and(|known| *known != trace) {
            self.gone(&key);
        }
        let mut zone = self.zone.write().unwrap_or_else(PoisonError::into_inner);
        match &trace {
            Trace::Service => zone.set_service(&value),
            Trace::Slice(_) => zone.set_slice(&value),
            Trace::Pod(addresses) => zone.set_pod(item.namespace(), addresses),
        }
        drop(zone);
        self.known.insert(key, trace);
    }

    fn gone(&mut self, key: &str) {
        let Some(trace) = self.known.remove(key) else { return };
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let mut zone = self.zone.write().unwrap_or_else(PoisonError::into_inner);
        match trace {
            Trace::Service => zone.remove_service(namespace, name),
            Trace::Slice(service) => zone.remove_slice(namespace, name, &service),
            Trace::Pod(addresses) => zone.remove_pod(namespace, &addresses),
        }
    }
}

/// A pod's own addresses, as long as it runs.
fn addresses(pod: &Value) -> Box<[IpAddr]> {
    let over = matches!(object::text(pod, &["status", "phase"]), "Succeeded" | "Failed");
    if over || object::flag(pod, &["spec", "hostNetwork"]) {
        return Box::default();
    }
    let all = object::items(pod, &["status", "podIPs"]).iter();
    all.filter_map(|one| object::text(one, &["ip"]).parse().ok()).collect()
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";
