//! Groups of the Kubernetes community ask for an approval in an annotation.

use kube_object::field_error::FieldError;
use serde_json::Value;

/// What the annotation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    Approved,
    Bypassed,
    Missing,
    Invalid,
}

/// The approval of a definition in a protected group, and the words for it.
pub(crate) fn of(crd: &Value) -> Option<(Approval, String)> {
    let group = crd.pointer("/spec/group").and_then(Value::as_str).unwrap_or_default();
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    if !protected {
        return None;
    }
    let text = annotation(crd);
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    Some(if text.is_empty() {
        (Approval::Missing, format!("protected groups must have approval annotation {ANNOTATION:?}, {see}"))
    } else if text.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {text:?}"))
    } else if is_url(text) {
        (Approval::Approved, format!("approved in {text}"))
    } else {
        let words = "with either a URL or a reason starting with \"unapproved\"";
        (
            Approval::Invalid,
            format!("protected groups must have approval annotation {ANNOTATION:?} {words}, {see}"),
        )
    })
}

pub(super) fn check(crd: &Value, old: Option<&Value>) -> Option<FieldError> {
    let (approval, words) = of(crd)?;
    if old.and_then(of).is_some_and(|(before, _)| before == approval) {
        return None;
    }
    let path = format!("metadata.annotations[{ANNOTATION}]");
    match approval {
        Approval::Approved | Approval::Bypassed => None,
        Approval::Missing => Some(FieldError::required(path, words)),
        Approval::Invalid => Some(FieldError::invalid(path, annotation(crd), words)),
    }
}

fn annotation(crd: &Value) -> &str {
    let annotations = crd.pointer("/metadata/annotations");
    annotations.and_then(|all| all.get(ANNOTATION)).and_then(Value::as_str).unwrap_or_default()
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let named = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    named && !rest.is_empty() && !rest.starts_with('/') && !text.contains(char::is_whitespace)
}

const ANNOTATION: &str = "api-approved.kubernetes.io";
