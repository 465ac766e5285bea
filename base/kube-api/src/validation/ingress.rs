//! Rules of ingresses and their classes.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{
    immutable, ip, label_1035_name, no_subresource, parse_ip, port_name_faults, port_number, required,
    subdomain_name, wrong,
};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{items, text};

pub(super) const INGRESS: Rules =
    Rules { name: subdomain_name, create: ingress_create, update: ingress_update, subresource: status };
pub(super) const CLASS: Rules =
    Rules { name: subdomain_name, create: class, update: class_update, subresource: no_subresource };

const SPEC: PathRef<'static> = PathRef::Root("spec");
const NOT_AN_IP: &str = "must be a DNS name, not an IP address";

fn ingress_create(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    const ANNOTATION: &str = "kubernetes.io/ingress.class";
    ingress(gvk, object, errors);
    let (noted, class) =
        (&object["metadata"]["annotations"][ANNOTATION], &object["spec"]["ingressClassName"]);
    if noted.is_string() && class.is_string() && noted != class {
        let why = "must match `ingressClassName` when both are specified";
        errors.push(FieldError::invalid(PathRef::Root("annotations").child(ANNOTATION), noted.clone(), why));
    }
}

fn ingress_update(gvk: &GroupVersionKind, new: &Value, _: &Value, errors: &mut Errors) {
    ingress(gvk, new, errors);
}

fn ingress(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let rules = items(&spec["rules"]);
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        let why = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(SPEC, spec["rules"].clone(), why));
    }
    if spec["defaultBackend"].is_object() {
        backend(&spec["defaultBackend"], &SPEC.child("defaultBackend"), errors);
    }
    for (at, one) in rules.iter().enumerate() {
        if enough(errors) {
            break;
        }
        rule(one, &SPEC.child("rules").index(at), errors);
    }
    for (at, tls) in items(&spec["tls"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let list = SPEC.child("tls");
        let path = list.index(at);
        for (at, name) in items(&tls["hosts"]).iter().enumerate() {
            if enough(errors) {
                break;
            }
            host(text(name), &path.child("hosts").index(at), errors);
        }
        let secret = text(&tls["secretName"]);
        if !secret.is_empty() {
            wrong(secret, names::dns1123_subdomain(secret), &path.child("secretName"), errors);
        }
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        wrong(class, names::dns1123_subdomain(class), &SPEC.child("ingressClassName"), errors);
    }
}

