//! Tokens of service accounts: what they claim, and whether what they are bound to still is.
//!
//! The signature has been verified before; here the account, the pod, the secret and the node
//! are looked up, so that deleting one of them ends the token.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::time::Time;
use kube_object::user::User;
use serde_json::Value;

use super::TokenError;
use crate::rbac::index::{str_at, text_at};

/// Checks the times of a token: `exp`, `nbf` and `iat`, with a minute of grace.
pub(super) fn check_times(claims: &Value, now: Timestamp) -> Result<(), TokenError> {
    let at = |field: &str| claims.get(field).and_then(as_seconds);
    let now = now.as_second();
    if at("exp").is_some_and(|exp| now.saturating_sub(LEEWAY_SECONDS) > exp) {
        return Err(TokenError::Expired);
    }
    if at("nbf").is_some_and(|nbf| now.saturating_add(LEEWAY_SECONDS) < nbf) {
        return Err(TokenError::NotYetValid);
    }
    if at("iat").is_some_and(|iat| now.saturating_add(LEEWAY_SECONDS) < iat) {
        return Err(TokenError::FromTheFuture);
    }
    Ok(())
}

/// The audiences of a token.
pub(super) fn audiences(claims: &Value) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The user of a token that is bound to objects.
pub(super) fn bound_user(cluster: &dyn Cluster, claims: &Value, now: Timestamp) -> Result<User, TokenError> {
    let ours = claims.get("kubernetes.io").ok_or(TokenError::NotRecognised)?;
    let namespace = str_at(ours, &["namespace"]);
    let account = str_at(ours, &["serviceaccount", "name"]);
    let uid = str_at(ours, &["serviceaccount", "uid"]);
    if str_at(claims, &["sub"]) != format!("system:serviceaccount:{namespace}:{account}") {
        return Err(TokenError::NotRecognised);
    }
    let mut user = account_user(cluster, namespace, account, uid, now)?;
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        }
    };
    if let Some(secret) = ours.get("secret") {
        bound(cluster, "secrets", namespace, secret, now)?;
    }
    if let Some(pod) = ours.get("pod") {
        bound(cluster, "pods", namespace, pod, now)?;
        add("pod-name", str_at(pod, &["name"]));
        add("pod-uid", str_at(pod, &["uid"]));
    }
    if let Some(node) = ours.get("node") {
        // A token for a pod only says on which node it was; a token for a node ends with it.
        if ours.get("pod").is_none() {
            bound(cluster, "nodes", "", node, now)?;
        }
        add("node-name", str_at(node, &["name"]));
        add("node-uid", str_at(node, &["uid"]));
    }
    let id = str_at(claims, &["jti"]);
    if !id.is_empty() {
        add("credential-id", &format!("JTI={id}"));
    }
    Ok(user)
}

/// The user of a token out of a secret, without audience and end.
pub(super) fn legacy_user(
    cluster: &dyn Cluster,
    claims: &Value,
    token: &str,
    now: Timestamp,
) -> Result<User, TokenError> {
    let claim = |name: &str| str_at(claims, &[&format!("kubernetes.io/serviceaccount/{name}")]).to_owned();
    let (namespace, account) = (claim("namespace"), claim("service-account.name"));
    let name = claim("secret.name");
    if str_at(claims, &["sub"]) != format!("system:serviceaccount:{namespace}:{account}") {
        return Err(TokenError::NotRecognised);
    }
    let secret = cluster.get(&GroupResource::new("", "secrets"), &namespace, &name);
    let secret = secret.filter(|secret| !is_gone(secret, now)).ok_or(TokenError::Invalidated)?;
    let kept = STANDARD.decode(str_at(&secret, &["data", "token"])).unwrap_or_default();
    if !super::bootstrap_token::same(&kept, token.as_bytes()) {
        return Err(TokenError::NoMatch);
    }
    let invalid_since = str_at(&secret, &["metadata", "labels", "kubernetes.io/legacy-token-invalid-since"]);
    if !invalid_since.is_empty() {
        return Err(TokenError::MarkedInvalid {
            secret: format!("{namespace}/{name}"),
            account: format!("{namespace}/{account}"),
        });
    }
    account_user(cluster, &namespace, &account, &claim("service-account.uid"), now)
}

/// The user that a service account is.
pub fn user(namespace: &str, name: &str, uid: &str) -> User {
    User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: uid.to_owned(),
        groups: groups(namespace),
        ..User::default()
    }
}

/// The groups of a namespace's service accounts.
pub fn groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

fn account_user(
    cluster: &dyn Cluster,
    namespace: &str,
    name: &str,
    uid: &str,
    now: Timestamp,
) -> Result<User, TokenError> {
    let account = cluster.get(&GroupResource::new("", "serviceaccounts"), namespace, name);
    let account =
        account.ok_or_else(|| TokenError::NotFound { kind: "serviceaccounts", name: name.to_owned() })?;
    if is_gone(&account, now) {
        let account = format!("{namespace}/{name}");
        return Err(TokenError::AccountDeleted { account });
    }
    check_uid(&account, uid, "service account")?;
    Ok(user(namespace, name, uid))
}

fn bound(
    cluster: &dyn Cluster,
    plural: &'static str,
    namespace: &str,
    claim: &Value,
    now: Timestamp,
) -> Result<(), TokenError> {
    let found = cluster.get(&GroupResource::new("", plural), namespace, str_at(claim, &["name"]));
    let found = found.filter(|object| !is_gone(object, now)).ok_or(TokenError::Invalidated)?;
    check_uid(&found, str_at(claim, &["uid"]), plural.trim_end_matches('s'))
}

fn check_uid(object: &Value, claimed: &str, kind: &'static str) -> Result<(), TokenError> {
    let actual = text_at(object, &["metadata", "uid"]);
    if actual == claimed {
        return Ok(());
    }
    Err(TokenError::OtherUid { kind, actual, claimed: claimed.to_owned() })
}

/// Deleted for so long that nobody may still be ending in peace.
fn is_gone(object: &Value, now: Timestamp) -> bool {
    let deleted = Time::parse(str_at(object, &["metadata", "deletionTimestamp"]));
    deleted.is_ok_and(|at| at.unix().saturating_add(DELETION_GRACE_SECONDS) < now.as_second())
}

/// Whole seconds of a NumericDate, RFC 7519 section 2, which may have a fraction.
fn as_seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

/// How far clocks may be apart.
const LEEWAY_SECONDS: i64 = 60;
/// How long after its deletion time an object still counts.
const DELETION_GRACE_SECONDS: i64 = 60;
