//! What is known of one request, and the events that are made of it.
//!
//! ```text
//! begin ─▶ RequestReceived ─▶ … ─▶ answered ─┬─▶ ResponseComplete
//!                                            └─▶ ResponseStarted ─▶ … ─▶ ResponseComplete   long-running
//!                          └─▶ Panic
//! nobody known to ask ─▶ ResponseStarted, and no other, as upstream
//! ```
//!
//! Clones are one record; who holds the last one ends it, so that a request that is given up, or an
//! answer that nobody reads to its end, has its last event all the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube_object::user::User;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::Audit;
use crate::event::{Event, ObjectRef, ResponseStatus, go_duration};
use crate::policy::{Asked, Decision, Level, Stage};

/// What a policy does not ask for, but events tell.
#[derive(Clone, Debug)]
pub struct Request {
    /// What all events of the request have in common.
    pub audit_id: String,
    /// Path and query, as they were sent.
    pub uri: String,
    /// Where it comes from, and over which proxies.
    pub source_ips: Vec<IpAddr>,
    /// What the client calls itself.
    pub user_agent: String,
    /// When it came.
    pub received: Timestamp,
    /// Whether its answer may take as long as it likes.
    pub long_running: bool,
}

/// The record of one request. Clones share.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Record>);

#[derive(Debug)]
struct Record {
    audit: Arc<Audit>,
    decision: Decision,
    long_running: bool,
    stranger: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    event: Event,
    started: bool,
    ended: bool,
}

impl Trail {
    pub(crate) fn new(audit: Arc<Audit>, decision: Decision, asked: &Asked<'_>, request: Request) -> Self {
        let object = asked.resource.map(|resource| ObjectRef {
            resource: resource.resource.to_owned(),
            namespace: resource.namespace.to_owned(),
            name: resource.name.to_owned(),
            api_group: resource.group.to_owned(),
            api_version: resource.version.to_owned(),
            subresource: resource.subresource.to_owned(),
            ..ObjectRef::default()
        });
        let event = Event {
            level: decision.level,
            audit_id: request.audit_id,
            stage: Stage::RequestReceived,
            request_uri: request.uri,
            verb: asked.verb.to_owned(),
            user: asked.user.cloned().unwrap_or_default(),
            impersonated: None,
            source_ips: request.source_ips,
            user_agent: shortened(request.user_agent),
            object,
            response_status: None,
            request_object: None,
            response_object: None,
            received: request.received,
            stage_at: request.received,
            annotations: BTreeMap::new(),
        };
        Self(Arc::new(Record {
            audit,
            decision,
            long_running: request.long_running,
            stranger: asked.user.is_none(),
            state: Mutex::new(State { event, started: false, ended: false }),
        }))
    }

    /// The request came. False if that cannot be kept, and the request must not go on.
    pub async fn received(&self) -> bool {
        self.0.stranger || self.0.emit(Stage::RequestReceived).await
    }

    /// The user acts as another.
    pub fn impersonated(&self, user: &User) {
        self.state().event.impersonated = Some(user.clone());
    }

