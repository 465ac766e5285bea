//! The Container Network Interface, specification 1.1, from both sides.
//!
//! ```text
//!   a runtime (ours)                                       a plugin (ours)
//!   NetworkList ── chain ── Plugins ──▶ /opt/cni/bin/… ──▶ plugin::serve ── plugin::Network
//!       ▲                      │   environment, stdin             │
//!   Directory              Results ◀────── stdout ────────────────┘
//! ```
//!
//! [`Client`] is the runtime's side: a chain of plugins is run for an [`Attachment`], and what it
//! gave is kept in [`Results`] until it is undone, so that a process that is killed in between
//! leaves something to undo and not a riddle. [`plugin`] is the other side: the protocol between
//! an environment, standard input and the functions of a network.
//!
//! What this crate never does: decide about a network, touch a link, read the environment.
//! Only [`Plugins`] starts processes, only [`Results`] and [`Directory`] touch files.

mod attachment;
mod capabilities;
mod chain;
mod client;
mod directory;
mod error;
mod failure;
mod list;
mod names;
pub mod plugin;
mod plugins;
mod result;
mod results;
mod version;

pub use attachment::Attachment;
pub use capabilities::{Bandwidth, Capabilities, DnsCapability, PortMapping};
pub use client::{Client, FAILPOINTS};
pub use directory::{DEFAULT_DIRECTORY, Directory};
pub use error::Error;
pub use failure::{Code, Failure};
pub use list::{InvalidList, NetworkList, Plugin};
pub use names::{ContainerId, InterfaceName, InvalidName, NetworkName, PluginType};
pub use plugins::{DEFAULT_PLUGIN_DIRECTORIES, Plugins};
pub use result::{Dns, Interface, Ip, IpAddress, NetworkResult, Route};
pub use results::{Entry, Results};
pub use version::{UnsupportedVersion, Version};
