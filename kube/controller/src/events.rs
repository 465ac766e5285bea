//! Events for people: what loops tell of objects. Nothing depends on them, so a refusal is no failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::Api;
use controllers::{Event, object};
use serde_json::json;

use crate::act::event_call;
use crate::clock::Clock;

/// Writes events, none twice in a row, and not too many of one object: as upstream, a loop may tell 25 of it at
/// once, and then one every five minutes.
pub(crate) struct Teller {
    clock: Arc<dyn Clock>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    sentences: HashMap<u64, Duration>,
    /// How many events were told of an object, as of a time.
    objects: HashMap<u64, (f64, Duration)>,
}

impl Told {
    fn is_new(&mut self, sentence: u64, now: Duration) -> bool {
        make_room(&mut self.sentences, |at| now < *at + SILENCE);
        let before = self.sentences.insert(sentence, now);
        before.is_none_or(|at| now >= at + SILENCE)
    }

    fn is_enough(&mut self, object: u64, now: Duration) -> bool {
        make_room(&mut self.objects, |(count, at)| *count > refilled(now, *at));
        let (count, at) = self.objects.entry(object).or_insert((0.0, now));
        *count = (*count - refilled(now, *at)).max(0.0);
        *at = now;
        if *count + 1.0 > BURST_MAX {
            return true;
        }
        *count += 1.0;
        false
    }
}

fn refilled(now: Duration, since: Duration) -> f64 {
    now.saturating_sub(since).as_secs_f64() / REFILL.as_secs_f64()
}

/// Keeps what counts still, once there is a lot.
fn make_room<T>(map: &mut HashMap<u64, T>, counts: impl Fn(&T) -> bool) {
    if map.len() >= TOLD_MAX {
        map.retain(|_, value| counts(value));
        if map.len() >= TOLD_MAX {
            map.clear();
        }
    }
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
        let about = (object::text(&event.about, &["uid"]), object::text(&event.about, &["name"]));
        let mut object = DefaultHasher::new();
        (by, about).hash(&mut object);
        let mut sentence = object.clone();
        (event.reason, &event.message).hash(&mut sentence);
        let now = self.clock.elapsed();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        !told.is_new(sentence.finish(), now) || told.is_enough(object.finish(), now)
    }
}

/// The same sentence is not told again for so long.
const SILENCE: Duration = Duration::from_secs(600);
/// Sentences remembered.
const TOLD_MAX: usize = 1024;
/// Events that a loop tells of one object at once.
const BURST_MAX: f64 = 25.0;
/// After this there may be one more.
const REFILL: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_floods_are_kept_back() {
        let mut told = Told::default();
        let at = Duration::from_secs;
        assert!(told.is_new(1, at(0)));
        assert!(!told.is_new(1, at(599)));
        assert!(told.is_new(1, at(1199)));
        let burst = (0..40).filter(|_| !told.is_enough(7, at(0))).count();
        assert_eq!(burst, 25);
        assert!(told.is_enough(7, at(299)));
        assert!(!told.is_enough(7, at(301)));
        assert!(!told.is_enough(8, at(301)));
    }
}
