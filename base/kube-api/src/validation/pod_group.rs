//! Rules of pod groups and of the workloads that have templates of them.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{immutable, no_subresource, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{items, text};

pub(super) const GROUP: Rules =
    Rules { name: subdomain_name, create: group, update: group_update, subresource: no_subresource };
pub(super) const WORKLOAD: Rules =
    Rules { name: subdomain_name, create: workload, update: workload_update, subresource: no_subresource };

const SPEC: PathRef<'static> = PathRef::Root("spec");
const TEMPLATES_MAX: usize = 8;
const CLAIMS_MAX: usize = 4;
const TOPOLOGIES_MAX: usize = 1;
/// The largest priority that users may give.
const PRIORITY_MAX: i64 = 1_000_000_000;
/// What a pod group is made of; none of it may change.
const GROUP_FIELDS: [&str; 7] = [
    "podGroupTemplateRef",
    "schedulingPolicy",
    "schedulingConstraints",
    "resourceClaims",
    "disruptionMode",
    "priorityClassName",
    "priority",
];

fn group(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    if spec["podGroupTemplateRef"].is_object() {
        let path = SPEC.child("podGroupTemplateRef");
        one_member(&spec["podGroupTemplateRef"], &["workload"], &path, errors);
        let (workload, path) = (&spec["podGroupTemplateRef"]["workload"], path.child("workload"));
        if workload.is_object() {
            named(&workload["workloadName"], names::dns1123_subdomain, &path.child("workloadName"), errors);
            let name = path.child("podGroupTemplateName");
            named(&workload["podGroupTemplateName"], names::dns1123_label, &name, errors);
        }
    }
    common(spec, &SPEC, errors);
}

fn group_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    for field in GROUP_FIELDS {
        immutable(&new["spec"][field], &old["spec"][field], &SPEC.child(field), errors);
    }
}

