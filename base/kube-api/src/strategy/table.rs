//! Which kind behaves how.

use super::{Garbage, Generation, Strategy, kinds, pod, service};

/// What most kinds do.
const PLAIN: Strategy = Strategy {
    generation: Generation::None,
    create_on_update: false,
    unconditional_update: true,
    status_on_create: false,
    garbage: Garbage::Delete,
    graceful: false,
    create: |_| {},
    update: |_, _| {},
    subresource: |_, _, _| false,
};

const SPEC: Strategy = Strategy { generation: Generation::Spec, ..PLAIN };
const UPSERT: Strategy = Strategy { create_on_update: true, ..PLAIN };
/// No update without the resource version.
const STRICT: Strategy = Strategy { unconditional_update: false, ..PLAIN };
const STRICT_SPEC: Strategy = Strategy { unconditional_update: false, ..SPEC };
const STRICT_CONTENT: Strategy =
    Strategy { generation: Generation::Content, unconditional_update: false, ..PLAIN };
const CUSTOM: Strategy = Strategy { generation: Generation::Content, unconditional_update: false, ..PLAIN };
const EVENT: Strategy = Strategy { garbage: Garbage::Unsupported, ..UPSERT };
const LEASE: Strategy = Strategy { unconditional_update: false, ..UPSERT };

const POD: Strategy = Strategy {
    graceful: true,
    create: pod::create,
    update: pod::update,
    subresource: pod::subresource,
    ..SPEC
};
const TEMPLATE: Strategy = Strategy { generation: Generation::Content, ..PLAIN };
const CONTROLLER: Strategy = Strategy { garbage: Garbage::Orphan, ..SPEC };
const SERVICE: Strategy = Strategy { create: service::create, update: service::update, ..UPSERT };
const NAMESPACE: Strategy = Strategy {
    create: kinds::namespace_create,
    update: kinds::namespace_update,
    subresource: kinds::namespace_subresource,
    ..PLAIN
};
const NODE: Strategy = Strategy { status_on_create: true, ..PLAIN };
const VOLUME: Strategy = Strategy { create: kinds::pending, ..PLAIN };
const CLAIM: Strategy = Strategy { create: kinds::claim_create, update: kinds::claim_update, ..PLAIN };
const DEPLOYMENT: Strategy = Strategy {
    generation: Generation::SpecAndAnnotations,
    subresource: kinds::deployment_subresource,
    ..PLAIN
};
const DAEMON_SET: Strategy =
    Strategy { create: kinds::daemon_set_create, update: kinds::daemon_set_update, ..SPEC };
const JOB: Strategy =
    Strategy { garbage: Garbage::Orphan, create: crate::defaults::generate_job_selector, ..SPEC };
const SIGNING_REQUEST: Strategy = Strategy {
    update: kinds::signing_request_update,
    subresource: kinds::signing_request_subresource,
    ..PLAIN
};
const SLICE: Strategy = Strategy { generation: Generation::ContentAndLabels, ..PLAIN };
const PRIORITY_CLASS: Strategy = Strategy { generation: Generation::One, ..PLAIN };
const API_SERVICE: Strategy =
    Strategy { create: kinds::api_service_create, subresource: kinds::own_metadata_subresource, ..STRICT };
const FLOW: Strategy = Strategy { subresource: kinds::own_metadata_subresource, ..SPEC };
const POLICY: Strategy = Strategy { subresource: kinds::own_metadata_subresource, ..STRICT_SPEC };
const ATTACHMENT: Strategy = Strategy { subresource: kinds::own_metadata_subresource, ..STRICT };
const RESOURCE_CLAIM: Strategy = Strategy { subresource: kinds::own_metadata_subresource, ..PLAIN };
const TAINT_RULE: Strategy = Strategy { subresource: kinds::own_metadata_subresource, ..SPEC };

/// The strategy of a kind.
pub(super) fn strategy(group: &str, kind: &str) -> &'static Strategy {
    match group {
        "" => core(kind),
        "admissionregistration.k8s.io" => match kind {
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => &STRICT_CONTENT,
            _ => &POLICY,
        },
        "apps" => match kind {
            "Deployment" => &DEPLOYMENT,
            "DaemonSet" => &DAEMON_SET,
            "ControllerRevision" => &PLAIN,
            _ => &SPEC,
        },
        "batch" if kind == "Job" => &JOB,
        "batch" => &SPEC,
        "coordination.k8s.io" => &LEASE,
        "events.k8s.io" => &EVENT,
        "flowcontrol.apiserver.k8s.io" => &FLOW,
        "policy" | "apiextensions.k8s.io" => &STRICT_SPEC,
        "rbac.authorization.k8s.io" => &UPSERT,
        _ => other(group, kind),
    }
}

fn core(kind: &str) -> &'static Strategy {
    match kind {
        "Pod" => &POD,
        "PodTemplate" => &TEMPLATE,
        "ReplicationController" => &CONTROLLER,
        "Service" => &SERVICE,
        "Endpoints" | "LimitRange" => &UPSERT,
        "Event" => &EVENT,
        "Namespace" => &NAMESPACE,
        "Node" => &NODE,
        "PersistentVolume" => &VOLUME,
        "PersistentVolumeClaim" => &CLAIM,
        _ => &PLAIN,
    }
}

fn other(group: &str, kind: &str) -> &'static Strategy {
    match (group, kind) {
        ("apiregistration.k8s.io", "APIService") => &API_SERVICE,
        ("certificates.k8s.io", "CertificateSigningRequest") => &SIGNING_REQUEST,
        ("certificates.k8s.io", _) => &STRICT,
        ("discovery.k8s.io", "EndpointSlice") => &SLICE,
        ("networking.k8s.io", "NetworkPolicy" | "Ingress" | "IngressClass") => &SPEC,
        ("node.k8s.io", "RuntimeClass") => &STRICT,
        ("resource.k8s.io", "DeviceClass" | "ResourceSlice") => &SPEC,
        ("resource.k8s.io", "DeviceTaintRule") => &TAINT_RULE,
        ("resource.k8s.io", "ResourceClaim") => &RESOURCE_CLAIM,
        ("scheduling.k8s.io", "PriorityClass") => &PRIORITY_CLASS,
        ("storage.k8s.io", "CSIDriver") => &STRICT_SPEC,
        ("storage.k8s.io", "CSINode" | "CSIStorageCapacity") => &STRICT,
        ("storage.k8s.io", "VolumeAttachment") => &ATTACHMENT,
        (
            "networking.k8s.io"
            | "resource.k8s.io"
            | "scheduling.k8s.io"
            | "storage.k8s.io"
            | "autoscaling"
            | "internal.apiserver.k8s.io"
            | "storagemigration.k8s.io"
            | "authentication.k8s.io"
            | "authorization.k8s.io",
            _,
        ) => &PLAIN,
        _ => &CUSTOM,
    }
}
