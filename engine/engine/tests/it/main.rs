//! The engine on a real kernel and real registries and archives.

#![allow(clippy::panic, clippy::unwrap_used, clippy::disallowed_methods)]

mod images;
