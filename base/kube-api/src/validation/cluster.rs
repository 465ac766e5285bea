//! Rules of namespaces, nodes, quotas and limit ranges.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::common::{
    IMMUTABLE, cidr, label_name, no_change, no_subresource, non_negative_quantity, subdomain_name, wrong,
};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules, metadata};
use crate::quantity::{self, Quantity};
use crate::value::{is_empty, items, members, text};

pub(super) const NAMESPACE: Rules =
    Rules { name: label_name, create: namespace, update: no_change, subresource: namespace_subresource };
pub(super) const NODE: Rules =
    Rules { name: subdomain_name, create: node, update: node_update, subresource: node_subresource };
pub(super) const QUOTA: Rules =
    Rules { name: subdomain_name, create: quota, update: quota_update, subresource: quota_subresource };
pub(super) const LIMIT_RANGE: Rules = Rules {
    name: subdomain_name,
    create: super::limits::limit_range,
    update: |gvk, new, _, errors| super::limits::limit_range(gvk, new, errors),
    subresource: no_subresource,
};

fn namespace(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    for finalizer in items(&object["spec"]["finalizers"]) {
        if enough(errors) {
            break;
        }
        finalizer_name(text(finalizer), &PathRef::Root("spec.finalizers"), errors);
    }
}

