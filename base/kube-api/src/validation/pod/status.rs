//! What the status of a pod may say.

use std::collections::{BTreeMap, BTreeSet};

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::words;
use crate::validation::{Errors, PathRef, metadata};
use crate::value::{is_empty, items, text};

/// Checks the change of a pod's status.
pub(super) fn check(new: &Value, old: &Value, errors: &mut Errors) {
    let path = PathRef::Root("status");
    let (after, before) = (&new["status"], &old["status"]);
    conditions(&after["conditions"], &path.child("conditions"), errors);
    if text(&new["spec"]["nodeName"]) != text(&old["spec"]["nodeName"]) {
        errors.push(FieldError::forbidden(path.child("nodeName"), "may not be changed directly"));
    }
    let nominated = text(&after["nominatedNodeName"]);
    if !nominated.is_empty() && nominated != text(&before["nominatedNodeName"]) {
        let at = path.child("nominatedNodeName");
        words::subdomain(nominated, &at, errors);
        if !text(&old["spec"]["nodeName"]).is_empty() {
            errors.push(FieldError::forbidden(at, "may not be set on pods that are already bound to a node"));
        }
    }
    observed(after, &path, errors);
    metadata::immutable(&after["qosClass"], &before["qosClass"], &path.child("qosClass"), errors);
    transitions(after, before, &old["spec"], &path, errors);
    claims(after, &new["spec"], &path.child("resourceClaimStatuses"), errors);
    addresses(after, "podIPs", &path, errors);
    let hosts = items(&after["hostIPs"]);
    if let Some(first) = hosts.first()
        && text(&first["ip"]) != text(&after["hostIP"])
    {
        let at = path.child("hostIPs");
        let at = at.index(0);
        errors.push(FieldError::invalid(at.child("ip"), text(&first["ip"]), "must be equal to `hostIP`"));
    }
    addresses(after, "hostIPs", &path, errors);
    users(after, &new["spec"], &path, errors);
}

fn observed(holder: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if let Some(number) = holder["observedGeneration"].as_i64()
        && number < 0
    {
        let why = "must be a non-negative integer";
        errors.push(FieldError::invalid(path.child("observedGeneration"), number, why));
    }
}

fn conditions(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, condition) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        observed(condition, &at, errors);
        let kind = text(&condition["type"]);
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            words::qualified(kind, &at.child("Type"), errors);
        }
    }
}

/// A container that ended comes back only if something restarts it.
fn transitions(new: &Value, old: &Value, spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let all_restart = ["containers", "initContainers"].iter().any(|list| {
        items(&spec[*list])
            .iter()
            .flat_map(|container| items(&container["restartPolicyRules"]))
            .any(|rule| rule["action"] == "RestartAllContainers")
    });
    for (list, of_spec) in [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", ""),
    ] {
        if all_restart && !of_spec.is_empty() {
            continue;
        }
        let containers: BTreeMap<&str, &Value> =
            items(&spec[of_spec]).iter().map(|container| (text(&container["name"]), container)).collect();
        let after: BTreeMap<&str, &Value> =
            items(&new[list]).iter().rev().map(|status| (text(&status["name"]), status)).collect();
        let at = path.child(list);
        for (index, before) in items(&old[list]).iter().enumerate() {
            let ended = &before["state"]["terminated"];
            let name = text(&before["name"]);
            let back = after.get(name).is_some_and(|status| status["state"]["terminated"].is_null());
            if ended.is_null() || !back {
                continue;
            }
            let code = ended["exitCode"].as_i64().unwrap_or(0);
            if !containers.get(name).is_some_and(|container| restarts(container, of_spec, spec, code)) {
                let why = "may not be transitioned to non-terminated state";
                errors.push(FieldError::forbidden(at.index(index).child("state"), why));
            }
        }
    }
}

/// Whether a container that ended with this code is run again.
fn restarts(container: &Value, list: &str, spec: &Value, code: i64) -> bool {
    for rule in items(&container["restartPolicyRules"]) {
        let codes = &rule["exitCodes"];
        let listed = items(&codes["values"]).iter().any(|value| value.as_i64() == Some(code));
        if codes["operator"] == if listed { "In" } else { "NotIn" } {
            return rule["action"] == "Restart";
        }
    }
    match (container["restartPolicy"].as_str(), text(&spec["restartPolicy"])) {
        (Some(own), _) => own == "Always" || (own == "OnFailure" && code != 0),
        (None, "Always") => list == "containers" || code != 0,
        (None, "OnFailure") => code != 0,
        (None, _) => false,
    }
}

fn claims(status: &Value, spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let known: BTreeSet<&str> =
        items(&spec["resourceClaims"]).iter().map(|claim| text(&claim["name"])).collect();
    let mut seen = BTreeSet::new();
    for (at, claim) in items(&status["resourceClaimStatuses"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let name = text(&claim["name"]);
        if !known.contains(name) {
            let why = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(at.child("name"), name, why));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), name));
        }
        if let Some(name) = claim["resourceClaimName"].as_str() {
            words::subdomain(name, &at.child("resourceClaimName"), errors);
        }
    }
}

/// At most one address of each family.
fn addresses(status: &Value, member: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let list = items(&status[member]);
    let at = path.child(member);
    let read: Vec<_> = list.iter().map(|item| words::read_ip(text(&item["ip"]))).collect();
    for (index, item) in list.iter().enumerate() {
        if read.get(index).is_some_and(Option::is_none) && !words::enough(errors) {
            words::ip(text(&item["ip"]), &at.index(index), errors);
        }
    }
    let families: BTreeSet<bool> = read.iter().flatten().map(std::net::IpAddr::is_ipv4).collect();
    if list.len() > 1 && (families.len() != 2 || list.len() > 2) {
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(at, status[member].clone(), why));
    }
}

fn users(status: &Value, spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let windows = spec["os"]["name"] == "windows";
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        let at = path.child(list);
        for (index, container) in items(&status[list]).iter().enumerate() {
            if words::enough(errors) {
                return;
            }
            let at = at.index(index);
            let user = &container["user"]["linux"];
            let user_at = at.child("linux");
            if windows && !user.is_null() {
                errors.push(FieldError::forbidden(user_at, "cannot be set for a windows pod"));
            }
            for name in ["uid", "gid"] {
                words::id(&user[name], &user_at.child(name), errors);
            }
            if list.starts_with("ephemeral") && !is_empty(&container["allocatedResourcesStatus"]) {
                let why = "must not be specified in container status";
                errors.push(FieldError::forbidden(at.child("allocatedResourcesStatus"), why));
            }
        }
    }
}
