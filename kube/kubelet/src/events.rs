//! Events for people: what the kubelet tells of pods and of its node.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use client::{Api, Call};
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::read::{name, namespace, text, time_text, uid};

/// Tells of things, in the order in which they happened. Nothing depends on it: a refusal is no failure.
#[derive(Clone)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<Told>,
}

struct Told {
    about: Value,
    warning: bool,
    reason: &'static str,
    message: String,
    at: Timestamp,
}

impl Recorder {
    /// Begins to write events in the name of a node.
    pub(crate) fn start(api: Arc<dyn Api>, node: &str) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        tokio::spawn(write(api, node.to_owned(), inbox));
        Self { sender }
    }

    /// Tells of a pod.
    pub(crate) fn pod(&self, pod: &Value, at: Timestamp, event: Event) {
        self.about(reference(pod, None), at, event);
    }

    /// Tells of a container of a pod.
    pub(crate) fn container(&self, pod: &Value, container: &str, at: Timestamp, event: Event) {
        let lists = ["containers", "initContainers", "ephemeralContainers"];
        let list = lists
            .into_iter()
            .find(|list| crate::read::named(crate::read::items(pod, &["spec", list]), container).is_some());
        let path = format!("spec.{}{{{container}}}", list.unwrap_or("containers"));
        self.about(reference(pod, Some(path)), at, event);
    }

    /// Tells of the node.
    pub(crate) fn node(&self, node: &str, at: Timestamp, event: Event) {
        self.about(json!({"kind": "Node", "name": node, "uid": node}), at, event);
    }

    fn about(&self, about: Value, at: Timestamp, event: Event) {
        let Event { warning, reason, message } = event;
        // Too many at once: people do not miss the last of a thousand.
        drop(self.sender.try_send(Told { about, warning, reason, message, at }));
    }
}

/// One thing to tell.
pub(crate) struct Event {
    warning: bool,
    reason: &'static str,
    message: String,
}

/// All goes well.
pub(crate) fn normal(reason: &'static str, message: impl Into<String>) -> Event {
    Event { warning: false, reason, message: message.into() }
}

/// Something is wrong.
pub(crate) fn warning(reason: &'static str, message: impl Into<String>) -> Event {
    Event { warning: true, reason, message: message.into() }
}

fn reference(pod: &Value, path: Option<String>) -> Value {
    let mut about = json!({
        "kind": "Pod", "apiVersion": "v1", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod),
        "resourceVersion": text(pod, &["metadata", "resourceVersion"]),
    });
    if let Some(path) = path {
        about["fieldPath"] = json!(path);
    }
    about
}

async fn write(api: Arc<dyn Api>, node: String, mut inbox: mpsc::Receiver<Told>) {
    let mut known: HashMap<u64, Known> = HashMap::new();
    while let Some(told) = inbox.recv().await {
        if known.len() > KNOWN_MAX {
            known.clear();
        }
        one(&*api, &node, &mut known, &told).await;
    }
}

/// An event that was written.
struct Known {
    namespace: String,
    name: String,
    count: u64,
}

async fn one(api: &dyn Api, node: &str, known: &mut HashMap<u64, Known>, told: &Told) {
    let mut hasher = DefaultHasher::new();
    let path = text(&told.about, &["fieldPath"]);
    (text(&told.about, &["uid"]), path, told.reason, &told.message).hash(&mut hasher);
    let key = hasher.finish();
    let seconds = time_text(told.at);
    if let Some(known) = known.get_mut(&key) {
        known.count += 1;
        let patch = json!({"count": known.count, "lastTimestamp": seconds});
        let how = client::PatchType::Merge;
        let call = Call::patch(&resource(), &known.namespace, &known.name, how, patch);
        if api.call(call).await.is_ok() {
            return;
        }
    }
    let about = &told.about;
    let within = match text(about, &["namespace"]) {
        "" => "default",
        namespace => namespace,
    };
    let name = format!("{}.{:x}", text(about, &["name"]), told.at.as_nanosecond());
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": within},
        "involvedObject": about, "reason": told.reason, "message": told.message,
        "type": if told.warning { "Warning" } else { "Normal" }, "count": 1,
        "source": {"component": COMPONENT, "host": node},
        "reportingComponent": COMPONENT, "reportingInstance": node,
        "firstTimestamp": seconds, "lastTimestamp": seconds,
    });
    if api.call(Call::create(&resource(), within, event)).await.is_ok() {
        known.insert(key, Known { namespace: within.to_owned(), name, count: 1 });
    }
}

fn resource() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "events")
}

/// Remembers what was said last of a subject, so that it is not said at every look.
#[derive(Debug, Default)]
pub(crate) struct Once {
    said: Mutex<HashMap<String, String>>,
}

impl Once {
    /// Whether this is news about the subject.
    pub(crate) fn is_news(&self, subject: &str, text: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(subject.to_owned(), text.to_owned()).as_deref() != Some(text)
    }
}

const COMPONENT: &str = "kubelet";
/// Events that wait to be written.
const INBOX_MAX: usize = 1024;
/// Events remembered for counting repetitions.
const KNOWN_MAX: usize = 1024;
