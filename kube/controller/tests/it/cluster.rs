//! An API, a mirror of it that may be held back, and a clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use client::{Api, BoxFuture, BoxStream, Call, Change, Item, Mirror, Verb, WatchEvent, WatchOptions};
use controller::Clock;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::merge_patch;
use kube_object::resource::{GroupResource, GroupVersionResource};
use kube_object::status::Status;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

type Id = (GroupResource, String, String);

/// The API and its mirror.
#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
    touched: Notify,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Id, Arc<Item>>,
    shown: BTreeMap<Id, Arc<Item>>,
    /// What the mirror does not show yet.
    late: Vec<(GroupResource, Change)>,
    is_late: bool,
    revision: u64,
    subscribers: HashMap<GroupResource, Vec<mpsc::UnboundedSender<Change>>>,
    refuse: Option<(&'static str, Status)>,
    calls: Vec<String>,
}

impl Fake {
    pub(crate) fn put(&self, resource: &GroupVersionResource, object: Value) {
        let mut state = self.state.lock().unwrap();
        state.write(resource, object);
        drop(state);
        self.touched.notify_waiters();
    }

    pub(crate) fn count(&self, resource: &GroupVersionResource) -> usize {
        let state = self.state.lock().unwrap();
        state.objects.keys().filter(|id| id.0 == resource.group_resource()).count()
    }

    pub(crate) fn object(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let id = (resource.group_resource(), namespace.to_owned(), name.to_owned());
        self.state.lock().unwrap().objects.get(&id).map(|item| item.value())
    }

    /// Calls so far, such as `create pods`.
    pub(crate) fn calls(&self, like: &str) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|call| *call == like).count()
    }

    pub(crate) fn refuse(&self, what: Option<(&'static str, Status)>) {
        self.state.lock().unwrap().refuse = what;
    }

    /// Keeps changes from the mirror, or shows all of them.
    pub(crate) fn hold(&self, hold: bool) {
        let mut state = self.state.lock().unwrap();
        state.is_late = hold;
        if !hold {
            for (resource, change) in std::mem::take(&mut state.late) {
                state.show(&resource, &change);
            }
        }
    }

    /// Waits for a condition, at most a few seconds of real time.
    pub(crate) async fn until(&self, what: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let touched = self.touched.notified();
                if what(self) {
                    return;
                }
                tokio::select! {
                    () = touched => {}
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it comes to that");
    }
}

impl State {
    fn write(&mut self, resource: &GroupVersionResource, mut object: Value) -> Value {
        self.revision += 1;
        let revision = self.revision;
        object["apiVersion"] = json!(resource.api_version());
        let meta = &mut object["metadata"];
        meta["resourceVersion"] = json!(revision.to_string());
        if meta["name"].is_null() {
            meta["name"] = json!(format!("{}{revision}", meta["generateName"].as_str().unwrap()));
        }
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{revision}"));
        }
        let id = id_of(resource, &object);
        let new = Arc::new(Item::parse(Bytes::from(object.to_string()), revision).unwrap());
        let old = self.objects.insert(id, Arc::clone(&new));
        self.tell(resource.group_resource(), Change::Set { old, new });
        object
    }

    fn tell(&mut self, resource: GroupResource, change: Change) {
        if self.is_late { self.late.push((resource, change)) } else { self.show(&resource, &change) }
    }

    fn show(&mut self, resource: &GroupResource, change: &Change) {
        let item = change.item().unwrap();
        let id = (resource.clone(), item.namespace().to_owned(), item.name().to_owned());
        match change {
            Change::Set { new, .. } => drop(self.shown.insert(id, Arc::clone(new))),
            _ => drop(self.shown.remove(&id)),
        }
        for subscriber in self.subscribers.get(resource).into_iter().flatten() {
            drop(subscriber.send(change.clone()));
        }
    }

    fn answer(&mut self, call: Call) -> Result<Value, Status> {
        let group = call.resource.group_resource();
        let called = format!("{:?} {}", call.verb, group.resource).to_lowercase();
        self.calls.push(called.clone());
        if let Some((refused, status)) = &self.refuse
            && *refused == called
        {
            return Err(status.clone());
        }
        let id = (
            group.clone(),
            call.namespace.clone().unwrap_or_default(),
            call.name.clone().unwrap_or_default(),
        );
        let found = self.objects.get(&id).cloned();
        let missing = || Status::not_found(&group, &id.2);
        match call.verb {
            Verb::Get => found.map(|item| item.decode()).ok_or_else(missing),
            Verb::Create => {
                let mut body = call.body.unwrap();
                if let Some(namespace) = call.namespace {
                    body["metadata"]["namespace"] = json!(namespace);
                }
                if self.objects.contains_key(&id_of(&call.resource, &body)) {
                    return Err(Status::already_exists(&group, ""));
                }
                Ok(self.write(&call.resource, body))
            }
            Verb::Update => {
                let body = call.body.unwrap();
                let found = found.ok_or_else(missing)?;
                if body["metadata"]["resourceVersion"] != json!(found.revision().to_string()) {
                    return Err(Status::conflict(&group, &id.2, "it was modified"));
                }
                Ok(self.write(&call.resource, body))
            }
            Verb::Patch => {
                let mut value = found.ok_or_else(missing)?.decode();
                merge_patch::apply(&mut value, call.body.unwrap());
                Ok(self.write(&call.resource, value))
            }
            Verb::Delete => {
                let found = found.ok_or_else(missing)?;
                self.objects.remove(&id);
                self.revision += 1;
                let gone = Arc::new(Item::parse(found.json(), self.revision).unwrap());
                self.tell(group, Change::Gone { old: gone });
                Ok(json!({"kind": "Status", "status": "Success"}))
            }
            Verb::List => Ok(json!({"items": []})),
            Verb::DeleteCollection => Ok(json!({"kind": "Status", "status": "Success"})),
        }
    }
}

