//! Pods, and the templates of pods in other kinds.

use serde_json::Value;

use super::fill::{at, below, blank, each, empty, is_unset, text, unset, zero};
use super::{image, pod_resources, volumes};

/// A pod that runs: beside what its template has, what only a pod gets.
pub(super) fn pod(object: &mut Value) {
    if let Some(spec) = below(object, "spec") {
        pod_spec(spec);
        requests_from_limits(spec);
        pod_resources::fill(spec);
        unset(spec, "enableServiceLinks", true);
        if spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
            host_ports(spec);
        }
    }
}

/// The kind PodTemplate.
pub(super) fn pod_template(object: &mut Value) {
    template(object);
}

/// The template below the member `template`.
pub(super) fn template(object: &mut Value) {
    if let Some(spec) = at(object, &["template", "spec"]) {
        pod_spec(spec);
    }
}

/// What pods and templates of pods have in common.
pub(super) fn pod_spec(spec: &mut Value) {
    blank(spec, "dnsPolicy", "ClusterFirst");
    blank(spec, "restartPolicy", "Always");
    blank(spec, "schedulerName", "default-scheduler");
    empty(spec, "securityContext");
    unset(spec, "terminationGracePeriodSeconds", 30);
    mirror_service_account(spec);
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, name).for_each(container);
    }
    each(spec, "volumes").for_each(volumes::volume);
}

/// The older name of the account follows the newer one.
fn mirror_service_account(spec: &mut Value) {
    let newer = text(spec, "serviceAccountName");
    let account = if newer.is_empty() { text(spec, "serviceAccount") } else { newer };
    if account.is_empty() || text(spec, "serviceAccount") == text(spec, "serviceAccountName") {
        return;
    }
    let account = Value::from(account);
    if let Some(members) = spec.as_object_mut() {
        members.insert("serviceAccount".to_owned(), account.clone());
        members.insert("serviceAccountName".to_owned(), account);
    }
}

fn container(container: &mut Value) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = image::pull_policy(text(container, "image"));
        blank(container, "imagePullPolicy", policy);
    }
    blank(container, "terminationMessagePath", "/dev/termination-log");
    blank(container, "terminationMessagePolicy", "File");
    empty(container, "resources");
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = below(container, name) {
            probe(found);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(handler) = at(container, &["lifecycle", name]) {
            http_get(handler);
        }
    }
    for variable in each(container, "env") {
        if let Some(source) = below(variable, "valueFrom") {
            volumes::field_sources(source);
        }
    }
}

fn probe(probe: &mut Value) {
    zero(probe, "timeoutSeconds", 1);
    zero(probe, "periodSeconds", 10);
    zero(probe, "successThreshold", 1);
    zero(probe, "failureThreshold", 3);
    http_get(probe);
}

fn http_get(handler: &mut Value) {
    if let Some(action) = below(handler, "httpGet") {
        blank(action, "path", "/");
        blank(action, "scheme", "HTTP");
    }
}

/// Who limits a resource and requests none of it requests all of it.
fn requests_from_limits(spec: &mut Value) {
    for name in ["containers", "initContainers"] {
        for container in each(spec, name) {
            let Some(resources) = below(container, "resources") else { continue };
            let Some(limits) = resources.get("limits").and_then(Value::as_object) else { continue };
            let requests = resources.get("requests");
            let missing: Vec<_> = limits
                .iter()
                .filter(|(name, _)| requests.is_none_or(|requests| is_unset(requests, name)))
                .map(|(name, limit)| (name.clone(), limit.clone()))
                .collect();
            if missing.is_empty() {
                continue;
            }
            empty(resources, "requests");
            if let Some(requests) = below(resources, "requests").and_then(Value::as_object_mut) {
                requests.extend(missing);
            }
        }
    }
}

/// In the host's network a container's port is the host's.
fn host_ports(spec: &mut Value) {
    for name in ["containers", "initContainers"] {
        for container in each(spec, name) {
            for port in each(container, "ports") {
                if let Some(number) = port.get("containerPort").and_then(Value::as_i64)
                    && number != 0
                {
                    zero(port, "hostPort", number);
                }
            }
        }
    }
}
