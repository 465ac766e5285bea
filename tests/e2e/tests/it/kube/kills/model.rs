//! What is acknowledged, and the lists that must equal it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::Shared;
use super::watchers::Watchers;
use crate::kube::wire::{JSON, Wire};

/// Where the writers' objects are.
pub(super) const NAMESPACE: &str = "mix";
/// On all objects of the writers.
pub(super) const SELECTOR: &str = "labelSelector=torture%3Dmix";
/// Older lists that are asked for again.
const SNAPSHOTS: usize = 3;

/// The kinds that are written: one with a status and one without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ConfigMaps,
    Pods,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::ConfigMaps, Self::Pods];

    pub(super) fn path(self) -> String {
        let resource = match self {
            Self::ConfigMaps => "configmaps",
            Self::Pods => "pods",
        };
        format!("/api/v1/namespaces/{NAMESPACE}/{resource}")
    }

    /// An object that says one number in several places.
    pub(super) fn object(self, name: &str, seq: u64) -> Value {
        let mut object = self.change(seq);
        object["apiVersion"] = json!("v1");
        object["metadata"]["name"] = json!(name);
        object["metadata"]["labels"]["torture"] = json!("mix");
        let (owner, _) = name.split_once('-').unwrap();
        object["metadata"]["labels"]["writer"] = json!(owner);
        match self {
            Self::ConfigMaps => object["kind"] = json!("ConfigMap"),
            Self::Pods => {
                object["kind"] = json!("Pod");
                object["spec"]["automountServiceAccountToken"] = json!(false);
            }
        }
        object
    }

    /// What makes an object say another number: a merge patch, strategic or not.
    pub(super) fn change(self, seq: u64) -> Value {
        let number = seq.to_string();
        let metadata = json!({"labels": {"seq": number}, "annotations": {"seq": number}});
        match self {
            Self::ConfigMaps => json!({"metadata": metadata, "data": {"a": number, "pad": pad(seq)}}),
            Self::Pods => json!({
                "metadata": metadata,
                "spec": {"containers": [{"name": "main", "image": format!("registry.example/main:{seq}")}]},
            }),
        }
    }

    /// The same as operations.
    pub(super) fn operations(self, seq: u64) -> Value {
        let number = seq.to_string();
        let replace = |path: &str, value: &str| json!({"op": "replace", "path": path, "value": value});
        let mut operations =
            vec![replace("/metadata/labels/seq", &number), replace("/metadata/annotations/seq", &number)];
        match self {
            Self::ConfigMaps => {
                operations.extend([replace("/data/a", &number), replace("/data/pad", &pad(seq))]);
            }
            Self::Pods => {
                let image = format!("registry.example/main:{seq}");
                operations.push(replace("/spec/containers/0/image", &image));
            }
        }
        operations.into()
    }

    /// The status that says a number.
    pub(super) fn status(seq: u64) -> Value {
        json!({"phase": "Pending", "message": seq.to_string(), "reason": format!("R{seq}")})
    }
}

/// Long enough that half of it would show.
fn pad(seq: u64) -> String {
    format!("{seq} ").repeat(100)
}

/// What was seen of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) status: u64,
    pub(super) revision: u64,
    pub(super) uid: String,
}

impl Seen {
    /// Reads an object; it must be whole.
    #[track_caller]
    pub(super) fn of(kind: Kind, object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let seq: u64 = text("/metadata/labels/seq").parse().unwrap_or_else(|_| panic!("no number: {object}"));
        let whole = kind.change(seq);
        let same = |pointer: &str| whole.pointer(pointer).and_then(Value::as_str) == Some(text(pointer));
        let (pointers, status) = match kind {
            Kind::ConfigMaps => (["/metadata/annotations/seq", "/data/a", "/data/pad"], 0),
            Kind::Pods => (
                ["/metadata/annotations/seq", "/spec/containers/0/name", "/spec/containers/0/image"],
                text("/status/message").parse().unwrap_or(0),
            ),
        };
        assert!(pointers.iter().all(|pointer| same(pointer)), "half applied: {object}");
        let reason = if status == 0 { String::new() } else { format!("R{status}") };
        assert_eq!(text("/status/reason"), reason, "half applied: {object}");
        let revision = text("/metadata/resourceVersion").parse().unwrap();
        Self { seq, status, revision, uid: text("/metadata/uid").to_owned() }
    }
}

/// Objects by name.
pub(super) type Objects = BTreeMap<String, Seen>;

/// What every list must show while nobody writes.
#[derive(Default)]
pub(super) struct Model {
    objects: Mutex<BTreeMap<(Kind, String), Seen>>,
    /// Writes since the last comparison, by revision: each watch must have had them.
    fresh: Mutex<BTreeMap<u64, (Kind, String)>>,
    acknowledged: AtomicU64,
    lost: AtomicU64,
}

