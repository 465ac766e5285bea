//! Claims to devices.

use serde_json::Value;

use super::fill::{at, below, blank, each, is_unset, text, zero};

/// The coded defaults of a kind of resource.k8s.io.
pub(super) fn coded(version: &str, kind: &str) -> Option<fn(&mut Value)> {
    match (version, kind) {
        ("v1beta1", "ResourceClaim") => Some(flat_claim),
        ("v1beta1", "ResourceClaimTemplate") => Some(flat_template),
        (_, "ResourceClaim") => Some(claim),
        (_, "ResourceClaimTemplate") => Some(template),
        _ => None,
    }
}

fn claim(object: &mut Value) {
    if let Some(devices) = at(object, &["spec", "devices"]) {
        each(devices, "requests").for_each(request);
    }
}

fn template(object: &mut Value) {
    if let Some(inner) = below(object, "spec") {
        claim(inner);
    }
}

fn flat_claim(object: &mut Value) {
    if let Some(devices) = at(object, &["spec", "devices"]) {
        for request in each(devices, "requests") {
            // One of several is chosen: the request itself says nothing.
            if is_unset(request, "firstAvailable") {
                amount(request);
            }
            each(request, "firstAvailable").for_each(amount);
        }
    }
}

fn flat_template(object: &mut Value) {
    if let Some(inner) = below(object, "spec") {
        flat_claim(inner);
    }
}

fn request(request: &mut Value) {
    if let Some(exactly) = below(request, "exactly") {
        amount(exactly);
    }
    each(request, "firstAvailable").for_each(amount);
}

fn amount(request: &mut Value) {
    blank(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" {
        zero(request, "count", 1);
    }
}
