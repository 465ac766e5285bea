//! Containers of the three sorts: those that run, those that run before, those that look in.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::volumes::Volumes;
use super::{env, mounts, network, probes, resources, security, sources, words};
use crate::validation::{Errors, PathRef};
use crate::value::{is_empty, items, text};

/// What of the pod its containers are checked against.
pub(super) struct Pod<'a> {
    pub(super) spec: &'a Value,
    pub(super) volumes: Volumes<'a>,
    pub(super) claims: BTreeSet<&'a str>,
    /// Whether users are the host's, as they are unless the pod says otherwise.
    pub(super) host_users: bool,
    pub(super) site: probes::Site<'a>,
}

/// Calls a function with each container of each sort and its path.
pub(super) fn each(spec: &Value, path: &PathRef<'_>, call: &mut dyn FnMut(&Value, &PathRef<'_>)) {
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        let list = path.child(name);
        for (at, container) in items(&spec[name]).iter().enumerate() {
            call(container, &list.index(at));
        }
    }
}

/// Containers that run: at least one.
pub(super) fn regular(pod: &Pod<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let containers = items(&pod.spec["containers"]);
    if containers.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut names = BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        common(container, pod, &at, errors);
        let name = text(&container["name"]);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), name));
        }
        probes::check(container, pod.site, &at, errors);
        restart_policy(container, false, &at, errors);
    }
    network::host_ports(containers, path, errors);
}

/// Containers that run before the others, and beside them if they are restarted always.
pub(super) fn initial(pod: &Pod<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let mut names: BTreeSet<&str> = names(&pod.spec["containers"]);
    for (at, container) in items(&pod.spec["initContainers"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let index = at;
        let at = path.index(index);
        common(container, pod, &at, errors);
        restart_policy(container, true, &at, errors);
        let name = text(&container["name"]);
        if names.contains(name) {
            errors.push(FieldError::duplicate(at.child("name"), name));
        } else if !name.is_empty() {
            names.insert(name);
        }
        network::host_ports(std::slice::from_ref(container), path, errors);
        if container["restartPolicy"] == "Always" {
            probes::check(container, pod.site, &at, errors);
            continue;
        }
        for member in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if !container[member].is_null() {
                let why = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(at.child(member), why));
            }
        }
        let policies = at.child("resizePolicy");
        for (policy_at, policy) in items(&container["resizePolicy"]).iter().enumerate() {
            if words::enough(errors) {
                break;
            }
            if policy["restartPolicy"] == "RestartContainer" {
                let policy_at = policies.index(policy_at);
                let why = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.push(FieldError::invalid(policy_at.child("restartPolicy"), "RestartContainer", why));
            }
        }
    }
}

/// Containers that look into a running pod.
pub(super) fn ephemeral(pod: &Pod<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let containers = items(&pod.spec["ephemeralContainers"]);
    if containers.is_empty() {
        return;
    }
    let mut others = names(&pod.spec["containers"]);
    others.extend(names(&pod.spec["initContainers"]));
    let mut all = others.clone();
    for (at, container) in containers.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        common(container, pod, &at, errors);
        image_without_space(container, &at, errors);
        let name = text(&container["name"]);
        if !all.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), name));
        }
        let target = text(&container["targetContainerName"]);
        if !target.is_empty() && !others.contains(target) {
            errors.push(FieldError::not_found(at.child("targetContainerName"), target));
        }
        let why = "cannot be set for an Ephemeral Container";
        for member in NOT_EPHEMERAL {
            if !is_empty(&container[member]) {
                errors.push(FieldError::forbidden(at.child(member), why));
            }
        }
        let list = at.child("volumeMounts");
        for (index, mount) in items(&container["volumeMounts"]).iter().enumerate() {
            if words::enough(errors) {
                break;
            }
            for member in ["subPath", "subPathExpr"] {
                if !text(&mount[member]).is_empty() {
                    errors.push(FieldError::forbidden(list.index(index).child(member), why));
                }
            }
        }
    }
}

