//! The cluster's names on this node: at the address of the cluster's DNS, without leaving it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::names::Resolv;
use cluster_dns::{Config, Server, local};
use tokio::sync::watch;

use super::Node;
use crate::error::CliError;

/// Answers from when the node has its network (`networked` says so) until the shutdown.
pub(super) fn run(
    node: &Node,
    networked: Option<watch::Receiver<bool>>,
    mut shutdown: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let (mirror, notices) = (Arc::clone(&node.mirror), node.notices.clone());
    let (domain, address) = (node.args.cluster_domain.clone(), node.args.cluster_dns());
    async move {
        let interface = match networked {
            Some(mut networked) => {
                tokio::select! {
                    _ = networked.wait_for(|made| *made) => attach::DEFAULT_POD_BRIDGE,
                    _ = shutdown.wait_for(|ended| *ended) => return,
                }
            }
            None => OWN_INTERFACE,
        };
        loop {
            match bind(Arc::clone(&mirror), &domain, (interface, address)) {
                Ok(server) => return server.run(mirror, shutdown).await,
                Err(error) => notices.warn(format_args!("the cluster's DNS: {error}")),
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                _ = shutdown.wait_for(|ended| *ended) => return,
            }
        }
    }
}

fn bind(
    mirror: Arc<dyn client::Mirror>,
    domain: &str,
    (interface, address): (&str, IpAddr),
) -> Result<Server, CliError> {
    local::assign(interface, &[address])?;
    let resolv = fs::read_to_string("/etc/resolv.conf").map(|text| Resolv::parse(&text)).unwrap_or_default();
    // A node whose own DNS is the cluster's must not ask itself.
    let upstream = resolv.servers.iter().filter(|server| **server != address);
    let config = Config {
        mirror,
        domain: domain.to_owned(),
        listen: vec![SocketAddr::new(address, PORT)],
        shards: 1,
        upstream: upstream.map(|server| SocketAddr::new(*server, PORT)).collect(),
        stubs: BTreeMap::new(),
        search: resolv.search,
        health: None,
    };
    Ok(Server::bind(&config)?)
}

const PORT: u16 = 53;
/// Where the address is when pods are on somebody else's network.
const OWN_INTERFACE: &str = "strake-dns";
/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(5);
