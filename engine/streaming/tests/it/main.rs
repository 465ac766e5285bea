//! The server on a real socket, with a backing of our own and clients of both transports.

#![allow(clippy::unwrap_used)]

mod backing;
mod client;
mod commands;
mod ports;
mod refusals;
