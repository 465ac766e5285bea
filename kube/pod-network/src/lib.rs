//! The cluster's part of a node's pod network: watches → `attach`.
//!
//! ```text
//! Nodes ─┬─ this one's spec.podCIDR ─▶ PodNetwork::open ─▶ whoever attaches sandboxes
//!        └─ the others' ranges and addresses ─▶ routes, neighbours, tunnel
//! ```
//!
//! A node has a network as soon as the control plane gave it a range. Every change of a node that matters
//! for routes writes the difference to the kernel; nothing polls.

mod nodes;

use std::sync::Arc;

use attach::{Cidr, Mode, PodNetwork, PodNetworkConfig};
use client::{Change, Mirror};
use futures_util::StreamExt as _;
use kube_object::resource::{GroupResource, GroupVersionResource};
use tokio::sync::watch;

pub use nodes::{own_range, routes};

/// What the network is made with.
pub struct Config {
    /// What is seen of the cluster: at least [`resources`].
    pub mirror: Arc<dyn Mirror>,
    /// The node.
    pub node: String,
    /// Where leases are kept; a reboot may clear it.
    pub state: std::path::PathBuf,
    /// The addresses of all pods.
    pub cluster: Cidr,
    /// How other nodes are reached.
    pub mode: Mode,
    /// The node's address towards the others; that of the default route's link without.
    pub underlay: Option<std::net::Ipv4Addr>,
    /// Gets the network when there is one.
    pub give: Box<dyn Fn(Arc<PodNetwork>) -> Result<(), Failure> + Send + Sync>,
    /// Is told what was passed over, and why.
    pub note: Box<dyn Fn(String) + Send + Sync>,
}

/// What a part of the network failed with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The network cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the pod network of node {node}")]
pub struct Error {
    /// Which node's.
    pub node: String,
    /// Why.
    pub source: Failure,
}

/// The resources that must be watched.
pub fn resources() -> Vec<GroupVersionResource> {
    vec![GroupVersionResource::new("", "v1", "nodes")]
}

/// Makes the network when the node has its range, and keeps its routes until the signal says `true`.
/// Pods keep their network beyond it.
pub async fn run(config: Config, mut shutdown: watch::Receiver<bool>) -> Result<(), Error> {
    let config = Arc::new(config);
    let mut network = None;
    let mut known = Vec::new();
    let mut changes = config.mirror.changes(&nodes_resource());
    loop {
        let first = tokio::select! {
            change = changes.next() => change,
            () = client::asked_to_end(&mut shutdown) => return Ok(()),
        };
        match first {
            None => return Ok(()),
            // A node says that it lives much more often than where its pods are.
            Some(Change::Set { old: Some(old), new }) if !nodes::differ(&old.value(), &new.value()) => {}
            Some(_) => update(&config, &mut network, &mut known).await?,
        }
    }
}

async fn update(
    config: &Arc<Config>,
    network: &mut Option<Arc<PodNetwork>>,
    known: &mut Vec<attach::NodeRoute>,
) -> Result<(), Error> {
    let items = config.mirror.items(&nodes_resource(), None);
    let all: Vec<_> = items.iter().map(|item| item.value()).collect();
    let failed = |source| Error { node: config.node.clone(), source };
    if network.is_none() {
        let Some(range) = own_range(&all, &config.node) else { return Ok(()) };
        let at = Arc::clone(config);
        let made = blocking(move || {
            let mut wanted = PodNetworkConfig::new(&at.state, &at.node, (range, at.cluster));
            wanted.mode = at.mode;
            wanted.underlay = at.underlay;
            let made = Arc::new(PodNetwork::open(wanted)?);
            (at.give)(Arc::clone(&made))?;
            Ok(made)
        });
        *network = Some(made.await.map_err(failed)?);
    }
    let wanted = routes(&all, &config.node);
    if let Some(network) = network.clone()
        && wanted != *known
    {
        known.clone_from(&wanted);
        let notes = blocking(move || Ok(network.nodes(&wanted)?)).await.map_err(failed)?;
        notes.into_iter().for_each(|note| (config.note)(note));
    }
    Ok(())
}

/// Netlink waits for the kernel.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

fn nodes_resource() -> GroupResource {
    GroupResource::new("", "nodes")
}
