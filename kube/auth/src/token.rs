//! Tokens for service accounts: `TokenRequest`, the key set and the issuer's description.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::field_error::FieldError;
use kube_object::resource::{GroupKind, GroupResource};
use kube_object::status::Status;
use kube_object::time::Time;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value, json};

use crate::authn::jwt::{KeyError, SigningKey, VerifyingKey};
use crate::rbac::index::str_at;

/// What tokens are signed with, and what they say of us.
pub struct Issuer<'a> {
    /// The key.
    pub key: &'a SigningKey,
    /// The issuer in `iss`.
    pub url: &'a str,
    /// The audiences of who asks for none.
    pub audiences: &'a [String],
    /// The longest a token may live, in seconds; none is what the API allows.
    pub expiration_max_seconds: Option<i64>,
    /// Whether a token of one hour for a pod lives a year, for clients that never read it again.
    pub extend_expiration: bool,
}

/// An issuer that owns what it needs, and looks up the node and the random id itself.
#[derive(Debug)]
pub struct Maker {
    /// The key.
    pub key: SigningKey,
    /// The issuer in `iss`.
    pub url: String,
    /// The audiences of who asks for none.
    pub audiences: Vec<String>,
    /// The longest a token may live, in seconds.
    pub expiration_max_seconds: Option<i64>,
}

impl Maker {
    /// Answers a `TokenRequest` for an account; `object` is what `bound_object` names, if it exists.
    pub fn issue(
        &self,
        cluster: &dyn Cluster,
        account: &Value,
        object: Option<&Value>,
        body: &Value,
        now: Timestamp,
    ) -> Result<Value, Status> {
        let issuer = Issuer {
            key: &self.key,
            url: &self.url,
            audiences: &self.audiences,
            expiration_max_seconds: self.expiration_max_seconds,
            extend_expiration: true,
        };
        let node = object.map(|object| str_at(object, &["spec", "nodeName"])).unwrap_or_default();
        let node = cluster.get(&GroupResource::new("", "nodes"), "", node).filter(|_| !node.is_empty());
        let bound = Bound { account, object, node: node.as_deref() };
        request(&issuer, &bound, body, &random_id()?, now)
    }
}

/// A random UUID, RFC 9562 version 4.
fn random_id() -> Result<String, Status> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Status::internal("no random bytes"))?;
    let bits = u128::from_be_bytes(bytes);
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (4 << 76) | (2 << 62);
    let mut text = format!("{bits:032x}");
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    Ok(text)
}

/// What a request is about, besides the request.
pub struct Bound<'a> {
    /// The service account.
    pub account: &'a Value,
    /// The object that `spec.boundObjectRef` names, if it exists.
    pub object: Option<&'a Value>,
    /// The node of a pod that is the bound object, if it exists.
    pub node: Option<&'a Value>,
}

/// What `spec.boundObjectRef` names: which resource, and the name. An error for other kinds.
pub fn bound_object(request: &Value) -> Result<Option<(GroupResource, &str)>, Status> {
    let Some(reference) = bound_reference(request) else { return Ok(None) };
    let field = |name| str_at(reference, &[name]);
    let resource = match (field("apiVersion"), field("kind")) {
        ("v1", "Pod") => "pods",
        ("v1", "Node") => "nodes",
        ("v1", "Secret") => "secrets",
        (version, kind) => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let shown = match (group, version) {
                ("", version) => format!("/{version}, Kind={kind}"),
                (group, version) => format!("{group}/{version}, Kind={kind}"),
            };
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount to object of type {shown}"
            )));
        }
    };
    Ok(Some((GroupResource::new("", resource), field("name"))))
}