impl Model {
    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<Seen> {
        lock(&self.objects).get(&(kind, name.to_owned())).cloned()
    }

    pub(super) fn set(&self, kind: Kind, name: &str, seen: Option<Seen>) {
        let key = (kind, name.to_owned());
        let mut objects = lock(&self.objects);
        let Some(seen) = seen else {
            objects.remove(&key);
            return;
        };
        let revision = seen.revision;
        if objects.insert(key.clone(), seen).is_none_or(|old| old.revision != revision) {
            let twice = lock(&self.fresh).insert(revision, key);
            assert_eq!(twice, None, "two writes at revision {revision}");
        }
    }

    pub(super) fn count(&self, acknowledged: bool) {
        let counter = if acknowledged { &self.acknowledged } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn of(&self, kind: Kind) -> Objects {
        let objects = lock(&self.objects);
        let of = objects.iter().filter(|((of, _), _)| *of == kind);
        of.map(|((_, name), seen)| (name.clone(), seen.clone())).collect()
    }

    pub(super) fn fresh(&self) -> BTreeMap<u64, (Kind, String)> {
        lock(&self.fresh).clone()
    }

    pub(super) fn all_compared(&self) {
        lock(&self.fresh).clear();
    }

    pub(super) fn summary(&self, watchers: &Watchers) -> String {
        let (acknowledged, lost) = (self.acknowledged(), self.lost());
        format!("{acknowledged} writes acknowledged, {lost} cut off; {}", watchers.summary())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks for lists, and for older ones again.
pub(super) struct Lists {
    wire: Wire,
    newest: u64,
    snapshots: VecDeque<(Kind, u64, Objects)>,
}

impl Lists {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, newest: 0, snapshots: VecDeque::new() }
    }

    /// All lists are what the model is, while nobody writes.
    pub(super) async fn compare(&mut self, model: &Model) {
        for kind in Kind::ALL {
            let expected = model.of(kind);
            let (latest, revision) = self.list(kind, "").await;
            assert_same(&latest, &expected, "the list");
            let written = expected.values().map(|seen| seen.revision).max().unwrap_or(0);
            assert!(revision >= self.newest.max(written), "the revision went back to {revision}");
            self.newest = revision;
            let (cached, _) = self.list(kind, "&resourceVersion=0").await;
            assert_same(&cached, &expected, "the list at resourceVersion 0");
            assert_same(&self.pages(kind).await, &expected, "the list in pages");
            self.snapshots.push_back((kind, revision, expected));
        }
        for (kind, revision, objects) in self.snapshots.clone() {
            let query = format!("&resourceVersion={revision}&resourceVersionMatch=Exact");
            let (then, at) = self.list(kind, &query).await;
            assert_eq!(at, revision, "the revision of an exact list");
            assert_same(&then, &objects, &format!("the list at {revision}"));
        }
        while self.snapshots.len() > SNAPSHOTS * Kind::ALL.len() {
            self.snapshots.pop_front();
        }
    }

    async fn list(&mut self, kind: Kind, query: &str) -> (Objects, u64) {
        let list = self.page(kind, query).await;
        (objects(kind, &list), revision_of(&list))
    }

    async fn page(&mut self, kind: Kind, query: &str) -> Value {
        self.wire.insist("GET", &format!("{}?{SELECTOR}{query}", kind.path()), JSON, "").await.ok()
    }

    async fn pages(&mut self, kind: Kind) -> Objects {
        let mut all = Objects::new();
        let mut query = "&limit=7".to_owned();
        loop {
            let page = self.page(kind, &query).await;
            all.extend(objects(kind, &page));
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => query = format!("&limit=7&continue={next}"),
                _ => return all,
            }
        }
    }
}

/// The items of a list.
pub(super) fn objects(kind: Kind, list: &Value) -> Objects {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), Seen::of(kind, item))).collect()
}

pub(super) fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[track_caller]
fn assert_same(found: &Objects, expected: &Objects, what: &str) {
    let differs = |name: &&String| found.get(*name) != expected.get(*name);
    let names: Vec<_> = found.keys().chain(expected.keys()).filter(differs).collect();
    let shown = names.first().map(|name| (name, found.get(*name), expected.get(*name)));
    assert!(shown.is_none(), "{what} differs (name, found, expected): {shown:?}, and {} in all", names.len());
}

/// Makes the namespaces.
pub(super) async fn prepare(shared: &Shared) {
    let mut wire = Wire::new(&shared.target);
    for name in [NAMESPACE, super::chores::NAMESPACE] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        wire.insist("POST", "/api/v1/namespaces", JSON, object.to_string()).await.ok();
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        // Pods need it.
        while wire.insist("GET", &account, JSON, "").await.code != 200 {
            tokio::task::yield_now().await;
        }
    }
}
