//! What a loop sees: the cache through a lens, the time, and what went wrong last time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::{GroupKind, GroupVersionResource};
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

use crate::object;
use crate::plan::{Ask, Plan};
use crate::settings::Settings;

/// The newest known objects, of the resources that the loop watches.
pub trait View: Send + Sync {
    /// One object; the namespace is empty for objects of the cluster.
    fn get(&self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// All objects of a namespace, or of all, by namespace and name.
    fn list(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Vec<Arc<Value>>;

    /// Those of a namespace with these labels.
    fn select(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        selector: &LabelSelector,
    ) -> Vec<Arc<Value>>;

    /// Those of a namespace whose labels at a path, all of them, some of these sets have.
    fn selecting(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        path: &[&str],
        labels: &[BTreeMap<String, String>],
    ) -> Vec<Key> {
        let all = self.list(resource, Some(namespace));
        let selects = |object: &Value| {
            let selector = object::map_selector(object, path);
            labels.iter().any(|labels| selector.matches(labels))
        };
        all.iter().filter(|found| selects(found)).map(|found| Key::of(resource, found)).collect()
    }

    /// Those that name an owner of this identity.
    fn owned(&self, resource: &GroupVersionResource, uid: &str) -> Vec<Arc<Value>>;

    /// Whatever names an owner of this identity.
    fn dependents(&self, uid: &str) -> Vec<Key>;

    /// How many there are in a namespace.
    fn count(&self, resource: &GroupVersionResource, namespace: &str) -> usize {
        self.list(resource, Some(namespace)).len()
    }

    /// What the API serves that can be listed, watched and deleted.
    fn resources(&self) -> Arc<Vec<Resource>>;
}

/// A resource that the API serves, in the version in which loops see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its place in URLs.
    pub gvr: GroupVersionResource,
    /// Its kind.
    pub kind: String,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
    /// Whether many can be deleted at once.
    pub delete_collection: bool,
}

impl Resource {
    /// Its kind and group.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.gvr.group, &self.kind)
    }
}

/// What a loop's decision is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The resource.
    pub resource: GroupVersionResource,
    /// The namespace; empty for objects of the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key by its parts.
    pub fn new(resource: &GroupVersionResource, namespace: &str, name: &str) -> Self {
        Self { resource: resource.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object.
    pub fn of(resource: &GroupVersionResource, object: &Value) -> Self {
        Self::new(resource, object::namespace(object), object::name(object))
    }
}

/// An object changed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Of which resource.
    pub resource: &'a GroupVersionResource,
    /// What it was; none if it is new.
    pub old: Option<&'a Value>,
    /// What it is; none if it is gone.
    pub new: Option<&'a Value>,
}

impl<'a> Change<'a> {
    /// Before and after, as far as there was one.
    pub fn sides(&self) -> impl Iterator<Item = &'a Value> {
        self.old.into_iter().chain(self.new)
    }

    /// Whether it is of this resource.
    pub fn is(&self, resource: &GroupVersionResource) -> bool {
        self.resource == resource
    }

    /// The object as it is, or was.
    pub fn object(&self) -> &'a Value {
        const NULL: &Value = &Value::Null;
        self.new.or(self.old).unwrap_or(NULL)
    }

    /// The key of the object itself.
    pub fn key(&self) -> Key {
        Key::of(self.resource, self.object())
    }

    /// The keys of the objects of a resource and kind that manage it, before and after.
    pub fn controllers(&self, resource: &GroupVersionResource, kind: &str) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for side in self.sides() {
            let Some(owner) = object::controller_of(side) else { continue };
            let group = object::text(owner, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
            if object::text(owner, &["kind"]) == kind && group == resource.group {
                let key = Key::new(resource, object::namespace(side), object::text(owner, &["name"]));
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }
}

/// What a loop decides from.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// What it decides about.
    pub key: &'a Key,
    /// The cluster.
    pub view: &'a dyn View,
    /// The time.
    pub now: Timestamp,
    /// What went wrong when the last plan of this key was carried out.
    pub failure: Option<&'a Failure>,
    /// What the operator set.
    pub settings: &'a Settings,
    /// What the key's last plan remembered; null if there is nothing.
    pub memory: &'a Value,
    /// Answers to what this loop asked just now.
    pub answers: &'a [(Ask, Result<Value, Status>)],
}

impl Observed<'_> {
    /// The answer to a question, if it was asked.
    pub fn answer(&self, ask: &Ask) -> Option<&Result<Value, Status>> {
        self.answers.iter().find(|(asked, _)| asked == ask).map(|(_, answer)| answer)
    }

    /// The object of the key.
    pub fn object(&self) -> Option<Arc<Value>> {
        self.view.get(&self.key.resource, &self.key.namespace, &self.key.name)
    }

    /// The time in seconds since 1970.
    pub fn seconds(&self) -> i64 {
        self.now.as_second()
    }

    /// The time as the API writes it.
    pub fn time(&self) -> String {
        object::time_text(self.seconds())
    }

    /// How long it is until a time in seconds since 1970, if it is not over.
    pub fn until(&self, seconds: i64) -> Option<std::time::Duration> {
        let millis = seconds.saturating_mul(1000).saturating_sub(self.now.as_millisecond());
        u64::try_from(millis).ok().filter(|millis| *millis > 0).map(std::time::Duration::from_millis)
    }
}

/// Why the last plan of a key was not carried out to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The action that failed, in short.
    pub action: String,
    /// Of which resource it was.
    pub resource: String,
    /// What the API said.
    pub status: Status,
}

/// What wakes a loop.
#[derive(Clone, Copy)]
pub enum Watches {
    /// Changes of these resources.
    These(&'static [fn() -> &'static GroupVersionResource]),
    /// Changes of whatever the API serves.
    Everything,
}

/// A loop: what the runtime must know to run it. All of it is data and pure functions.
pub struct Loop {
    /// The name, as upstream's events have it.
    pub name: &'static str,
    /// How many keys it may work on at the same time.
    pub concurrency: usize,
    /// What wakes it.
    pub watches: Watches,
    /// The keys that a change concerns.
    pub keys: fn(&Change<'_>, &dyn View) -> Vec<Key>,
    /// What is to be done.
    pub reconcile: fn(&Observed<'_>) -> Plan,
}

impl Loop {
    /// The user in whose name it acts: a service account of its own, but for what is the API server's own work.
    pub fn user(&self) -> User {
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        if SERVERS_OWN.contains(&self.name) {
            return User {
                name: "system:apiserver".to_owned(),
                groups: groups(&["system:masters", "system:authenticated"]),
                ..User::default()
            };
        }
        User {
            name: format!("system:serviceaccount:kube-system:{}", account(self.name)),
            groups: groups(&[
                "system:serviceaccounts",
                "system:serviceaccounts:kube-system",
                "system:authenticated",
            ]),
            ..User::default()
        }
    }
}

impl std::fmt::Debug for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The service account in `kube-system` that a loop acts as: of its own name, but where upstream's differs.
fn account(name: &str) -> &str {
    match name {
        "daemonset-controller" => "daemon-set-controller",
        "taint-eviction-controller" | "node-ipam-controller" => "node-controller",
        "local-path-provisioner" => "persistent-volume-binder",
        "resourceclaim-controller" => "resource-claim-controller",
        "ephemeral_volume" => "ephemeral-volume-controller",
        name => name,
    }
}

/// Loops that upstream's API server runs itself.
const SERVERS_OWN: &[&str] = &["apiserver-lease-garbage-collector", "service-ip-repair-controller"];
