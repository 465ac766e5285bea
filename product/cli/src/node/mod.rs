//! A node of a cluster, put together: what it joins with and what runs on it.
//!
//! ```text
//! kubelet ─▶ CRI ─▶ engine in this process, or a socket
//! Nodes ─▶ pod network      Services ─▶ service proxy, DNS      API server ─▶ kubelet's own server
//! ```
//!
//! The same parts run in `strake agent`, which reaches the API over HTTP, and in `strake server`, which has it in
//! its process.

pub mod args;
pub mod identity;
pub mod join;
mod local_volumes;
mod names;
mod network;
mod parts;
mod run;
mod services;
mod serving;

pub use names::resolv;
pub use parts::{Own, OwnRuntime, own_runtime};
pub use run::{Node, own_address};
pub use services::run as keep_services;
