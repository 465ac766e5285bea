//! Rules of resource.k8s.io, beside what the schema says of required fields and known values.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{immutable, no_subresource, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{items, text};

pub(super) const CLAIM: Rules =
    Rules { name: subdomain_name, create: claim, update: spec_kept, subresource: no_subresource };
pub(super) const TEMPLATE: Rules =
    Rules { name: subdomain_name, create: template, update: spec_kept, subresource: no_subresource };
pub(super) const CLASS: Rules = Rules {
    name: subdomain_name,
    create: class,
    update: |gvk, new, _, errors| class(gvk, new, errors),
    subresource: no_subresource,
};
pub(super) const SLICE: Rules =
    Rules { name: subdomain_name, create: slice, update: slice_update, subresource: no_subresource };

const SPEC: PathRef<'static> = PathRef::Root("spec");
const REQUESTS_MAX: usize = 32;
const DEVICES_MAX: usize = 128;

fn spec_kept(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    immutable(&new["spec"], &old["spec"], &SPEC, errors);
}

fn claim(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    claim_spec(&object["spec"], &SPEC, errors);
}

fn template(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    claim_spec(&object["spec"]["spec"], &SPEC.child("spec"), errors);
}

fn claim_spec(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let devices = path.child("devices");
    let list = devices.child("requests");
    let requests = items(&spec["devices"]["requests"]);
    if requests.len() > REQUESTS_MAX {
        errors.push(FieldError::too_many(list, requests.len(), REQUESTS_MAX));
    }
    let mut seen = BTreeSet::new();
    for (at, request) in requests.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = list.index(at);
        let name = text(&request["name"]);
        if required(&request["name"], "", &path.child("name"), errors) {
            wrong(name, names::dns1123_label(name), &path.child("name"), errors);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
        let exactly = &request["exactly"];
        // Before v1 the class stood beside the name.
        let flat = request.get("deviceClassName").is_some();
        match (exactly.is_object() || flat, !items(&request["firstAvailable"]).is_empty()) {
            (false, false) => {
                let why = "exactly one of `exactly` or `firstAvailable` is required";
                errors.push(FieldError::required(path, why));
            }
            (true, true) => {
                let why =
                    "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
                errors.push(FieldError::invalid(path, Value::Null, why));
            }
            (true, false) if exactly.is_object() => {
                class_name(
                    &exactly["deviceClassName"],
                    &path.child("exactly").child("deviceClassName"),
                    errors,
                );
            }
            _ => {}
        }
    }
    references(&spec["devices"], &devices, &seen, errors);
}

fn class_name(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if required(value, "", path, errors) {
        wrong(text(value), names::dns1123_subdomain(text(value)), path, errors);
    }
}

/// Constraints and configuration may name only requests that there are.
fn references(devices: &Value, path: &PathRef<'_>, known: &BTreeSet<&str>, errors: &mut Errors) {
    for list in ["constraints", "config"] {
        for (at, one) in items(&devices[list]).iter().enumerate() {
            if enough(errors) {
                break;
            }
            let list = path.child(list);
            let one_path = list.index(at);
            let requests = one_path.child("requests");
            for (at, name) in items(&one["requests"]).iter().enumerate() {
                if enough(errors) {
                    break;
                }
                let name = text(name);
                let request = name.split('/').next().unwrap_or_default();
                if !known.contains(request) {
                    let mut error = FieldError::invalid(requests.index(at), name, "");
                    error.detail =
                        "must be the name of a request in the claim or the name of a request and a \
                                    subrequest separated by '/'"
                            .to_owned();
                    errors.push(error);
                }
            }
        }
    }
}

fn class(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    for list in ["selectors", "config"] {
        let count = items(&object["spec"][list]).len();
        if count > REQUESTS_MAX {
            errors.push(FieldError::too_many(SPEC.child(list), count, REQUESTS_MAX));
        }
    }
    selectors(&object["spec"]["selectors"], &SPEC.child("selectors"), errors);
}

fn selectors(selectors: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, selector) in items(selectors).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        let cel = path.child("cel");
        if required(&selector["cel"], "", &cel, errors) {
            required(&selector["cel"]["expression"], "", &cel.child("expression"), errors);
        }
    }
}

fn slice(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let driver = text(&spec["driver"]);
    if required(&spec["driver"], "", &SPEC.child("driver"), errors) {
        wrong(driver, names::dns1123_subdomain(driver), &SPEC.child("driver"), errors);
    }
    let pool = SPEC.child("pool");
    required(&spec["pool"]["name"], "", &pool.child("name"), errors);
    if spec["pool"]["resourceSliceCount"].as_i64().unwrap_or(0) <= 0 {
        let count = spec["pool"]["resourceSliceCount"].as_i64().unwrap_or(0);
        let why = "must be greater than zero";
        errors.push(FieldError::invalid(pool.child("resourceSliceCount"), count, why));
    }
    let devices = items(&spec["devices"]);
    let path = SPEC.child("devices");
    if devices.len() > DEVICES_MAX {
        errors.push(FieldError::too_many(path, devices.len(), DEVICES_MAX));
    }
    let mut seen = BTreeSet::new();
    for (at, device) in devices.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        let name = text(&device["name"]);
        if required(&device["name"], "", &path.child("name"), errors) {
            wrong(name, names::dns1123_label(name), &path.child("name"), errors);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
    }
}

fn slice_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    slice(gvk, new, errors);
    let (after, before) = (&new["spec"], &old["spec"]);
    immutable(&after["driver"], &before["driver"], &SPEC.child("driver"), errors);
    immutable(&after["pool"]["name"], &before["pool"]["name"], &SPEC.child("pool").child("name"), errors);
    immutable(&after["nodeName"], &before["nodeName"], &SPEC.child("nodeName"), errors);
}
