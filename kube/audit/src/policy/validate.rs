//! What no policy may say.

use kube_object::field_error::{FieldError, FieldErrorReason};
use kube_object::names::dns1123_subdomain;
use serde_json::{Map, Value, json};

use super::read::{list, text, texts};
use super::{Level, Stage};

/// All that is wrong with a policy, in upstream's order.
pub(super) fn validate(policy: &Map<String, Value>) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    stages(policy, "omitStages", &mut errors);
    let none = Map::new();
    for (at, rule) in list(policy, "rules").iter().enumerate() {
        let fields = rule.as_object().unwrap_or(&none);
        check_rule(fields, &format!("rules[{at}]"), &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn check_rule(rule: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    level(text(rule, "level"), &format!("{path}.level"), errors);
    let urls = texts(rule, "nonResourceURLs");
    let urls_path = format!("{path}.nonResourceURLs");
    for (at, url) in urls.iter().enumerate() {
        check_url(url, &format!("{urls_path}[{at}]"), errors);
    }
    for resources in list(rule, "resources") {
        if let Some(resources) = resources.as_object() {
            check_resources(resources, &format!("{path}.resources"), errors);
        }
    }
    stages(rule, &format!("{path}.omitStages"), errors);
    let about_objects = !list(rule, "resources").is_empty() || !list(rule, "namespaces").is_empty();
    if !urls.is_empty() && about_objects {
        let words = "rules cannot apply to both regular resources and non-resource URLs";
        errors.push(FieldError::invalid(urls_path, json!(urls), words));
    }
}

fn level(level: &str, path: &str, errors: &mut Vec<FieldError>) {
    if level.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !Level::ALL.into_iter().any(|known| known.as_str() == level) {
        // In their order, not by the alphabet.
        let known: Vec<_> = Level::ALL.into_iter().map(|known| format!("{:?}", known.as_str())).collect();
        errors.push(FieldError {
            reason: FieldErrorReason::NotSupported,
            field: path.to_owned(),
            bad_value: Some(json!(level)),
            detail: format!("supported values: {}", known.join(", ")),
        });
    }
}

fn check_url(url: &str, path: &str, errors: &mut Vec<FieldError>) {
    if url == "*" {
        return;
    }
    if !url.starts_with('/') {
        let words = "non-resource URL rules must begin with a '/' character";
        errors.push(FieldError::invalid(path, url, words));
    }
    let last = url.char_indices().next_back().map_or(0, |(at, _)| at);
    if url.get(..last).is_some_and(|before| before.contains('*')) {
        let words = "non-resource URL wildcards '*' must be the final character of the rule";
        errors.push(FieldError::invalid(path, url, words));
    }
}

fn check_resources(resources: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    let group = text(resources, "group");
    if !group.is_empty() && group != "*" {
        let faults = dns1123_subdomain(group);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(format!("{path}.group"), group, faults.join(",")));
        }
    }
    let names = texts(resources, "resourceNames");
    if !names.is_empty() && list(resources, "resources").is_empty() {
        let words = "using resourceNames requires at least one resource";
        errors.push(FieldError::invalid(format!("{path}.resourceNames"), json!(names), words));
    }
}

fn stages(fields: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    for (at, stage) in texts(fields, "omitStages").iter().enumerate() {
        if !Stage::ALL.into_iter().any(|known| known.as_str() == stage) {
            let known: Vec<_> = Stage::ALL.into_iter().map(Stage::as_str).collect();
            let words = format!("allowed stages are {}", known.join(","));
            errors.push(FieldError::invalid(format!("{path}[{at}]"), stage.as_str(), words));
        }
    }
}