/// Makes the token: the request with its `status`. `id` is random, the token's `jti`.
pub fn request(
    issuer: &Issuer<'_>,
    bound: &Bound<'_>,
    request: &Value,
    id: &str,
    now: Timestamp,
) -> Result<Value, Status> {
    let (namespace, name) = names(bound.account);
    check_metadata(request, namespace, name)?;
    let errors = validate(request);
    if !errors.is_empty() {
        let kind = GroupKind::new("authentication.k8s.io", "TokenRequest");
        return Err(Status::invalid(&kind, str_at(request, &["metadata", "name"]), &errors));
    }
    let mut ours = Map::new();
    ours.insert("namespace".into(), json!(namespace));
    ours.insert("serviceaccount".into(), reference(bound.account));
    check_bound(bound, request, &mut ours)?;
    let mut audiences = strings(request, "audiences");
    if audiences.is_empty() {
        audiences = issuer.audiences.to_vec();
    }
    let lifetime =
        seconds_wanted(request).min(issuer.expiration_max_seconds.unwrap_or(EXPIRATION_MAX_SECONDS));
    let start = now.as_second();
    let extends = issuer.extend_expiration
        && ours.contains_key("pod")
        && lifetime == WARN_AFTER_SECONDS
        && audiences.iter().all(|audience| issuer.audiences.contains(audience));
    let expires = start + if extends { EXTENDED_SECONDS } else { lifetime };
    if extends {
        ours.insert("warnafter".into(), json!(start + lifetime));
    }
    let claims = json!({
        "aud": audiences, "exp": expires, "iat": start, "nbf": start, "iss": issuer.url, "jti": id,
        "sub": format!("system:serviceaccount:{namespace}:{name}"), "kubernetes.io": ours,
    });
    let token = issuer.key.sign(&claims).map_err(|error| Status::internal(error.to_string()))?;
    // The client is told the time that it asked for, so that it renews in time.
    let shown = Time::from_unix(start + lifetime).map(|time| time.to_string()).unwrap_or_default();
    Ok(answer(
        request,
        (namespace, name),
        &audiences,
        lifetime,
        now,
        &json!({"token": token, "expirationTimestamp": shown}),
    ))
}

/// A token without end for a secret of type `kubernetes.io/service-account-token`.
pub fn legacy(key: &SigningKey, account: &Value, secret: &Value) -> Result<String, KeyError> {
    let (namespace, name) = names(account);
    key.sign(&json!({
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": str_at(secret, &["metadata", "name"]),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": str_at(account, &["metadata", "uid"]),
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    }))
}

/// What a secret of type `kubernetes.io/service-account-token` lacks: its `data`, if it is for
/// this account and anything is missing.
pub fn secret_data(
    key: &SigningKey,
    authority_pem: &str,
    account: &Value,
    secret: &Value,
) -> Result<Option<Value>, KeyError> {
    let annotation = |name: &str| {
        str_at(secret, &["metadata", "annotations", &format!("kubernetes.io/service-account.{name}")])
    };
    let (namespace, name) = names(account);
    let uid = str_at(account, &["metadata", "uid"]);
    let ours = str_at(secret, &["type"]) == "kubernetes.io/service-account-token"
        && annotation("name") == name
        && (annotation("uid").is_empty() || annotation("uid") == uid);
    if !ours {
        return Ok(None);
    }
    let mut data = secret.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
    let before = data.clone();
    data.insert("ca.crt".into(), json!(STANDARD.encode(authority_pem)));
    data.insert("namespace".into(), json!(STANDARD.encode(namespace)));
    if data.get("token").and_then(Value::as_str).is_none_or(str::is_empty) {
        data.insert("token".into(), json!(STANDARD.encode(legacy(key, account, secret)?)));
    }
    Ok((data != before).then_some(Value::Object(data)))
}

/// The keys that tokens can be verified with: `/openid/v1/jwks`.
pub fn jwks(keys: &[VerifyingKey]) -> Value {
    json!({"keys": keys.iter().map(VerifyingKey::to_jwk).collect::<Vec<_>>()})
}

/// The issuer's description: `/.well-known/openid-configuration`.
pub fn openid_configuration(issuer: &str, jwks_uri: &str, keys: &[VerifyingKey]) -> Value {
    let mut algorithms: Vec<_> = keys.iter().map(VerifyingKey::algorithm).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    json!({
        "issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": algorithms,
    })
}

fn validate(request: &Value) -> Vec<FieldError> {
    let field = "spec.expirationSeconds";
    match seconds_wanted(request) {
        short if short < EXPIRATION_MIN_SECONDS => {
            vec![FieldError::invalid(field, short, "may not specify a duration less than 10 minutes")]
        }
        long if long > EXPIRATION_MAX_SECONDS => {
            vec![FieldError::invalid(field, long, "may not specify a duration larger than 2^32 seconds")]
        }
        _ => Vec::new(),
    }
}

