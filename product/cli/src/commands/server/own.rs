//! The objects that the server brings to every cluster, applied like the manifests of its folder.

use auth::pki::Pki;
use serde_json::{Value, json};

use super::Args;

/// A name and the text of each.
pub(super) fn manifests(args: &Args, pki: &Pki) -> Vec<(String, String)> {
    let mut all = vec![("authentication", pki.extension_config_map())];
    if !args.node.disable_dns {
        all.push(("cluster DNS", dns(&args.node.cluster_dns().to_string())));
    }
    if !args.disable_controllers {
        all.push(("storage class local-path", controllers::local_path::storage_class()));
    }
    all.into_iter().map(|(name, object)| (name.to_owned(), object.to_string())).collect()
}

/// The service whose address each node's own DNS server has; the label keeps service proxies from it.
fn dns(address: &str) -> Value {
    let port = |name: &str, protocol: &str| json!({"name": name, "port": 53, "protocol": protocol});
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
                "service.kubernetes.io/service-proxy-name": "strake-dns",
            },
        },
        "spec": {"clusterIP": address, "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")]},
    })
}
