//! The cluster's names (Kubernetes DNS-Based Service Discovery, 1.1.0).
//!
//! ```text
//! Mirror ──Services, EndpointSlices, Pods──▶ Zone
//! query ─▶ plan(query, asker, Zone) ─▶ Reply
//!                    └─▶ Forward, Chase ─▶ Upstream (stub domains, resolv.conf, cache) ─▶ reply
//! ```
//!
//! [`Zone`] and [`plan`] are pure; [`run`] holds the sockets. A name that a pod's resolver made longer by its first
//! search domain is looked for along the whole search path at once: the answer is an alias to the name that exists,
//! so that a name of the outside costs one round trip and not five.
//!
//! **Node-local.** Each node may run its own server, at the address of the cluster's DNS Service bound to an
//! interface of the node. Packets to it then never leave the node, and need no connection tracking if the service
//! proxy's table says so: for the address, ports 53 UDP and TCP, `notrack` in a chain at `raw` priority on prerouting
//! (destination) and on output (destination, and source for the answers), and no service rule for that address.

mod forward;
pub mod local;
mod plan;
mod serve;
mod watch;
mod zone;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use client::Mirror;
use controllers::known;
use kube_object::resource::GroupVersionResource;

pub use plan::{Asker, Plan, plan};
pub use serve::{BindError, Server, run};
pub use zone::Zone;

/// What the server works with.
pub struct Config {
    /// What it sees: at least [`resources`].
    pub mirror: Arc<dyn Mirror>,
    /// The cluster's domain, such as `cluster.local`.
    pub domain: String,
    /// Where it listens, by UDP and by TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP sockets for each address; the kernel shares queries out among them.
    pub shards: usize,
    /// Whom it asks for all other names, in this order.
    pub upstream: Vec<SocketAddr>,
    /// Whom it asks for the names of some domains.
    pub stubs: BTreeMap<String, Vec<SocketAddr>>,
    /// The search domains of the node, which pods' search paths end with.
    pub search: Vec<String>,
    /// Where it answers `GET /health` and `GET /ready`.
    pub health: Option<SocketAddr>,
}

impl Config {
    /// A server that asks the node's own servers for all other names, but never itself.
    pub fn of_node(
        mirror: Arc<dyn Mirror>,
        domain: &str,
        listen: Vec<SocketAddr>,
        node: names::Resolv,
    ) -> Self {
        let servers = node.servers.into_iter().map(|server| SocketAddr::new(server, PORT));
        let upstream = servers.filter(|server| !listen.contains(server)).collect();
        Self {
            mirror,
            domain: domain.to_owned(),
            listen,
            shards: 1,
            upstream,
            stubs: BTreeMap::new(),
            search: node.search,
            health: None,
        }
    }
}

/// The port of DNS.
pub const PORT: u16 = 53;

/// The resources that the server watches.
pub fn resources() -> Vec<GroupVersionResource> {
    [known::services(), known::endpoint_slices(), known::pods()].map(Clone::clone).to_vec()
}