const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, \
     which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character \
     (e.g. '*.example.com', regex used for validation is \
     '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// A host's name, perhaps with a star for its first label.
fn host(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if !name.contains('*') {
        wrong(name, names::dns1123_subdomain(name), path, errors);
        return;
    }
    let good = name.strip_prefix("*.").is_some_and(|rest| names::dns1123_subdomain(rest).is_empty());
    if !good {
        errors.push(FieldError::invalid(path, name, WILDCARD));
    }
}

fn rule(rule: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(&rule["host"]);
    if !name.is_empty() {
        if parse_ip(name).is_some() {
            errors.push(FieldError::invalid(path.child("host"), name, NOT_AN_IP));
        }
        host(name, &path.child("host"), errors);
    }
    if !rule["http"].is_object() {
        return;
    }
    let http = path.child("http");
    let paths = http.child("paths");
    required(&rule["http"]["paths"], "", &paths, errors);
    for (at, one) in items(&rule["http"]["paths"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        http_path(one, &paths.index(at), errors);
    }
}

const TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];

fn http_path(item: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if item["pathType"].is_null() {
        errors.push(FieldError::required(path.child("pathType"), "pathType must be specified"));
        return;
    }
    let (value, at) = (text(&item["path"]), path.child("path"));
    match text(&item["pathType"]) {
        "Exact" | "Prefix" => {
            if !value.starts_with('/') {
                errors.push(FieldError::invalid(at, value, "must be an absolute path"));
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| value.contains(**part)) {
                errors.push(FieldError::invalid(at, value, format!("must not contain '{part}'")));
            }
            for end in ["/..", "/."].iter().filter(|end| value.ends_with(**end)) {
                errors.push(FieldError::invalid(at, value, format!("cannot end with '{end}'")));
            }
        }
        "ImplementationSpecific" if !value.is_empty() && !value.starts_with('/') => {
            errors.push(FieldError::invalid(at, value, "must be an absolute path"));
        }
        "ImplementationSpecific" => {}
        kind => errors.push(FieldError::not_supported(path.child("pathType"), kind, &TYPES)),
    }
    backend(&item["backend"], &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match (backend["resource"].is_object(), backend["service"].is_object()) {
        (true, true) => {
            errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends"));
        }
        (true, false) => typed_reference(&backend["resource"], &path.child("resource"), errors),
        (false, true) => service_backend(&backend["service"], path, errors),
        (false, false) => {
            errors.push(FieldError::invalid(path, "", "resource or service backend is required"));
        }
    }
}

fn service_backend(service: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let at = path.child("service");
    let name = text(&service["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(at.child("name"), ""));
    } else {
        wrong(name, label_1035_name(name, false), &at.child("name"), errors);
    }
    let port = at.child("port");
    let (name, number) = (text(&service["port"]["name"]), &service["port"]["number"]);
    match (name.is_empty(), number.as_i64().unwrap_or(0) != 0) {
        (false, true) => {
            errors.push(FieldError::invalid(path, "", "cannot set both port name & port number"));
        }
        (false, false) => wrong(name, port_name_faults(name), &port.child("name"), errors),
        (true, true) => port_number(number, &port.child("number"), errors),
        (true, false) => errors.push(FieldError::required(path, "port name or number is required")),
    }
}

fn typed_reference(reference: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if let Some(group) = reference["apiGroup"].as_str() {
        wrong(group, names::dns1123_subdomain(group), &path.child("apiGroup"), errors);
    }
    for name in ["kind", "name"] {
        let value = text(&reference[name]);
        if value.is_empty() {
            errors.push(FieldError::required(path.child(name), format!("{name} is required")));
        } else {
            wrong(value, names::path_segment(value), &path.child(name), errors);
        }
    }
}

fn status(_: &GroupVersionKind, _: &str, new: &Value, _: &Value, errors: &mut Errors) {
    let list = PathRef::Root("status.loadBalancer.ingress");
    for (at, ingress) in items(&new["status"]["loadBalancer"]["ingress"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = list.index(at);
        let (address, name) = (text(&ingress["ip"]), text(&ingress["hostname"]));
        if !address.is_empty() {
            ip(address, &path.child("ip"), errors);
        }
        if !name.is_empty() {
            wrong(name, names::dns1123_subdomain(name), &path.child("hostname"), errors);
            if parse_ip(name).is_some() {
                errors.push(FieldError::invalid(path.child("hostname"), name, NOT_AN_IP));
            }
        }
    }
}

const CONTROLLER_LEN_MAX: usize = 250;

fn class(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let (controller, path) = (text(&spec["controller"]), SPEC.child("controller"));
    if controller.len() > CONTROLLER_LEN_MAX {
        errors.push(FieldError::too_long(path, CONTROLLER_LEN_MAX));
    }
    domain_prefixed(controller, &path, errors);
    let (parameters, path) = (&spec["parameters"], SPEC.child("parameters"));
    if !parameters.is_object() {
        return;
    }
    typed_reference(parameters, &path, errors);
    let namespace = path.child("namespace");
    match parameters["scope"].as_str() {
        None => errors.push(FieldError::required(path.child("scope"), "")),
        Some("Namespace") => {
            let why = "`parameters.scope` is set to 'Namespace'";
            if required(&parameters["namespace"], why, &namespace, errors) {
                let value = text(&parameters["namespace"]);
                wrong(value, names::dns1123_label(value), &namespace, errors);
            }
        }
        Some("Cluster") if !parameters["namespace"].is_null() => {
            errors.push(FieldError::forbidden(namespace, "`parameters.scope` is set to 'Cluster'"));
        }
        Some("Cluster") => {}
        Some(scope) => {
            errors.push(FieldError::not_supported(path.child("scope"), scope, &["Cluster", "Namespace"]));
        }
    }
}

/// A domain and a path, such as `acme.io/foo`.
fn domain_prefixed(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    const FORM: &str = "must be a domain-prefixed path (such as \"acme.io/foo\")";
    match value.split_once('/') {
        _ if value.is_empty() => errors.push(FieldError::required(path, "")),
        None => errors.push(FieldError::invalid(path, value, FORM)),
        Some((domain, rest)) if domain.is_empty() || rest.is_empty() => {
            errors.push(FieldError::invalid(path, value, FORM));
        }
        Some((domain, _)) => wrong(domain, names::dns1123_subdomain(domain), path, errors),
    }
}

fn class_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    let (after, before) = (&new["spec"]["controller"], &old["spec"]["controller"]);
    immutable(after, before, &SPEC.child("controller"), errors);
}
