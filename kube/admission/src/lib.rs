//! What every write passes before it is stored: plugins, policies, webhooks, quota.
//!
//! A [`Request`] goes through a [`Chain`] twice: first [`Chain::mutate`] lets every step
//! change the object, then (after the registry has validated it) [`Chain::validate`] asks
//! every step whether it may be stored. The order of the steps is upstream's.
//!
//! ```text
//! mutate:   plugins → mutating policies → mutating webhooks → (again, if one asked for it)
//! validate: plugins → validating policies → validating webhooks → quota
//! ```
//!
//! A [`Plugin`] decides without I/O: over the request, the cluster's cached objects, and
//! what the chain looked up for it. Only webhooks, quota and look-ups past the cache wait.
//! This crate knows neither the store nor HTTP's server side: the [`host`] traits are what
//! it needs of the API server.

pub mod callout;
mod cel;
mod cel_compiler;
pub mod chain;
pub mod config;
pub mod expressions;
pub mod host;
mod matching;
pub mod notes;
pub mod plugin;
mod plugins;
mod policy;
mod quota;
mod random;
mod read;
pub mod request;
#[cfg(test)]
mod testing;
mod webhook;

pub use chain::Chain;
pub use config::Config;
pub use host::{Access, Authorizer, Host, Kinds, Opinion, Writer};
pub use notes::{Decision, Notes};
pub use plugin::{Need, Plugin, Scene};
pub use request::{Operation, Request};
