//! `AdmissionReview`: the question to a webhook and its answer. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::status::{Details, Status, known_reason};
use kube_object::user::User;
use serde_json::{Map, Value, json};

use crate::matching::Seen;
use crate::read::{at, is_true, items, members, text};
use crate::request::Request;

/// A webhook's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// Whether it lets the request pass.
    pub(crate) allowed: bool,
    /// Why not: a `metav1.Status`, or null.
    pub(crate) result: Value,
    /// For the client.
    pub(crate) warnings: Vec<String>,
    /// For the audit log.
    pub(crate) audit_annotations: BTreeMap<String, String>,
    /// What it changes: a JSON patch.
    pub(crate) patch: Option<Patch>,
}

/// What a webhook changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patch {
    /// `JSONPatch`.
    pub(crate) kind: String,
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
}

/// The answer is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAnswer {
    /// No JSON.
    #[error("couldn't get version/kind; json parse error: {0}")]
    Json(String),
    /// No `response`.
    #[error("webhook response was absent")]
    Absent,
    /// An answer to another question.
    #[error("expected response.uid={expected:?}, got {got:?}")]
    Uid { expected: String, got: String },
    /// Another kind of object.
    #[error("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {got}")]
    Kind { got: String },
    /// One of two that belong together.
    #[error("webhook returned response.{has} but not response.{lacks}")]
    Half { has: &'static str, lacks: &'static str },
    /// A patch that cannot be read.
    #[error("illegal base64 data in response.patch")]
    Patch,
    /// Who only judges must not change anything.
    #[error("validating webhook may not return response.{0}")]
    Changes(&'static str),
}

/// The question, as bytes of JSON.
pub(crate) fn question(
    version: &str,
    uid: &str,
    request: &Request,
    seen: &Seen,
    object: &Value,
    old: &Value,
) -> Vec<u8> {
    let mut body = attributes(request, seen);
    if let Some(members) = body.as_object_mut() {
        members.insert("uid".to_owned(), Value::from(uid));
        members.insert("object".to_owned(), object.clone());
        members.insert("oldObject".to_owned(), old.clone());
    }
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": format!("admission.k8s.io/{version}"),
        "request": body,
    });
    review.to_string().into_bytes()
}

/// All about a request but its objects: also what expressions see as `request`.
pub(crate) fn attributes(request: &Request, seen: &Seen) -> Value {
    let kind = |kind: &kube_object::resource::GroupVersionKind| json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let resource = |resource: &kube_object::resource::GroupVersionResource| json!({"group": resource.group, "version": resource.version, "resource": resource.resource});
    let mut attributes = json!({
        "kind": kind(&seen.kind),
        "resource": resource(&seen.resource),
        "requestKind": kind(&request.kind),
        "requestResource": resource(&request.resource),
        "operation": request.operation.as_str(),
        "userInfo": user_info(&request.user),
        "dryRun": request.dry_run,
        "options": request.options,
    });
    let texts = [
        ("subResource", &request.subresource),
        ("requestSubResource", &request.subresource),
        ("name", &request.name),
        ("namespace", &request.namespace),
    ];
    if let Some(attributes) = attributes.as_object_mut() {
        for (key, text) in texts {
            if !text.is_empty() {
                attributes.insert(key.to_owned(), Value::from(text.as_str()));
            }
        }
    }
    attributes
}

fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    for (key, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.insert(key.to_owned(), Value::from(text.as_str()));
        }
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(info)
}

/// Reads an answer to the question with this identity.
pub(crate) fn answer(body: &[u8], version: &str, uid: &str, mutating: bool) -> Result<Answer, InvalidAnswer> {
    let review: Value =
        serde_json::from_slice(body).map_err(|error| InvalidAnswer::Json(error.to_string()))?;
    let response = at(&review, &["response"]);
    if !response.is_object() {
        return Err(InvalidAnswer::Absent);
    }
    if version == "v1" {
        let got = text(response, &["uid"]);
        if got != uid {
            return Err(InvalidAnswer::Uid { expected: uid.to_owned(), got: got.to_owned() });
        }
        let (version, kind) = (text(&review, &["apiVersion"]), text(&review, &["kind"]));
        if (version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
            return Err(InvalidAnswer::Kind { got: format!("{version}, Kind={kind}") });
        }
    }
    let texts = items(response, &["warnings"]).iter().filter_map(Value::as_str);
    let annotations = members(response, &["auditAnnotations"])
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Ok(Answer {
        allowed: is_true(response, &["allowed"]),
        result: at(response, &["status"]).clone(),
        warnings: texts.map(str::to_owned).collect(),
        audit_annotations: annotations.collect(),
        patch: patch(response, version, mutating)?,
    })
}

