//! One event: what is recorded of a request at one stage, as a line of JSON or of text.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube_object::status::Status;
use kube_object::user::User;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::policy::{Level, Stage};

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One object of `audit.k8s.io/v1` a line.
    #[default]
    Json,
    /// One line of text with the most important of it.
    Legacy,
}

/// `audit.k8s.io/v1` Event.
#[derive(Clone, Debug)]
pub struct Event {
    /// How much of the request is recorded.
    pub level: Level,
    /// What all events of a request have in common.
    pub audit_id: String,
    /// Where the request is.
    pub stage: Stage,
    /// Path and query, as the client sent them.
    pub request_uri: String,
    /// What is done.
    pub verb: String,
    /// Who asks.
    pub user: User,
    /// Whom they act as.
    pub impersonated: Option<User>,
    /// Where the request comes from, and over which proxies.
    pub source_ips: Vec<IpAddr>,
    /// What the client calls itself.
    pub user_agent: String,
    /// What it is about.
    pub object: Option<ObjectRef>,
    /// The answer's code, and why.
    pub response_status: Option<ResponseStatus>,
    /// What was sent, as JSON.
    pub request_object: Option<Arc<RawValue>>,
    /// What was answered, as JSON.
    pub response_object: Option<Arc<RawValue>>,
    /// When the request came.
    pub received: Timestamp,
    /// When it came to this stage.
    pub stage_at: Timestamp,
    /// What authorization and admission noted.
    pub annotations: BTreeMap<String, String>,
}

/// `audit.k8s.io/v1` ObjectReference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// The plural.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// The namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its identity, as the request names it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The group; empty for core.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// The version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Its revision, as the request names it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// The subresource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// The bounded part of a `metav1.Status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResponseStatus {
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    code: u16,
}

impl ResponseStatus {
    /// Of an answer that is no `Status`.
    pub fn code(code: u16) -> Self {
        Self { code, ..Self::default() }
    }

    /// Of one that is, as the client gets it.
    pub fn of_value(status: &Value, code: u16) -> Self {
        let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            metadata: BTreeMap::new(),
            status: text("status"),
            message: text("message"),
            reason: text("reason"),
            details: status.get("details").cloned(),
            code,
        }
    }

    /// Of a request that ended before it was answered.
    pub fn closed_early() -> Self {
        let (status, message) = ("Success".to_owned(), "Connection closed early".to_owned());
        Self { status, message, code: 200, ..Self::default() }
    }

    /// Of a request whose handler broke.
    pub fn panicked(what: &str) -> Self {
        Self {
            status: "Failure".to_owned(),
            message: format!("APIServer panic'd: {what}"),
            reason: "InternalError".to_owned(),
            code: 500,
            ..Self::default()
        }
    }

    /// The same with another code, which is what the client saw.
    pub(crate) fn set_code(&mut self, code: u16) {
        self.code = code;
    }
}

impl From<&Status> for ResponseStatus {
    fn from(status: &Status) -> Self {
        Self::of_value(&status.to_value(), status.code)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'a str,
    user: WireUser<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<WireUser<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[IpAddr]>::is_empty")]
    source_ips: &'a [IpAddr],
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<&'a ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<&'a ResponseStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<&'a RawValue>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct WireUser<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> From<&'a User> for WireUser<'a> {
    fn from(user: &'a User) -> Self {
        Self { username: &user.name, uid: &user.uid, groups: &user.groups, extra: &user.extra }
    }
}

impl Event {
    /// The event as a line, its end included.
    pub fn line(&self, format: Format) -> Vec<u8> {
        let mut line = match format {
            // Strings, numbers and what is JSON already always encode.
            Format::Json => serde_json::to_vec(&self.wire()).unwrap_or_default(),
            Format::Legacy => self.text().into_bytes(),
        };
        line.push(b'\n');
        line
    }

    fn wire(&self) -> Wire<'_> {
        Wire {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.level.as_str(),
            audit_id: &self.audit_id,
            stage: self.stage.as_str(),
            request_uri: &self.request_uri,
            verb: &self.verb,
            user: WireUser::from(&self.user),
            impersonated_user: self.impersonated.as_ref().map(WireUser::from),
            source_ips: &self.source_ips,
            user_agent: &self.user_agent,
            object_ref: self.object.as_ref(),
            response_status: self.response_status.as_ref(),
            request_object: self.request_object.as_deref(),
            response_object: self.response_object.as_deref(),
            request_received_timestamp: format!("{:.6}", self.received),
            stage_timestamp: format!("{:.6}", self.stage_at),
            annotations: &self.annotations,
        }
    }

