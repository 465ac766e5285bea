//! The engine on real containers, without a registry and without the command line.

#![allow(clippy::unwrap_used, missing_docs)]

mod contention;
mod lifecycle;
mod recovery;
mod storage;
mod world;
