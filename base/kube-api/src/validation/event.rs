//! Rules of events, in both groups' shapes: what is asked depends on the group that the client speaks.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{immutable, no_subresource, required, subdomain_name, wrong};
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, text};

pub(super) const EVENT: Rules =
    Rules { name: subdomain_name, create: event, update: event_update, subresource: no_subresource };

const WORD_LEN_MAX: usize = 128;
const NOTE_LEN_MAX: usize = 1024;

/// A member under its name in core, or in events.k8s.io.
fn either<'a>(object: &'a Value, one: &str, other: &str) -> &'a Value {
    if object[one].is_null() { &object[other] } else { &object[one] }
}

fn event(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let timed = legacy(gvk, object, errors);
    if gvk.group == "events.k8s.io" {
        event_v1(object, timed, errors);
    }
}

/// What holds in both groups; whether the event says when it happened.
fn legacy(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) -> bool {
    let about = text(&either(object, "involvedObject", "regarding")["namespace"]);
    let namespace = text(&object["metadata"]["namespace"]);
    let timed = !is_empty(&object["eventTime"]);
    let agrees = match (timed, about.is_empty()) {
        (false, true) => matches!(namespace, "" | "default"),
        (false, false) => about == namespace,
        (true, true) => matches!(namespace, "default" | "kube-system"),
        (true, false) => true,
    };
    if !agrees {
        let why = "does not match event.namespace";
        errors.push(FieldError::invalid("involvedObject.namespace", about, why));
    }
    if timed {
        new_event(gvk, object, errors);
    }
    timed
}

/// What events must say that say when they happened.
fn new_event(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let field = if gvk.group.is_empty() { "reportingComponent" } else { "reportingController" };
    let reporter = text(either(object, "reportingComponent", "reportingController"));
    if reporter.is_empty() {
        errors.push(FieldError::required(field, ""));
    }
    wrong(reporter, names::qualified_name(reporter), &PathRef::Root(field), errors);
    for field in ["reportingInstance", "action", "reason"] {
        required(&object[field], "", &PathRef::Root(field), errors);
        if text(&object[field]).len() > WORD_LEN_MAX {
            errors.push(FieldError::invalid(
                field,
                "",
                format!("can have at most {WORD_LEN_MAX} characters"),
            ));
        }
    }
    if text(either(object, "message", "note")).len() > NOTE_LEN_MAX {
        errors.push(FieldError::invalid(
            "message",
            "",
            format!("can have at most {NOTE_LEN_MAX} characters"),
        ));
    }
}

fn event_v1(object: &Value, timed: bool, errors: &mut Errors) {
    if !timed {
        errors.push(FieldError::required("eventTime", ""));
    }
    let kind = text(&object["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
    }
    series(object, errors);
    for (field, old) in DEPRECATED {
        let value = either(object, field, old);
        if !is_empty(value) && value.as_i64() != Some(0) {
            errors.push(FieldError::invalid(field, "", "needs to be unset"));
        }
    }
}

fn series(object: &Value, errors: &mut Errors) {
    let series = &object["series"];
    if series.is_object() {
        if series["count"].as_i64().unwrap_or(0) < 2 {
            errors.push(FieldError::invalid("series.count", "", "should be at least 2"));
        }
        required(&series["lastObservedTime"], "", &PathRef::Root("series.lastObservedTime"), errors);
    }
}

fn event_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    legacy(gvk, new, errors);
    if gvk.group.is_empty() {
        return;
    }
    if new["series"] != old["series"] {
        series(new, errors);
    }
    for (core, field) in [
        ("involvedObject", "regarding"),
        ("reason", "reason"),
        ("message", "note"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
    ] {
        immutable(either(new, core, field), either(old, core, field), &PathRef::Root(core), errors);
    }
    for (core, field) in DEPRECATED {
        immutable(either(new, core, field), either(old, core, field), &PathRef::Root(core), errors);
    }
    let reporter = |event| either(event, "reportingComponent", "reportingController");
    immutable(reporter(new), reporter(old), &PathRef::Root("reportingController"), errors);
    let instance = "reportingInstance";
    immutable(&new[instance], &old[instance], &PathRef::Root(instance), errors);
}

/// What only core's events say, under core's names and under the group's.
const DEPRECATED: [(&str, &str); 4] = [
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("source", "deprecatedSource"),
];
