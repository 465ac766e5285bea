//! Revisions that a kind keeps of itself.

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use crate::validation::common::subdomain_name;
use crate::validation::pod::words;
use crate::validation::{Errors, PathRef, Rules, metadata};

/// Rules of ControllerRevision.
pub(super) const RULES: Rules =
    Rules { name: subdomain_name, create, update, subresource: |_, _, _, _, _| {} };

fn create(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    if object["data"].is_null() {
        errors.push(FieldError::required("data", "data is mandatory"));
    }
    words::nonnegative(&object["revision"], &PathRef::Root("revision"), errors);
}

fn update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    create(gvk, new, errors);
    metadata::immutable(&new["data"], &old["data"], &PathRef::Root("data"), errors);
}
