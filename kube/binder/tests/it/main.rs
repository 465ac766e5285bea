//! The binder on a real API server in this process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod places;
mod preempts;
mod volumes;