/// The name and namespace in the body, if any, are those in the path.
fn check_metadata(request: &Value, namespace: &str, name: &str) -> Result<(), Status> {
    for (field, wanted, what) in [("name", name, "name"), ("namespace", namespace, "namespace")] {
        let given = str_at(request, &["metadata", field]);
        if !given.is_empty() && given != wanted {
            return Err(Status::bad_request(format!(
                "the {what} in the body ({given}) does not match the {what} in the URL ({wanted})"
            )));
        }
    }
    Ok(())
}

fn check_bound(bound: &Bound<'_>, request: &Value, ours: &mut Map<String, Value>) -> Result<(), Status> {
    let Some((resource, name)) = bound_object(request)? else { return Ok(()) };
    let Some(object) = bound.object else { return Err(Status::not_found(&resource, name)) };
    let (namespace, account) = names(bound.account);
    if resource.resource == "pods" {
        let of_pod = str_at(object, &["spec", "serviceAccountName"]);
        if of_pod != account {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
            )));
        }
        let node = str_at(object, &["spec", "nodeName"]);
        if let Some(found) = bound.node {
            ours.insert("node".into(), reference(found));
        } else if !node.is_empty() {
            // A node that is not registered has no identity.
            ours.insert("node".into(), json!({"name": node}));
        }
    }
    if resource.resource != "nodes" && str_at(object, &["metadata", "namespace"]) != namespace {
        return Err(Status::not_found(&resource, name));
    }
    let wanted = bound_reference(request).map(|reference| str_at(reference, &["uid"])).unwrap_or_default();
    let actual = str_at(object, &["metadata", "uid"]);
    if !wanted.is_empty() && wanted != actual {
        return Err(Status::conflict(
            &resource,
            name,
            format!(
                "the UID in the bound object reference ({wanted}) does not match the UID in record. The \
                 object might have been deleted and then recreated"
            ),
        ));
    }
    let claim = resource.resource.trim_end_matches('s');
    ours.insert(claim.to_owned(), reference(object));
    Ok(())
}

fn answer(
    request: &Value,
    (namespace, name): (&str, &str),
    audiences: &[String],
    lifetime: i64,
    now: Timestamp,
    status: &Value,
) -> Value {
    let mut meta = request.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let created = Time::from_unix(now.as_second()).map(|time| time.to_string()).unwrap_or_default();
    meta.insert("name".into(), json!(name));
    meta.insert("namespace".into(), json!(namespace));
    meta.insert("creationTimestamp".into(), json!(created));
    let reference = bound_reference(request).cloned().unwrap_or(Value::Null);
    let api_version = request.get("apiVersion").and_then(Value::as_str).unwrap_or("authentication.k8s.io/v1");
    json!({
        "apiVersion": api_version, "kind": "TokenRequest", "metadata": meta, "status": status,
        "spec": {"audiences": audiences, "expirationSeconds": lifetime, "boundObjectRef": reference},
    })
}

fn bound_reference(request: &Value) -> Option<&Value> {
    request.get("spec")?.get("boundObjectRef").filter(|reference| !reference.is_null())
}

fn seconds_wanted(request: &Value) -> i64 {
    let wanted = request.get("spec").and_then(|spec| spec.get("expirationSeconds"));
    wanted.and_then(Value::as_i64).unwrap_or(EXPIRATION_DEFAULT_SECONDS)
}

fn strings(request: &Value, field: &str) -> Vec<String> {
    let items = request.get("spec").and_then(|spec| spec.get(field)).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn names(account: &Value) -> (&str, &str) {
    (str_at(account, &["metadata", "namespace"]), str_at(account, &["metadata", "name"]))
}

fn reference(object: &Value) -> Value {
    json!({"name": str_at(object, &["metadata", "name"]), "uid": str_at(object, &["metadata", "uid"])})
}

const EXPIRATION_DEFAULT_SECONDS: i64 = 3600;
const EXPIRATION_MIN_SECONDS: i64 = 600;
const EXPIRATION_MAX_SECONDS: i64 = 1 << 32;
/// What the token of a pod's own volume asks for: an hour and seven seconds.
const WARN_AFTER_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;
