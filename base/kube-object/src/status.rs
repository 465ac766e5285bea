//! The answer of the API to what it does not do: `metav1.Status`.
//!
//! One constructor a case, with the words that clients know.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::field_error::FieldError;
use crate::resource::{GroupKind, GroupResource};

/// A refusal: HTTP code, reason, message and details.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// The machine's word, such as `NotFound`; empty where the API has none.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// What it is about, and why.
    pub details: Option<Box<Details>>,
}

/// `metav1.StatusDetails`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its resource, or its kind.
    pub kind: String,
    /// Its identity.
    pub uid: String,
    /// `metav1.StatusCause`s.
    pub causes: Vec<Value>,
    /// When it may be tried again.
    pub retry_after_seconds: u32,
    /// `metadata.continue`: where an expired list may go on all the same.
    pub continue_token: String,
}

impl Details {
    /// Reads what another server says.
    pub fn of(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let seconds = value.get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or(0);
        Self {
            name: text("name"),
            group: text("group"),
            kind: text("kind"),
            uid: text("uid"),
            causes: value.get("causes").and_then(Value::as_array).cloned().unwrap_or_default(),
            retry_after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            continue_token: String::new(),
        }
    }
}

/// The words that the API has for `reason`.
const REASONS: [&str; 19] = [
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "Gone",
    "Invalid",
    "ServerTimeout",
    "StoreReadError",
    "Timeout",
    "TooManyRequests",
    "BadRequest",
    "MethodNotAllowed",
    "NotAcceptable",
    "RequestEntityTooLarge",
    "UnsupportedMediaType",
    "InternalError",
    "Expired",
    "ServiceUnavailable",
];

/// A reason of the API as such; of another one nothing is left.
pub fn known_reason(reason: &str) -> &'static str {
    REASONS.into_iter().find(|known| *known == reason).unwrap_or_default()
}

/// So many faults of an object are told: a body with a fault in each of its 100,000 fields would
/// get an answer many times its size.
pub const CAUSES_MAX: usize = 500;

impl Status {
    /// A refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: nobody knows who asks.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 of admission or authorization: `pods "web" is forbidden: WHY`.
    pub fn forbidden(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} \"{name}\" is forbidden: {why}"),
        };
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found")).about(resource, name)
    }

    /// 404: there is no such path.
    pub fn no_such_path() -> Self {
        let mut status = Self::new(404, "NotFound", "the server could not find the requested resource");
        status.details = Some(Box::default());
        status
    }

    /// 405: the resource does not do that.
    pub fn method_not_allowed(resource: &GroupResource, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self::new(405, "MethodNotAllowed", message).about(resource, "")
    }

    /// 406: no representation that the client accepts.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} \"{name}\" already exists")).about(resource, name)
    }

    /// 409: it changed meanwhile, or is in a state that does not allow it.
    pub fn conflict(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// 410: the revision is compacted away.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413: the body is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415: the body is of a type that the server does not read.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422: the object is wrong, field by field; of very many faults the first [`CAUSES_MAX`] are told.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[FieldError]) -> Self {
        let mut message = format!("{kind} \"{name}\" is invalid");
        let errors = errors.get(..CAUSES_MAX).unwrap_or(errors);
        match errors {
            [] => {}
            [error] => message.push_str(&format!(": {error}")),
            errors => {
                let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
                message.push_str(&format!(": [{}]", texts.join(", ")));
            }
        }
        let mut status = Self::new(422, "Invalid", message);
        status.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors.iter().map(FieldError::to_cause).collect(),
            ..Details::default()
        }));
        status
    }

    /// 429: too much at once.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Self::new(429, "TooManyRequests", message);
        status.details = Some(Box::new(Details { retry_after_seconds, ..Details::default() }));
        status
    }

    /// 500: our fault.
    pub fn internal(message: impl fmt::Display) -> Self {
        let mut status = Self::new(500, "InternalError", format!("Internal error occurred: {message}"));
        let causes = vec![json!({"message": message.to_string()})];
        status.details = Some(Box::new(Details { causes, ..Details::default() }));
        status
    }

    /// 503: not now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504: it took too long.
    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Self::new(504, "Timeout", message);
        status.details = Some(Box::new(Details { retry_after_seconds, ..Details::default() }));
        status
    }

    /// Says which object it is about.
    #[must_use]
    pub fn about(mut self, resource: &GroupResource, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.name = name.to_owned();
        details.group = resource.group.clone();
        details.kind = resource.resource.clone();
        self
    }

    /// The object that the client gets.
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_value();
            if !details.continue_token.is_empty() {
                status["metadata"] = json!({"continue": details.continue_token});
            }
        }
        status
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        let texts = [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)];
        for (key, text) in texts {
            if !text.is_empty() {
                map.insert(key.to_owned(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            map.insert("causes".to_owned(), Value::Array(self.causes.clone()));
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".to_owned(), json!(self.retry_after_seconds));
        }
        Value::Object(map)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_not_larger_than_the_body() {
        let errors = vec![FieldError::required("spec.containers[0].name", ""); 100_000];
        let status = Status::invalid(&GroupKind::new("", "Pod"), "web", &errors);
        assert_eq!(status.details.unwrap().causes.len(), CAUSES_MAX);
        assert!(status.message.len() < 60 * CAUSES_MAX);
    }

    #[test]
    fn reads_as_upstream() {
        let pods = GroupResource::new("", "pods");
        let deployments = GroupResource::new("apps", "deployments");
        for (status, text) in [
            (Status::not_found(&deployments, "web"), "deployments.apps \"web\" not found"),
            (Status::already_exists(&pods, "web"), "pods \"web\" already exists"),
            (Status::forbidden(&pods, "web", "no"), "pods \"web\" is forbidden: no"),
            (
                Status::invalid(
                    &GroupKind::new("apps", "Deployment"),
                    "web",
                    &[FieldError::required("spec.selector", "")],
                ),
                "Deployment.apps \"web\" is invalid: spec.selector: Required value",
            ),
        ] {
            assert_eq!(status.to_string(), text);
        }
        let value = Status::not_found(&deployments, "web").to_value();
        assert_eq!(value["details"], json!({"name": "web", "group": "apps", "kind": "deployments"}));
    }
}
