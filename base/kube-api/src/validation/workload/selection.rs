//! Which pods a kind takes for its own: selectors against the labels of its template.

use std::collections::BTreeMap;

use kube_object::field_error::FieldError;
use kube_object::label_selector::LabelSelector;
use serde_json::Value;

use crate::validation::pod::{self, words};
use crate::validation::{Errors, PathRef};
use crate::value::{is_empty, members, text};

/// A kind that must say which pods are its own.
pub(super) struct Kind {
    /// How upstream names it where the selector is empty.
    pub(super) empty: &'static str,
    /// What is said of a selector that cannot be read.
    pub(super) unreadable: &'static str,
}

/// The selector must be there, say something, and choose what the template makes.
pub(super) fn required(spec: &Value, kind: &Kind, path: &PathRef<'_>, errors: &mut Errors) {
    let selector = &spec["selector"];
    let at = path.child("selector");
    if selector.is_null() {
        errors.push(FieldError::required(at, ""));
    } else {
        words::selector(selector, &at, errors);
        if is_empty(&selector["matchLabels"]) && is_empty(&selector["matchExpressions"]) {
            errors.push(FieldError::invalid(at, selector.clone(), kind.empty));
        }
    }
    match LabelSelector::from_value(selector) {
        Err(_) => errors.push(FieldError::invalid(at, selector.clone(), kind.unreadable)),
        // Nothing is selected where nothing is said: that was told above.
        Ok(read) => fits(&read, &spec["template"], &path.child("template"), errors),
    }
}

/// The template's labels must be chosen by the selector.
pub(super) fn fits(selector: &LabelSelector, template: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if selector.is_everything() {
        return;
    }
    let labels = &template["metadata"]["labels"];
    if !selector.matches(&read_labels(labels)) {
        let at = path.child("metadata");
        let shown = if labels.is_null() { Value::Object(serde_json::Map::new()) } else { labels.clone() };
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(at.child("labels"), shown, why));
    }
}

/// Labels as selectors see them.
pub(super) fn read_labels(labels: &Value) -> BTreeMap<String, String> {
    members(labels).map(|(key, value)| (key.clone(), text(value).to_owned())).collect()
}

/// A template whose pods run until someone ends them.
pub(super) fn endless_template(template: &Value, kind: &str, path: &PathRef<'_>, errors: &mut Errors) {
    pod::template(template, path, errors);
    endless(&template["spec"], kind, &path.child("spec"), errors);
}

/// Pods that are always restarted, and have no deadline.
pub(super) fn endless(spec: &Value, kind: &str, path: &PathRef<'_>, errors: &mut Errors) {
    words::known_text(text(&spec["restartPolicy"]), &["Always"], &path.child("restartPolicy"), errors);
    if !spec["activeDeadlineSeconds"].is_null() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(path.child("activeDeadlineSeconds"), why));
    }
}
