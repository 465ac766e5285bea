//! Which rules a kind has.

use kube_object::resource::GroupVersionKind;

use super::common::{no_subresource, nothing, subdomain_name};
use super::{
    Rules, certificates, cluster, config, device, endpoints, event, flow_control, ingress, networking, pod,
    pod_group, policy, rbac, registration, review, scheduling, service, storage, volume, webhook, workload,
};

/// Rules of a kind that has none of its own.
pub(crate) const PLAIN: Rules =
    Rules { name: subdomain_name, create: nothing, update: |_, _, _, _| {}, subresource: no_subresource };

/// The rules of a kind.
pub(crate) fn rules(gvk: &GroupVersionKind) -> Rules {
    if let Some(rules) = workload::rules(gvk) {
        return rules;
    }
    match gvk.group.as_str() {
        "" => core(&gvk.kind),
        "admissionregistration.k8s.io" => match gvk.kind.as_str() {
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => webhook::CONFIGURATION,
            kind if kind.ends_with("Binding") => policy::BINDING,
            _ => policy::POLICY,
        },
        "authentication.k8s.io" | "authorization.k8s.io" => reviews(&gvk.kind),
        "discovery.k8s.io" => endpoints::SLICE,
        "events.k8s.io" => event::EVENT,
        "networking.k8s.io" => networking(&gvk.kind),
        "rbac.authorization.k8s.io" => match gvk.kind.as_str() {
            "Role" | "ClusterRole" => rbac::ROLE,
            _ => rbac::BINDING,
        },
        "storage.k8s.io" => storage(&gvk.kind),
        group => other(group, &gvk.kind),
    }
}

/// Whether the schema's demands are checked too, beside the rules written by hand.
pub(super) fn needs_schema(gvk: &GroupVersionKind) -> bool {
    matches!(
        gvk.group.as_str(),
        "resource.k8s.io" | "scheduling.k8s.io" | "storagemigration.k8s.io" | "internal.apiserver.k8s.io"
    ) && workload::rules(gvk).is_none()
}

fn other(group: &str, kind: &str) -> Rules {
    match (group, kind) {
        ("apiregistration.k8s.io", "APIService") => registration::SERVICE,
        ("certificates.k8s.io", "CertificateSigningRequest") => certificates::REQUEST,
        ("certificates.k8s.io", "ClusterTrustBundle") => certificates::BUNDLE,
        ("certificates.k8s.io", "PodCertificateRequest") => certificates::POD_REQUEST,
        ("coordination.k8s.io", "Lease") => scheduling::LEASE,
        ("coordination.k8s.io", "LeaseCandidate") => scheduling::CANDIDATE,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => flow_control::SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => flow_control::LEVEL,
        ("node.k8s.io", "RuntimeClass") => scheduling::RUNTIME,
        ("resource.k8s.io", "DeviceClass") => device::CLASS,
        ("resource.k8s.io", "ResourceClaim") => device::CLAIM,
        ("resource.k8s.io", "ResourceClaimTemplate") => device::TEMPLATE,
        ("resource.k8s.io", "ResourceSlice") => device::SLICE,
        ("scheduling.k8s.io", "PodGroup") => pod_group::GROUP,
        ("scheduling.k8s.io", "PriorityClass") => scheduling::PRIORITY,
        ("scheduling.k8s.io", "Workload") => pod_group::WORKLOAD,
        _ => PLAIN,
    }
}

fn storage(kind: &str) -> Rules {
    match kind {
        "StorageClass" => storage::CLASS,
        "VolumeAttributesClass" => storage::ATTRIBUTES_CLASS,
        "VolumeAttachment" => storage::ATTACHMENT,
        "CSINode" => storage::NODE,
        "CSIDriver" => storage::DRIVER,
        "CSIStorageCapacity" => storage::CAPACITY,
        _ => PLAIN,
    }
}

fn reviews(kind: &str) -> Rules {
    match kind {
        "SubjectAccessReview" | "LocalSubjectAccessReview" | "SelfSubjectAccessReview" => review::ACCESS,
        "SelfSubjectRulesReview" => review::RULES,
        "TokenRequest" => review::TOKEN,
        _ => review::ANY,
    }
}

fn core(kind: &str) -> Rules {
    match kind {
        "Binding" => pod::BINDING,
        "ConfigMap" => config::CONFIG_MAP,
        "Endpoints" => endpoints::ENDPOINTS,
        "Event" => event::EVENT,
        "LimitRange" => cluster::LIMIT_RANGE,
        "Namespace" => cluster::NAMESPACE,
        "Node" => cluster::NODE,
        "PersistentVolume" => volume::VOLUME,
        "PersistentVolumeClaim" => volume::CLAIM,
        "Pod" => pod::POD,
        "PodTemplate" => pod::POD_TEMPLATE,
        "ResourceQuota" => cluster::QUOTA,
        "Secret" => config::SECRET,
        "Service" => service::SERVICE,
        "ServiceAccount" => config::SERVICE_ACCOUNT,
        _ => PLAIN,
    }
}

fn networking(kind: &str) -> Rules {
    match kind {
        "Ingress" => ingress::INGRESS,
        "IngressClass" => ingress::CLASS,
        "IPAddress" => networking::ADDRESS,
        "NetworkPolicy" => networking::POLICY,
        "ServiceCIDR" => networking::SERVICE_CIDR,
        _ => PLAIN,
    }
}
