//! Rules of admission policies and their bindings, except for what their expressions mean.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{
    label_selector, no_subresource, one_of, path_name, required, required_one_of, subdomain_name, wrong,
};
use super::pod::words::enough;
use super::webhook::{FAILURE_POLICIES, MATCH_POLICIES, match_conditions, rule_with_operations};
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, items, text};

pub(super) const POLICY: Rules = Rules {
    name: subdomain_name,
    create: policy,
    update: |gvk, new, _, errors| policy(gvk, new, errors),
    subresource: no_subresource,
};
pub(super) const BINDING: Rules = Rules {
    name: subdomain_name,
    create: binding,
    update: |gvk, new, _, errors| binding(gvk, new, errors),
    subresource: no_subresource,
};

const SPEC: PathRef<'static> = PathRef::Root("spec");
const ANNOTATIONS_MAX: usize = 20;
const ONE_AT_LEAST: &str = "validations or auditAnnotations must contain at least one item";

fn policy(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    required_one_of(&spec["failurePolicy"], &FAILURE_POLICIES, &SPEC.child("failurePolicy"), errors);
    if spec["paramKind"].is_object() {
        param_kind(&spec["paramKind"], &SPEC.child("paramKind"), errors);
    }
    let constraints = SPEC.child("matchConstraints");
    if spec["matchConstraints"].is_object() {
        match_resources(&spec["matchConstraints"], &constraints, errors);
        required(&spec["matchConstraints"]["resourceRules"], "", &constraints.child("resourceRules"), errors);
    } else {
        errors.push(FieldError::required(constraints, ""));
    }
    match_conditions(&spec["matchConditions"], &SPEC.child("matchConditions"), errors);
    for (at, one) in items(&spec["variables"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        variable(one, &SPEC.child("variables").index(at), errors);
    }
    if gvk.kind == "MutatingAdmissionPolicy" { mutations(spec, errors) } else { validations(spec, errors) }
}

fn param_kind(kind: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (version, at) = (text(&kind["apiVersion"]), path.child("apiVersion"));
    let (group, number) = version.split_once('/').unwrap_or(("", version));
    if version.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if number.contains('/') {
        errors.push(FieldError::invalid(at, version, format!("unexpected GroupVersion string: {version}")));
    } else {
        let faults = names::dns1123_subdomain(group);
        if !group.is_empty() && !faults.is_empty() {
            errors.push(FieldError::invalid(at, group, faults.join(",")));
        }
        let faults = names::dns1035_label(number);
        if number.is_empty() {
            errors.push(FieldError::invalid(at, version, "version must be specified"));
        } else if !faults.is_empty() {
            errors.push(FieldError::invalid(at, number, faults.join(",")));
        }
    }
    let name = text(&kind["kind"]);
    let faults = names::dns1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.push(FieldError::required(path.child("kind"), ""));
    } else if !faults.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", faults.join(","));
        errors.push(FieldError::invalid(path.child("kind"), name, why));
    }
}

fn match_resources(resources: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    required_one_of(&resources["matchPolicy"], &MATCH_POLICIES, &path.child("matchPolicy"), errors);
    for name in ["namespaceSelector", "objectSelector"] {
        if resources[name].is_null() {
            errors.push(FieldError::required(path.child(name), ""));
        } else {
            label_selector(&resources[name], &path.child(name), errors);
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for (at, rule) in items(&resources[list]).iter().enumerate() {
            if enough(errors) {
                break;
            }
            let list = path.child(list);
            named_rule(rule, &list.index(at), errors);
        }
    }
}

fn named_rule(rule: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let list = path.child("resourceNames");
    let mut seen = BTreeSet::new();
    for (at, name) in items(&rule["resourceNames"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let name = text(name);
        wrong(name, path_name(name, false), &list.index(at), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(list.index(at), name));
        }
    }
    rule_with_operations(rule, path, errors);
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    bytes.next().is_some_and(|first| word(first) && !first.is_ascii_digit()) && bytes.all(word)
}

fn variable(variable: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(&variable["name"]);
    if name.trim().is_empty() {
        errors.push(FieldError::required(path.child("name"), "name is not specified"));
    } else if !is_identifier(name) {
        errors.push(FieldError::invalid(path.child("name"), name, "name is not a valid CEL identifier"));
    }
    expression(&variable["expression"], &path.child("expression"), errors);
}

fn expression(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if text(value).trim().is_empty() {
        errors.push(FieldError::required(path, "expression is not specified"));
    }
}

fn validations(spec: &Value, errors: &mut Errors) {
    let (list, annotations) = (SPEC.child("validations"), SPEC.child("auditAnnotations"));
    if is_empty(&spec["validations"]) && is_empty(&spec["auditAnnotations"]) {
        errors.push(FieldError::required(list, ONE_AT_LEAST));
        errors.push(FieldError::required(annotations, ONE_AT_LEAST));
        return;
    }
    for (at, one) in items(&spec["validations"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        validation(one, &list.index(at), errors);
    }
    let all = items(&spec["auditAnnotations"]);
    if all.len() > ANNOTATIONS_MAX {
        let why = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.push(FieldError::invalid(annotations, spec["auditAnnotations"].clone(), why));
    }
    let mut seen = BTreeSet::new();
    for (at, one) in all.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = annotations.index(at);
        let key = text(&one["key"]);
        if key.is_empty() {
            errors.push(FieldError::required(path.child("key"), "key is not specified"));
        } else {
            wrong(key, names::qualified_name(key), &path.child("key"), errors);
        }
        if text(&one["valueExpression"]).trim().is_empty() {
            let why = "valueExpression is not specified";
            errors.push(FieldError::required(path.child("valueExpression"), why));
        }
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(path.child("key"), key));
        }
    }
}

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

