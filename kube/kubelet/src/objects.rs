//! Config maps, secrets and the like that pods of this node refer to: each followed as long as a pod
//! needs it, so that volumes follow changes and starts need not ask.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Api, Cache, Call, Mirror, WatchOptions};
use futures_util::StreamExt;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::read::{at, items, namespace, text};

/// An object that a pod refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reference {
    /// `configmaps` or `secrets`.
    pub(crate) resource: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The objects in use.
pub(crate) struct Objects {
    api: Arc<dyn Api>,
    followed: Mutex<HashMap<Reference, Followed>>,
}

struct Followed {
    cache: Arc<Cache>,
    /// Who is woken, by pod uid.
    users: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
    waker: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.waker.abort();
    }
}

impl Objects {
    pub(crate) fn new(api: Arc<dyn Api>) -> Self {
        Self { api, followed: Mutex::default() }
    }

    /// Says which objects a pod needs from now on; `wake` is told when one changes.
    pub(crate) fn need(&self, uid: &str, wanted: &BTreeSet<Reference>, wake: &Arc<Notify>) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|reference, one| {
            let mut users = one.users.lock().unwrap_or_else(PoisonError::into_inner);
            if !wanted.contains(reference) {
                users.remove(uid);
            }
            !users.is_empty()
        });
        for reference in wanted {
            let one = followed.entry(reference.clone()).or_insert_with(|| self.follow(reference));
            let mut users = one.users.lock().unwrap_or_else(PoisonError::into_inner);
            users.entry(uid.to_owned()).or_insert_with(|| Arc::clone(wake));
        }
    }

    /// The pod needs nothing any more.
    pub(crate) fn release(&self, uid: &str) {
        self.need(uid, &BTreeSet::new(), &Arc::default());
    }

    fn follow(&self, reference: &Reference) -> Followed {
        let resource = gvr(reference.resource);
        let options = WatchOptions {
            namespace: Some(reference.namespace.clone()),
            field_selector: Some(format!("metadata.name={}", reference.name)),
            ..WatchOptions::default()
        };
        let group = resource.group_resource();
        let cache = Cache::start_selected(&self.api, vec![(resource, options)]);
        let users: Arc<Mutex<HashMap<String, Arc<Notify>>>> = Arc::default();
        let (mut changes, told) = (cache.changes(&group), Arc::clone(&users));
        let waker = tokio::spawn(async move {
            while changes.next().await.is_some() {
                let users = told.lock().unwrap_or_else(PoisonError::into_inner);
                users.values().for_each(|user| user.notify_one());
            }
        });
        Followed { cache, users, waker }
    }

    /// The newest form of an object; asked for where it is not followed yet.
    pub(crate) async fn get(&self, reference: &Reference) -> Result<Option<Arc<Value>>, Status> {
        let cache = {
            let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            followed.get(reference).map(|one| Arc::clone(&one.cache))
        };
        let resource = gvr(reference.resource);
        if let Some(cache) = cache {
            let synced = tokio::time::timeout(SYNC_MOST, cache.synced()).await;
            if synced.is_ok() {
                let item = cache.item(&resource.group_resource(), &reference.namespace, &reference.name);
                if let Some(item) = item {
                    return Ok(Some(item.value()));
                }
            }
        }
        // What was made a moment ago may not be in the cache.
        match self.api.call(Call::get(&resource, &reference.namespace, &reference.name)).await {
            Ok(object) => Ok(Some(Arc::new(object))),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(status),
        }
    }
}

fn gvr(resource: &str) -> GroupVersionResource {
    GroupVersionResource::new("", "v1", resource)
}

/// The config maps and secrets that a pod names anywhere.
pub(crate) fn references(pod: &Value) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    let mut add = |resource: &'static str, name: &str| {
        if !name.is_empty() {
            let (namespace, name) = (namespace(pod).to_owned(), name.to_owned());
            found.insert(Reference { resource, namespace, name });
        }
    };
    for secret in items(pod, &["spec", "imagePullSecrets"]) {
        add("secrets", text(secret, &["name"]));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(pod, &["spec", list]) {
            for from in items(container, &["envFrom"]) {
                add("configmaps", text(from, &["configMapRef", "name"]));
                add("secrets", text(from, &["secretRef", "name"]));
            }
            for variable in items(container, &["env"]) {
                add("configmaps", text(variable, &["valueFrom", "configMapKeyRef", "name"]));
                add("secrets", text(variable, &["valueFrom", "secretKeyRef", "name"]));
            }
        }
    }
    for volume in items(pod, &["spec", "volumes"]) {
        add("configmaps", text(volume, &["configMap", "name"]));
        add("secrets", text(volume, &["secret", "secretName"]));
        for source in items(volume, &["projected", "sources"]) {
            add("configmaps", text(source, &["configMap", "name"]));
            add("secrets", text(source, &["secret", "name"]));
        }
    }
    found
}

/// Whether a volume's content can change while the pod runs.
pub(crate) fn follows_changes(volume: &Value) -> bool {
    ["configMap", "secret", "projected", "downwardAPI"].iter().any(|kind| at(volume, &[kind]).is_some())
}

/// How long a start waits for an object to be followed before it asks itself.
const SYNC_MOST: Duration = Duration::from_secs(2);
