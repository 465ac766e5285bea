//! The cluster's names on this node: at the address of the cluster's DNS, without leaving it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::names::Resolv;
use cluster_dns::{Config, PORT, Server, local};
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
                    () = client::asked_to_end(&mut shutdown) => return,
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
                () = client::asked_to_end(&mut shutdown) => return,
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
    let resolv = resolv(Path::new("/etc/resolv.conf"));
    let config = Config::of_node(mirror, domain, vec![SocketAddr::new(address, PORT)], resolv);
    Ok(Server::bind(&config)?)
}

/// Whom this machine asks; one without the file asks nobody.
pub fn resolv(path: &Path) -> Resolv {
    fs::read_to_string(path).map(|text| Resolv::parse(&text)).unwrap_or_default()
}

/// Where the address is when pods are on somebody else's network.
const OWN_INTERFACE: &str = "strake-dns";
/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(5);
