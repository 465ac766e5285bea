//! The runtime over a cluster that is a map, with a clock that is moved by hand.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod cluster;
mod local;
mod runtime;
mod server;
