//! Rules of what is answered and not kept: reviews and token requests.

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{no_change, no_subresource, nothing, required, subdomain_name};
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, items, text};

pub(super) const ACCESS: Rules =
    Rules { name: subdomain_name, create: access, update: no_change, subresource: no_subresource };
pub(super) const RULES: Rules =
    Rules { name: subdomain_name, create: rules_review, update: no_change, subresource: no_subresource };
pub(super) const TOKEN: Rules =
    Rules { name: subdomain_name, create: token_request, update: no_change, subresource: no_subresource };
pub(super) const ANY: Rules =
    Rules { name: subdomain_name, create: nothing, update: no_change, subresource: no_subresource };

/// Whether objects of a kind are answered rather than kept: they need no name.
pub(super) fn is_review(gvk: &GroupVersionKind) -> bool {
    let reviews = matches!(gvk.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io");
    reviews || matches!(gvk.kind.as_str(), "Binding" | "Eviction" | "Scale" | "DeleteOptions")
}

const SPEC: PathRef<'static> = PathRef::Root("spec");

fn access(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    const ONE: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    let spec = &object["spec"];
    let (resource, url) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_null(), url.is_null()) {
        (false, false) => {
            let why = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid(SPEC.child("nonResourceAttributes"), url.clone(), why));
        }
        (true, true) => {
            errors.push(FieldError::invalid(SPEC.child("resourceAttributes"), resource.clone(), ONE));
        }
        _ => {}
    }
    if gvk.kind != "SelfSubjectAccessReview" && is_empty(&spec["user"]) && items(&spec["groups"]).is_empty() {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(SPEC.child("user"), text(&spec["user"]), why));
    }
    if gvk.kind == "LocalSubjectAccessReview" {
        let (asked, own) = (text(&resource["namespace"]), text(&object["metadata"]["namespace"]));
        if !resource.is_null() && asked != own {
            let why = "must match metadata.namespace";
            errors.push(FieldError::invalid(SPEC.child("resourceAttributes").child("namespace"), asked, why));
        }
        if !url.is_null() {
            let why = "disallowed on this kind of request";
            errors.push(FieldError::invalid(SPEC.child("nonResourceAttributes"), url.clone(), why));
        }
    }
}

fn rules_review(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    required(&object["spec"]["namespace"], "", &SPEC.child("namespace"), errors);
}

const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;

fn token_request(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let Some(seconds) = object["spec"]["expirationSeconds"].as_i64() else { return };
    let path = SPEC.child("expirationSeconds");
    if seconds < SECONDS_MIN {
        let why = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(path, seconds, why));
    }
    if seconds > SECONDS_MAX {
        let why = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(path, seconds, why));
    }
}
