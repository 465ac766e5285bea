//! What a client should know of a write that succeeds: deprecated versions and fields, and
//! values that are allowed but seldom meant.

mod pod;
mod versions;

#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;

use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

pub use versions::deprecated_version;

use crate::quantity;
use crate::validation::PathRef;
use crate::value::{items, text};

/// Sentences for `Warning` headers of a create (without an old object) or an update, the kind's
/// own deprecation first.
pub fn warnings(gvk: &GroupVersionKind, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut found: Vec<String> = deprecated_version(gvk).into_iter().collect();
    of_template(gvk, new, old, &mut found);
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => service(new, &mut found),
        ("", "PersistentVolume") => volume(new, &mut found),
        ("", "PersistentVolumeClaim") => claim(new, &mut found),
        ("", "ServiceAccount") => service_account(new, &mut found),
        ("networking.k8s.io", "Ingress") if old.is_none() => ingress(new, &mut found),
        ("batch", "CronJob") => cron_job(new, &mut found),
        ("node.k8s.io", "RuntimeClass") => {
            pod::node_selector(
                &new["scheduling"]["nodeSelector"],
                &PathRef::Root("scheduling.nodeSelector"),
                &mut found,
            );
        }
        _ => {}
    }
    found
}

/// Where a kind has its pod template, and whether its name becomes part of its pods' names.
fn template_of<'a>(gvk: &GroupVersionKind, object: &'a Value) -> Option<(&'static str, &'a Value, bool)> {
    let spec = &object["spec"];
    Some(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => ("", object, false),
        ("", "PodTemplate") => ("template", &object["template"], false),
        ("", "ReplicationController") | ("apps", "Deployment" | "ReplicaSet") => {
            ("spec.template", &spec["template"], true)
        }
        ("apps", "DaemonSet" | "StatefulSet") => ("spec.template", &spec["template"], false),
        ("batch", "Job") => ("spec.template", &spec["template"], true),
        ("batch", "CronJob") => {
            ("spec.jobTemplate.spec.template", &spec["jobTemplate"]["spec"]["template"], true)
        }
        _ => return None,
    })
}

fn of_template(gvk: &GroupVersionKind, new: &Value, old: Option<&Value>, found: &mut Vec<String>) {
    let Some((path, template, names_pods)) = template_of(gvk, new) else { return };
    let is_pod = path.is_empty();
    let name = text(&new["metadata"]["name"]);
    let faults = names::dns1123_label(name);
    if old.is_none() && !faults.is_empty() && (is_pod || names_pods) {
        let used = if is_pod { "the Pod's hostname" } else { "Pod names and hostnames" };
        let faults = faults.join(" ");
        found.push(format!(
            "metadata.name: this is used in {used}, which can result in surprising behavior; \
             a DNS label is recommended: [{faults}]"
        ));
    }
    // Pods are updated often, and seldom by those who read warnings.
    let changed = old
        .is_none_or(|old| !is_pod && template_of(gvk, old).is_none_or(|(_, before, _)| before != template));
    if changed {
        pod::template(template, &PathRef::Root(path), found);
    }
}

fn service(object: &Value, found: &mut Vec<String>) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    if object["metadata"]["annotations"][HINTS].is_string() {
        found.push(format!(
            "annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let spec = PathRef::Root("spec");
    for list in ["clusterIPs", "externalIPs"] {
        for (at, address) in items(&object["spec"][list]).iter().enumerate() {
            canonical(text(address), &spec.child(list).index(at), found);
        }
    }
    canonical(text(&object["spec"]["loadBalancerIP"]), &spec.child("loadBalancerIP"), found);
}

/// An address of IPv6 that is not written as everybody else writes it.
fn canonical(address: &str, path: &PathRef<'_>, found: &mut Vec<String>) {
    if let Ok(parsed) = address.parse::<Ipv6Addr>()
        && parsed.to_string() != address
    {
        found.push(format!(
            "{path}: IPv6 address {address:?} is not in RFC 5952 canonical format (\"{parsed}\"), which may cause controller apply-loops"
        ));
    }
}

fn volume(object: &Value, found: &mut Vec<String>) {
    let spec = &object["spec"];
    if text(&spec["persistentVolumeReclaimPolicy"]) == "Recycle" {
        found.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    if !object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].is_null() {
        found.push(
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \
             \"storageClassName\" attribute instead"
                .to_owned(),
        );
    }
    let path = PathRef::Root("spec.nodeAffinity.required.nodeSelectorTerms");
    for (at, term) in items(&spec["nodeAffinity"]["required"]["nodeSelectorTerms"]).iter().enumerate() {
        pod::selector_term(term, &path.index(at), found);
    }
    pod::old_volumes(spec, &PathRef::Root("spec"), found);
}

fn claim(object: &Value, found: &mut Vec<String>) {
    let resources = PathRef::Root("spec.resources");
    for list in ["requests", "limits"] {
        let amount = &object["spec"]["resources"][list]["storage"];
        fraction(amount, &resources.child(list).key("storage"), found);
    }
}

/// Part of a byte is as good as none.
fn fraction(amount: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    if let Some(quantity) = quantity::read(amount)
        && !quantity.is_integer()
    {
        found.push(format!("{path}: fractional byte value \"{quantity}\" is invalid, must be an integer"));
    }
}

fn service_account(object: &Value, found: &mut Vec<String>) {
    const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";
    if object["metadata"]["annotations"][MOUNTABLE].is_string() {
        found.push(format!(
            "metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        ));
    }
}

fn ingress(object: &Value, found: &mut Vec<String>) {
    const CLASS: &str = "kubernetes.io/ingress.class";
    if object["metadata"]["annotations"][CLASS].is_string() {
        found.push(format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"));
    }
}

fn cron_job(object: &Value, found: &mut Vec<String>) {
    if text(&object["spec"]["schedule"]).contains("TZ") {
        found.push(
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                .to_owned(),
        );
    }
}
