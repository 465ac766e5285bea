//! The node's part of the pod network, given to the engine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use pod_network::Config;
use tokio::sync::watch;

use super::Node;
use crate::error::CliError;

/// Makes the network when the control plane gives the node its range, and keeps its routes.
pub(super) fn run(
    node: &Node,
    engine: Arc<Engine>,
    networked: watch::Sender<bool>,
    shutdown: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send + 'static, CliError> {
    let IpAddr::V4(underlay) = node.address() else {
        return Err(CliError::message(format!("node address {}: pods have IPv4 only", node.address()))
            .with_fix("name an IPv4 address with --node-ip"));
    };
    let config = {
        let (mirror, notices) = (Arc::clone(&node.mirror), node.notices.clone());
        let (name, state) = (node.args.name(), node.directory.join("pod-network"));
        let (cluster, mode) = (node.args.cluster_cidr, node.args.pod_network.mode());
        move || Config {
            mirror: Arc::clone(&mirror),
            node: name.clone(),
            state: state.clone(),
            cluster,
            mode,
            underlay: Some(underlay),
            give: {
                let (engine, networked) = (Arc::clone(&engine), networked.clone());
                Box::new(move |network| {
                    engine.use_pod_network(network)?;
                    networked.send_replace(true);
                    Ok(())
                })
            },
            note: {
                let notices = notices.clone();
                Box::new(move |note| notices.warn(format_args!("pod network: {note}")))
            },
        }
    };
    let notices = node.notices.clone();
    Ok(async move {
        loop {
            match pod_network::run(config(), shutdown.clone()).await {
                Ok(()) => return,
                Err(error) => notices.warn(engine::error_chain(&error)),
            }
            // What the kernel refused it may grant later: an address that is still somebody else's.
            tokio::time::sleep(AGAIN).await;
        }
    })
}

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(5);
