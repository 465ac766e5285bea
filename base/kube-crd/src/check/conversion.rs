//! `spec.conversion`: none, or a webhook.

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::{Value, json};

use crate::definition::texts;

pub(super) fn check(spec: &Value) -> Vec<FieldError> {
    let Some(conversion) = spec.get("conversion").filter(|one| one.is_object()) else { return Vec::new() };
    let mut found = Vec::new();
    let strategy = conversion.get("strategy").and_then(Value::as_str).unwrap_or_default();
    let path = "spec.conversion.strategy";
    if strategy != "None" && spec.get("preserveUnknownFields").and_then(Value::as_bool) == Some(true) {
        let detail = "must be None if spec.preserveUnknownFields is true";
        found.push(FieldError::invalid(path, strategy, detail));
    }
    match strategy {
        "" => found.push(FieldError::required(path, "")),
        "None" | "Webhook" => {}
        other => found.push(FieldError::not_supported(path, other, &["None", "Webhook"])),
    }
    let webhook = conversion.get("webhook").filter(|one| one.is_object());
    let client = webhook.and_then(|webhook| webhook.get("clientConfig")).filter(|one| one.is_object());
    let versions = webhook.map(|webhook| texts(webhook, "conversionReviewVersions")).unwrap_or_default();
    if strategy == "Webhook" {
        match client {
            None => {
                let detail = "required when strategy is set to Webhook";
                found.push(FieldError::required(CLIENT, detail));
            }
            Some(client) => found.extend(client_config(client)),
        }
        found.extend(review_versions(&versions));
        return found;
    }
    let detail = "should not be set when strategy is not set to Webhook";
    if client.is_some() {
        found.push(FieldError::forbidden(CLIENT, detail));
    }
    if !versions.is_empty() {
        found.push(FieldError::forbidden(VERSIONS, detail));
    }
    found
}

fn client_config(client: &Value) -> Vec<FieldError> {
    let url = client.get("url").and_then(Value::as_str);
    let service = client.get("service").filter(|service| service.is_object());
    match (url, service) {
        (Some(url), None) => check_url(url),
        (None, Some(service)) => check_service(service),
        _ => vec![FieldError::required(CLIENT, "exactly one of url or service is required")],
    }
}

fn check_url(url: &str) -> Vec<FieldError> {
    let path = format!("{CLIENT}.url");
    let form = "; desired format: https://host[/path]";
    let mut found = Vec::new();
    let mut wrong = |value: &str, detail: String| {
        found.push(FieldError::invalid(path.clone(), value, detail));
    };
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if scheme != "https" {
        wrong(scheme, format!("'https' is the only allowed URL scheme{form}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").unwrap_or_default().split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        wrong("", format!("host must be specified{form}"));
    }
    if authority.contains('@') {
        wrong(user, "user information is not permitted in the URL".to_owned());
    }
    if !fragment.is_empty() {
        wrong(fragment, "fragments are not permitted in the URL".to_owned());
    }
    if !query.is_empty() {
        wrong(query, "query parameters are not permitted in the URL".to_owned());
    }
    found
}

fn check_service(service: &Value) -> Vec<FieldError> {
    let path = format!("{CLIENT}.service");
    let text = |name: &str| service.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut found = Vec::new();
    for name in ["name", "namespace"] {
        if text(name).is_empty() {
            found.push(FieldError::required(format!("{path}.{name}"), format!("service {name} is required")));
        }
    }
    let port = service.get("port").and_then(Value::as_i64).unwrap_or(443);
    if !(1..=65_535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        found.push(FieldError::invalid(format!("{path}.port"), port, detail));
    }
    let url_path = text("path");
    if url_path.is_empty() || url_path == "/" {
        return found;
    }
    let path = format!("{path}.path");
    if !url_path.starts_with('/') {
        found.push(FieldError::invalid(path.clone(), url_path, "must start with a '/'"));
    }
    let body = url_path.strip_prefix('/').unwrap_or(url_path);
    let body = body.strip_suffix('/').unwrap_or(body);
    for (at, segment) in body.split('/').enumerate() {
        if segment.is_empty() {
            let detail = format!("segment[{at}] may not be empty");
            found.push(FieldError::invalid(path.clone(), url_path, detail));
            continue;
        }
        let wrong = names::dns1123_subdomain(segment).into_iter();
        found.extend(
            wrong.map(|wrong| FieldError::invalid(path.clone(), url_path, format!("segment[{at}]: {wrong}"))),
        );
    }
    found
}

fn review_versions(versions: &[String]) -> Vec<FieldError> {
    if versions.is_empty() {
        return vec![FieldError::required(VERSIONS, "")];
    }
    let mut found = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        let path = format!("{VERSIONS}[{at}]");
        if versions[..at].contains(version) {
            found.push(FieldError::invalid(path, version.as_str(), "duplicate version"));
            continue;
        }
        let wrong = names::dns1035_label(version).into_iter();
        found.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), version.as_str(), wrong)));
    }
    if !versions.iter().any(|version| REVIEWS.contains(&version.as_str())) {
        let detail = format!("must include at least one of {}", REVIEWS.join(", "));
        found.push(FieldError::invalid(VERSIONS, json!(versions), detail));
    }
    found
}

/// The names of the API's inner form, in which it checks.
const CLIENT: &str = "spec.conversion.webhookClientConfig";
const VERSIONS: &str = "spec.conversion.conversionReviewVersions";
/// Versions of ConversionReview that are spoken.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
