//! The client against a server that misbehaves on purpose, and against Debian's
//! `docker-registry`.

#![allow(clippy::panic, clippy::unwrap_used)]

mod auth;
mod blobs;
mod debian;
mod hosts;
mod manifests;
mod push;
mod server;
mod setup;
mod tls;
