//! Defaults: what an object has where its author said nothing.
//!
//! First the coded defaults of the kind, which look at several fields; then the static
//! ones that the schema's table carries. Filling in a second time changes nothing.

mod admission;
mod autoscaling;
mod batch;
mod claims;
mod cluster;
mod fill;
mod image;
mod network;
mod pod;
mod pod_resources;
mod service;
mod storage;
mod table;
mod volumes;
mod workload;

use kube_object::resource::GroupVersionKind;
use serde_json::Value;

pub(crate) use batch::generate_job_selector;
pub(crate) use pod_resources::aggregate as aggregate_pod_resources;

/// Fills in what upstream fills in on decode and on reading from storage.
pub fn default(gvk: &GroupVersionKind, object: &mut Value) {
    if let Some(fill) = coded(gvk) {
        fill(object);
    }
    table::apply(gvk, object);
}

/// The coded defaults of a kind, if it has any.
fn coded(gvk: &GroupVersionKind) -> Option<fn(&mut Value)> {
    match gvk.group.as_str() {
        "" => core(&gvk.kind),
        "apps" => match gvk.kind.as_str() {
            "Deployment" => Some(workload::deployment),
            "ReplicaSet" => Some(workload::replica_set),
            "DaemonSet" => Some(workload::daemon_set),
            "StatefulSet" => Some(workload::stateful_set),
            _ => None,
        },
        "batch" => match gvk.kind.as_str() {
            "Job" => Some(batch::job),
            "CronJob" => Some(batch::cron_job),
            _ => None,
        },
        "autoscaling" if gvk.kind == "HorizontalPodAutoscaler" => match gvk.version.as_str() {
            "v1" => Some(autoscaling::v1),
            _ => Some(autoscaling::v2),
        },
        "networking.k8s.io" => match gvk.kind.as_str() {
            "NetworkPolicy" => Some(network::policy),
            "IngressClass" => Some(network::ingress_class),
            _ => None,
        },
        "discovery.k8s.io" if gvk.kind == "EndpointSlice" => Some(network::endpoint_slice),
        "storage.k8s.io" => match gvk.kind.as_str() {
            "StorageClass" => Some(storage::class),
            "CSIDriver" => Some(storage::csi_driver),
            "VolumeAttachment" => Some(storage::attachment),
            _ => None,
        },
        "resource.k8s.io" => claims::coded(&gvk.version, &gvk.kind),
        _ => by_authority(&gvk.group, &gvk.kind),
    }
}

fn core(kind: &str) -> Option<fn(&mut Value)> {
    match kind {
        "Pod" => Some(pod::pod),
        "PodTemplate" => Some(pod::pod_template),
        "ReplicationController" => Some(workload::replication_controller),
        "Service" => Some(service::service),
        "Endpoints" => Some(service::endpoints),
        "Secret" => Some(cluster::secret),
        "Namespace" => Some(cluster::namespace),
        "Node" => Some(cluster::node),
        "LimitRange" => Some(cluster::limit_range),
        "PersistentVolume" => Some(storage::volume),
        "PersistentVolumeClaim" => Some(storage::claim),
        _ => None,
    }
}

fn by_authority(group: &str, kind: &str) -> Option<fn(&mut Value)> {
    match (group, kind) {
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => Some(cluster::role_binding),
        ("scheduling.k8s.io", "PriorityClass") => Some(cluster::priority_class),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => Some(cluster::flow_schema),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => Some(cluster::priority_level),
        ("apiregistration.k8s.io", "APIService") => Some(cluster::api_service),
        ("authentication.k8s.io", "TokenRequest") => Some(cluster::token_request),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => Some(admission::validating),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => Some(admission::mutating),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => {
            Some(admission::policy)
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding",
        ) => Some(admission::binding),
        _ => None,
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
