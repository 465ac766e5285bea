//! Events for people: what loops tell of objects. Nothing depends on them, so a refusal is no failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::Api;
use controllers::{Event, object};
use serde_json::json;

use crate::act::event_call;
use crate::clock::Clock;

/// Writes events, and none twice in a row.
pub(crate) struct Teller {
    clock: Arc<dyn Clock>,
    told: Mutex<HashMap<u64, Duration>>,
}

impl Teller {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, told: Mutex::default() }
    }

    /// Writes an event in the name of a loop.
    pub(crate) async fn tell(&self, api: &dyn Api, by: &'static str, event: &Event) {
        if self.was_told(by, event) {
            return;
        }
        let now = self.clock.now();
        let name = object::text(&event.about, &["name"]);
        let namespace = match object::text(&event.about, &["namespace"]) {
            "" => "default",
            namespace => namespace,
        };
        let seconds = object::time_text(now.as_second());
        let written = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{name}.{:x}", now.as_nanosecond()), "namespace": namespace},
            "involvedObject": event.about,
            "type": if event.warning { "Warning" } else { "Normal" },
            "reason": event.reason, "message": event.message, "count": 1,
            "source": {"component": by}, "reportingComponent": by, "reportingInstance": "",
            "firstTimestamp": seconds, "lastTimestamp": seconds,
        });
        drop(api.call(event_call(namespace, written)).await);
    }

    fn was_told(&self, by: &str, event: &Event) -> bool {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        let about = (object::text(&event.about, &["uid"]), object::text(&event.about, &["name"]));
        (by, about, event.reason, &event.message).hash(&mut hasher);
        let now = self.clock.elapsed();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_MAX {
            told.retain(|_, at| now < *at + SILENCE);
            if told.len() >= TOLD_MAX {
                told.clear();
            }
        }
        let before = told.insert(hasher.finish(), now);
        before.is_some_and(|at| now < at + SILENCE)
    }
}

/// The same sentence is not told again for so long.
const SILENCE: Duration = Duration::from_secs(600);
/// Sentences remembered.
const TOLD_MAX: usize = 1024;
