//! What is asked of a network and what it gave.

use std::net::Ipv4Addr;

use base::ContainerId;
use netlink::route::MacAddress;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::publish::{PortMapping, PublishedPort};

/// What a container asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The container.
    pub id: ContainerId,
    /// Its name, for messages to others who want the same port.
    pub name: String,
    /// The network's name; [`DEFAULT_NETWORK`](crate::DEFAULT_NETWORK) is made on demand.
    pub network: String,
    /// Ports to publish.
    pub ports: Vec<PortMapping>,
    /// A fixed address (`--ip`).
    pub address: Option<Ipv4Addr>,
    /// A fixed hardware address (`--mac-address`).
    pub mac: Option<MacAddress>,
}

impl Request {
    /// A request for an address in the default network, without ports.
    pub fn new(id: ContainerId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            network: crate::DEFAULT_NETWORK.to_owned(),
            ports: Vec::new(),
            address: None,
            mac: None,
        }
    }
}

/// What a container got; kept on disk while it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container.
    pub id: ContainerId,
    /// Its name when it was attached.
    pub name: String,
    /// The network.
    pub network: String,
    /// The bridge's link name on the host.
    pub bridge: String,
    /// The link's name on the host.
    pub host_link: String,
    /// The link's name in the container.
    pub link: String,
    /// The container's address.
    pub address: Ipv4Addr,
    /// The network it is in.
    pub subnet: Cidr,
    /// The next hop of its default route: the bridge's address.
    pub gateway: Ipv4Addr,
    /// The link's hardware address in the container, as text.
    pub mac: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// What the user should know (a rule of the host that could not be copied…).
    pub warnings: Vec<String>,
    /// Why the values are what they are, for `explain`.
    pub decisions: Vec<Decision>,
}

/// One decision: the value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided: `address`, `subnet`, `publish 0.0.0.0:8080/tcp`…
    pub what: String,
    /// The value.
    pub value: String,
    /// Where the kernel holds it: an nft chain or map element, a link, a sysctl.
    pub held_in: String,
    /// One plain sentence.
    pub why: String,
}

/// What [`Networks::reconcile`](crate::Networks::reconcile) removed or mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Containers whose addresses and ports were released.
    pub released: Vec<ContainerId>,
    /// Host links without a container that were deleted.
    pub links_deleted: Vec<String>,
    /// Whether the table of rules was written anew.
    pub table_rewritten: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}
