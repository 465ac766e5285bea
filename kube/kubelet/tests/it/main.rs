//! The kubelet over a runtime that is a map and an API server in this process.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fake;
mod node;
mod pods;
mod rig;
mod server;
mod statics;
mod upkeep;
mod volumes;