    /// Adds a note; the first of a name stays.
    pub fn annotate(&self, key: &str, value: &str) {
        self.state().event.annotations.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// The object, or the options, that the request sends.
    pub fn request_object(&self, value: &Value) {
        let wanted = self.0.decision.level >= Level::Request;
        let object = if wanted { self.0.json(value) } else { None };
        let mut state = self.state();
        let about = state.event.object.get_or_insert_default();
        let meta = value.get("metadata").and_then(Value::as_object);
        let meta = |name: &str| meta.and_then(|meta| meta.get(name)?.as_str());
        for (place, name) in [
            (&mut about.namespace, "namespace"),
            (&mut about.name, "name"),
            (&mut about.uid, "uid"),
            (&mut about.resource_version, "resourceVersion"),
        ] {
            if let (true, Some(text)) = (place.is_empty(), meta(name)) {
                text.clone_into(place);
            }
        }
        state.event.request_object = object;
    }

    /// The patch that the request sends.
    pub fn request_patch(&self, value: &Value) {
        if self.0.decision.level >= Level::Request {
            self.state().event.request_object = to_raw_value(value).ok().map(Arc::from);
        }
    }

    /// Whether anybody wants to know what is answered.
    pub fn wants_response(&self) -> bool {
        self.0.decision.level >= Level::RequestResponse
    }

    /// The object that is answered.
    pub fn response_object(&self, value: &Value) {
        if self.wants_response() {
            let object = self.0.json(value);
            self.state().event.response_object = object;
        }
    }

    /// The answer is a `Status`, or a refusal.
    pub fn response_status(&self, status: ResponseStatus) {
        self.state().event.response_status = Some(status);
    }

    /// The head of the answer is known. Its body still is to come if the request is long-running; else
    /// this is the end.
    pub async fn answered(&self, code: u16) {
        self.state().event.response_status.get_or_insert_default().set_code(code);
        if self.0.long_running || self.0.stranger {
            self.state().started = true;
            self.0.emit(Stage::ResponseStarted).await;
        }
        if self.0.stranger {
            self.state().ended = true;
        } else if !self.0.long_running {
            self.complete().await;
        }
    }

    /// Whether its last event is made.
    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// The answer has ended.
    pub async fn complete(&self) {
        if !std::mem::replace(&mut self.state().ended, true) {
            self.0.measure();
            self.0.emit(Stage::ResponseComplete).await;
        }
    }

    /// The handler broke.
    pub async fn panicked(&self, what: &str) {
        self.0.broke(what);
        self.0.emit(Stage::Panic).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl Record {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broke(&self, what: &str) {
        let mut state = self.state();
        state.ended = true;
        state.event.response_status = Some(ResponseStatus::panicked(what));
    }

    /// The event of a stage, unless the policy leaves it out.
    fn event(&self, stage: Stage) -> Option<Event> {
        if self.decision.omit.has(stage) {
            return None;
        }
        self.audit.counts.events.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.event.stage = stage;
        if stage != Stage::RequestReceived {
            state.event.stage_at = Timestamp::now();
        }
        Some(state.event.clone())
    }

    async fn emit(&self, stage: Stage) -> bool {
        match self.event(stage) {
            Some(event) => self.audit.log.write(&event).await,
            None => true,
        }
    }

    fn emit_later(&self, stage: Stage) {
        if let Some(event) = self.event(stage) {
            self.audit.log.write_later(&event);
        }
    }

    /// Notes how long a slow request took.
    fn measure(&self) {
        let mut state = self.state();
        let took = Timestamp::now().duration_since(state.event.received);
        let took = Duration::try_from(took).unwrap_or_default();
        if took > SLOW {
            let key = "apiserver.latency.k8s.io/total".to_owned();
            state.event.annotations.insert(key, go_duration(took));
        }
    }

    fn json(&self, value: &Value) -> Option<Arc<RawValue>> {
        let made = if self.decision.omit_managed_fields {
            to_raw_value(&without_managed_fields(value))
        } else {
            to_raw_value(value)
        };
        made.ok().map(Arc::from)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.ended || self.stranger {
            return;
        }
        let started = state.started;
        if state.event.response_status.is_none() {
            state.event.response_status = Some(ResponseStatus::closed_early());
        }
        if self.long_running && !started {
            self.emit_later(Stage::ResponseStarted);
        }
        self.measure();
        self.emit_later(Stage::ResponseComplete);
    }
}

/// An object, a list or a table without what only server-side apply reads.
fn without_managed_fields(value: &Value) -> Value {
    let mut copy = value.clone();
    strip(&mut copy);
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let (list, object) = match kind {
        "Table" => ("rows", Some("object")),
        kind if kind.ends_with("List") => ("items", None),
        _ => return copy,
    };
    for item in copy.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
        match object {
            None => strip(item),
            Some(name) => drop(item.get_mut(name).map(strip)),
        }
    }
    copy
}

fn strip(value: &mut Value) {
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
}

/// A user agent as long as upstream records it.
fn shortened(mut user_agent: String) -> String {
    if user_agent.len() > USER_AGENT_MAX {
        let end = (0..=USER_AGENT_MAX).rev().find(|at| user_agent.is_char_boundary(*at)).unwrap_or(0);
        user_agent.truncate(end);
        user_agent.push_str("...TRUNCATED");
    }
    user_agent
}

const USER_AGENT_MAX: usize = 1024;
/// From when on a request's time is noted.
const SLOW: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_managed_fields_out() {
        let meta = json!({"name": "a", "managedFields": [1]});
        let bare = json!({"name": "a"});
        for (value, expected) in [
            (json!({"kind": "Pod", "metadata": meta}), json!({"kind": "Pod", "metadata": bare})),
            (
                json!({"kind": "PodList", "metadata": {}, "items": [{"metadata": meta}, 1]}),
                json!({"kind": "PodList", "metadata": {}, "items": [{"metadata": bare}, 1]}),
            ),
            (
                json!({"kind": "Table", "rows": [{"cells": [], "object": {"metadata": meta}}, {}]}),
                json!({"kind": "Table", "rows": [{"cells": [], "object": {"metadata": bare}}, {}]}),
            ),
            (
                json!({"kind": "Odd", "items": [{"metadata": meta}]}),
                json!({"kind": "Odd", "items": [{"metadata": meta}]}),
            ),
            (json!("text"), json!("text")),
        ] {
            assert_eq!(without_managed_fields(&value), expected);
        }
    }

    #[test]
    fn shortens_user_agents() {
        assert_eq!(shortened("a".repeat(1024)).len(), 1024);
        assert_eq!(shortened("é".repeat(1024)), format!("{}...TRUNCATED", "é".repeat(512)));
    }
}
