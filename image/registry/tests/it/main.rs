//! The client against a server that misbehaves on purpose, and against Debian's
//! `docker-registry`.

mod auth;
mod blobs;
mod debian;
mod hosts;
mod manifests;
mod push;
mod server;
mod setup;