fn finalizer_name(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    wrong(name, names::qualified_name(name), path, errors);
    let standard = matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    if !name.contains('/') && !standard {
        let why = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn namespace_subresource(
    _: &GroupVersionKind,
    subresource: &str,
    new: &Value,
    _: &Value,
    errors: &mut Errors,
) {
    if subresource == "finalize" {
        let path = PathRef::Root("spec.finalizers");
        for (at, finalizer) in items(&new["spec"]["finalizers"]).iter().enumerate() {
            if enough(errors) {
                break;
            }
            finalizer_name(text(finalizer), &path.index(at), errors);
        }
        return;
    }
    let (phase, path) = (text(&new["status"]["phase"]), PathRef::Root("status.Phase"));
    let deleting = !is_empty(&new["metadata"]["deletionTimestamp"]);
    match (deleting, phase) {
        (false, "Active") | (true, "Terminating") => {}
        (false, _) => {
            let why = "may only be 'Active' if `deletionTimestamp` is empty";
            errors.push(FieldError::invalid(path, phase, why));
        }
        (true, _) => {
            let why = "may only be 'Terminating' if `deletionTimestamp` is not empty";
            errors.push(FieldError::invalid(path, phase, why));
        }
    }
}

fn node(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    taints(object, errors);
    node_resources(object, errors);
    let all = &object["spec"]["podCIDRs"];
    let path = PathRef::Root("spec.podCIDRs");
    let parsed: Vec<_> = (items(all).iter().enumerate())
        .filter_map(|(at, range)| cidr(text(range), &path.index(at), errors))
        .collect();
    let alike = parsed.len() == 2 && parsed[0].0.is_ipv4() == parsed[1].0.is_ipv4();
    if items(all).len() > 2 || alike {
        let why = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(path, all.clone(), why));
    }
}

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

fn taints(object: &Value, errors: &mut Errors) {
    // Upstream reports them below the metadata.
    let path = PathRef::Root("metadata.taints");
    let mut seen = BTreeSet::new();
    for (at, taint) in items(&object["spec"]["taints"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        metadata::label_name(text(&taint["key"]), &path.child("key"), errors);
        let value = text(&taint["value"]);
        let faults = names::label_value(value);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(path.child("value"), value, faults.join(";")));
        }
        let effect = text(&taint["effect"]);
        if effect.is_empty() {
            errors.push(FieldError::required(path.child("effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            errors.push(FieldError::not_supported(path.child("effect"), effect, &EFFECTS));
        }
        if !seen.insert((text(&taint["key"]), effect)) {
            let mut error = FieldError::duplicate(path, taint.clone());
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(error);
        }
    }
}

fn node_resources(object: &Value, errors: &mut Errors) {
    let status = PathRef::Root("status");
    for list in ["capacity", "allocatable"] {
        for (name, amount) in members(&object["status"][list]) {
            if enough(errors) {
                break;
            }
            resource_quantity(name, amount, &status.child(list).child(name), errors);
        }
    }
}

const POD_CIDR: &str = "node updates may not change podCIDR except from \"\" to valid";
const PROVIDER: &str = "node updates may not change providerID except from \"\" to valid";

fn node_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    node(gvk, new, errors);
    node_change(new, old, errors);
}

fn node_change(new: &Value, old: &Value, errors: &mut Errors) {
    let path = PathRef::Root("status.addresses");
    let mut seen = BTreeSet::new();
    for (at, address) in items(&new["status"]["addresses"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        if !seen.insert((text(&address["type"]), text(&address["address"]))) {
            errors.push(FieldError::duplicate(path.index(at), address.clone()));
        }
    }
    let (after, before) = (&new["spec"], &old["spec"]);
    if !is_empty(&before["podCIDRs"]) && after["podCIDRs"] != before["podCIDRs"] {
        errors.push(FieldError::forbidden("spec.podCIDRs", POD_CIDR));
    }
    if !is_empty(&before["providerID"]) && after["providerID"] != before["providerID"] {
        errors.push(FieldError::forbidden("spec.providerID", PROVIDER));
    }
}

fn node_subresource(_: &GroupVersionKind, _: &str, new: &Value, old: &Value, errors: &mut Errors) {
    node_resources(new, errors);
    taints(new, errors);
    node_change(new, old, errors);
}

/// Resources that a quota may limit beside those with a qualified name.
const QUOTA_RESOURCES: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// Resources that come in whole pieces.
const WHOLE: [&str; 9] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_quota_resource(name: &str) -> bool {
    let huge = name.strip_prefix("requests.").unwrap_or(name).starts_with("hugepages-");
    huge || QUOTA_RESOURCES.contains(&name)
}

/// Whether a resource is one that Kubernetes names itself.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.split_once('/').is_some_and(|(domain, _)| domain.ends_with("kubernetes.io"))
}

fn is_whole(name: &str) -> bool {
    WHOLE.contains(&name) || (!is_native(name) && !name.starts_with("requests."))
}

/// A resource's name: standard, or with a domain.
pub(super) fn resource_name(name: &str, path: &PathRef<'_>, errors: &mut Errors) -> bool {
    let faults = names::qualified_name(name);
    let mut good = faults.is_empty();
    wrong(name, faults, path, errors);
    let standard = is_quota_resource(name) || name == "storage";
    if good && !name.contains('/') && !standard {
        good = false;
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
    good
}

/// An amount of a resource: not below nothing, and whole where halves make no sense.
pub(super) fn resource_quantity(name: &str, amount: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let Some(quantity) = non_negative_quantity(amount, path, errors) else { return };
    if is_whole(name) && !quantity.is_integer() {
        errors.push(FieldError::invalid(path, quantity.to_string(), "must be an integer"));
    }
}

fn quota_amounts(amounts: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (name, amount) in members(amounts) {
        if enough(errors) {
            break;
        }
        resource_name(name, &path.key(name), errors);
        if !name.contains('/') && !is_quota_resource(name) {
            errors.push(FieldError::invalid(
                path.key(name),
                name.as_str(),
                "must be a standard resource for quota",
            ));
        }
        resource_quantity(name, amount, &path.key(name), errors);
    }
}

fn quota(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    quota_amounts(&spec["hard"], &PathRef::Root("spec.hard"), errors);
    scopes(spec, errors);
    scope_selector(spec, errors);
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

fn scope_fits(scope: &str, resource: &str) -> bool {
    let of_pods = matches!(
        resource,
        "cpu"
            | "memory"
            | "ephemeral-storage"
            | "requests.cpu"
            | "requests.memory"
            | "requests.ephemeral-storage"
            | "limits.cpu"
            | "limits.memory"
            | "limits.ephemeral-storage"
            | "pods"
    );
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => of_pods,
        _ => true,
    }
}

fn conflicting<'a>(scopes: impl Iterator<Item = &'a str>) -> usize {
    let all: BTreeSet<_> = scopes.collect();
    let pairs = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
    pairs.into_iter().filter(|(one, other)| all.contains(one) && all.contains(other)).count()
}

fn scopes(spec: &Value, errors: &mut Errors) {
    let (list, path) = (&spec["scopes"], PathRef::Root("spec.scopes"));
    for scope in items(list).iter().map(text) {
        if enough(errors) {
            break;
        }
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path, list.clone(), "unsupported scope"));
        }
        for (resource, _) in members(&spec["hard"]) {
            if enough(errors) {
                break;
            }
            if is_quota_resource(resource) && !scope_fits(scope, resource) {
                errors.push(FieldError::invalid(path, list.clone(), "unsupported scope applied to resource"));
            }
        }
    }
    for _ in 0..conflicting(items(list).iter().map(text)) {
        if enough(errors) {
            break;
        }
        errors.push(FieldError::invalid(path, list.clone(), "conflicting scopes"));
    }
}