fn id_of(resource: &GroupVersionResource, object: &Value) -> Id {
    let meta = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (resource.group_resource(), meta("namespace"), meta("name"))
}

impl Api for Fake {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Value, Status>> {
        let answer = self.state.lock().unwrap().answer(call);
        self.touched.notify_waiters();
        Box::pin(async { answer })
    }

    fn watch<'a>(
        &'a self,
        _resource: &GroupVersionResource,
        _options: WatchOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<WatchEvent, Status>>, Status>> {
        Box::pin(async { Err(Status::no_such_path()) })
    }
}

impl Cluster for Fake {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.item(resource, namespace, name).map(|item| item.value())
    }

    fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.items(resource, namespace).iter().map(|item| item.value()).collect()
    }

    fn changed(&self, _resource: &GroupResource) -> u64 {
        let state = self.state.lock().unwrap();
        if state.late.is_empty() { state.revision } else { 0 }
    }
}

impl Mirror for Fake {
    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn item(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Item>> {
        let id = (resource.clone(), namespace.to_owned(), name.to_owned());
        self.state.lock().unwrap().shown.get(&id).cloned()
    }

    fn items(&self, resource: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Item>> {
        let state = self.state.lock().unwrap();
        let of = |id: &Id| id.0 == *resource && namespace.is_none_or(|namespace| id.1 == namespace);
        state.shown.iter().filter(|(id, _)| of(id)).map(|(_, item)| item.clone()).collect()
    }

    fn changes(&self, resource: &GroupResource) -> BoxStream<'static, Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state.lock().unwrap().subscribers.entry(resource.clone()).or_default().push(sender);
        let later = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|change| (change, receiver))
        });
        Box::pin(stream::once(async { Change::Resync }).chain(later))
    }
}

/// A clock that is moved by hand.
#[derive(Default)]
pub(crate) struct Hand {
    elapsed: Mutex<Duration>,
    moved: Notify,
}

impl Hand {
    pub(crate) fn advance(&self, by: Duration) {
        *self.elapsed.lock().unwrap() += by;
        self.moved.notify_waiters();
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_767_225_600).unwrap() + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }

    fn sleep_until(&self, elapsed: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let moved = self.moved.notified();
                if self.elapsed() >= elapsed {
                    return;
                }
                moved.await;
            }
        })
    }
}