    fn text(&self) -> String {
        let user = if self.user.name.is_empty() { "<none>" } else { &self.user.name };
        let groups = match self.user.groups.as_slice() {
            [] => "<none>".to_owned(),
            _ if self.user.name.is_empty() => "<none>".to_owned(),
            groups => list(groups),
        };
        let (as_user, as_groups) = match &self.impersonated {
            None => ("<self>", "<lookup>".to_owned()),
            Some(user) if user.groups.is_empty() => (user.name.as_str(), "<lookup>".to_owned()),
            Some(user) => (user.name.as_str(), list(&user.groups)),
        };
        let namespace = self.object.as_ref().map(|object| object.namespace.as_str());
        let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or("<none>");
        let response = self.response_status.as_ref().map(|status| status.code.to_string());
        let ip = self.source_ips.first().map_or_else(|| "<unknown>".to_owned(), ToString::to_string);
        format!(
            "{} AUDIT: id={} stage={} ip={} method={} user={} groups={} as={} asgroups={} user-agent={} namespace={} \
             uri={} response=\"{}\"",
            self.received,
            quoted(&self.audit_id),
            quoted(self.stage.as_str()),
            quoted(&ip),
            quoted(&self.verb),
            quoted(user),
            quoted(&groups),
            quoted(as_user),
            quoted(&as_groups),
            quoted(&self.user_agent),
            quoted(namespace),
            quoted(&self.request_uri),
            response.as_deref().unwrap_or("<deferred>"),
        )
    }

    /// Takes away what makes an event large.
    pub(crate) fn truncate(&mut self) {
        self.request_object = None;
        self.response_object = None;
        self.annotations.insert("audit.k8s.io/truncated".to_owned(), "true".to_owned());
    }
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(",")
}

/// As Go quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A duration as Go prints it: `1m2.5s`, `501.2ms`.
pub fn go_duration(duration: Duration) -> String {
    let trimmed = |value: f64, digits: usize| {
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        text.to_owned()
    };
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}µs", trimmed(nanos as f64 / 1e3, 3));
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", trimmed(nanos as f64 / 1e6, 6));
    }
    let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
    let rest = Duration::new(duration.as_secs() % 60, duration.subsec_nanos());
    let seconds = trimmed(rest.as_secs_f64(), 9);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Event {
        let received: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        Event {
            level: Level::RequestResponse,
            audit_id: "id-1".to_owned(),
            stage: Stage::ResponseComplete,
            request_uri: "/api/v1/namespaces/a/pods?dryRun=All".to_owned(),
            verb: "create".to_owned(),
            user: User {
                name: "bob".to_owned(),
                groups: vec!["g \"1\"".to_owned(), "g2".to_owned()],
                ..User::default()
            },
            impersonated: None,
            source_ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            user_agent: "kubectl\u{7}".to_owned(),
            object: Some(ObjectRef {
                resource: "pods".to_owned(),
                namespace: "a".to_owned(),
                api_version: "v1".to_owned(),
                ..ObjectRef::default()
            }),
            response_status: Some(ResponseStatus::code(201)),
            request_object: Some(RawValue::from_string("{\"a\":1}".to_owned()).unwrap().into()),
            response_object: None,
            received,
            stage_at: received,
            annotations: [("k".to_owned(), "v".to_owned())].into(),
        }
    }

    #[test]
    fn reads_as_upstreams_json() {
        let line = event().line(Format::Json);
        assert_eq!(line.last(), Some(&b'\n'));
        let value: Value = serde_json::from_slice(&line).unwrap();
        let expected = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": "id-1",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/a/pods?dryRun=All", "verb": "create",
            "user": {"username": "bob", "groups": ["g \"1\"", "g2"]}, "sourceIPs": ["10.0.0.1", "fd00::1"],
            "userAgent": "kubectl\u{7}",
            "objectRef": {"resource": "pods", "namespace": "a", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 201}, "requestObject": {"a": 1},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.500000Z",
            "stageTimestamp": "2026-01-02T03:04:05.500000Z", "annotations": {"k": "v"},
        });
        assert_eq!(value, expected);
        let status = Status::unauthorized();
        let event = Event {
            user: User::default(),
            impersonated: Some(User { name: "eve".to_owned(), ..User::default() }),
            response_status: Some(ResponseStatus::from(&status)),
            ..event()
        };
        let value: Value = serde_json::from_slice(&event.line(Format::Json)).unwrap();
        assert_eq!(value["user"], json!({}));
        assert_eq!(value["impersonatedUser"], json!({"username": "eve"}));
        assert_eq!(
            value["responseStatus"],
            json!({"metadata": {}, "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401})
        );
    }

    #[test]
    fn reads_as_upstreams_text() {
        let line = |event: &Event| String::from_utf8(event.line(Format::Legacy)).unwrap();
        assert_eq!(
            line(&event()),
            "2026-01-02T03:04:05.5Z AUDIT: id=\"id-1\" stage=\"ResponseComplete\" ip=\"10.0.0.1\" method=\"create\" \
             user=\"bob\" groups=\"\\\"g \\\\\\\"1\\\\\\\"\\\",\\\"g2\\\"\" as=\"<self>\" asgroups=\"<lookup>\" \
             user-agent=\"kubectl\\x07\" namespace=\"a\" uri=\"/api/v1/namespaces/a/pods?dryRun=All\" \
             response=\"201\"\n"
        );
        let nobody = Event {
            user: User::default(),
            source_ips: Vec::new(),
            object: None,
            response_status: None,
            ..event()
        };
        assert!(
            line(&nobody).contains("ip=\"<unknown>\" method=\"create\" user=\"<none>\" groups=\"<none>\"")
        );
        assert!(line(&nobody).contains("namespace=\"<none>\" uri="));
        assert!(line(&nobody).ends_with("response=\"<deferred>\"\n"));
    }

    #[test]
    fn prints_durations_as_go() {
        for (nanos, text) in [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (501_200_000, "501.2ms"),
            (1_000_000_000, "1s"),
            (62_500_000_000, "1m2.5s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }
}