fn patch(response: &Value, version: &str, mutating: bool) -> Result<Option<Patch>, InvalidAnswer> {
    let (patch, kind) = (text(response, &["patch"]), at(response, &["patchType"]).as_str());
    if version != "v1" {
        if patch.is_empty() || !mutating {
            return Ok(None);
        }
        let bytes = STANDARD.decode(patch).map_err(|_| InvalidAnswer::Patch)?;
        return Ok(Some(Patch { kind: "JSONPatch".to_owned(), bytes }));
    }
    match (mutating, patch.is_empty(), kind) {
        (false, false, _) => Err(InvalidAnswer::Changes("patch")),
        (false, true, Some(_)) => Err(InvalidAnswer::Changes("patchType")),
        (false, true, None) | (true, true, None) => Ok(None),
        (true, false, None) => Err(InvalidAnswer::Half { has: "patch", lacks: "patchType" }),
        (true, true, Some(_)) => Err(InvalidAnswer::Half { has: "patchType", lacks: "patch" }),
        (true, false, Some(kind)) => {
            let bytes = STANDARD.decode(patch).map_err(|_| InvalidAnswer::Patch)?;
            Ok(Some(Patch { kind: kind.to_owned(), bytes }))
        }
    }
}

/// The refusal that a webhook asks for.
pub(crate) fn refusal(webhook: &str, result: &Value) -> Status {
    let denied = format!("admission webhook {webhook:?} denied the request");
    let (message, reason) = (text(result, &["message"]), text(result, &["reason"]));
    let message = match (message, reason) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let code = at(result, &["code"]).as_u64().and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..600).contains(code)).unwrap_or(400);
    let mut status = Status::new(code, known_reason(reason), message);
    let details = at(result, &["details"]);
    status.details = details.is_object().then(|| Box::new(Details::of(details)));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: &Value, mutating: bool) -> String {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        match answer(review.to_string().as_bytes(), "v1", "u", mutating) {
            Ok(answer) => format!("{} {:?}", answer.allowed, answer.patch.map(|patch| patch.kind)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn answers_are_checked() {
        let patch = STANDARD.encode("[]");
        for (response, mutating, expected) in [
            (json!({"uid": "u", "allowed": true}), false, "true None"),
            (json!({"uid": "u"}), false, "false None"),
            (json!({"uid": "x", "allowed": true}), false, "expected response.uid=\"u\", got \"x\""),
            (json!(null), false, "webhook response was absent"),
            (json!({"uid": "u", "patch": patch}), false, "validating webhook may not return response.patch"),
            (
                json!({"uid": "u", "patchType": "JSONPatch"}),
                false,
                "validating webhook may not return response.patchType",
            ),
            (
                json!({"uid": "u", "patch": patch}),
                true,
                "webhook returned response.patch but not response.patchType",
            ),
            (
                json!({"uid": "u", "patchType": "JSONPatch"}),
                true,
                "webhook returned response.patchType but not response.patch",
            ),
            (
                json!({"uid": "u", "patch": "!", "patchType": "JSONPatch"}),
                true,
                "illegal base64 data in response.patch",
            ),
            (
                json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch"}),
                true,
                "true Some(\"JSONPatch\")",
            ),
        ] {
            assert_eq!(read(&response, mutating), expected);
        }
        let other = json!({"apiVersion": "v1", "kind": "Pod", "response": {"uid": "u"}});
        assert_eq!(
            answer(other.to_string().as_bytes(), "v1", "u", false).unwrap_err().to_string(),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got v1, Kind=Pod"
        );
        assert!(answer(b"<html>", "v1", "u", false).is_err());
    }

    #[test]
    fn refusals_say_who_and_why() {
        for (result, code, reason, message) in [
            (json!(null), 400, "", "admission webhook \"w\" denied the request without explanation"),
            (
                json!({"message": "no", "code": 200}),
                400,
                "",
                "admission webhook \"w\" denied the request: no",
            ),
            (
                json!({"reason": "Forbidden", "code": 403}),
                403,
                "Forbidden",
                "admission webhook \"w\" denied the request: Forbidden",
            ),
            (json!({"reason": "because"}), 400, "", "admission webhook \"w\" denied the request: because"),
        ] {
            let status = refusal("w", &result);
            assert_eq!((status.code, status.reason, status.message.as_str()), (code, reason, message));
        }
    }
}
