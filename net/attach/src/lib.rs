//! Networks of containers: a bridge, addresses, published ports.
//!
//! [`Networks`] is the front: [`attach`](Networks::attach),
//! [`detach`](Networks::detach), [`reconcile`](Networks::reconcile),
//! [`describe`](Networks::describe). Below it the deciding parts are pure (which range
//! and address, which port, which rules) and the acting parts are a netlink message
//! each.
//!
//! What this crate never does: run `ip`, `iptables` or `nft`; touch a table, link or
//! route that is not its own; read the environment; start a thread.

mod attachment;
mod cidr;
mod error;
mod host_files;
mod mode;
mod networks;
mod publish;

pub use attachment::{Attachment, Decision, Reconciled, Request};
pub use cidr::{Cidr, InvalidCidr};
pub use error::{Error, PortOwner};
pub use host_files::{HostFiles, HostFilesRequest};
pub use mode::{InvalidNetworkMode, NetworkMode};
pub use netlink::route::MacAddress;
pub use networks::{FAILPOINTS, Networks};
pub use publish::{HostPort, InvalidPortMapping, PortMapping, PortMappingProblem, Protocol, PublishedPort};

/// The name of the default network.
pub const DEFAULT_NETWORK: &str = "bridge";
/// The link name of the default network's bridge.
pub const DEFAULT_BRIDGE: &str = "strake0";
