//! The node's service proxy, and what the kubelet waits for at a pod's end.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use client::BoxFuture;
use kubelet::{PodRef, Traffic};
use proxy_rules::{Facts, Range};
use service_proxy::{Config, ServiceProxy};
use tokio::sync::watch;

use super::Node;
use crate::notices::Notices;

/// A proxy for the node.
pub(super) fn proxy(node: &Node) -> ServiceProxy {
    let addresses: Vec<Ipv4Addr> = match node.address() {
        IpAddr::V4(address) => vec![address],
        IpAddr::V6(_) => Vec::new(),
    };
    let facts = Facts {
        node: node.args.name(),
        addresses,
        cluster: Range::parse(&node.args.cluster_cidr.to_string()).into_iter().collect(),
        ..Facts::default()
    };
    ServiceProxy::new(Config::new(Arc::clone(&node.mirror), facts))
}

/// Keeps the kernel's table until the shutdown; what the kernel refuses is tried again.
pub async fn run(proxy: ServiceProxy, notices: Notices, shutdown: watch::Receiver<bool>) {
    while let Err(error) = proxy.run(shutdown.clone()).await {
        notices.warn(format_args!("service proxy: {}", engine::error_chain(&error)));
        tokio::time::sleep(AGAIN).await;
    }
}

/// Traffic comes by services: a pod is drained when none leads there.
pub(super) struct Services(pub(super) ServiceProxy);

impl Traffic for Services {
    fn drained<'a>(&'a self, pod: &'a PodRef) -> BoxFuture<'a, ()> {
        let addresses: Vec<IpAddr> =
            pod.addresses.iter().filter_map(|address| address.parse().ok()).collect();
        Box::pin(async move { self.0.drained(&addresses).await })
    }
}

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(5);
