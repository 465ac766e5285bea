//! What a `CertificateSigningRequest` must be like, in upstream's words.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::field_error::FieldError;
use kube_object::names;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use super::LEGACY_UNKNOWN;
use super::parse::{ParseError, Request};
use super::sign::conditions;
use crate::rbac::index::str_at;

/// What is wrong with a new request; names and labels are not looked at.
pub fn validate_create(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = str_at(object, &["spec", "request"]);
    // A wrong signature makes the signer fail, as upstream has it.
    if let Err(error) = Request::parse(text)
        && error != ParseError::Signature
    {
        errors.push(FieldError::invalid("spec.request", text, error.to_string()));
    }
    errors.extend(usage_errors(object));
    let signer = str_at(object, &["spec", "signerName"]);
    if signer == LEGACY_UNKNOWN {
        let words = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid("spec.signerName", signer, words));
    } else {
        errors.extend(signer_errors(signer));
    }
    let seconds = object.get("spec").and_then(|spec| spec.get("expirationSeconds")).and_then(Value::as_i64);
    if let Some(seconds) = seconds.filter(|seconds| *seconds < EXPIRATION_MIN_SECONDS) {
        let words = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid("spec.expirationSeconds", seconds, words));
    }
    errors.extend(condition_errors(object));
    errors
}

/// What is wrong with a changed request: its status, or its approval.
pub fn validate_update(new: &Value, old: &Value, subresource: &str) -> Vec<FieldError> {
    let mut errors = condition_errors(new);
    let has = |object: &Value, kind: &str| -> Vec<Value> {
        let all = conditions(object).iter();
        all.filter(|condition| str_at(condition, &["type"]) == kind).cloned().collect()
    };
    if subresource != "approval" {
        for kind in ["Approved", "Denied"] {
            if has(new, kind) != has(old, kind) {
                let words = format!("updates may not modify a condition of type \"{kind}\"");
                errors.push(FieldError::forbidden("status.conditions", words));
            }
        }
    } else {
        for kind in ["Approved", "Denied", "Failed"] {
            if has(new, kind).len() < has(old, kind).len() {
                let words = format!("updates may not remove a condition of type \"{kind}\"");
                errors.push(FieldError::forbidden("status.conditions", words));
            }
        }
    }
    let certificate = |object| str_at(object, &["status", "certificate"]).to_owned();
    if certificate(new) != certificate(old) {
        if subresource != "status" {
            errors
                .push(FieldError::forbidden("status.certificate", "updates may not set certificate content"));
        } else if !certificate(old).is_empty() {
            let words = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden("status.certificate", words));
        } else {
            errors.extend(certificate_errors(&certificate(new)));
        }
    }
    errors
}

/// PEM certificates and nothing else.
fn certificate_errors(base64: &str) -> Option<FieldError> {
    let invalid = |words: &str| {
        // The content is not shown, as upstream has it.
        Some(FieldError::invalid("status.certificate", "<certificate data>", words))
    };
    let pem = STANDARD.decode(base64).unwrap_or_default();
    let mut certificates = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let parsed = certificate.is_ok_and(|der| {
            x509_parser::parse_x509_certificate(&der).is_ok_and(|(rest, _)| rest.is_empty())
        });
        if !parsed {
            return invalid("must contain parseable CERTIFICATE PEM blocks");
        }
        certificates += 1;
    }
    if certificates == 0 { invalid("must contain at least one CERTIFICATE PEM block") } else { None }
}

fn usage_errors(object: &Value) -> Vec<FieldError> {
    let usages = super::sign::usages(object);
    if usages.is_empty() {
        return vec![FieldError::required("spec.usages", "")];
    }
    let mut seen = BTreeSet::new();
    let mut errors = Vec::new();
    for (at, usage) in usages.into_iter().enumerate() {
        let field = format!("spec.usages[{at}]");
        if !seen.insert(usage) {
            errors.push(FieldError::duplicate(&field, usage));
        }
        if !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(&field, usage, USAGES));
        }
    }
    errors
}

fn signer_errors(signer: &str) -> Vec<FieldError> {
    let field = "spec.signerName";
    if signer.is_empty() {
        return vec![FieldError::required(field, "")];
    }
    let invalid = |words: String| vec![FieldError::invalid(field, signer, words)];
    let Some((domain, path)) = signer.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        return invalid(
            "must be a fully qualified domain and path of the form 'example.com/signer-name'".into(),
        );
    };
    let mut errors = Vec::new();
    for words in names::dns1123_subdomain(domain) {
        let words = format!("validating label {domain:?}: {words}");
        errors.push(FieldError::invalid(field, signer, words));
    }
    if !domain.contains('.') {
        let words = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(field, signer, words));
    }
    for words in names::dns1123_subdomain(path) {
        errors.push(FieldError::invalid(field, signer, format!("validating label {path:?}: {words}")));
    }
    errors
}

fn condition_errors(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    let mut decided = None;
    for (at, condition) in conditions(object).iter().enumerate() {
        let field = format!("status.conditions[{at}]");
        let kind = str_at(condition, &["type"]);
        let status = str_at(condition, &["status"]);
        if kind.is_empty() {
            errors.push(FieldError::required(format!("{field}.type"), ""));
        }
        match (status, kind) {
            ("", _) => errors.push(FieldError::required(format!("{field}.status"), "")),
            ("True", _) => {}
            (other, "Approved" | "Denied" | "Failed") => {
                errors.push(FieldError::not_supported(format!("{field}.status"), other, &["True"]));
            }
            ("False" | "Unknown", _) => {}
            (other, _) => errors.push(FieldError::not_supported(
                format!("{field}.status"),
                other,
                &["True", "False", "Unknown"],
            )),
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(format!("{field}.type"), kind));
        }
        if matches!(kind, "Approved" | "Denied") {
            if decided.is_some_and(|before| before != kind) {
                let words = "Approved and Denied conditions are mutually exclusive";
                errors.push(FieldError::invalid(format!("{field}.type"), kind, words));
            }
            decided.get_or_insert(kind);
        }
    }
    errors
}

const EXPIRATION_MIN_SECONDS: i64 = 600;
const USAGES: &[&str] = &[
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "key agreement",
    "data encipherment",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
    "any",
    "server auth",
    "client auth",
    "code signing",
    "email protection",
    "s/mime",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "timestamping",
    "ocsp signing",
    "microsoft sgc",
    "netscape sgc",
];
