//! The specification of a pod, on its own or in a template.

use std::collections::{BTreeMap, BTreeSet};

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

use super::containers::{self, Pod};
use super::{network, probes, resources, scheduling, security, volumes, windows, words};
use crate::validation::{Errors, PathRef, metadata};
use crate::value::{items, text};

/// Checks a specification; `pod` is the pod's name, empty in templates.
pub(in crate::validation) fn check(spec: &Value, pod: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let grace = spec["terminationGracePeriodSeconds"].as_i64();
    if grace.is_none() {
        errors.push(FieldError::required(path.child("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volumes::check(&spec["volumes"], pod, &path.child("volumes"), errors);
    let claims = claims(&spec["resourceClaims"], &path.child("resourceClaims"), errors);
    let host_users = spec["hostUsers"].as_bool() != Some(false);
    let site = probes::Site { grace, os: &spec["os"] };
    let all = Pod { spec, volumes, claims, host_users, site };
    containers::regular(&all, &path.child("containers"), errors);
    containers::initial(&all, &path.child("initContainers"), errors);
    containers::ephemeral(&all, &path.child("ephemeralContainers"), errors);
    resources::of_pod(spec, &all.claims, path, errors);
    network::host_network(spec, !pod.is_empty(), path, errors);
    words::one_listed(&spec["restartPolicy"], &RESTART_POLICIES, &path.child("restartPolicy"), errors);
    words::one_listed(&spec["dnsPolicy"], &DNS_POLICIES, &path.child("dnsPolicy"), errors);
    metadata::labels(&spec["nodeSelector"], &path.child("nodeSelector"), errors);
    security::of_pod(spec, &path.child("securityContext"), errors);
    scheduling::affinity(&spec["affinity"], &path.child("affinity"), errors);
    network::dns(spec, &path.child("dnsConfig"), errors);
    readiness_gates(&spec["readinessGates"], &path.child("readinessGates"), errors);
    scheduling::gates(&spec["schedulingGates"], &path.child("schedulingGates"), errors);
    let constraints = path.child("topologySpreadConstraints");
    scheduling::spreading(&spec["topologySpreadConstraints"], &constraints, errors);
    windows::host_processes(spec, path, errors);
    if !host_users {
        own_users(spec, path, errors);
    }
    network::host_name_override(spec, path, errors);
    single_fields(spec, path, errors);
    windows::os(spec, path, errors);
    scheduling_group(&spec["schedulingGroup"], &path.child("schedulingGroup"), errors);
    files_of_variables(spec, path, errors);
}

/// What becomes of a container that ends.
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

fn single_fields(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for member in ["serviceAccountName", "nodeName"] {
        let name = text(&spec[member]);
        if !name.is_empty() {
            words::subdomain(name, &path.child(member), errors);
        }
    }
    let deadline = path.child("activeDeadlineSeconds");
    words::within(&spec["activeDeadlineSeconds"], (1, i64::from(i32::MAX)), &deadline, errors);
    network::host_name(spec, path, errors);
    scheduling::tolerations(&spec["tolerations"], &path.child("tolerations"), errors);
    network::host_aliases(&spec["hostAliases"], &path.child("hostAliases"), errors);
    let class = text(&spec["priorityClassName"]);
    if !class.is_empty() {
        words::subdomain(class, &path.child("priorityClassName"), errors);
    }
    if let Some(class) = spec["runtimeClassName"].as_str() {
        words::subdomain(class, &path.child("runtimeClassName"), errors);
    }
    let preemption = &spec["preemptionPolicy"];
    if !preemption.is_null() {
        let known = ["PreemptLowerPriority", "Never"];
        words::one_of(preemption, &known, &path.child("preemptionPolicy"), errors);
    }
    resources::overhead(&spec["overhead"], &path.child("overhead"), errors);
}

/// Claims to devices; returns their names.
fn claims<'a>(list: &'a Value, path: &PathRef<'_>, errors: &mut Errors) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for (at, claim) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return seen;
        }
        let at = path.index(at);
        let name = text(&claim["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), name));
        } else {
            words::label(name, &at.child("name"), errors);
        }
        let (own, template) = (&claim["resourceClaimName"], &claim["resourceClaimTemplateName"]);
        if !own.is_null() && !template.is_null() {
            let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
            errors.push(FieldError::invalid(at, claim.clone(), why));
        }
        if own.is_null() && template.is_null() {
            let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
            errors.push(FieldError::invalid(at, claim.clone(), why));
        }
        for member in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(name) = claim[member].as_str() {
                words::subdomain(name, &at.child(member), errors);
            }
        }
    }
    seen
}

fn readiness_gates(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, gate) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        words::qualified(text(&gate["conditionType"]), &path.index(at).child("conditionType"), errors);
    }
}

/// A pod with users of its own shares no other namespace with the host.
fn own_users(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let why = "when `hostUsers` is false";
    for (member, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec[member].as_bool() == Some(true) {
            errors.push(FieldError::forbidden(path.child(shown), why));
        }
    }
    containers::each(spec, path, &mut |container, at| {
        if !items(&container["volumeDevices"]).is_empty() {
            errors.push(FieldError::forbidden(at.child("volumeDevices"), why));
        }
    });
}

fn scheduling_group(group: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if group.is_null() {
        return;
    }
    let at = path.child("podGroupName");
    match group["podGroupName"].as_str() {
        None => errors.push(FieldError::required(at, "")),
        Some(name) => words::faults(names::dns1123_subdomain(name), name, &at, errors),
    }
}

/// A variable that is read from a file needs a volume that containers write to.
fn files_of_variables(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut volumes: Option<BTreeMap<&str, &Value>> = None;
    containers::each(spec, path, &mut |container, at| {
        let list = at.child("env");
        for (index, variable) in items(&container["env"]).iter().enumerate() {
            let source = &variable["valueFrom"]["fileKeyRef"];
            if source.is_null() || words::enough(errors) {
                continue;
            }
            let at = list.index(index);
            let at = at.child("valueFrom");
            let at = at.child("fileKeyRef");
            let at = at.child("volumeName");
            let name = text(&source["volumeName"]);
            let known = volumes.get_or_insert_with(|| {
                items(&spec["volumes"]).iter().map(|volume| (text(&volume["name"]), volume)).collect()
            });
            match known.get(name) {
                None => errors.push(FieldError::not_found(at, name)),
                Some(volume) if volume["emptyDir"].is_null() => {
                    errors.push(FieldError::invalid(at, name, "referenced volume must be of type emptyDir"));
                }
                Some(_) => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_listed_as_upstream_lists_them() {
        let mut errors = Errors::new();
        let spec = json!({"restartPolicy": "Maybe", "dnsPolicy": "Mine"});
        check(&spec, "p", &PathRef::Root("spec"), &mut errors);
        let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
        for (field, list) in [
            ("restartPolicy", r#""Always", "OnFailure", "Never""#),
            ("dnsPolicy", r#""ClusterFirstWithHostNet", "ClusterFirst", "Default", "None""#),
        ] {
            let end = format!(": supported values: {list}");
            let found =
                said.iter().find(|said| said.starts_with(&format!("spec.{field}: Unsupported value")));
            assert!(found.is_some_and(|found| found.ends_with(&end)), "{field}: {said:?}");
        }
    }
}
