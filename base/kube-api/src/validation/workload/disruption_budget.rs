//! How many pods may be missing on purpose.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::int_or_percent;
use crate::validation::common::subdomain_name;
use crate::validation::pod::words;
use crate::validation::{Errors, PathRef, Rules, metadata};
use crate::value::{items, text};

/// Rules of PodDisruptionBudget.
pub(super) const RULES: Rules = Rules {
    name: subdomain_name,
    create,
    update: |gvk, new, _, errors| create(gvk, new, errors),
    subresource: |_, name, new, _, errors| {
        if name == "status" {
            status(&new["status"], errors);
        }
    },
};

fn create(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], PathRef::Root("spec"));
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(path, spec.clone(), why));
    }
    for name in ["minAvailable", "maxUnavailable"] {
        int_or_percent::check(&spec[name], &path.child(name), errors);
        int_or_percent::not_over_all(&spec[name], &path.child(name), errors);
    }
    words::selector(&spec["selector"], &path.child("selector"), errors);
    let policy = path.child("unhealthyPodEvictionPolicy");
    let known = ["AlwaysAllow", "IfHealthyBudget"];
    words::if_set_one_of(&spec["unhealthyPodEvictionPolicy"], &known, &policy, errors);
}

fn status(status: &Value, errors: &mut Errors) {
    let path = PathRef::Root("status");
    conditions(&status["conditions"], &path.child("conditions"), errors);
    for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        words::nonnegative(&status[name], &path.child(name), errors);
    }
}

const REASON_LEN_MAX: usize = 1024;
const MESSAGE_LEN_MAX: usize = 32 * 1024;

/// `metav1.Condition`s.
pub(in crate::validation) fn conditions(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, condition) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let kind = text(&condition["type"]);
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(at.child("type"), kind));
        }
        metadata::label_name(kind, &at.child("type"), errors);
        let known = ["False", "True", "Unknown"];
        words::known_text(text(&condition["status"]), &known, &at.child("status"), errors);
        if let Some(number) = condition["observedGeneration"].as_i64()
            && number < 0
        {
            let why = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(at.child("observedGeneration"), number, why));
        }
        if condition["lastTransitionTime"].is_null() {
            errors.push(FieldError::required(at.child("lastTransitionTime"), "must be set"));
        }
        reason(text(&condition["reason"]), &at.child("reason"), errors);
        if text(&condition["message"]).len() > MESSAGE_LEN_MAX {
            errors.push(FieldError::too_long(at.child("message"), MESSAGE_LEN_MAX));
        }
    }
}

fn reason(reason: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if reason.is_empty() {
        errors.push(FieldError::required(path, "must be set"));
        return;
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let sound = reason.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && reason.bytes().next_back().is_some_and(word)
        && reason.bytes().all(|byte| word(byte) || byte == b',' || byte == b':');
    if !sound {
        let why = "a condition reason must start with alphabetic character, optionally followed by a string of \
                   alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. \
                   'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used \
                   for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
        errors.push(FieldError::invalid(path, reason, why));
    }
    if reason.len() > REASON_LEN_MAX {
        errors.push(FieldError::too_long(path, REASON_LEN_MAX));
    }
}
