//! Events for people, written beside the work. Nothing depends on them: what cannot be written is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Api, Call, PatchType};
use controller::Clock;
use controllers::known;
use futures_util::StreamExt as _;
use kube_object::time::MicroTime;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) about: About,
    pub(crate) scheduler: String,
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) message: String,
}

/// The pod that is told of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct About {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Where events are put.
#[derive(Clone)]
pub(crate) struct Teller(mpsc::Sender<Event>);

impl Teller {
    /// A teller and its task.
    pub(crate) fn new(
        api: Arc<dyn Api>,
        clock: Arc<dyn Clock>,
        instance: String,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(BACKLOG_MAX);
        (Self(sender), tell_all(Writer { api, clock, instance, told: HashMap::new() }, receiver))
    }

    /// Tells, unless too much is to be told already.
    pub(crate) fn tell(&self, event: Event) {
        drop(self.0.try_send(event));
    }
}

struct Writer {
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    instance: String,
    /// What was told, as which event, how often and when last.
    told: HashMap<Event, Told>,
}

struct Told {
    name: String,
    count: u64,
    last: Duration,
}

async fn tell_all(mut writer: Writer, receiver: mpsc::Receiver<Event>) {
    let calls = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((event, receiver))
    });
    let api = Arc::clone(&writer.api);
    calls
        .map(|event| writer.call(event))
        .for_each_concurrent(WRITES_MAX, |call| {
            let api = Arc::clone(&api);
            async move { drop(api.call(call).await) }
        })
        .await;
}

impl Writer {
    /// A new event, or the same one once more.
    fn call(&mut self, event: Event) -> Call {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let micros = MicroTime::from_unix_micros(now.as_microsecond())
            .map(|time| time.to_string())
            .unwrap_or_default();
        if self.told.len() >= TOLD_MAX {
            self.told.retain(|_, told| elapsed < told.last + SERIES_MAX);
            if self.told.len() >= TOLD_MAX {
                self.told.clear();
            }
        }
        let namespace = event.about.namespace.clone();
        if let Some(told) = self.told.get_mut(&event)
            && elapsed < told.last + SERIES_MAX
        {
            told.count += 1;
            told.last = elapsed;
            let series = json!({"series": {"count": told.count, "lastObservedTime": micros}});
            return Call::patch(known::events(), &namespace, &told.name, PatchType::Merge, series);
        }
        let name = format!("{}.{:x}", event.about.name, now.as_nanosecond());
        let written = self.written(&event, &name, &micros);
        // An event that nobody repeats need not be remembered.
        if event.warning {
            self.told.insert(event, Told { name, count: 1, last: elapsed });
        }
        Call::create(known::events(), &namespace, written)
    }

    fn written(&self, event: &Event, name: &str, micros: &str) -> Value {
        let About { namespace, name: pod, uid } = &event.about;
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod, "uid": uid,
            },
            "type": if event.warning { "Warning" } else { "Normal" },
            "reason": event.reason, "action": event.action,
            "message": event.message.chars().take(MESSAGE_MAX).collect::<String>(),
            "eventTime": micros, "source": {},
            "reportingComponent": event.scheduler,
            "reportingInstance": format!("{}-{}", event.scheduler, self.instance),
        })
    }
}

/// Events that wait to be written.
const BACKLOG_MAX: usize = 4096;
/// Events that are being written at a time.
const WRITES_MAX: usize = 4;
/// What is said again within this time belongs to the same series, as upstream.
const SERIES_MAX: Duration = Duration::from_secs(6 * 60);
/// Sentences remembered.
const TOLD_MAX: usize = 4096;
/// What the API takes of a message.
const MESSAGE_MAX: usize = 1024;
