//! The plugins that decide by themselves, in upstream's order.

mod certificates;
mod classes;
pub(crate) mod event_rate;
mod lifecycle;
mod limit_ranger;
mod node_restriction;
mod owner_references;
pub(crate) mod pod_security;
mod pods;
mod priority;
mod references;
mod service_account;
#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::host::Host;
use crate::plugin::Plugin;

/// Plugins that run only where they are asked for.
const OFF: &[&str] = &[
    "AlwaysPullImages",
    "PodNodeSelector",
    "EventRateLimit",
    "OwnerReferencesPermissionEnforcement",
    "DenyServiceExternalIPs",
];

/// The plugins that a configuration asks for, in their order.
pub(crate) fn all(config: &Config, host: &Host) -> Vec<Box<dyn Plugin>> {
    let all: Vec<Box<dyn Plugin>> = vec![
        Box::new(lifecycle::NamespaceLifecycle::new(host.clock.clone())),
        Box::new(limit_ranger::LimitRanger),
        Box::new(service_account::ServiceAccount),
        Box::new(node_restriction::NodeRestriction),
        Box::new(pods::TaintNodesByCondition),
        Box::new(pods::AlwaysPullImages),
        Box::new(pod_security::PodSecurity::new(config.pod_security.clone())),
        Box::new(pods::PodNodeSelector {
            default: config.node_selector_default.clone(),
            whitelists: config.node_selector_whitelists.clone(),
        }),
        Box::new(priority::Priority),
        Box::new(pods::DefaultTolerationSeconds {
            not_ready_seconds: config.not_ready_toleration_seconds,
            unreachable_seconds: config.unreachable_toleration_seconds,
        }),
        Box::new(event_rate::EventRateLimit::new(&config.event_limits)),
        Box::new(classes::DefaultStorageClass),
        Box::new(classes::StorageObjectInUseProtection),
        Box::new(owner_references::OwnerReferencesPermissionEnforcement),
        Box::new(classes::PersistentVolumeClaimResize),
        Box::new(pods::RuntimeClass),
        Box::new(certificates::CertificateApproval),
        Box::new(certificates::CertificateSigning),
        Box::new(certificates::ClusterTrustBundleAttest),
        Box::new(certificates::CertificateSubjectRestriction),
        Box::new(classes::DefaultIngressClass),
        Box::new(classes::DenyServiceExternalIps),
        Box::new(pods::PodTopologyLabels),
    ];
    all.into_iter().filter(|plugin| config.runs(plugin.name(), !OFF.contains(&plugin.name()))).collect()
}
