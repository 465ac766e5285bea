//! Rules of certificate signing requests and trust bundles.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{immutable, no_subresource, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{items, same, text};

pub(super) const REQUEST: Rules = Rules {
    name: |_, _| Vec::new(),
    create: |_, object, errors| request(object, errors),
    update: |_, new, old, errors| change(new, old, "", errors),
    subresource: |_, subresource, new, old, errors| change(new, old, subresource, errors),
};
pub(super) const BUNDLE: Rules =
    Rules { name: bundle_name, create: bundle, update: bundle_update, subresource: no_subresource };
pub(super) const POD_REQUEST: Rules = Rules {
    name: subdomain_name,
    create: pod_request,
    update: |_, new, old, errors| immutable(&new["spec"], &old["spec"], &SPEC, errors),
    subresource: no_subresource,
};

const SPEC: PathRef<'static> = PathRef::Root("spec");
const SECONDS_MIN: i64 = 600;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

fn request(object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    if !is_pem(text(&spec["request"]), "CERTIFICATE REQUEST") {
        let why = "PEM block type must be CERTIFICATE REQUEST";
        errors.push(FieldError::invalid(SPEC.child("request"), spec["request"].clone(), why));
    }
    let path = SPEC.child("usages");
    required(&spec["usages"], "", &path, errors);
    let mut seen = BTreeSet::new();
    for (at, usage) in items(&spec["usages"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let usage = text(usage);
        if !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(path.index(at), usage, &USAGES));
        }
        if !seen.insert(usage) {
            errors.push(FieldError::duplicate(path.index(at), usage));
        }
    }
    let signer = text(&spec["signerName"]);
    if signer == "kubernetes.io/legacy-unknown" {
        let why = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(SPEC.child("signerName"), signer, why));
    } else {
        signer_name(signer, &SPEC.child("signerName"), errors);
    }
    let seconds = &spec["expirationSeconds"];
    if seconds.as_i64().is_some_and(|seconds| seconds < SECONDS_MIN) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(SPEC.child("expirationSeconds"), seconds.clone(), why));
    }
    conditions(object, errors);
}

/// Whether a value in base64 is a block of this type.
fn is_pem(value: &str, kind: &str) -> bool {
    let bytes = STANDARD.decode(value).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let start = format!("-----BEGIN {kind}-----");
    text.lines().any(|line| line.trim_end() == start)
}

/// A signer: a domain, and a path below it.
pub(super) fn signer_name(signer: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if signer.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let Some((domain, rest)) = signer.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, signer, why));
        return;
    };
    for fault in names::dns1123_subdomain(domain) {
        let why = format!("validating label {domain:?}: {fault}");
        errors.push(FieldError::invalid(path, domain, why));
    }
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, why));
    }
    for fault in names::dns1123_subdomain(rest) {
        errors.push(FieldError::invalid(path, signer, format!("validating label {rest:?}: {fault}")));
    }
    if signer.len() > SIGNER_LEN_MAX {
        errors.push(FieldError::too_long(path, SIGNER_LEN_MAX));
    }
}

const SIGNER_LEN_MAX: usize = 571;

fn conditions(object: &Value, errors: &mut Errors) {
    let path = PathRef::Root("status.conditions");
    let mut seen = BTreeSet::new();
    for (at, condition) in items(&object["status"]["conditions"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        let (kind, status) = (text(&condition["type"]), text(&condition["status"]));
        required(&condition["type"], "", &path.child("type"), errors);
        let decided = matches!(kind, "Approved" | "Denied" | "Failed");
        let known: &[&str] = if decided { &["True"] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            errors.push(FieldError::required(path.child("status"), ""));
        } else if !known.contains(&status) {
            errors.push(FieldError::not_supported(path.child("status"), status, known));
        }
        let other = if kind == "Approved" { "Denied" } else { "Approved" };
        if matches!(kind, "Approved" | "Denied") && seen.contains(other) {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(path.child("type"), kind, why));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(path.child("type"), kind));
        }
    }
}

fn of_type<'a>(object: &'a Value, kind: &str) -> Vec<&'a Value> {
    items(&object["status"]["conditions"]).iter().filter(|one| text(&one["type"]) == kind).collect()
}

fn change(new: &Value, old: &Value, subresource: &str, errors: &mut Errors) {
    request(new, errors);
    let path = PathRef::Root("status.conditions");
    for kind in ["Approved", "Denied", "Failed"] {
        let (after, before) = (of_type(new, kind), of_type(old, kind));
        if after.len() < before.len() {
            let why = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(path, why));
        } else if subresource != "approval" && kind != "Failed" && after != before {
            let word = if after.len() > before.len() { "add" } else { "modify" };
            let why = format!("updates may not {word} a condition of type {kind:?}");
            errors.push(FieldError::forbidden(path, why));
        }
    }
    let (after, before) = (&new["status"]["certificate"], &old["status"]["certificate"]);
    if same(after, before) {
        return;
    }
    if subresource != "status" {
        errors.push(FieldError::forbidden("status.certificate", "updates may not set certificate content"));
    } else if !text(before).is_empty() {
        let why = "updates may not modify existing certificate content";
        errors.push(FieldError::forbidden("status.certificate", why));
    } else if !is_pem(text(after), "CERTIFICATE") {
        let why = "must contain at least one PEM block";
        errors.push(FieldError::invalid("status.certificate", "<certificate data>", why));
    }
}

fn bundle_name(name: &str, prefix: bool) -> Vec<String> {
    let last = name.rsplit(':').next().unwrap_or(name);
    subdomain_name(last, prefix)
}

const BUNDLE_BYTES_MAX: usize = 1024 * 1024;

fn bundle(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (signer, name) = (text(&object["spec"]["signerName"]), text(&object["metadata"]["name"]));
    if signer.is_empty() {
        if name.contains(':') {
            let why = "ClusterTrustBundle without signer name must not have \":\" in its name";
            errors.push(FieldError::invalid("metadata.name", name, why));
        }
    } else {
        let start = format!("{}:", signer.replace('/', ":"));
        if !name.starts_with(&start) {
            let why = format!("ClusterTrustBundle for signerName {signer} must be named with prefix {start}");
            errors.push(FieldError::invalid("metadata.name", name, why));
        }
        signer_name(signer, &SPEC.child("signerName"), errors);
    }
    let (bundle, path) = (text(&object["spec"]["trustBundle"]), SPEC.child("trustBundle"));
    if bundle.len() > BUNDLE_BYTES_MAX {
        errors.push(FieldError::too_long(path, BUNDLE_BYTES_MAX));
    } else if !bundle.contains("-----BEGIN CERTIFICATE-----") {
        let why = "at least one trust anchor must be provided";
        errors.push(FieldError::invalid(path, "<value omitted>", why));
    }
}

fn bundle_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    bundle(gvk, new, errors);
    let signers = (&new["spec"]["signerName"], &old["spec"]["signerName"]);
    immutable(signers.0, signers.1, &SPEC.child("signerName"), errors);
}

fn pod_request(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    signer_name(text(&spec["signerName"]), &SPEC.child("signerName"), errors);
    for name in ["podName", "serviceAccountName", "nodeName"] {
        let value = text(&spec[name]);
        wrong(value, names::dns1123_subdomain(value), &SPEC.child(name), errors);
    }
    for name in ["podUID", "serviceAccountUID", "nodeUID"] {
        required(&spec[name], "must not be empty", &SPEC.child(name), errors);
    }
}
