//! Networks of containers: a bridge, addresses, published ports.
//!
//! [`Networks`] is the front: [`attach`](Networks::attach),
//! [`detach`](Networks::detach), [`reconcile`](Networks::reconcile),
//! [`describe`](Networks::describe). [`PodNetwork`] is the other front: a node's part of a
//! cluster's pod network, with routes to the other nodes. Below them the deciding parts are pure (which range
//! and address, which port, which rules) and the acting parts are a netlink message
//! each.
//!
//! What this crate never does: run `ip`, `iptables` or `nft`; touch a table, link or
//! route that is not its own; read the environment; start a thread.

mod addresses;
mod attachment;
mod bridge;
mod chain;
mod cidr;
mod cidr6;
mod create;
mod definition;
mod error;
mod files;
mod firewall;
mod forwarding;
mod host_files;
mod ledger;
mod links;
mod macvlan;
mod networks;
mod path;
mod plan;
mod pods;
mod ports;
mod publish;
mod watch;

pub use attachment::{Attached6, Attachment, Decision, HostSide, Process, Reconciled, Request, gateway_of};
pub use chain::{Chain, ChainSettings};
pub use cidr::{Cidr, InvalidCidr};
pub use cidr6::{Cidr6, InvalidCidr6};
pub use create::NewNetwork;
pub use definition::{Chosen, Definition, Driver, Ipv6Half};
pub use error::{Error, PortOwner};
pub use firewall::Rewritten;
pub use host_files::{HostFiles, HostFilesRequest};
pub use macvlan::{Macvlan, MacvlanMode};
pub use netlink::route::MacAddress;
pub use networks::{FAILPOINTS, Leftover, Networks};
pub use path::{Audience, Fate, Origin, Packet, Path, Step, Way, Whose};
pub use pods::{
    DEFAULT_POD_BRIDGE, DEFAULT_POD_TABLE, DEFAULT_TUNNEL, Mode, NodeRoute, POD_FAILPOINTS, PodAttachment,
    PodNetwork, PodNetworkConfig, PodRequest, Recovered, described_in, forget_in, left_in,
};
pub use publish::{
    Front, HostPort, InvalidPortMapping, InvalidPublishPolicy, PortMapping, PortMappingProblem, Protocol,
    PublishPolicy, PublishedPort, Publishing,
};
pub use watch::RuleWatch;

/// The name of the default network.
pub const DEFAULT_NETWORK: &str = "bridge";
/// The link name of the default network's bridge; another data root on the same host
/// gets the next number.
pub const DEFAULT_BRIDGE: &str = "strake0";
/// Our nftables table, of family `ip`, when the bridge is the default one; else it is
/// named like the bridge.
pub const DEFAULT_TABLE: &str = "strake";
