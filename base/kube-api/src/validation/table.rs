//! Which rules a kind has.

use kube_object::resource::GroupVersionKind;

use super::common::{no_subresource, nothing, subdomain_name};
use super::{Rules, cluster, config, endpoints, event, ingress, networking, pod, rbac, service, volume};

/// Rules of a kind that has none of its own.
pub(crate) const PLAIN: Rules =
    Rules { name: subdomain_name, create: nothing, update: |_, _, _, _| {}, subresource: no_subresource };

/// The rules of a kind.
pub(crate) fn rules(gvk: &GroupVersionKind) -> Rules {
    if let Some(rules) = super::workload::rules(gvk) {
        return rules;
    }
    match gvk.group.as_str() {
        "" => core(&gvk.kind),
        "discovery.k8s.io" => endpoints::SLICE,
        "events.k8s.io" => event::EVENT,
        "networking.k8s.io" => networking(&gvk.kind),
        "rbac.authorization.k8s.io" => match gvk.kind.as_str() {
            "Role" | "ClusterRole" => rbac::ROLE,
            _ => rbac::BINDING,
        },
        _ => PLAIN,
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
