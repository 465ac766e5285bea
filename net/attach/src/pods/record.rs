//! What is asked for a sandbox and what it got.

use std::net::{IpAddr, Ipv4Addr};

use base::ContainerId;
use serde::{Deserialize, Serialize};

use crate::publish::PublishedPort;

/// What a sandbox asks for.
#[derive(Clone, Debug)]
pub struct PodRequest {
    /// The sandbox.
    pub id: ContainerId,
    /// The pod's name, for messages to others who want the same port.
    pub name: String,
    /// Host ports that lead to it.
    pub ports: Vec<PublishedPort>,
}

/// What a sandbox got; kept on disk while it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodAttachment {
    /// The sandbox.
    pub id: ContainerId,
    /// The pod's name when it was added.
    pub name: String,
    /// Its addresses, the main one first.
    pub addresses: Vec<IpAddr>,
    /// The next hop of its default route: the bridge's address.
    pub gateway: Ipv4Addr,
    /// The link's name in the pod.
    pub interface: String,
    /// The link's name on the node.
    pub host_link: String,
    /// The link's hardware address in the pod, as text.
    pub mac: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Host ports that lead to it.
    pub ports: Vec<PublishedPort>,
}

/// What [`PodNetwork::recover`](super::PodNetwork::recover) removed or mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Sandboxes whose addresses and ports were released.
    pub released: Vec<ContainerId>,
    /// Links without a sandbox that were deleted.
    pub links_deleted: Vec<String>,
    /// Whether the table of rules was written anew.
    pub table_rewritten: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}
