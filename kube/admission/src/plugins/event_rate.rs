//! `EventRateLimit`: events come as token buckets allow. Off unless enabled.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use kube_object::status::Status;
use serde_json::Value;

use crate::notes::Notes;
use crate::plugin::{Plugin, Scene};
use crate::read::text;
use crate::request::{Operation, Request};

/// How many events may come, and whose are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLimit {
    /// Whose events share a bucket.
    pub kind: EventLimitKind,
    /// How many per second in the long run.
    pub events_per_second: u32,
    /// How many at once.
    pub burst: u32,
    /// How many buckets are remembered; the one that was used least recently goes first.
    pub buckets_max: usize,
}

/// Whose events share a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventLimitKind {
    /// All.
    Server,
    /// Those of a namespace.
    Namespace,
    /// Those of a user.
    User,
    /// Those of one source about one object.
    SourceAndObject,
}

pub(crate) struct EventRateLimit {
    limits: Vec<(EventLimit, Mutex<BTreeMap<String, Bucket>>)>,
}

struct Bucket {
    tokens: f64,
    at: SystemTime,
}

impl EventRateLimit {
    pub(crate) fn new(limits: &[EventLimit]) -> Self {
        Self { limits: limits.iter().map(|limit| (limit.clone(), Mutex::default())).collect() }
    }
}

impl EventLimit {
    fn take(&self, buckets: &mut BTreeMap<String, Bucket>, key: &str, now: SystemTime) -> bool {
        if !buckets.contains_key(key) && buckets.len() >= self.buckets_max.max(1) {
            let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
            oldest.map(|key| buckets.remove(&key));
        }
        let burst = f64::from(self.burst);
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: burst, at: now });
        let elapsed = now.duration_since(bucket.at).unwrap_or_default().as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * f64::from(self.events_per_second)).min(burst);
        bucket.at = now;
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }
}

impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if request.kind.kind != "Event" || request.resource.resource != "events" || request.dry_run {
            return Ok(());
        }
        let now = scene.host.clock.now();
        let mut refused = Vec::new();
        for (limit, buckets) in &self.limits {
            let key = key(limit.kind, request);
            let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
            if !limit.take(&mut buckets, &key, now) {
                refused.push(format!("limit reached on type {:?} for key {key}", limit.kind));
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(Status::too_many_requests(refused.join("; "), 0))
    }
}

fn key(kind: EventLimitKind, request: &Request) -> String {
    match kind {
        EventLimitKind::Server => String::new(),
        EventLimitKind::Namespace => request.namespace.clone(),
        EventLimitKind::User => request.user.name.clone(),
        EventLimitKind::SourceAndObject => {
            let event = request.object.as_ref().unwrap_or(&Value::Null);
            let object = if event.get("involvedObject").is_some() { "involvedObject" } else { "regarding" };
            let source = if event.get("source").is_some() { "source" } else { "deprecatedSource" };
            let of_source = ["component", "host"].map(|name| text(event, &[source, name]));
            let of_object =
                ["kind", "namespace", "name", "uid", "apiVersion"].map(|name| text(event, &[object, name]));
            of_source.concat() + &of_object.concat()
        }
    }
}
