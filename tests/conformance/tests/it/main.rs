//! The conformance specs that need no node: the same calls, and what each name demands.
//!
//! A test is named after its spec in snake case and says the spec's codename in its comment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod rig;

mod api_machinery;
