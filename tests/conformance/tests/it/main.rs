//! The conformance specs: the same calls, and what each name demands.
//!
//! A test is named after its spec in snake case and says the spec's codename in its comment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "a test hands over what it made with json!")]

mod api;
mod life;
mod names;
mod operations;
mod rig;

mod api_machinery;
mod apps;
mod auth;
mod cli;
mod faked;
mod instrumentation;
mod network;
mod node;
mod nodes;
mod placement;
mod scheduling;
mod storage;
mod workloads;