const MUST_EXIST: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
     ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
     ResourceQuotaScopeCrossNamespacePodAffinity";

fn scope_selector(spec: &Value, errors: &mut Errors) {
    let path = PathRef::Root("spec.scopeSelector.matchExpressions");
    let requirements = items(&spec["scopeSelector"]["matchExpressions"]);
    for requirement in requirements {
        let (scope, operator) = (text(&requirement["scopeName"]), text(&requirement["operator"]));
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path.child("scopeName"), scope, "unsupported scope"));
        }
        for (resource, _) in members(&spec["hard"]) {
            if enough(errors) {
                break;
            }
            if is_quota_resource(resource) && !scope_fits(scope, resource) {
                let why = "unsupported scope applied to resource";
                errors.push(FieldError::invalid(path, spec["scopeSelector"].clone(), why));
            }
        }
        let exists_only =
            !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope);
        if exists_only && operator != "Exists" {
            errors.push(FieldError::invalid(path.child("operator"), operator, MUST_EXIST));
        }
        let values = &requirement["values"];
        match operator {
            "In" | "NotIn" if is_empty(values) => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(path.child("values"), why));
            }
            "Exists" | "DoesNotExist" if !is_empty(values) => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(path.child("values"), values.clone(), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => {
                let why = "not a valid selector operator";
                errors.push(FieldError::invalid(path.child("operator"), operator, why));
            }
        }
    }
    for _ in 0..conflicting(requirements.iter().map(|one| text(&one["scopeName"]))) {
        errors.push(FieldError::invalid("spec.scopes", spec["scopes"].clone(), "conflicting scopes"));
    }
}

fn quota_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    quota(gvk, new, errors);
    let set = |object: &Value| -> BTreeSet<String> {
        items(&object["spec"]["scopes"]).iter().map(|scope| text(scope).to_owned()).collect()
    };
    if set(new) != set(old) {
        errors.push(FieldError::invalid("spec.scopes", new["spec"]["scopes"].clone(), IMMUTABLE));
    }
}

fn quota_subresource(_: &GroupVersionKind, _: &str, new: &Value, _: &Value, errors: &mut Errors) {
    let status = PathRef::Root("status");
    for list in ["hard", "used"] {
        quota_amounts(&new["status"][list], &status.child(list), errors);
    }
}

/// An amount, or nothing.
pub(super) fn amount(value: &Value) -> Option<Quantity> {
    if *value == json!(null) { None } else { quantity::read(value) }
}