fn validation(validation: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    expression(&validation["expression"], &path.child("expression"), errors);
    let given = text(&validation["messageExpression"]);
    if !given.is_empty() && given.trim().is_empty() {
        let why = "must be non-empty if specified";
        errors.push(FieldError::invalid(path.child("messageExpression"), given, why));
    }
    let (message, at) = (text(&validation["message"]), path.child("message"));
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(at, message, "message must be non-empty if specified"));
    } else if message.trim().contains('\n') {
        errors.push(FieldError::invalid(at, message, "message must not contain line breaks"));
    }
    one_of(&validation["reason"], &REASONS, &path.child("reason"), errors);
}

fn mutations(spec: &Value, errors: &mut Errors) {
    let list = SPEC.child("mutations");
    required(&spec["mutations"], "mutations must contain at least one item", &list, errors);
    for (at, mutation) in items(&spec["mutations"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = list.index(at);
        let known = ["ApplyConfiguration", "JSONPatch"];
        required_one_of(&mutation["patchType"], &known, &path.child("patchType"), errors);
        let (field, other) = match text(&mutation["patchType"]) {
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
            "JSONPatch" => ("jsonPatch", "applyConfiguration"),
            _ => continue,
        };
        if mutation[field].is_null() {
            let why = format!("must be specified when patchType is {}", text(&mutation["patchType"]));
            errors.push(FieldError::required(path.child(field), why));
        } else {
            expression(&mutation[field]["expression"], &path.child(field).child("expression"), errors);
        }
        if !mutation[other].is_null() {
            let why = format!("must not be specified when patchType is {}", text(&mutation["patchType"]));
            errors.push(FieldError::invalid(path.child(other), "{}", why));
        }
    }
    let known = ["IfNeeded", "Never"];
    required_one_of(&spec["reinvocationPolicy"], &known, &SPEC.child("reinvocationPolicy"), errors);
}

fn binding(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let (name, path) = (text(&spec["policyName"]), SPEC.child("policyName"));
    if required(&spec["policyName"], "", &path, errors) {
        wrong(name, names::dns1123_subdomain(name), &path, errors);
    }
    if spec["paramRef"].is_object() {
        param_ref(&spec["paramRef"], &SPEC.child("paramRef"), errors);
    }
    if spec["matchResources"].is_object() {
        match_resources(&spec["matchResources"], &SPEC.child("matchResources"), errors);
    }
    if gvk.kind == "ValidatingAdmissionPolicyBinding" {
        actions(&spec["validationActions"], &SPEC.child("validationActions"), errors);
    }
}

fn param_ref(param: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(&param["name"]);
    match (name.is_empty(), param["selector"].is_null()) {
        (true, true) => errors.push(FieldError::required(path, "one of name or selector must be specified")),
        (false, false) => {
            errors
                .push(FieldError::forbidden(path.child("name"), "name and selector are mutually exclusive"));
        }
        (false, true) => wrong(name, path_name(name, false), &path.child("name"), errors),
        (true, false) => label_selector(&param["selector"], &path.child("selector"), errors),
    }
    let known = ["Allow", "Deny"];
    required_one_of(
        &param["parameterNotFoundAction"],
        &known,
        &path.child("parameterNotFoundAction"),
        errors,
    );
}

const DENY_AND_WARN: &str = "must not contain both Deny and Warn (repeating the same validation failure information \
     in the API response and headers serves no purpose)";

fn actions(actions: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, action) in items(actions).iter().enumerate() {
        if enough(errors) {
            break;
        }
        one_of(action, &["Audit", "Deny", "Warn"], &path.index(at), errors);
        if !seen.insert(text(action)) {
            errors.push(FieldError::duplicate(path.index(at), action.clone()));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        errors.push(FieldError::invalid(path, actions.clone(), DENY_AND_WARN));
    }
    if seen.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
}