fn workload(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let (controller, path) = (&spec["controllerRef"], SPEC.child("controllerRef"));
    if controller.is_object() {
        let group = text(&controller["apiGroup"]);
        if !group.is_empty() {
            wrong(group, names::dns1123_subdomain(group), &path.child("apiGroup"), errors);
        }
        named(&controller["kind"], names::path_segment, &path.child("kind"), errors);
        named(&controller["name"], names::path_segment, &path.child("name"), errors);
    }
    let (templates, path) = (items(&spec["podGroupTemplates"]), SPEC.child("podGroupTemplates"));
    if templates.len() > TEMPLATES_MAX {
        errors.push(FieldError::too_many(path, templates.len(), TEMPLATES_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (at, template) in templates.iter().enumerate() {
        let path = path.index(at);
        unique(template, names::dns1123_label, &mut seen, &path, errors);
        common(template, &path, errors);
    }
}

fn workload_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    for field in ["controllerRef", "podGroupTemplates"] {
        immutable(&new["spec"][field], &old["spec"][field], &SPEC.child(field), errors);
    }
}

/// What a pod group and its template have in common.
fn common(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (policy, below) = (&spec["schedulingPolicy"], path.child("schedulingPolicy"));
    one_member(policy, &["basic", "gang"], &below, errors);
    if policy["gang"].is_object() {
        let gang = below.child("gang");
        let path = gang.child("minCount");
        match policy["gang"]["minCount"].as_i64().unwrap_or(0) {
            0 => errors.push(FieldError::required(path, "")),
            count if count < 0 => {
                errors.push(FieldError::invalid(path, count, "must be greater than or equal to 1"));
            }
            _ => {}
        }
    }
    topology(&spec["schedulingConstraints"], &path.child("schedulingConstraints"), errors);
    claims(&spec["resourceClaims"], &path.child("resourceClaims"), errors);
    let class = text(&spec["priorityClassName"]);
    if !class.is_empty() {
        wrong(class, names::dns1123_subdomain(class), &path.child("priorityClassName"), errors);
    }
    if spec["priority"].as_i64().is_some_and(|priority| priority > PRIORITY_MAX) {
        let why = format!("must be less than or equal to {PRIORITY_MAX}");
        errors.push(FieldError::invalid(path.child("priority"), spec["priority"].clone(), why));
    }
}

fn topology(constraints: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (list, path) = (items(&constraints["topology"]), path.child("topology"));
    if list.len() > TOPOLOGIES_MAX {
        errors.push(FieldError::too_many(path, list.len(), TOPOLOGIES_MAX));
        return;
    }
    for (at, constraint) in list.iter().enumerate() {
        named(&constraint["key"], names::qualified_name, &path.index(at).child("key"), errors);
    }
}

fn claims(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let claims = items(list);
    if claims.len() > CLAIMS_MAX {
        errors.push(FieldError::too_many(path, claims.len(), CLAIMS_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (at, claim) in claims.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        unique(claim, names::dns1123_label, &mut seen, &path, errors);
        let members = ["resourceClaimName", "resourceClaimTemplateName"];
        one_member(claim, &members, &path, errors);
        for member in members {
            if let Some(name) = claim[member].as_str() {
                wrong(name, names::dns1123_subdomain(name), &path.child(member), errors);
            }
        }
    }
}

/// Exactly one of these members must be there.
fn one_member(value: &Value, members: &[&str], path: &PathRef<'_>, errors: &mut Errors) {
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let set: Vec<&str> = members.iter().copied().filter(|name| !value[*name].is_null()).collect();
    match set.len() {
        1 => {}
        0 => {
            let why = format!("must specify one of: {}", quoted(members));
            errors.push(FieldError::invalid(path, "", why));
        }
        _ => {
            let why = format!("must specify exactly one of: {}", quoted(members));
            errors.push(FieldError::invalid(path, format!("{{{}}}", quoted(&set)), why));
        }
    }
}

/// The name must be there and follow a rule.
fn named(value: &Value, rule: fn(&str) -> Vec<String>, path: &PathRef<'_>, errors: &mut Errors) {
    if required(value, "", path, errors) {
        wrong(text(value), rule(text(value)), path, errors);
    }
}

/// The item's name must be there, follow a rule, and be no other item's.
fn unique<'a>(
    item: &'a Value,
    rule: fn(&str) -> Vec<String>,
    seen: &mut BTreeSet<&'a str>,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    named(&item["name"], rule, &path.child("name"), errors);
    let name = text(&item["name"]);
    if !name.is_empty() && !seen.insert(name) {
        errors.push(FieldError::duplicate(path, name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{create, update};

    #[test]
    fn pod_groups_and_workloads() {
        let version = "scheduling.k8s.io/v1alpha2";
        let group = |policy: Value, expected: &[&str]| {
            create(version, "PodGroup", json!({"spec": {"schedulingPolicy": policy}}), expected);
        };
        group(json!({"basic": {}}), &[]);
        group(json!({"gang": {"minCount": 2}}), &[]);
        group(
            json!({}),
            &["spec.schedulingPolicy: Invalid value: \"\": must specify one of: `basic`, `gang`"],
        );
        group(
            json!({"basic": {}, "gang": {"minCount": 2}}),
            &[
                "spec.schedulingPolicy: Invalid value: \"{`basic`, `gang`}\": must specify exactly one of: `basic`, `gang`",
            ],
        );
        group(
            json!({"gang": {"minCount": -1}}),
            &["spec.schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than or equal to 1"],
        );
        update(
            version,
            "PodGroup",
            json!({"spec": {"schedulingPolicy": {"basic": {}}}}),
            json!({"spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}}),
            &["spec.schedulingPolicy: Invalid value: {\"gang\":{\"minCount\":2}}: field is immutable"],
        );
        let template = json!({
            "name": "a",
            "schedulingPolicy": {"basic": {}},
            "resourceClaims": [{"name": "c", "resourceClaimName": "r", "resourceClaimTemplateName": "t"}, {"name": "d"}],
            "schedulingConstraints": {"topology": [{"key": "a"}, {"key": "b"}]},
            "priority": 1_000_000_001,
        });
        create(
            version,
            "Workload",
            json!({"spec": {
                "controllerRef": {"kind": "a/b", "name": "x"},
                "podGroupTemplates": [template, {"name": "a", "schedulingPolicy": {}}],
            }}),
            &[
                "spec.controllerRef.kind: Invalid value: \"a/b\": may not contain '/'",
                "spec.podGroupTemplates[0].schedulingConstraints.topology: Too many: 2: must have at most 1 item",
                "spec.podGroupTemplates[0].resourceClaims[0]: Invalid value: \"{`resourceClaimName`, \
                 `resourceClaimTemplateName`}\": must specify exactly one of: `resourceClaimName`, `resourceClaimTemplateName`",
                "spec.podGroupTemplates[0].resourceClaims[1]: Invalid value: \"\": must specify one of: `resourceClaimName`, \
                 `resourceClaimTemplateName`",
                "spec.podGroupTemplates[0].priority: Invalid value: 1000000001: must be less than or equal to 1000000000",
                "spec.podGroupTemplates[1]: Duplicate value: \"a\"",
                "spec.podGroupTemplates[1].schedulingPolicy: Invalid value: \"\": must specify one of: `basic`, `gang`",
            ],
        );
    }
}
