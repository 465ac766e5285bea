//! What is asked of a network and what it gave.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base::ContainerId;
use netlink::route::MacAddress;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::cidr6::Cidr6;
use crate::publish::{Front, PortMapping, PublishedPort, Publishing};

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
    /// How they are published.
    pub publishing: Publishing,
    /// Who leads to them.
    pub front: Front,
    /// A fixed address (`--ip`).
    pub address: Option<Ipv4Addr>,
    /// A fixed IPv6 address (`--ip6`).
    pub address6: Option<Ipv6Addr>,
    /// A fixed hardware address (`--mac-address`).
    pub mac: Option<MacAddress>,
    /// Further names in the network (`--network-alias`, `--hostname`).
    pub aliases: Vec<String>,
    /// Name servers that its questions go on to, instead of the host's (`--dns`).
    pub servers: Vec<IpAddr>,
    /// Its first process and that one's start time: whose namespace it is.
    pub process: Option<Process>,
    /// Preference of the network's gateway; the highest has the default route.
    pub gateway_priority: i32,
    /// The link's name in the container; `eth0` or the next number without.
    pub link: Option<String>,
    /// Whether the container's default route may be by this network.
    pub leads_out: bool,
}

/// What an attachment has on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSide {
    /// The bridge's hardware address.
    pub bridge_mac: String,
    /// That of the container's link on the host.
    pub link_mac: String,
}

/// A process, named for good: its id and when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id on the host.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_time: u64,
}

impl Request {
    /// A request for an address in the default network, without ports.
    pub fn new(id: ContainerId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            network: crate::DEFAULT_NETWORK.to_owned(),
            ports: Vec::new(),
            publishing: Publishing::default(),
            front: Front::default(),
            address: None,
            address6: None,
            mac: None,
            aliases: Vec::new(),
            servers: Vec::new(),
            process: None,
            gateway_priority: 0,
            link: None,
            leads_out: true,
        }
    }
}

/// What a container got of one network; kept on disk while it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container.
    pub id: ContainerId,
    /// Its name when it was attached.
    pub name: String,
    /// The network.
    pub network: String,
    /// The network's id.
    #[serde(default)]
    pub network_id: String,
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
    /// Its IPv6 half, when the network has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Attached6>,
    /// Nothing leads out of the network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Preference of its gateway among those of the container's networks.
    #[serde(default)]
    pub gateway_priority: i32,
    /// Further names in the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Name servers that its questions go on to, instead of the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The inode of its network namespace, by which that is known again.
    #[serde(default)]
    pub namespace: u64,
    /// The link's hardware address in the container, as text.
    pub mac: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// The companion relays to them what is sent to `[::1]`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relayed: bool,
    /// What the user should know (a rule of the host that could not be copied…).
    pub warnings: Vec<String>,
    /// Why the values are what they are, for `explain`.
    pub decisions: Vec<Decision>,
}

/// The IPv6 half of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached6 {
    /// The container's address.
    pub address: Ipv6Addr,
    /// The network it is in.
    pub subnet: Cidr6,
    /// The next hop of its default route.
    pub gateway: Ipv6Addr,
}

impl Attachment {
    /// An attachment of which only so much is known: what others made, or what a test needs.
    pub fn bare(id: ContainerId, name: &str, network: &str, address: Ipv4Addr, subnet: Cidr) -> Self {
        Self {
            id,
            name: name.to_owned(),
            network: network.to_owned(),
            network_id: String::new(),
            bridge: String::new(),
            host_link: String::new(),
            link: String::new(),
            address,
            subnet,
            gateway: subnet.network(),
            ipv6: None,
            internal: false,
            gateway_priority: 0,
            aliases: Vec::new(),
            servers: Vec::new(),
            process: None,
            namespace: 0,
            mac: String::new(),
            mtu: 0,
            ports: Vec::new(),
            relayed: false,
            warnings: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// Whether members of the network know each other by name: not in the default one.
    pub fn has_names(&self) -> bool {
        self.network != crate::DEFAULT_NETWORK
    }

    /// What names this attachment for good: the container, the network and the address.
    pub fn endpoint_id(&self) -> String {
        let text = format!("{} {} {} {}", self.id, self.network_id, self.network, self.address);
        base::Digest::sha256_of(text.as_bytes()).hex().to_owned()
    }
}

/// Which of a container's attachments has its default route and its published ports: that
/// with the highest preference, then docker's order of names. Internal ones lead nowhere.
pub fn gateway_of<'a>(attachments: impl IntoIterator<Item = &'a Attachment>) -> Option<&'a Attachment> {
    let leading_out = attachments.into_iter().filter(|attachment| !attachment.internal);
    leading_out
        .min_by(|a, b| b.gateway_priority.cmp(&a.gateway_priority).then_with(|| a.network.cmp(&b.network)))
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
