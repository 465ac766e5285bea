//! Signing an approved request, by the rules of its signer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube_object::time::Time;
use serde_json::{Value, json};

use super::issue::{IssueError, Signer, Terms};
use super::parse::Request;
use super::{CLIENT, CLIENT_KUBELET, KUBELET_SERVING, LEGACY_UNKNOWN};
use crate::rbac::index::str_at;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing to do: not approved, denied, failed, signed already, or not our signer's.
    Nothing,
    /// The object with its certificate: write its status.
    Signed(Value),
    /// The object with a `Failed` condition: write its status.
    Failed(Value),
}

/// Signs an approved request for one of the `kubernetes.io` signers. `serial` is random;
/// certificates live `lifetime_seconds`, or less if the request says so.
pub fn sign(
    object: &Value,
    signer: &Signer,
    lifetime_seconds: i64,
    serial: [u8; 16],
    now: Timestamp,
) -> Result<Outcome, IssueError> {
    if !is_approved(object)
        || has_condition(object, "Failed")
        || !str_at(object, &["status", "certificate"]).is_empty()
    {
        return Ok(Outcome::Nothing);
    }
    let usages = usages(object);
    let checked = Request::parse(str_at(object, &["spec", "request"]))
        .map_err(|error| error.to_string())
        .and_then(|request| match str_at(object, &["spec", "signerName"]) {
            CLIENT => check_client(&usages).map(|()| Some(request)),
            CLIENT_KUBELET => check_kubelet_client(&request, &usages).map(|()| Some(request)),
            KUBELET_SERVING => check_kubelet_serving(&request, &usages).map(|()| Some(request)),
            LEGACY_UNKNOWN => Ok(Some(request)),
            _ => Ok(None),
        });
    let request = match checked {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(Outcome::Nothing),
        Err(why) => return Ok(Outcome::Failed(failed(object, &why, now))),
    };
    let wanted = object.get("spec").and_then(|spec| spec.get("expirationSeconds")).and_then(Value::as_i64);
    let lifetime_seconds =
        wanted.map_or(lifetime_seconds, |wanted| wanted.clamp(600, lifetime_seconds.max(600)));
    let pem = signer.issue(&request, &Terms { usages, lifetime_seconds, serial, now })?;
    let mut signed = object.clone();
    set_status(&mut signed, "certificate", json!(STANDARD.encode(pem)));
    Ok(Outcome::Signed(signed))
}

/// Approved and not denied.
pub(super) fn is_approved(object: &Value) -> bool {
    has_condition(object, "Approved") && !has_condition(object, "Denied")
}

pub(super) fn has_condition(object: &Value, kind: &str) -> bool {
    conditions(object).iter().any(|condition| str_at(condition, &["type"]) == kind)
}

pub(super) fn conditions(object: &Value) -> &[Value] {
    let found = object.get("status").and_then(|status| status.get("conditions")).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

/// The object with one more condition.
pub(super) fn with_condition(
    object: &Value,
    kind: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Value {
    let now = Time::from_unix(now.as_second()).map(|time| time.to_string());
    let mut all = conditions(object).to_vec();
    all.push(json!({"type": kind, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now}));
    let mut object = object.clone();
    set_status(&mut object, "conditions", Value::Array(all));
    object
}

/// What the certificate is to be used for.
pub(super) fn usages(object: &Value) -> Vec<&str> {
    let usages = object.get("spec").and_then(|spec| spec.get("usages")).and_then(Value::as_array);
    usages.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether it is a kubelet's own request for a client certificate; else why not.
pub(super) fn check_kubelet_client(request: &Request, usages: &[&str]) -> Result<(), String> {
    check_node_subject(request)?;
    for (count, words) in [
        (request.dns_names.len(), "DNS subjectAltNames are not allowed"),
        (request.emails, "email subjectAltNames are not allowed"),
        (request.ip_addresses.len(), "IP subjectAltNames are not allowed"),
        (request.uris, "URI subjectAltNames are not allowed"),
    ] {
        if count > 0 {
            return Err(words.to_owned());
        }
    }
    check_node_name(request)?;
    check_usages(usages, "client auth")
}

/// Whether it is a kubelet's own request for a serving certificate; else why not.
pub(super) fn check_kubelet_serving(request: &Request, usages: &[&str]) -> Result<(), String> {
    check_node_subject(request)?;
    if request.dns_names.is_empty() && request.ip_addresses.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if request.emails > 0 {
        return Err("email subjectAltNames are not allowed".to_owned());
    }
    if request.uris > 0 {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    check_node_name(request)?;
    check_usages(usages, "server auth")
}

fn check_client(usages: &[&str]) -> Result<(), String> {
    if !usages.contains(&"client auth") {
        return Err(format!("expected usages to include \"client auth\", got {usages:?}"));
    }
    let allowed = ["digital signature", "key encipherment", "client auth"];
    match usages.iter().find(|usage| !allowed.contains(usage)) {
        Some(_) => Err(format!("usages did not match {allowed:?}")),
        None => Ok(()),
    }
}

fn check_node_subject(request: &Request) -> Result<(), String> {
    if request.organizations == ["system:nodes"] {
        return Ok(());
    }
    Err("subject organization is not system:nodes".to_owned())
}

fn check_node_name(request: &Request) -> Result<(), String> {
    if request.common_name.starts_with("system:node:") {
        return Ok(());
    }
    Err("subject common name does not begin with system:node: ".to_owned())
}

/// Exactly this one, with `digital signature` and perhaps `key encipherment`.
fn check_usages(usages: &[&str], purpose: &str) -> Result<(), String> {
    let mut sorted = usages.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut expected = vec![purpose, "digital signature"];
    expected.sort_unstable();
    let mut with_rsa = vec![purpose, "digital signature", "key encipherment"];
    with_rsa.sort_unstable();
    if sorted == expected || sorted == with_rsa {
        return Ok(());
    }
    Err(format!("usages did not match [{}]", with_rsa.join(" ")))
}

fn failed(object: &Value, why: &str, now: Timestamp) -> Value {
    with_condition(object, "Failed", "SignerValidationFailure", why, now)
}

fn set_status(object: &mut Value, field: &str, value: Value) {
    let Some(map) = object.as_object_mut() else { return };
    let status = map.entry("status").or_insert_with(|| json!({}));
    if !status.is_object() {
        *status = json!({});
    }
    if let Some(status) = status.as_object_mut() {
        status.insert(field.to_owned(), value);
    }
}
