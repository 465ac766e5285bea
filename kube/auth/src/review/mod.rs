//! The review kinds: questions that are asked by creating an object and are not kept.
//!
//! `TokenReview` asks who a token is, `SubjectAccessReview` and its kin what somebody may do,
//! `SelfSubjectRulesReview` what one may do at all, `SelfSubjectReview` who one is.

mod access;

use jiff::Timestamp;
use kube_object::status::Status;
use kube_object::time::Time;
use kube_object::user::User;
use serde_json::{Map, Value, json};

use crate::authn::Authenticator;
use crate::authorizer::Authorizer;
use crate::rbac::index::str_at;

/// Who answers a review.
pub struct Reviewer<'a> {
    /// For tokens.
    pub authenticator: &'a Authenticator,
    /// For permissions.
    pub authorizer: &'a Authorizer,
}

/// A review to answer.
pub struct Question<'a> {
    /// The kind, such as `TokenReview`.
    pub kind: &'a str,
    /// The namespace of the URL, for `LocalSubjectAccessReview`.
    pub namespace: &'a str,
    /// The body, before anything was filled in.
    pub body: &'a Value,
    /// Who asks.
    pub user: &'a User,
    /// Now.
    pub now: Timestamp,
}

/// Whether a kind is a review that `answer` knows.
pub fn is_review(group: &str, kind: &str) -> bool {
    match group {
        "authentication.k8s.io" => matches!(kind, "TokenReview" | "SelfSubjectReview"),
        "authorization.k8s.io" => matches!(
            kind,
            "SubjectAccessReview"
                | "LocalSubjectAccessReview"
                | "SelfSubjectAccessReview"
                | "SelfSubjectRulesReview"
        ),
        _ => false,
    }
}

/// The review with its `status`.
pub fn answer(reviewer: &Reviewer<'_>, question: &Question<'_>) -> Result<Value, Status> {
    let status = match question.kind {
        "TokenReview" => return token_review(reviewer.authenticator, question),
        "SubjectAccessReview" => access::subject(reviewer.authorizer, question.body)?,
        "LocalSubjectAccessReview" => access::local(reviewer.authorizer, question.body, question.namespace)?,
        "SelfSubjectAccessReview" => access::own(reviewer.authorizer, question.body, question.user)?,
        "SelfSubjectRulesReview" => {
            let namespace = str_at(question.body, &["spec", "namespace"]);
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            reviewer.authorizer.rules_for(question.user, namespace)
        }
        "SelfSubjectReview" => {
            let mut review = with_status(question.body, json!({"userInfo": user_info(question.user)}));
            let created = Time::from_unix(question.now.as_second()).map(|time| time.to_string());
            if let Some(meta) = review.get_mut("metadata").and_then(Value::as_object_mut) {
                meta.insert("creationTimestamp".into(), json!(created));
            }
            return Ok(review);
        }
        other => return Err(Status::bad_request(format!("{other} is not a review"))),
    };
    Ok(with_status(question.body, status))
}

/// `authentication.k8s.io/v1` UserInfo.
pub fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.insert(field.into(), json!(text));
        }
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), json!(user.extra));
    }
    Value::Object(info)
}

fn token_review(authenticator: &Authenticator, question: &Question<'_>) -> Result<Value, Status> {
    let token = str_at(question.body, &["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let asked = question.body.get("spec").and_then(|spec| spec.get("audiences")).and_then(Value::as_array);
    let audiences: Vec<String> =
        asked.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let status = match authenticator.review_token(token, &audiences, question.now) {
        Ok(found) => {
            let mut status = json!({"authenticated": true, "user": user_info(&found.user)});
            if !found.audiences.is_empty() {
                status["audiences"] = json!(found.audiences);
            }
            status
        }
        Err(error) => json!({"user": {}, "error": error.for_review()}),
    };
    Ok(with_status(question.body, status))
}

fn with_status(body: &Value, status: Value) -> Value {
    let mut review = body.as_object().cloned().unwrap_or_default();
    if !review.get("metadata").is_some_and(Value::is_object) {
        review.insert("metadata".into(), json!({}));
    }
    review.insert("status".into(), status);
    Value::Object(review)
}
