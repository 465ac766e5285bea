//! The engine on real containers, registries and archives, without the command line.

#![allow(clippy::panic, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod contention;
mod images;
mod lifecycle;
mod recovery;
mod storage;
mod world;
