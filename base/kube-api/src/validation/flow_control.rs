//! Rules of flow schemas and priority levels.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::common::{no_subresource, one_of, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, items, text};

pub(super) const SCHEMA: Rules = Rules {
    name: subdomain_name,
    create: schema,
    update: |gvk, new, _, errors| schema(gvk, new, errors),
    subresource: no_subresource,
};
pub(super) const LEVEL: Rules = Rules {
    name: subdomain_name,
    create: level,
    update: |gvk, new, _, errors| level(gvk, new, errors),
    subresource: no_subresource,
};

const SPEC: PathRef<'static> = PathRef::Root("spec");
const PRECEDENCE_MAX: i64 = 10_000;

fn schema(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let (precedence, path) =
        (spec["matchingPrecedence"].as_i64().unwrap_or(0), SPEC.child("matchingPrecedence"));
    let mut fault = |why: String| errors.push(FieldError::invalid(path, precedence, why));
    if precedence <= 0 {
        fault("must be a positive value".to_owned());
    } else if precedence > PRECEDENCE_MAX {
        fault(format!("must not be greater than {PRECEDENCE_MAX}"));
    } else if precedence == 1 && text(&object["metadata"]["name"]) != "exempt" {
        fault("only the schema named 'exempt' may have matchingPrecedence 1".to_owned());
    }
    let method = SPEC.child("distinguisherMethod");
    if spec["distinguisherMethod"].is_object() {
        let known = ["ByNamespace", "ByUser"];
        one_of(&spec["distinguisherMethod"]["type"], &known, &method.child("type"), errors);
    }
    let (level, at) =
        (text(&spec["priorityLevelConfiguration"]["name"]), SPEC.child("priorityLevelConfiguration"));
    if level.is_empty() {
        errors.push(FieldError::required(at.child("name"), "must reference a priority level"));
    } else {
        wrong(level, names::dns1123_subdomain(level), &at.child("name"), errors);
    }
    for (at, rule) in items(&spec["rules"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        rule_with_subjects(rule, &SPEC.child("rules").index(at), errors);
    }
}

fn rule_with_subjects(rule: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let subjects = path.child("subjects");
    required(&rule["subjects"], "subjects must contain at least one value", &subjects, errors);
    for (at, one) in items(&rule["subjects"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        subject(one, &subjects.index(at), errors);
    }
    if is_empty(&rule["resourceRules"]) && is_empty(&rule["nonResourceRules"]) {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, why));
    }
    for (at, one) in items(&rule["resourceRules"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        resource_rule(one, &path.child("resourceRules").index(at), errors);
    }
    for (at, one) in items(&rule["nonResourceRules"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let list = path.child("nonResourceRules");
        let path = list.index(at);
        list_of(one, "verbs", ("verbs must contain at least one value", "verbs"), &path, errors);
        let least = "nonResourceURLs must contain at least one value";
        list_of(one, "nonResourceURLs", (least, "non-resource URLs"), &path, errors);
    }
}

const SUBJECTS: [(&str, &str); 3] =
    [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

fn subject(subject: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let kind = text(&subject["kind"]);
    let Some((_, own)) = SUBJECTS.iter().find(|(known, _)| *known == kind) else {
        errors.push(FieldError::not_supported(
            path.child("kind"),
            kind,
            &["Group", "ServiceAccount", "User"],
        ));
        return;
    };
    let at = path.child(own);
    if !subject[*own].is_object() {
        errors.push(FieldError::required(at, format!("{own} is required when subject kind is '{kind}'")));
    } else {
        required(&subject[*own]["name"], "", &at.child("name"), errors);
        if kind == "ServiceAccount" {
            let why = "must specify namespace for service account";
            required(&subject[*own]["namespace"], why, &at.child("namespace"), errors);
        }
    }
    for (other, field) in SUBJECTS.iter().filter(|(other, _)| *other != kind) {
        if !subject[*field].is_null() {
            let why = format!("{field} is forbidden when subject kind is not '{other}'");
            errors.push(FieldError::forbidden(path.child(field), why));
        }
    }
}

/// A list that must not be empty, and in which a star stands alone.
fn list_of(rule: &Value, field: &str, words: (&str, &str), path: &PathRef<'_>, errors: &mut Errors) {
    let (list, at) = (&rule[field], path.child(field));
    required(list, words.0, &at, errors);
    if items(list).len() > 1 && items(list).contains(&json!("*")) {
        let why = format!("if '*' is present, must not specify other {}", words.1);
        errors.push(FieldError::invalid(at, list.clone(), why));
    }
}

fn resource_rule(rule: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    list_of(rule, "verbs", ("verbs must contain at least one value", "verbs"), path, errors);
    let groups = "resource rules must supply at least one api group";
    list_of(rule, "apiGroups", (groups, "api groups"), path, errors);
    let resources = "resource rules must supply at least one resource";
    list_of(rule, "resources", (resources, "resources"), path, errors);
    let namespaces = path.child("namespaces");
    let list = items(&rule["namespaces"]);
    if list.is_empty() && rule["clusterScope"] != json!(true) {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(namespaces, why));
    } else if list.contains(&json!("*")) {
        if list.len() > 1 {
            let why = "if '*' is present, must not specify other namespaces";
            errors.push(FieldError::invalid(namespaces, rule["namespaces"].clone(), why));
        }
    } else {
        for (at, namespace) in list.iter().enumerate() {
            if enough(errors) {
                break;
            }
            for fault in names::dns1123_label(text(namespace)) {
                let why = format!("each member of this list must be '*' or a DNS-1123 label; {fault}");
                errors.push(FieldError::invalid(namespaces.index(at), text(namespace), why));
            }
        }
    }
}

fn level(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let kind = text(&spec["type"]);
    let exempt = text(&object["metadata"]["name"]) == "exempt";
    if exempt != (kind == "Exempt") {
        let why = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(SPEC.child("type"), kind, why));
    }
    let limited = SPEC.child("limited");
    match (kind, spec["limited"].is_object()) {
        ("Exempt", true) => {
            errors.push(FieldError::forbidden(limited, "must be nil if the type is not Limited"));
        }
        ("Limited", false) => {
            errors.push(FieldError::required(limited, "must not be empty when type is Limited"));
        }
        ("Limited", true) => limits(&spec["limited"], &limited, errors),
        ("Exempt", false) => {}
        _ => errors.push(FieldError::not_supported(SPEC.child("type"), kind, &["Exempt", "Limited"])),
    }
    if kind == "Limited" && spec["exempt"].is_object() {
        errors.push(FieldError::forbidden(SPEC.child("exempt"), "must be nil if the type is Limited"));
    }
}

fn limits(limited: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let shares = &limited["nominalConcurrencyShares"];
    if shares.as_i64().is_some_and(|shares| shares < 0) {
        let why = "must be a non-negative integer";
        errors.push(FieldError::invalid(path.child("nominalConcurrencyShares"), shares.clone(), why));
    }
    let response = path.child("limitResponse");
    let queuing = response.child("queuing");
    let given = &limited["limitResponse"];
    match (text(&given["type"]), given["queuing"].is_object()) {
        ("Reject", true) => {
            errors.push(FieldError::forbidden(
                queuing,
                "must be nil if limited.limitResponse.type is not Limited",
            ));
        }
        ("Queue", false) => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(queuing, why));
        }
        ("Queue", true) => queues(&given["queuing"], &queuing, errors),
        ("Reject", false) => {}
        (kind, _) => {
            errors.push(FieldError::not_supported(response.child("type"), kind, &["Queue", "Reject"]));
        }
    }
}

const QUEUES_MAX: i64 = 10_000_000;

fn queues(queuing: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let of = |field: &str| queuing[field].as_i64().unwrap_or(0);
    for field in ["queueLengthLimit", "queues", "handSize"] {
        if of(field) <= 0 {
            errors.push(FieldError::invalid(path.child(field), of(field), "must be positive"));
        }
    }
    if of("queues") > QUEUES_MAX {
        let why = format!("must not be greater than {QUEUES_MAX}");
        errors.push(FieldError::invalid(path.child("queues"), of("queues"), why));
    }
    if of("handSize") > of("queues") {
        let why = format!("should not be greater than queues ({})", of("queues"));
        errors.push(FieldError::invalid(path.child("handSize"), of("handSize"), why));
    }
}
