//! What is read back, compared with what other tools say of the same processes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod child;
mod groups;
mod network;
mod rights;
mod views;