const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

fn names(containers: &Value) -> BTreeSet<&str> {
    items(containers).iter().map(|container| text(&container["name"])).collect()
}

/// What all sorts of containers have in common.
fn common(container: &Value, pod: &Pod<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(&container["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    } else {
        words::label(name, &path.child("name"), errors);
    }
    words::needs(container, &["image"], path, errors);
    let known = ["File", "FallbackToLogsOnError"];
    words::one_of(
        &container["terminationMessagePolicy"],
        &known,
        &path.child("terminationMessagePolicy"),
        errors,
    );
    network::ports(&container["ports"], &path.child("ports"), errors);
    env::variables(&container["env"], &path.child("env"), errors);
    env::from(&container["envFrom"], &path.child("envFrom"), errors);
    mounts::check(container, &pod.volumes, path, errors);
    let pull = path.child("imagePullPolicy");
    words::one_of(&container["imagePullPolicy"], &sources::PULL_POLICIES, &pull, errors);
    resources::of_container(&container["resources"], &pod.claims, &path.child("resources"), errors);
    let restart = text(&pod.spec["restartPolicy"]);
    resize_policies(&container["resizePolicy"], restart, &path.child("resizePolicy"), errors);
    security::of_container(
        &container["securityContext"],
        pod.host_users,
        &path.child("securityContext"),
        errors,
    );
}

fn resize_policies(list: &Value, restart: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, policy) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let (resource, own) = (text(&policy["resourceName"]), text(&policy["restartPolicy"]));
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(path.index(at), resource));
        }
        words::one_of(&policy["resourceName"], &["cpu", "memory"], path, errors);
        words::one_of(&policy["restartPolicy"], &["NotRequired", "RestartContainer"], path, errors);
        if restart == "Never" && own != "NotRequired" {
            let why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path, own, why));
        }
    }
}

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

/// A container's own policy, and its rules by exit code.
fn restart_policy(container: &Value, initial: bool, path: &PathRef<'_>, errors: &mut Errors) {
    let (policy, rules) = (&container["restartPolicy"], items(&container["restartPolicyRules"]));
    let (policy_at, rules_at) = (path.child("restartPolicy"), path.child("restartPolicyRules"));
    if policy.is_null() {
        if rules.is_empty() {
            return;
        }
        let why = "must specify restartPolicy when restart rules are used";
        errors.push(FieldError::required(policy_at, why));
        if initial {
            return;
        }
    }
    words::if_set_one_of(policy, &["Always", "Never", "OnFailure"], &policy_at, errors);
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(rules_at, rules.len(), RULES_MAX));
    }
    for (at, rule) in rules.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = rules_at.index(at);
        let actions = ["Restart", "RestartAllContainers"];
        words::known_text(text(&rule["action"]), &actions, &at.child("action"), errors);
        let codes = &rule["exitCodes"];
        let codes_at = at.child("exitCodes");
        if codes.is_null() {
            errors.push(FieldError::required(codes_at, "must be specified"));
            continue;
        }
        words::known_text(text(&codes["operator"]), &["In", "NotIn"], &codes_at.child("operator"), errors);
        let values = items(&codes["values"]).len();
        if values > EXIT_CODES_MAX {
            errors.push(FieldError::too_many(codes_at.child("values"), values, EXIT_CODES_MAX));
        }
    }
}

/// What only the containers of a pod, not of a template, must obey.
pub(super) fn only_in_pods(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for name in ["containers", "initContainers"] {
        let list = path.child(name);
        for (at, container) in items(&spec[name]).iter().enumerate() {
            image_without_space(container, &list.index(at), errors);
        }
    }
}

/// An image's name has no space around it.
pub(super) fn image_without_space(container: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let image = text(&container["image"]);
    if image.trim() != image && !words::enough(errors) {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(path.child("image"), image, why));
    }
}
