//! Which rules a kind has.

use kube_object::resource::GroupVersionKind;

use super::common::{no_subresource, nothing, subdomain_name};
use super::{Rules, config, endpoints, service};

/// Rules of a kind that has none of its own.
pub(crate) const PLAIN: Rules =
    Rules { name: subdomain_name, create: nothing, update: |_, _, _, _| {}, subresource: no_subresource };

/// The rules of a kind.
pub(crate) fn rules(gvk: &GroupVersionKind) -> Rules {
    match gvk.group.as_str() {
        "" => core(&gvk.kind),
        "discovery.k8s.io" => endpoints::SLICE,
        _ => PLAIN,
    }
}

fn core(kind: &str) -> Rules {
    match kind {
        "ConfigMap" => config::CONFIG_MAP,
        "Secret" => config::SECRET,
        "ServiceAccount" => config::SERVICE_ACCOUNT,
        "Service" => service::SERVICE,
        "Endpoints" => endpoints::ENDPOINTS,
        _ => PLAIN,
    }
}
